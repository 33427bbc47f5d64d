"""Pictures are found by words, deleted and put back; presets are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from webui.sessions import state
from webui.sessions.presets import MOST_PRESETS, Presets, with_preset
from webui.sessions.state import Picture, Session, Settings


def session(*prompts: str) -> Session:
    made = Session()
    for number, prompt in enumerate(prompts, 1):
        name = f"{number:04d}"
        made = state.add(made, [Picture(name, f"{name}.png", request={"prompt": prompt})])
    return made


def ids(pictures: tuple[Picture, ...]) -> list[str]:
    return [picture.id for picture in pictures]


def test_pictures_are_found_by_all_of_the_words_or_their_number() -> None:
    pictures = session("red bag", "Blue bag", "blue coat").pictures
    assert ids(state.with_words(pictures, "blue")) == ["0002", "0003"]
    assert ids(state.with_words(pictures, "bag BLUE")) == ["0002"]
    assert ids(state.with_words(pictures, "3")) == ["0003"]
    assert state.with_words(pictures, "hat") == ()


def test_words_are_offered_once_the_latest_first() -> None:
    assert state.prompts(session("bag", "coat", "bag")) == ("bag", "coat")


def test_a_deleted_picture_is_not_seen_and_comes_back() -> None:
    before = session("one", "two", "three")
    after = state.delete(before, ["0003"])
    assert ids(after.shown) == ["0001", "0002"]
    assert after.current is not None
    assert after.current.id == "0002"
    assert not any(view.picture == "0003" for view in (*after.past, *after.future))
    assert state.next_id(after) == "0004"  # what others say of it stays true
    back = state.restore(after)
    assert ids(back.shown) == ["0001", "0002", "0003"]
    assert back.view.picture == "0003"
    assert state.deleted(back) == ()


def test_another_picture_than_the_deleted_one_stays_on_the_canvas() -> None:
    before = state.mark(session("one", "two"), (3,))
    after = state.delete(before, ["0001"])
    assert after.view == before.view
    assert state.delete(after, ["0002"]).current is None


def test_a_preset_brings_settings_and_leaves_words_and_seed(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets.json")
    kept = Settings(prompt="bag", seed=5, steps=20, order="pnag", guidance_scale=4.0)
    presets.save("  slow ", kept)
    (told,) = presets.read().values()
    now = Settings(lang="zh", prompt="coat", seed=7)
    assert with_preset(now, told) == replace(now, steps=20, order="pnag", guidance_scale=4.0)
    presets.remove("slow")
    assert presets.read() == {}


@pytest.mark.parametrize("damaged", ['"a": {"temperature": NaN}', '"\\ud800": {}', '"a": []'])
def test_a_damaged_preset_is_in_no_others_way(tmp_path: Path, damaged: str) -> None:
    presets = Presets(tmp_path / "presets.json")
    presets.path.write_text("{" + damaged + ', "slow": {"steps": 30}}')
    presets.save("mine", Settings())
    assert list(presets.read()) == ["slow", "mine"]


def test_presets_have_a_name_and_an_end(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets.json")
    with pytest.raises(ValueError, match="no name"):
        presets.save("   ", Settings())
    for number in range(MOST_PRESETS):
        presets.save(str(number), Settings())
    presets.save("0", Settings(steps=3))
    with pytest.raises(ValueError, match="remove one first"):
        presets.save("one more", Settings())


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": {"steps": "many"}}', "{"])
def test_a_damaged_file_of_presets_is_refused_or_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "presets.json").write_text(text)
    for told in Presets(tmp_path / "presets.json").read().values():
        with pytest.raises(ValueError, match="does not know"):
            with_preset(Settings(), told)


def test_a_preset_out_of_range_is_brought_into_it() -> None:
    assert with_preset(Settings(), {"steps": 10_000, "unknown": 1}).steps == 40
