"""Figures with matplotlib, an extra: bars of the ablation, curves of calibration."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ufc_base.extras import UnavailableError, how_to_install

BLUE, GREY = "#3465a4", "#888a85"


def ablation_plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """FD and R-precision of every row, with intervals."""
    figure, axes = _figure(1, 2, (9, 0.42 * len(rows) + 1.2), sharey=True)
    names = [row["name"] for row in rows][::-1]
    for axis, (value, interval, title) in zip(
        axes,
        (
            ("fd", "fd_interval", "FD (less is better)"),
            ("r_precision", "r_precision_interval", "R-precision (more is better)"),
        ),
        strict=True,
    ):
        heights = [row[value] for row in rows][::-1]
        errors = [row[interval] or 0 for row in rows][::-1]
        axis.barh(names, heights, xerr=errors, color=BLUE, ecolor=GREY, height=0.6)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def calibration_plot(curves: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """How often was right what was scored so, a curve a score."""
    figure, axes = _figure(1, 1, (4.2, 3.8))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    for name, curve in curves.items():
        scores, right = [p["score"] for p in curve], [p["right"] for p in curve]
        axes.plot(scores, right, marker="o", markersize=4, label=name)
    axes.set(xlabel="score", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _figure(rows: int, columns: int, size: tuple[float, float], **settings: Any) -> tuple[Any, Any]:
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise UnavailableError(
            f"plots need matplotlib ({error}): {how_to_install('eval')}"
        ) from error
    figure = figures.Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **settings)


def _save(figure: Any, path: Path) -> None:
    """Without a date inside, so that the same numbers make the same file."""
    figure.savefig(path, dpi=120, metadata={"Software": None})
