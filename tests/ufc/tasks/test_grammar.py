"""The grammar: what it reads it writes back, what it refuses it points at."""

import random
import string

import pytest

from ufc.tasks.attributes import LEFT, RIGHT, rules_for
from ufc.tasks.errors import InstructionError
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.instruction import KINDS, Attribute, Slot, Words, format_instruction
from ufc.tasks.mixture import builtin_tasks

VALUES = {
    "mask_ratio": (None, "0.3", "1", ".25"),
    "noise_ratio": ("0.1", "1e-2"),
    "use_mask": (None,),
    "max_length": ("1", "24"),
    "closed_set": ("type", "colour", "sleeve-length"),
    "order": ("pnag", "mask-predict", "autoregressive"),
}
SPACES = ("", " ", "  ", "\t", "\n", "\u3000")
PHRASES = ("where is", "in", "?", "什么颜色", "a - b > c", "(x) | y, z: 1=2", "é", "↗ 红", "*")

# The mark ^ stands before the place that the error must point at.
MALFORMED = [
    "^",
    "  ^",
    "draw a bag^",
    "[TEXT:a] [IMAGE:b]^",
    "[TEXT:a] ^=> [IMAGE:b]",
    "[TEXT:a] ^→ [IMAGE:b]",
    "[TEXT:a] - > [IMAGE:b]^",
    "^-> [IMAGE:b]",
    " ^-> [IMAGE:b]",
    "[TEXT:a] ->^",
    "[TEXT:a] ->  ^",
    "[TEXT:a] -> ^a picture",
    "[TEXT:a] -> [IMAGE:b] ^-> [TEXT:c]",
    "[TEXT:a] -> ^-> [IMAGE:b]",
    "^[TEXT:a -> [IMAGE:b]",
    "^[TEXT:a [IMAGE:c] -> [IMAGE:b]",
    "[TEXT:a] -> ^[IMAGE:b",
    "[TEXT:a] -> ^[",
    "TEXT:a^] -> [IMAGE:b]",
    "[TEXT:a]^] -> [IMAGE:b]",
    "^[[TEXT:a]] -> [IMAGE:b]",
    "[^] -> [IMAGE:b]",
    "[^:a] -> [IMAGE:b]",
    "[^,mask_ratio=0.3] -> [IMAGE:b]",
    "[^text:a] -> [IMAGE:b]",
    "[TEXT:a] -> [^IMGAE:b]",
    "[TEXT:a] -> [ ^PICTURE:b]",
    "[^AUDIO:a] -> [IMAGE:b]",
    "[TEXT:a] -> [^VIDEO:b]",
    "[^MOTION] -> [TEXT:b]",
    "[^STRUCT:a] -> [TEXT:b]",
    "[^TEXT|IMAGE] -> [TEXT:b]",
    "[TEXT:^] -> [IMAGE:b]",
    "[TEXT:^  ] -> [IMAGE:b]",
    "[TEXT:a^-b] -> [IMAGE:b]",
    "[TEXT:my^ name] -> [IMAGE:b]",
    "[TEXT:^颜色] -> [IMAGE:b]",
    "红 [TEXT:^é] -> [IMAGE:b]",
    "[TEXT:a^:b] -> [IMAGE:b]",
    "[TEXT:a] ^[TEXT:a] -> [IMAGE:b]",
    "[TEXT:a] [IMAGE:c] ^[IMAGE:a] -> [IMAGE:b]",
    "[TEXT:text] ^[TEXT:text] -> [IMAGE:b]",
    "[TEXT:a] -> ^[IMAGE:a]",
    "[TEXT:a,^] -> [IMAGE:b]",
    "[TEXT:a,^,mask_ratio=0.3] -> [IMAGE:b]",
    "[TEXT:a,^=0.3] -> [IMAGE:b]",
    "[TEXT:a,mask^-ratio=0.3] -> [IMAGE:b]",
    "[TEXT:a, ^maskratio=0.3] -> [IMAGE:b]",
    "[TEXT:a,^preprocess=image_vqgan] -> [IMAGE:b]",
    "[BOX:a,^uncased] [IMAGE:c] -> [TEXT:b]",
    "[TEXT:a,mask_ratio=^] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio= ^0] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=^1.5] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=^-0.5] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=^nan] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=^half] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=^０.3] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=0^=3] -> [IMAGE:b]",
    "[TEXT:a,mask_ratio=0.3,^mask_ratio=0.4] -> [IMAGE:b]",
    "[TEXT:a,^noise_ratio] -> [IMAGE:b]",
    "[TEXT:a] [IMAGE:c,use_mask=^yes] -> [IMAGE:b]",
    "[TEXT:a] [IMAGE:c,use_mask=^] -> [IMAGE:b]",
    "[TEXT:a,^use_mask] -> [IMAGE:b]",
    "[TEXT:a] -> [IMAGE:b,^use_mask]",
    "[IMAGE:a] -> [TEXT:b,^mask_ratio=0.3]",
    "[TEXT:a,^max_length=4] -> [IMAGE:b]",
    "[IMAGE:a] -> [TEXT:b,max_length=^0]",
    "[IMAGE:a] -> [TEXT:b,max_length=^4.5]",
    "[IMAGE:a] -> [TEXT:b,^closed_set]",
    "[IMAGE:a] -> [TEXT:b,closed_set=^a.b]",
    "[TEXT:a] -> [IMAGE:b,^closed_set=type]",
    "[TEXT:a] -> [IMAGE:b,order=^raster]",
    "[TEXT:a] -> [IMAGE:b,^order]",
    "[TEXT:a,^order=pnag] -> [IMAGE:b]",
    "a^\x00b [TEXT:a] -> [IMAGE:b]",
    "a^\x1b[0m [TEXT:a] -> [IMAGE:b]",
    "a^\udc80 [TEXT:a] -> [IMAGE:b]",
]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", builtin_tasks())
def test_built_in_tasks_are_written_as_they_are_read(name: str) -> None:
    task = builtin_tasks()[name]
    assert str(task.instruction) == task.instruction.source
    assert parse(str(task.instruction)) == task.instruction


def test_what_an_instruction_is_read_into() -> None:
    read = parse("  where is[ TEXT : word, mask_ratio = 0.3 ] in [IMAGE] ?->[BOX:blocks] ")
    assert read.left == (
        Words("where is"),
        Slot("TEXT", "word", (Attribute("mask_ratio", "0.3"),)),
        Words(" in "),
        Slot("IMAGE", "image", named=False),
        Words(" ?"),
    )
    assert read.right == (Slot("BOX", "blocks"),)
    assert str(read) == "where is[TEXT:word,mask_ratio=0.3] in [IMAGE] ? -> [BOX:blocks]"


def test_slots_without_a_name_are_called_after_their_kind() -> None:
    read = parse("[TEXT][IMAGE][TEXT] [TEXT:text2] -> [TEXT]")
    assert list(read.given) == ["text", "image", "text3", "text2"]
    assert list(read.wanted) == ["text"]
    assert str(read) == "[TEXT] [IMAGE] [TEXT] [TEXT:text2] -> [TEXT]"


def test_at_least_fifty_are_malformed() -> None:
    assert len(set(MALFORMED)) == len(MALFORMED) >= 50


@pytest.mark.parametrize("marked", MALFORMED)
def test_malformed_instructions_are_refused_at_their_place(marked: str) -> None:
    text = marked.replace("^", "")
    with pytest.raises(InstructionError) as caught:
        parse(text)
    error = caught.value
    assert error.position == marked.index("^"), str(error)
    assert f"character {error.position + 1}: " in str(error)
    assert error.problem and error.remedy and "\n" not in str(error)
    assert error.excerpt[1].strip(" ") == "^" * len(error.excerpt[1].strip(" "))
    assert "\n".join(error.excerpt) in error.__notes__


def test_carets_stand_under_the_place() -> None:
    with pytest.raises(InstructionError) as caught:
        parse("红色\t[TEXT:a,maskratio=3] -> [IMAGE:out]")
    assert caught.value.excerpt == (
        "红色 [TEXT:a,maskratio=3] -> [IMAGE:out]",
        "             ^^^^^^^^^",  # each Chinese character takes two columns
    )
    long = "word " * 40 + "[TXET:a] -> [IMAGE:b]" + " word" * 40
    with pytest.raises(InstructionError, match="did you mean TEXT") as caught:
        parse(long)
    line, carets = caught.value.excerpt
    assert len(line) < 80 and line.startswith("…") and line.endswith("…")
    assert line[carets.index("^") :].startswith("TXET:a]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[AUDIO:a] -> [TEXT:b]", "AUDIO is a kind of OFASys that is not part of this project"),
        ("[text:a] -> [IMAGE:b]", "did you mean TEXT?"),
        ("[TEXT:a,order=pnag] -> [IMAGE:b]", "belongs to IMAGE right of ->"),
        ("[TEXT:a,shade=1] -> [IMAGE:b]", "takes mask_ratio, noise_ratio"),
        ("[TEXT:a] -> [IMAGE:b,order=raster]", "one of pnag, maskgit"),
        ("[TEXT:a] -> [IMAGE:a]", "is TEXT left of -> and IMAGE right of it"),
    ],
)
def test_errors_say_what_to_write(text: str, message: str) -> None:
    with pytest.raises(InstructionError) as caught:
        parse(text)
    assert message in str(caught.value)


def random_slot(rng: random.Random, side: str, name: str) -> str:
    space = lambda: rng.choice(SPACES)  # noqa: E731
    kind = rng.choice(KINDS)
    head = kind if rng.random() < 0.2 else f"{kind}{space()}:{space()}{name}"
    parts = [head]
    keys = sorted(rules_for(kind, side))
    for key in rng.sample(keys, rng.randint(0, len(keys))):
        value = rng.choice(VALUES[key])
        parts.append(key if value is None else f"{key}{space()}={space()}{value}")
    return "[" + ",".join(f"{space()}{part}{space()}" for part in parts) + "]"


def random_side(rng: random.Random, side: str) -> str:
    letters = string.ascii_letters + string.digits + "_"
    said = ""
    for number in range(rng.randint(1, 5)):
        name = f"{side}{number}" + "".join(rng.choices(letters, k=rng.randint(0, 8)))
        said += rng.choice(SPACES) + random_slot(rng, side, name)
        if rng.random() < 0.5:
            said += rng.choice(SPACES) + rng.choice(PHRASES) + rng.choice(SPACES)
    return rng.choice(["", rng.choice(PHRASES)]) + said


@pytest.mark.parametrize("seed", range(20))
def test_random_instructions_are_written_as_they_are_read(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        text = random_side(rng, LEFT) + "->" + random_side(rng, RIGHT)
        read = parse(text)
        assert squeezed(format_instruction(read)) == squeezed(text)
        assert parse(format_instruction(read)) == read
        assert "  " not in format_instruction(read)


def read_or_refused(text: str) -> None:
    """Parse and plan; an error must be the grammar's and point into the text."""
    position = 0
    try:
        read = parse(text)
        assert parse(format_instruction(read)) == read
        make_plan(read)
    except InstructionError as error:
        position = error.position
    assert 0 <= position <= len(text)


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_raise_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    words = ["[", "]", "->", ":", ",", "=", "TEXT", "IMAGE", "BOX", "CATEGORY", " ", "a", "0.3"]
    words += [*rules_for("TEXT", LEFT), "closed_set", "红", "-"]
    for _ in range(100):
        data = rng.randbytes(rng.randint(0, 60))
        for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
            read_or_refused(text)
        read_or_refused("".join(rng.choices(words, k=rng.randint(0, 30))))


@pytest.mark.parametrize("seed", range(10))
def test_mistyped_instructions_raise_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    sources = [task.instruction.source for task in builtin_tasks().values()]
    for _ in range(100):
        letters = list(rng.choice(sources))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(letters))
            letters[place] = rng.choice(["", "[", "]", "->", ",", "=", ":", "x", " ", "\0", "é"])
        read_or_refused("".join(letters))
