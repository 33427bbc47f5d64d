"""Pictures of two languages compared: with a tiny model, and with sets made for it."""

from __future__ import annotations

import json
from pathlib import Path

import language_agreement
import numpy as np
import pytest
from toy_data import write_folder


def test_every_row_has_its_figures(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = write_folder(tmp_path / "data", 8), tmp_path / "agreement.json"
    asked = ["--model", str(model), "--train-data-dir", str(data), "--val-data-dir", str(data)]
    asked += ["--limit", "4", "--extractor", "toy_extractor:tiny_extractor"]
    asked += ["--cache-dir", str(tmp_path / "cache"), "--output", str(file)]
    assert language_agreement.main(asked) == 0
    found, shown = json.loads(file.read_text()), capsys.readouterr()
    assert found["pictures"] == 4 and len(found["rows"]) == 3
    for name, row in found["rows"].items():
        assert -1 <= row["cosine"] <= 1 and 0 <= row["type"] <= 1 and 0 <= row["colour"] <= 1
        assert f"| {name} | {row['cosine']:.3f}" in shown.out
    assert len(list((tmp_path / "cache").glob("generated-*"))) == 3
    assert language_agreement.main(asked) == 0  # from what was kept
    assert json.loads(file.read_text()) == found and capsys.readouterr().out == shown.out


def test_equal_sets_agree_and_others_agree_by_chance() -> None:
    features = np.eye(4)
    seen = [{"type": kind, "colour": "red"} for kind in ("bag", "bag", "shirt", "cap")]
    same = language_agreement.agreed((features, seen), (features, seen))
    assert all(value.mean() == 1 for value in same.values())
    others = language_agreement.agreed_with_others(features, seen)
    assert others["cosine"].mean() == 0 and others["colour"].mean() == 1
    assert others["type"].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])
    rows = {language_agreement.CHINESE: same, language_agreement.SEED: others}
    gain = language_agreement.report(rows)["chinese_above_seed"]
    assert gain["cosine"] == {"mean": 1, "low": 1, "high": 1} and gain["colour"]["mean"] == 0
