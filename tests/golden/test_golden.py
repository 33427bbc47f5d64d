"""The same seeds give the same codes as the program gave before it was rearranged.

`make.py` has recorded `expected.json` and `expected.png` with the code of an earlier commit; the
seeds are such that weights changed by one part in 100,000 give the same codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_cases import (
    EDIT_FLAGS,
    EXPECTED,
    MODEL,
    OLD_PNG,
    PIXELS,
    SIDE,
    command_flags,
    logged_losses,
    old_codes,
    requests,
    training_flags,
    write_prompts,
    write_toy_data,
    written_codes,
)
from PIL import Image

from ufc import UFCPipeline
from ufc.cli.main import main

GOLDEN = json.loads(EXPECTED.read_text(encoding="utf-8"))
NEW_NAMES = {"num_drafts": "best_of"}


@pytest.fixture(scope="module")
def pipeline() -> UFCPipeline:
    return UFCPipeline.from_pretrained(MODEL, dtype="fp32", device="cpu")


def expected_pixels() -> Iterator[np.ndarray]:
    """The recorded pictures of each request, (B, H, W, 3)."""
    rows = np.asarray(Image.open(PIXELS)).reshape(-1, SIDE, SIDE, 3)
    start = 0
    for case in GOLDEN["requests"].values():
        yield rows[start : start + len(case["codes"])]
        start += len(case["codes"])


CASES = list(zip(requests(), expected_pixels(), strict=True))


@pytest.mark.parametrize(("name", "pixels"), CASES, ids=[name for name, _ in CASES])
def test_a_request(name: str, pixels: np.ndarray, pipeline: UFCPipeline) -> None:
    case = GOLDEN["requests"][name]
    asked: dict[str, Any] = {NEW_NAMES.get(k, k): v for k, v in requests()[name].items()}
    # Seeds were counted through a list of prompts once; today each prompt counts from its own.
    seeds = [case["seed"] + row for row in range(len(case["codes"]))]
    out = pipeline(**asked, seed=seeds, output_type="uint8")
    assert out.codes.tolist() == case["codes"]
    assert out.steps == case["steps"]
    for found, wanted in ((out.compliance, case["compliance"]), (out.fidelity, case["fidelity"])):
        pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if b is not None]
        assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], abs=2e-3)
    assert np.abs(out.images.astype(int) - pixels).max() <= 1


def test_commands(tmp_path: Path) -> None:
    prompts, seed = write_prompts(tmp_path, GOLDEN["command_seed"]), GOLDEN["command_seed"]
    for name, arguments in (
        ("generate", ["--prompts-file", str(prompts)]),
        ("edit", [*EDIT_FLAGS, "--seed", str(seed)]),
    ):
        output = tmp_path / f"out-{name}"
        assert main([name, *arguments, *command_flags(output)]) == 0
        assert written_codes(output) == GOLDEN["commands"][name]


def test_an_old_picture_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(OLD_PNG)]) == 0
    assert "red bag" in capsys.readouterr().out
    assert len(old_codes()) == (SIDE // 4) ** 2


@pytest.mark.parametrize("command", ["train-tokenizer", "train"])
def test_losses_of_a_training(command: str, tmp_path: Path) -> None:
    pytest.importorskip("kornia")
    data = write_toy_data(tmp_path / "few", 16)
    assert main(training_flags(command, data, tmp_path / "run")) == 0
    found = logged_losses(tmp_path / "run")
    wanted = GOLDEN["losses"][command]
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    for row, old in zip(found, wanted, strict=True):
        same = {name: value for name, value in row.items() if name in old}
        assert same == pytest.approx({name: old[name] for name in same}, rel=2e-3)
