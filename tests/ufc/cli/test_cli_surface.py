"""The command line as users know it: its names, its help, its completion, its exit codes."""

import re
from pathlib import Path

import pytest
from surface import surface

from ufc.cli.main import main
from ufc.cli.terminal import explain
from ufc_base.entry import BAD_INPUT, FAILURE, INTERRUPTED, exit_code
from ufc_base.extras import UnavailableError

SURFACE = Path(__file__).parent / "surface.txt"
LINES = surface()
COMMANDS = sorted({tuple(line.split()[1:-1]) for line in LINES if " --" in line})


def test_commands_and_flags_are_those_that_users_depend_on():
    """`make surface` writes the list anew, for a change that is meant."""
    assert SURFACE.read_text(encoding="utf-8").splitlines() == LINES


@pytest.mark.parametrize("columns", ["50", "80", "120"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_every_flag_whole(command, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown and "..." not in shown.partition("\n")[2]  # an argument may repeat
    start = " ".join(["ufc", *command]) + " --"
    for flag in ("--" + line.removeprefix(start) for line in LINES if line.startswith(start)):
        assert re.search(rf"{flag}(?![\w-])", shown), flag
    assert max(map(len, shown.splitlines())) <= max(int(columns), 80)


def complete(monkeypatch, capsys, words: str) -> list[str]:
    monkeypatch.setenv("_UFC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert main([]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ufc gen", ["generate"]),
        ("ufc generate --num-i", ["--num-images-per-prompt", "--num-inference-steps"]),
        ("ufc generate --order h", ["halton"]),
        ("ufc train --lr", ["--lr-warmup-steps"]),
        ("ufc train --config fashion-64-", ["fashion-64-tokenizer"]),
        ("ufc evaluate abl", ["ablation"]),
        ("ufc evaluate tok", ["tokenizer"]),
        ("ufc evaluate ablation --pass", ["--passes"]),
    ],
)
def test_completion(words, offered, monkeypatch, capsys):
    assert complete(monkeypatch, capsys, words) == offered


def test_the_shell_script_that_turns_completion_on(monkeypatch, capsys):
    monkeypatch.setenv("_UFC_COMPLETE", "source_bash")
    assert main([]) == 0
    assert "complete -o default -F _ufc_completion ufc" in capsys.readouterr().out


ERRORS = [
    (KeyboardInterrupt(), INTERRUPTED),
    (ValueError("disk is full"), BAD_INPUT),
    (UnavailableError("no such extra"), BAD_INPUT),
    (FileNotFoundError(2, "No such file", "x.png"), BAD_INPUT),
    (PermissionError(13, "Permission denied", "x.png"), FAILURE),
    (OSError(28, "No space left on device"), FAILURE),
    (MemoryError(), FAILURE),
    (RuntimeError("got bad input"), FAILURE),
    (ZeroDivisionError(), FAILURE),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_one_table_of_exit_codes(error, code, capsys):
    def fail():
        raise error

    assert explain(error)[0] == code
    assert exit_code(fail) == code
    written = capsys.readouterr().err
    assert written.startswith("error: ") and written.count("\n") == 1


def test_what_nobody_foresaw_says_its_class_and_how_to_see_more(capsys):
    assert exit_code(lambda: str(1 / 0)) == FAILURE
    assert capsys.readouterr().err == (
        "error: ZeroDivisionError: division by zero (UFC_DEBUG=1 shows where)\n"
    )


def test_a_missing_extra_says_how_to_install_it():
    error = ModuleNotFoundError("No module named 'kornia.augmentation'", name="kornia.augmentation")
    code, text = explain(error)
    assert code == BAD_INPUT
    assert (
        text == "kornia is not installed: run pip install -e '.[train]' in a clone of the project"
    )
    assert explain(ModuleNotFoundError("No module named 'x'", name="x"))[0] == FAILURE


def test_the_ablation_does_not_write_among_the_documents():
    from ufc.cli.measuring.flags import AblationFlags

    assert AblationFlags().output_dir == "outputs/ablation"
