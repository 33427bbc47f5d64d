"""The bundled model gives the codes that it gave when its weights were landed."""

from __future__ import annotations

import json

import pytest
from bundled_cases import BUNDLED, STEPS, codes_of, hashes, load

from ufc.io.hub import DEFAULT_MODEL, bundled_folder

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / DEFAULT_MODEL / "model_index.json").is_file(),
    reason="the bundled weights were not checked out",
)

GOLDEN = json.loads(BUNDLED.read_text(encoding="utf-8"))
# Least share of equal codes, by precision. Rounding differs from processor to processor; measured
# on one with AVX512: 1, .90 and .80.
LEAST = {"fp32": 0.98, "bf16": 0.8, "int8": 0.7}


def equal(found: list[int], wanted: list[int]) -> float:
    return sum(a == b for a, b in zip(found, wanted, strict=True)) / len(wanted)


def test_codes_are_of_these_weights() -> None:
    assert GOLDEN["weights"] == hashes(), "record anew: tests/golden/bundled_cases.py"


def test_the_codes_of_three_requests() -> None:
    found = codes_of(load("fp32"), STEPS["codes"])
    shares = {name: equal(codes, GOLDEN["codes"][name]) for name, codes in found.items()}
    assert min(shares.values()) >= LEAST["fp32"], shares


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", LEAST)
def test_a_pass_in_each_precision(dtype: str) -> None:
    found = codes_of(load(dtype), STEPS["one_pass"])
    shares = {name: equal(codes, GOLDEN["one_pass"][name]) for name, codes in found.items()}
    assert min(shares.values()) >= LEAST[dtype], shares
