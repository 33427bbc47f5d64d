"""Commands of the README and the guides exist, with the flags shown; the README's Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from example_files import FOLDER as EXAMPLES
from example_files import cells_of
from readme_commands import blocks, commands

import ufc.cli.main as cli
from ufc.cli.measuring.evaluate import FORMS
from ufc.cli.measuring.flags import FORMS as OFFERED
from ufc.pipeline import UFCPipeline

ROOT = Path(__file__).parent.parent
README, CHINESE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")
)
GUIDES = [
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("tasks", "controls", "own-model", "tutorial-first-picture", "tutorial-own-look")
]
NOTEBOOKS = "\n\n".join(
    source for path in sorted(EXAMPLES.glob("*.ipynb")) for source in cells_of(path, "markdown")
)


@pytest.mark.parametrize(
    "command",
    [command for page in (README, CHINESE, *GUIDES, NOTEBOOKS) for command in commands(page)],
)
def test_commands_and_their_flags_exist(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    words = shlex.split(command)
    called = words[1:3] if words[1] == "evaluate" and words[2] in FORMS else words[1:2]
    assert cli.main([*called, "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in (word for word in words if word.startswith("--")):
        assert re.search(rf"{flag}\b", shown), f"{flag} is not in `ufc {' '.join(called)} --help`"


def test_the_shell_offers_every_form_of_evaluate() -> None:
    assert sorted(OFFERED) == sorted(FORMS)


def test_there_are_commands() -> None:
    assert {shlex.split(command)[1] for command in commands(README)} >= {
        "generate",
        "edit",
        "info",
        "train",
        "train-tokenizer",
    }


def test_python_runs(
    pipeline: UFCPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(UFCPipeline, "from_pretrained", lambda *_, **__: pipeline)
    (code,) = blocks(README, "python")
    exec(code, {})
    assert (tmp_path / "shirt.png").is_file()
