"""Sessions with a small real pipeline: drawing, editing, repairing, joining, and the disk."""

from __future__ import annotations

import io
import json
import math
import os
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_pipeline
from PIL import Image
from studio_helpers import LONG, begin, change, draw, mark

from ufc.io.png.metadata import read_metadata
from ufc.pipeline import UFCPipeline
from ufc.requests.loading import ModelSettings
from ufc.token_confidence import Assessment, differing_blocks
from webui.sessions import derived, exports, state, uploads
from webui.sessions.again import take_over
from webui.sessions.generating import generation
from webui.sessions.state import View
from webui.sessions.studio import Studio


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def studio(model: Path, tmp_path: Path) -> Studio:
    return Studio(tmp_path / "out", ModelSettings(str(model)))


def pixels(studio: Studio, key: str, picture: state.Picture) -> Image.Image:
    return studio.store.open_picture(key, picture.file)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_what_was_left_as_it_began_goes_once_a_day_unless_a_window_shows_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, shown, typed = (studio.begin(lang) for lang in ("zh", "en", "en"))
    change(studio, typed, negative_prompt="blurred")
    for key in (left, shown, typed):
        os.utime(studio.store.path(key, "session.json"), (1, 1))
    studio.tabs.seen(shown)
    studio.begin()
    assert studio.has(left)  # less than a day after the last time
    monkeypatch.setattr(studio, "_swept", -math.inf)
    studio.begin()
    for thread in threading.enumerate():
        if thread.name == "sweep":
            thread.join(10)
    assert [studio.has(key) for key in (left, shown, typed)] == [False, True, True]


def test_a_picture_is_drawn_kept_and_described(studio: Studio) -> None:
    key = begin(studio, pictures=3, seed=7)
    first = draw(studio, key)
    session = studio.store.load(key)
    assert [picture.seed for picture in session.pictures] == [7, 8, 9]
    assert {picture.group for picture in session.pictures} == {first.id}
    assert first.fidelity is not None
    details = studio.store.read_details(key, first.id)
    assert len(details["steps"]) == len(details["curves"]) == 3
    assert all(story["picture"] == first.id and story["seed"] == 7 for story in details["origin"])
    said = read_metadata(studio.store.path(key, first.file))
    assert said.request is not None
    assert said.request["request"]["prompt"] == "men's blue shirt"
    assert said.blocks is not None
    assert said.blocks.codes == first.codes


def test_edits_keep_pixels_and_codes_however_many_there_are(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = begin(studio)
    first = draw(studio, key)
    monkeypatch.setattr(
        studio.loaded.pipe.tokenizer, "encode", lambda *_: pytest.fail("something was encoded")
    )
    mark(studio, key, 0, 1, 4)
    last = first
    for seed in range(2, 6):
        change(studio, key, seed=seed)
        last = draw(studio, key)
        assert last.kept == tuple(sorted(set(range(16)) - {0, 1, 4}))
    assert set(differing_blocks(pixels(studio, key, first), pixels(studio, key, last), 4)) <= {
        0,
        1,
        4,
    }
    assert [a == b for a, b in zip(first.codes or (), last.codes or (), strict=True)][5:] == [
        True
    ] * 11
    audit = studio.store.read_details(key, last.id)["audit"]
    assert audit["changed"] == []
    assert audit["sha256_before"] == audit["sha256_after"]
    origin = studio.store.read_details(key, last.id)["origin"]
    assert origin[15]["picture"] == first.id
    assert origin[0]["picture"] == last.id


def test_an_unlocked_seed_changes_and_a_locked_one_draws_the_same(studio: Studio) -> None:
    key = begin(studio, seed=5)
    assert draw(studio, key).codes == draw(studio, key).codes
    change(studio, key, seed_locked=False)
    assert draw(studio, key).seed != 5


def test_stop_keeps_the_canvas_as_it_is(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    key = begin(studio, steps=200)
    reached, go = threading.Event(), threading.Event()
    pipe = studio.loaded.pipe
    score_logits = pipe.transformer.score_logits

    def slowly(hidden: object) -> object:
        reached.set()
        go.wait(LONG)
        return score_logits(hidden)  # type: ignore[arg-type]

    monkeypatch.setattr(pipe.transformer, "score_logits", slowly)
    studio.generate(key)
    reached.wait(LONG)
    studio.worker.stop(key)
    go.set()
    studio.worker.wait(key, LONG)
    picture = studio.store.load(key).current
    assert picture is not None
    assert picture.steps == 1
    assert picture.codes is not None
    assert max(picture.codes) < 16


def test_sessions_survive_a_restart(studio: Studio, model: Path) -> None:
    key = begin(studio)
    draw(studio, key)
    mark(studio, key, 3, 4)
    again = Studio(studio.store.folder, ModelSettings(str(model)))
    assert again.store.load(key) == studio.store.load(key)
    assert again.has(key)
    again.store.update(key, lambda s: replace(s, codebook="of another model"))
    assert not again.has(key)
    assert not again.store.has("../" + key)
    with pytest.raises(KeyError):
        again.store.load("0" * 24)
    studio.store.path(key, "session.json").write_text('{"settings": 3}')
    with pytest.raises(KeyError):
        Studio(studio.store.folder, ModelSettings(str(model))).store.load(key)


def test_the_model_marks_what_it_doubts_in_any_picture(studio: Studio) -> None:
    key = begin(studio)
    derived.find_weakest(studio, key, 3)
    assert studio.store.load(key).view.marks == ()
    uploads.upload(studio, key, png(Image.effect_noise((16, 16), 80)))
    derived.find_weakest(studio, key, 3)
    assert len(studio.store.load(key).view.marks) == 3
    studio.store.update(key, lambda s: state.set_keep(s, True))
    derived.find_weakest(studio, key, 3)
    assert len(state.blocks_to_change(studio.store.load(key).view, 4)) == 3


@pytest.mark.parametrize("better", [True, False])
def test_repair_draws_the_weakest_anew_and_keeps_what_scores_higher(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    key = begin(studio, prompt="", seed=3)
    with pytest.raises(ValueError, match="no picture"):
        studio.repair(key, 3)
    uploads.upload(studio, key, png(Image.effect_noise((16, 16), 80)))
    mark(studio, key, 15)
    before = studio.store.load(key)
    sure = tuple(0.1 if block in (2, 5, 7) else 0.9 for block in range(16))
    scores = iter([0.5, 0.6 if better else 0.4])
    monkeypatch.setattr(generation, "assess", lambda *_: Assessment(sure, None, next(scores)))
    studio.repair(key, 3)
    progress = studio.worker.wait(key, LONG)
    assert progress is not None
    assert progress.error is None
    after = studio.store.load(key)
    old, new = after.pictures
    assert new.kept == tuple(block for block in range(16) if block not in (2, 5, 7))
    changed = differing_blocks(pixels(studio, key, old), pixels(studio, key, new), 4)
    assert set(changed) <= {2, 5, 7}
    assert progress.outcome is not None
    if better:
        assert progress.outcome[0] == "repaired"
        assert after.view == View(new.id, (2, 5, 7))
        assert state.undo(after).view == before.view
    else:
        assert progress.outcome[0] == "repair_no_better"
        assert after.view == before.view


def test_kept_blocks_are_not_doubted_while_others_are_drawn(studio: Studio) -> None:
    key = begin(studio)
    draw(studio, key)
    mark(studio, key, 0, 1)
    last = draw(studio, key)
    for step in studio.store.read_details(key, last.id)["steps"]:
        assert all(value is not None for value in step["confidence"][:2])
        assert step["confidence"][2:] == [None] * 14


def test_going_on_from_a_step(studio: Studio) -> None:
    key = begin(studio)
    first = draw(studio, key)
    derived.continue_from(studio, key, first.id, 0)
    step = studio.store.load(key).current
    assert step is not None
    assert (step.kind, step.parent) == ("step", first.id)
    steps = studio.store.read_details(key, first.id)["steps"]
    assert step.codes == tuple(steps[0]["codes"])
    origin = studio.store.read_details(key, step.id)["origin"]
    assert all(story["step"] == 0 for story in origin)
    with pytest.raises(ValueError, match="no step 99"):
        derived.continue_from(studio, key, first.id, 98)


def test_blocks_of_two_pictures_and_the_seam_between(studio: Studio) -> None:
    key = begin(studio, pictures=2)
    one = draw(studio, key)
    two = studio.store.load(key).pictures[1]
    with pytest.raises(ValueError, match="Mark the blocks"):
        derived.cross(studio, key, two.id)
    mark(studio, key, 0, 1, 4, 5)
    derived.cross(studio, key, two.id)
    session = studio.store.load(key)
    both = session.current
    assert both is not None
    assert both.codes is not None
    assert one.codes is not None
    assert two.codes is not None
    assert [both.codes[cell] for cell in (0, 1, 4, 5)] == [two.codes[cell] for cell in (0, 1, 4, 5)]
    assert both.codes[15] == one.codes[15]
    assert set(session.view.marks) == {2, 6, 8, 9, 10}  # none of those that were taken
    mixed = draw(studio, key)
    assert mixed.codes is not None
    assert mixed.codes[0] == two.codes[0]
    origin = studio.store.read_details(key, mixed.id)["origin"]
    assert (origin[0]["picture"], origin[15]["picture"]) == (two.id, one.id)


def test_what_was_asked_for_is_asked_for_again_with_its_marks(studio: Studio) -> None:
    key = begin(studio, seed=7)
    first = draw(studio, key)
    mark(studio, key, 0, 1)
    second = draw(studio, key)
    mark(studio, key, 9)
    take_over(studio, key, second.id)
    assert studio.store.load(key).view.marks == (0, 1)
    assert draw(studio, key).codes == second.codes
    studio.store.update(key, lambda s: state.show(s, first.id))
    mark(studio, key, 9)
    take_over(studio, key, first.id)
    assert studio.store.load(key).view.marks == ()
    again = draw(studio, key)
    assert (again.codes, again.kept) == (first.codes, ())


def test_a_zip_has_everything_to_draw_it_again(studio: Studio, tmp_path: Path) -> None:
    from ufc.cli.main import main

    key = begin(studio, steps=2)
    uploads.add_reference(studio, key, png(Image.new("RGB", (16, 16), "red")), "red.png")
    draw(studio, key)
    mark(studio, key, 0, 1, 2, 3)
    last = draw(studio, key)
    with zipfile.ZipFile(
        io.BytesIO(exports.archive(studio, key, studio.store.load(key).pictures))
    ) as archive:
        archive.extractall(tmp_path / "zip")
    manifest = tmp_path / "zip" / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert len(rows) == 2
    out = tmp_path / "again"
    assert (
        main(["generate", "--prompts-file", str(manifest), "--output-dir", str(out), "--quiet"])
        == 0
    )
    again = Image.open(out / rows[1]["file_name"]).convert("RGB")
    assert again.tobytes() == pixels(studio, key, last).tobytes()


def test_no_session_waits_while_pictures_of_another_are_written(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = begin(studio), begin(studio)
    writing, go = threading.Event(), threading.Event()
    save = generation.GenerationJob.save

    def slowly(job: generation.GenerationJob, *rest: object) -> None:
        writing.set()
        assert go.wait(LONG)
        save(job, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(generation.GenerationJob, "save", slowly)
    studio.generate(key)
    assert writing.wait(LONG)
    done = threading.Event()

    def act() -> None:
        for one in (key, other):
            change(studio, one, steps=5)
        done.set()

    threading.Thread(target=act, daemon=True).start()
    assert done.wait(LONG / 4)  # while it is still being written
    go.set()
    studio.worker.wait(key, LONG)
    assert len(studio.store.load(key).pictures) == 1
    assert not studio.store.load(key).pending


def test_a_step_is_downloaded_as_it_is_seen(studio: Studio) -> None:
    key = begin(studio)
    first = draw(studio, key)
    found = read_metadata(io.BytesIO(derived.step_png(studio, key, first, 0))).blocks
    assert found is not None
    assert list(found.codes) == studio.store.read_details(key, first.id)["steps"][0]["codes"]


@pytest.fixture(params=["fp32", "bf16", "int8"])
def studio_in(request: pytest.FixtureRequest, model: Path, tmp_path: Path) -> Studio:
    """A studio in each precision."""
    return Studio(tmp_path / "out", ModelSettings(str(model), dtype=request.param))


def test_pictures_drawn_together_are_drawn_again_alone(studio_in: Studio) -> None:
    key = begin(studio_in, pictures=3, seed=7)
    draw(studio_in, key)
    together = studio_in.store.load(key).pictures
    for picture in together:
        change(studio_in, key, pictures=1, seed=picture.seed)
        assert draw(studio_in, key).codes == picture.codes


def test_an_upload_says_what_drew_it_where_that_is_not_so_here(model: Path, tmp_path: Path) -> None:
    there, here = (
        Studio(tmp_path / dtype, ModelSettings(str(model), dtype=dtype))
        for dtype in ("fp32", "bf16")
    )
    key = begin(there)
    data = there.store.read(key, draw(there, key).file)
    assert uploads.drawn_by_another(there, data) == {}
    assert uploads.drawn_by_another(here, data)["dtype"] == "fp32"
    assert uploads.drawn_by_another(here, png(Image.new("RGB", (16, 16)))) == {}


def test_a_manifest_says_what_drew_a_picture_and_not_what_draws_now(
    model: Path, tmp_path: Path
) -> None:
    there = Studio(tmp_path / "out", ModelSettings(str(model), dtype="fp32"))
    key = begin(there)
    draw(there, key)
    later = Studio(tmp_path / "out", ModelSettings(str(model), dtype="bf16"))
    draw(later, key)
    with zipfile.ZipFile(
        io.BytesIO(exports.archive(later, key, later.store.load(key).pictures))
    ) as archive:
        rows = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    assert [row["backend"]["dtype"] for row in rows] == ["fp32", "bf16"]


def test_twenty_sessions_at_once_finish_with_their_own_pictures(
    studio_in: Studio, model: Path
) -> None:
    """Each has the picture that the model draws alone, in the precision that the studio is in."""
    studio = studio_in
    precision = studio.loaded.pipe.precision
    pipeline = UFCPipeline.from_pretrained(model, device="cpu", dtype=precision)
    prompts = ["men's blue shirt", "women's red bag", "男士黑色手表", "女士粉色上衣"]
    keys: dict[int, str] = {}
    failures: list[BaseException] = []

    def visit(number: int) -> None:
        try:
            key = begin(studio, prompt=prompts[number % 4], seed=number, steps=2)
            keys[number] = key
            draw(studio, key)
            mark(studio, key, number % 16)
            draw(studio, key)
        except BaseException as failure:
            failures.append(failure)

    visits = [threading.Thread(target=visit, args=(number,)) for number in range(20)]
    for thread in visits:
        thread.start()
    for thread in visits:
        thread.join(LONG)
    assert not failures
    assert len(set(keys.values())) == 20
    for number, key in keys.items():
        session = studio.store.load(key)
        assert len(session.pictures) == 2
        alone = pipeline(prompts[number % 4], seed=number, num_inference_steps=2)
        assert session.pictures[0].codes == tuple(alone.codes[0].tolist())
        assert session.pictures[1].kept == tuple(b for b in range(16) if b != number % 16)
