"""The registry of metrics: its documentation, its rooms, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from estimators.metrics.base import METRICS, Metric, find_metrics, metric_table, register_metric
from estimators.metrics.pairs.preservation import seam_ratio

ROOT = Path(__file__).parents[3]


def test_the_documentation_has_every_metric() -> None:
    assert metric_table() in (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_usual_metrics_are_those_of_two_sets() -> None:
    assert [n for n, metric in find_metrics().items() if metric.usual] == ["fid", "kid", "prc"]
    assert {n for n, metric in METRICS.items() if not metric.higher_is_better} == {"fid", "kid"}


def test_a_metric_that_needs_what_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs \['sound'\]; choose from real"):
        register_metric(type("Loud", (Metric,), {"name": "loud", "needs": frozenset({"sound"})}))


def test_no_room_has_more_than_a_dozen_modules() -> None:
    rooms = {path.parent for path in (ROOT / "estimators" / "metrics").rglob("*.py")}
    assert all(len(list(room.glob("*.py"))) <= 12 for room in rooms)


def test_a_seam_is_found_on_a_grid_that_is_not_square() -> None:
    known = torch.zeros(2, 4, dtype=torch.bool)
    known[0] = True
    ramp = torch.arange(8.0).view(1, 8, 1).expand(3, 8, 16) + torch.arange(16.0)
    torn = ramp.clone()
    torn[:, 4:] += 4
    assert seam_ratio(ramp, known) == pytest.approx(1)
    assert seam_ratio(torn, known) == pytest.approx(5)
