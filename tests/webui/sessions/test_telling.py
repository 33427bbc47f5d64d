"""What is out of domain is said, and pictures are described."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image

from ufc.captioning.known_tasks import KnownTasks
from ufc.captioning.tell import Located, ToldText
from ufc.pipeline import UFCPipeline
from ufc.requests.loading import ModelSettings
from ufc_base.checkpoint import CheckpointError
from webui.sessions import telling, words
from webui.sessions.state import blocks_to_change
from webui.sessions.studio import Studio


def named(name: str, **domain: list[str]) -> Studio:
    pipe = SimpleNamespace(tasks=KnownTasks(domain=domain))
    return cast(Any, SimpleNamespace(loaded=SimpleNamespace(name=name, pipe=pipe)))


def with_picture(model: Path, folder: Path, prompt: str) -> tuple[Studio, str]:
    """A studio and a session of it with one picture."""
    studio = Studio(folder / "out", ModelSettings(str(model)))
    key = studio.begin()
    settings: dict[str, Any] = {"prompt": prompt, "steps": 1}
    studio.store.update(key, lambda s: replace(s, settings=replace(s.settings, **settings)))
    studio.generate(key)
    studio.worker.wait(key, 60)
    return studio, key


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
    assert telling.is_out_of_domain(named("weights/fashion-192x256"), prompt) == outside
    assert not telling.is_out_of_domain(named("tiny"), prompt)


@pytest.mark.parametrize(
    ("prompt", "outside"),
    [
        ("three red tulips in a vase", False),
        ("A ROSE", False),
        ("一朵玫瑰", False),
        ("red", False),
        ("", False),
        ("a rosette", True),
        ("women's red handbag", True),
        ("蓝色的大海", True),
    ],
)
def test_a_model_may_say_its_own_domain(prompt: str, outside: bool) -> None:
    studio = named("fashion-flowers", en=["rose", "tulip"], zh=["玫瑰"])
    assert telling.is_out_of_domain(studio, prompt) == outside
    assert telling.domain(studio, "zh") == ["玫瑰"]
    assert telling.domain(named("tiny"), "en") == []
    assert telling.domain(named("tiny", en=["rose"]), "zh") == ["rose"]


def test_the_domain_stands_in_the_models_index(model: Path, tmp_path: Path) -> None:
    pipe = UFCPipeline.from_pretrained(model)
    assert "domain" not in pipe.config
    shutil.copytree(model, tmp_path / "flowers")
    index = tmp_path / "flowers" / "model_index.json"
    told = json.loads(index.read_text())
    index.write_text(json.dumps(told | {"domain": {"en": ["rose"]}}))
    found = UFCPipeline.from_pretrained(tmp_path / "flowers")
    assert found.tasks.domain == {"en": ["rose"]}
    found.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "model_index.json").read_text())["domain"] == {
        "en": ["rose"]
    }
    index.write_text(json.dumps(told | {"domain": "flowers"}))
    with pytest.raises(CheckpointError, match="domain cannot be read"):
        UFCPipeline.from_pretrained(tmp_path / "flowers")


def test_a_picture_is_described_and_what_contradicts_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, key = with_picture(model, tmp_path, "men's navy t-shirt")
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


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        ("men's black t-shirt", "men's white t-shirt", "black"),
        ("men's black t-shirt", "men's black striped t-shirt", ""),
        ("women's red handbag", "", "women's red handbag"),
        ("女士红色手提包", "女士蓝色手提包", "红"),
        ("Red bag", "red BAG", ""),
    ],
)
def test_what_a_changed_description_leaves_out(before: str, after: str, gone: str) -> None:
    assert words.left_out(before, after) == gone


def test_words_mark_their_blocks(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, key = with_picture(model, tmp_path, "bag")
    assert not words.can_find_words(studio)
    with pytest.raises(ValueError, match="has not learnt it"):
        words.mark_words(studio, key, "bag")
    tasks = {"grounding": "where is [TEXT:word] in [IMAGE:picture]? -> [BOX:blocks]"}
    monkeypatch.setattr(studio.loaded.pipe, "tasks", KnownTasks(tasks))
    found = {"bag": torch.ones(2, 2), "black": torch.tensor([[0.9, 0.1], [0.0, 0.2]])}

    def locate(pipe: Any, plan: Any, values: dict[str, str], images: list[Any]) -> list[Located]:
        return [Located(found.get(values["word"], torch.zeros(2, 2)))]

    monkeypatch.setattr(words, "carry_out", locate)
    assert words.can_find_words(studio)
    words.mark_words(studio, key, "bag")
    grid = studio.frame(studio.store.load(key)).grid
    assert blocks_to_change(studio.store.load(key).view, grid) == (0, 1, 2, 3)
    words.reword(studio, key, "black bag", "white  bag")
    session = studio.store.load(key)
    assert blocks_to_change(session.view, grid) == (0,) and session.settings.prompt == "white bag"
    with pytest.raises(ValueError, match="“cat” nowhere"):
        words.mark_words(studio, key, "cat")
