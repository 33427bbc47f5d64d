"""What is out of domain is said, and pictures are described."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from ufc.captioning.known_tasks import KnownTasks
from ufc.captioning.tell import ToldText
from ufc.requests.loading import ModelSettings
from webui.sessions import telling
from webui.sessions.studio import Studio


def named(name: str) -> Studio:
    return cast(Any, SimpleNamespace(loaded=SimpleNamespace(name=name)))


@pytest.mark.parametrize(
    ("prompt", "outside"),
    [
        ("women's red cotton handbag", False),
        ("男士黑色手表", False),
        ("red", False),  # of what is left to the model
        ("", False),
        ("a cat on the moon", True),
        ("蓝色的大海", True),
    ],
)
def test_words_for_nothing_that_was_trained_are_noticed(prompt: str, outside: bool) -> None:
    assert telling.is_out_of_domain(named("weights/fashion-64"), prompt) == outside
    assert not telling.is_out_of_domain(named("tiny"), prompt)


def test_a_picture_is_described_and_what_contradicts_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(tmp_path / "out", ModelSettings(str(model)))
    key = studio.begin()
    words = {"prompt": "men's navy t-shirt", "steps": 1}
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **words)))
    studio.generate(key)
    studio.worker.wait(key, 60)
    assert not telling.can_describe(studio)
    pipe = studio.loaded.pipe
    monkeypatch.setattr(pipe, "tasks", KnownTasks({"captioning-en": "Describe [IMAGE]"}))
    seen: list[Any] = []

    def caption(pictures: list[Image.Image], lang: str = "en") -> list[ToldText]:
        seen.extend((picture.size, lang) for picture in pictures)
        return [ToldText("men's black t-shirt", ())]

    monkeypatch.setattr(pipe, "caption", caption)
    assert telling.can_describe(studio)
    telling.describe(studio, key)
    told = studio.store.read_details(key, "0001")["told"]
    assert seen == [((16, 16), "en")]
    assert told["caption"] == "men's black t-shirt"
    assert "navy" in told["contradiction"]
    assert studio.store.read_details(key, "0001")["origin"]  # what was known is not lost
