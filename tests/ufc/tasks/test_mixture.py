"""Mixtures: names, instructions and weights from YAML, and the line of what is wrong."""

from pathlib import Path

import pytest

from ufc.io.validation import RequestError
from ufc.tasks.errors import InstructionError
from ufc.tasks.mixture import BUILTIN, builtin_tasks, find_instruction, read_mixture


def mixture(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mix.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mixture_is_read(tmp_path: Path) -> None:
    tasks = read_mixture(
        mixture(
            tmp_path,
            "# tasks\n"
            "text-to-image: 4\n"
            'season: "哪个季节？ [IMAGE:picture] -> [TEXT:answer,closed_set=season]"\n'
            "captioning: {weight: 0.5}\n"
            "mine:\n  weight: 2\n  instruction: >\n    [TEXT,mask_ratio=0.3]\n    -> [TEXT]\n",
        )
    )
    assert [(task.name, task.weight) for task in tasks] == [
        ("text-to-image", 4.0),
        ("season", 1.0),
        ("captioning", 0.5),
        ("mine", 2.0),
    ]
    assert tasks[0].instruction == builtin_tasks()["text-to-image"].instruction
    assert str(tasks[3].instruction) == "[TEXT,mask_ratio=0.3] -> [TEXT]"
    assert [task.plan.task for task in tasks] == ["image", "question", "captioning", "infilling"]


def test_the_built_in_tasks_are_a_mixture() -> None:
    assert {task.name for task in read_mixture(BUILTIN)} == set(builtin_tasks())


def test_a_name_or_an_instruction() -> None:
    assert str(find_instruction("text-alone")) == "[TEXT:caption,mask_ratio=0.3] -> [TEXT:caption]"
    assert str(find_instruction("red bag->[IMAGE]")) == "red bag -> [IMAGE]"
    with pytest.raises(InstructionError, match="name a built-in task: text-to-image"):
        find_instruction("captoining")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no tasks"),
        ("- a\n- b\n", "line 1: wanted lines of"),
        ("a: [\n", "is not YAML"),
        ("\n\ta: b\n", "line 2: is not YAML"),
        ("a: !!python/object:os.system x\n", "line 1: is not YAML"),
        ("a: 2024-99-99\n", "cannot be read"),
        ("[" * 1000, "nested too deeply"),
        ("text-to-image: 1\ntext-to-image: 2\n", "line 2: text-to-image is there twice"),
        ("text-to-image: 1\nmine: 2\n", "line 2: mine has no instruction"),
        ("mine:\n", "line 1: mine: got null"),
        ("mine: [a]\n", "line 1: mine: got a list"),
        ("? [a]\n: b\n", "line 1: a name is text"),
        ("captioning: 0\n", "line 1: captioning: weight: got 0, wanted a number above 0"),
        ("captioning: .nan\n", "wanted a number above 0"),
        ("captioning:\n  weight: two\n", 'line 2: captioning: weight: got the text "two"'),
        ("captioning:\n  wait: 2\n", "line 2: captioning: unknown name wait; known are"),
        ("captioning:\n  1: 2\n", "line 2: captioning: "),
        ("captioning: {weight: 1, weight: 2}\n", "line 1: weight is there twice"),
        ("mine:\n  instruction: 3\n", "line 2: mine: instruction: got 3, wanted one line of text"),
        ("captioning: true\n", "got true, wanted an instruction"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_mixture(mixture(tmp_path, text))
    assert message in str(caught.value) and "mix.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_instruction_has_line_and_place(tmp_path: Path) -> None:
    text = 'captioning: 1\nmine:\n  weight: 1\n  instruction: "[TXET:a] -> [IMAGE:b]"\n'
    with pytest.raises(InstructionError) as caught:
        read_mixture(mixture(tmp_path, text))
    assert str(caught.value).startswith("mix.yaml, line 4: instruction, character 2: ")
    assert caught.value.position == 1
    unserved = 'captioning: 1\nmine: "[TEXT:a] -> [TEXT:b]"\n'
    with pytest.raises(InstructionError, match=r"mix.yaml, line 2: instruction, character 13"):
        read_mixture(mixture(tmp_path, unserved))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such mixture"):
        read_mixture(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(RequestError, match="save it as UTF-8"):
        read_mixture(tmp_path / "latin.yaml")
