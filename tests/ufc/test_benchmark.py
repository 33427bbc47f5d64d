"""`ufc bench` and the tables of docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import make_pipeline

from benchmarks.table import fill, render
from ufc.benchmark import (
    Case,
    Shape,
    forward_operations,
    measure_case,
    measure_forward,
    random_pipeline,
)
from ufc.cli.main import main

SMALL = ["--random-weights", "--width", "32", "--depth", "2", "--heads", "2", "--grid", "4"]


def test_bench_writes_json_with_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    assert (
        main(["bench", "--quick", "--repeats", "1", "--json", "--output", str(path), *SMALL]) == 0
    )
    report = json.loads(path.read_text())
    kinds = {row["kind"] for row in report["rows"]}
    assert kinds == {"load", "matmul", "forward", "picture", "tokenizer"}
    assert report["machine"]["threads"] >= 1
    picture = next(row for row in report["rows"] if row["kind"] == "picture")
    assert picture["model"] == "random weights"
    assert picture["seconds"] > 0 and picture["peak_memory_mib"] > 0
    assert picture["attention_backend"] == "sdpa" and picture["dtype"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == report["rows"]


def test_bench_measures_one_part_in_another_precision(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", "--only", "forward", "--dtype", "int8", "--json", *SMALL]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["kind"] for row in rows} == {"load", "matmul", "forward"}
    assert rows[-1]["dtype"] == "int8"


def test_sizes_that_do_not_fit_end_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--random-weights", "--width", "30", "--heads", "4"]) == 2
    assert "width 30" in capsys.readouterr().err
    assert main(["bench", "--random-weights", "--model", "x"]) == 2


def test_operations_count_what_a_pass_multiplies() -> None:
    config = random_pipeline(Shape(width=32, depth=2, heads=2, grid=4)).transformer.config
    linear = 4 * 32 * 32 + 3 * 32 * config.feed_forward
    assert forward_operations(config, 16, 4) == 2 * 2 * (16 * linear + 2 * 32 * 16 * 20)


def test_references_and_candidates_are_counted() -> None:
    pipeline = make_pipeline()
    row = measure_case(pipeline, Case("x", steps=1, candidates=2, references=2, order="pnag"), 1)
    assert (row["references"], row["candidates"], row["order"]) == (2, 2, "pnag")
    row = measure_forward(pipeline, 2, 1, 1e9, 1)
    assert row["batch"] == 2 and row["control_tokens"] > 17


def test_tables_take_their_places_and_words_stay() -> None:
    page = "before\n<!-- table: peers/pictures -->\nold\n<!-- end -->\nafter\n"
    rows = [
        {"group": "pictures", "name": "ours", "parameters": 2_000_000, "batch": 1, "seconds": 0.5},
        {"group": "pictures", "name": "theirs", "parameters": 4_000_000, "batch": 1, "seconds": 2},
        {"group": "pictures", "name": "broken", "error": "ImportError()"},
    ]
    filled = fill(page, {"peers": {"rows": rows}})
    assert filled.startswith("before\n") and filled.endswith("after\n")
    assert "| theirs | 4.0 M | 1 | 2.000 s | 4.00 |" in filled
    assert "did not run: ImportError()" in filled and "old" not in filled
    assert fill(page, {}) == page
    assert render({"rows": []}, "pictures") is None


def test_every_table_of_the_page_is_known() -> None:
    from benchmarks.table import COLUMNS, PLACE

    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    groups = {place[1].partition("/")[2] for place in PLACE.findall(page)}
    assert groups <= {*COLUMNS, "machine"}


def test_precisions_take_turns_and_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import precision
    from benchmarks.table import COLUMNS

    monkeypatch.setattr(precision, "SHAPES", (Shape(32, 2, 2, codes=16),))
    monkeypatch.setattr(precision, "GRIDS", ((2, 3),))
    rows = [{"kind": "speed", **row} for row in precision.speed(1)]
    assert {"fp32", "bf16", "int8"} <= {row["name"] for row in rows}
    assert all(row["ratio"] == 1 for row in rows if row["name"] == "fp32")
    told = render({"rows": rows}, "speed")
    assert told is not None and len(told.splitlines()) == 4
    assert "| width 32, depth 2, grid 2 x 3 | 4 |" in told and "(1.00)" in told
    assert "speed" in COLUMNS
