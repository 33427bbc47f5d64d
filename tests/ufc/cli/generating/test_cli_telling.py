"""`ufc caption`, and `ufc run` of what tells words: the same environment, and no flag ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import one_line
from conftest import make_pipeline

from ufc.captioning import tell
from ufc.captioning.known_tasks import KnownTasks
from ufc.cli.main import main

CAPTIONS = "describe this: [IMAGE:picture] -> [TEXT:caption]"
Asked = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that says of itself that it writes captions."""
    folder = tmp_path_factory.mktemp("telling") / "teller"
    pipe = make_pipeline()
    pipe.tasks = KnownTasks({"captioning": CAPTIONS})
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture
def asked(
    telling: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Asked:
    """Run a command with the model that the environment names."""
    monkeypatch.chdir(photo.parent)
    monkeypatch.setenv("UFC_MODEL", str(telling))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_captions_heed_the_environment(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = asked("caption", "photo.png", "--json")
    assert code == 0 and json.loads(out)["image"] == "photo.png", err
    for name in ("UFC_DEVICE", "UFC_DTYPE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "tea")
            code, _, err = asked("caption", "photo.png")
        assert code == 2 and "'tea' is not one of" in err and one_line(err)


RUN = ("run", "captioning", "--slot", "picture=photo.png")


def test_a_dry_run_tells_nothing(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(tell, "tell_of", never)
    code, out, err = asked(*RUN, "--dry-run")
    assert (code, out, err) == (0, "captioning would be carried out\n", "")
    code, _, err = asked("run", "grounding", *RUN[2:], "--slot", "word=bag", "--dry-run")
    assert code == 2 and "does not know the task grounding" in err and one_line(err)


def test_flags_of_pictures_are_named(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UFC_OUTPUT_DIR", "elsewhere")  # for all commands
    code, out, err = asked(*RUN, "--json")
    assert code == 0 and "confidence" in out and err == ""
    flags = ("--seed", "3", "--num-images-per-prompt", "2", "--output-dir", "out", "--grid")
    code, again, err = asked(*RUN, "--json", *flags, "--negative-prompt", "blue")
    assert code == 0 and again == out
    told = [line.partition(":")[0] for line in err.splitlines()]
    assert sorted(told) == sorted([*flags[::2], "--negative-prompt"])
    assert "--seed: has no effect, captioning makes no picture" in err
    assert asked(*RUN, "--quiet", *flags)[2] == ""
    assert not Path("out").exists()
