"""A sample of the hostile inputs of `soak.py`, every one that once failed, and free text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError, parse_json
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse

from .canary import heard
from .guard import judged, unclear
from .kinds import KINDS, is_past, make
from .weights import arrays_bomb, statistics_arrays, zeros_bomb

CORPUS = Path(__file__).with_name("corpus")
# Of each kind so many, from the far end: other ones than those that a whole run begins with.
SAMPLE = {"bomb": 1, "model": 6, "safetensors": 12, "checkpoint": 15, "packed shard": 8}
USUAL, FAR = 25, 10_000_000
QUICK = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


def faults_of(kind: str, folder: Path) -> list[str]:
    found = {name: judged(read, folder) for name, read in KINDS[kind].read.items()}
    return [f"{name}: {one.fault}" for name, one in found.items() if one.fault]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs_are_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    past, faults, count = 0, [], SAMPLE.get(kind, USUAL)
    for seed in range(FAR, FAR + count):
        folder = tmp_path / str(seed)
        folder.mkdir()
        make(kind, seed, folder)
        past += is_past(kind, folder)
        faults += [f"{kind} {seed}: {fault}" for fault in faults_of(kind, folder)]
    assert not faults
    assert not heard
    assert past >= count / 4


@pytest.mark.parametrize(
    "text", ["", " ", "a\x1b[31m", "a\nb", "a\0", "\x9b2J", "\u2028", "\u202ea"]
)
def test_an_error_that_is_no_plain_line_is_a_fault(text: str) -> None:
    assert unclear(ValueError(text)) and not unclear(ValueError("包 é"))


@pytest.mark.parametrize("case", sorted(CORPUS.glob("*/*")), ids=lambda path: path.name)
def test_what_once_failed_does_no_more(case: Path, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    for path in case.rglob("*"):
        target = folder / path.relative_to(case)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    assert not faults_of(case.parent.name.replace("-", " "), folder)
    assert not heard


def test_deflated_gigabytes_are_not_inflated(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(arrays_bomb("mu", statistics_arrays(), 2**29 + 2**25))
    assert not faults_of("statistics", tmp_path)
    place = tmp_path / "torch" / "checkpoint-3"
    place.mkdir(parents=True)
    (place / "trainer.pt").write_bytes(zeros_bomb(2**24))
    (tmp_path / "torch" / "taming.yaml").write_text("model: {}\n")
    assert not faults_of("checkpoint", tmp_path / "torch")


@QUICK
@given(st.text(alphabet=st.sampled_from("[]->,:=ab \n\u2192TEXTIMAGE0.3"), max_size=80))
def test_any_text_is_an_instruction_or_refused_at_its_place(text: str) -> None:
    try:
        make_plan(parse(text))
    except RequestError as error:
        assert str(error)  # noqa: PT017 either is right


@QUICK
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_json_is_a_request_or_refused(value: object) -> None:
    import json

    from ufc.request import Request

    try:
        Request.from_json(parse_json(json.dumps(value)))
    except RequestError as error:
        assert str(error)  # noqa: PT017


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_prompts_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("p") / "p.txt"
    path.write_bytes(data)
    try:
        assert read_rows(path)
    except RequestError as error:
        assert "\n" not in str(error)  # noqa: PT017
