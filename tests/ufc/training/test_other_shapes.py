"""Steps in other shapes: code grids cropped or laid on white, and a run that learns them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_VQGAN
from toy_data import write_folder, write_shards
from toy_training import model_config

from ufc.training.codes.shapes import OtherShapes, other_shapes, span
from ufc.training.trainer import Trainer, main
from ufc_base.data.datasets import DataError
from vqgan.model import VQGAN

TALL = replace(TINY_VQGAN, height=24, width=16)  # 6 x 4 cells


def shapes(share: float) -> OtherShapes:
    return OtherShapes(share, 0, (6, 4), ((4, 6), (5, 5)), white=9)


def test_rows_are_left_out_and_white_is_laid_beside() -> None:
    codes_T = torch.arange(24) + 100
    for seed in range(20):
        laid_HW = shapes(1.0).lay(codes_T, (4, 6), random.Random(seed)).view(4, 6)
        columns = (laid_HW != 9).any(0).nonzero().flatten().tolist()
        assert columns == list(range(columns[0], columns[0] + 4))
        kept_HW = laid_HW[:, columns]
        first = int(kept_HW[0, 0] - 100) // 4
        assert torch.equal(kept_HW, codes_T.view(6, 4)[first : first + 4])
    assert span(3, 3, random.Random(0)) == (slice(0, 3), slice(0, 3))


def test_a_share_of_the_steps_has_another_shape() -> None:
    found = [shapes(0.25)(step) for step in range(400)]
    others = [grid for grid in found if grid != (6, 4)]
    assert 70 < len(others) < 130 and set(others) == {(4, 6), (5, 5)}
    assert found == [shapes(0.25)(step) for step in range(400)]


def test_shapes_are_those_of_about_the_trained_area() -> None:
    tokenizer = VQGAN(TALL).eval()
    found = other_shapes(0.1, 0, tokenizer)
    assert found is not None
    assert found.grids == ((4, 6), (5, 5)) and 0 <= found.white < TALL.n_embed
    assert other_shapes(0.0, 0, tokenizer) is None
    square = other_shapes(0.1, 0, VQGAN(TINY_VQGAN).eval())
    assert square is not None and len(square.grids) == 2
    (rows, columns), other = square.grids
    assert rows < columns and other == (columns, rows)


def test_a_run_learns_other_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    VQGAN(TALL).eval().save_pretrained(tmp_path / "tokenizer")
    config = model_config(
        write_folder(tmp_path / "data", 8), tmp_path / "tokenizer", tmp_path / "run",
        other_shapes=0.5, objectives=("autoregressive=0.3",), val_data_dir=str(tmp_path / "data"),
    )  # fmt: skip
    seen: list[tuple[int, int] | None] = []
    step = Trainer.train_step

    def watched(self, batch, progress):  # type: ignore[no-untyped-def]
        seen.append(batch.grid)
        assert batch.codes_BT.shape == batch.masks_BT.shape
        return step(self, batch, progress)

    monkeypatch.setattr(Trainer, "train_step", watched)
    main(config)
    assert {None, (4, 6), (5, 5)} == set(seen)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_out_of_range_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match="other_shapes"):
        model_config(tmp_path, tmp_path, tmp_path, other_shapes=share)


def test_a_stream_has_no_kept_codes_to_lay(tmp_path: Path) -> None:
    VQGAN(TALL).eval().save_pretrained(tmp_path / "tokenizer")
    config = model_config(
        write_shards(tmp_path / "data"), tmp_path / "tokenizer", tmp_path / "run",
        other_shapes=0.5, streaming=True,
    )  # fmt: skip
    with pytest.raises(DataError, match="other-shapes"):
        main(config)
