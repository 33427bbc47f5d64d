"""Does the model know training pictures by heart? The nearest training picture of each generated.

Distances are 1 - cosine of deep features. Held-out photographs have a nearest training picture too:
where the generated ones' nearest (5th percentile) are no nearer, nothing is copied. Recall and
coverage beside it say whether the pictures are all alike.

Shapes: N pictures, M training pictures, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from estimators.metrics.extractors.features import Features
from estimators.metrics.precision_recall import overlap
from ufc.evaluation.judges import Judges
from ufc.io.contact_sheet import contact_sheet

PERCENTILE = 5.0
SHOWN = 20
CHUNK = 256


def nearest(features: Features, training: Features) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distance to the nearest training picture, (N,), and which it is, (N,)."""
    known = unit(training)
    distances, rows = [], []
    for start in range(0, len(features), CHUNK):
        close_NM = unit(features[start : start + CHUNK]) @ known.T
        rows.append(close_NM.argmax(1))
        distances.append(1 - close_NM.max(1))
    return np.concatenate(distances), np.concatenate(rows)


def unit(features: Features) -> NDArray[Any]:
    """Rows of length 1."""
    x = np.asarray(features, dtype=np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def memory_report(judges: Judges, generated: Sequence[Image.Image]) -> dict[str, Any]:
    """How near generated and held-out pictures come to training pictures; recall and coverage."""
    features = judges.features(generated)
    near, rows = nearest(features, judges.training)
    real_near, _ = nearest(judges.real, judges.training)
    mark = float(np.percentile(real_near, PERCENTILE))
    spread = overlap(features, judges.real)
    return {
        "nearest_generated": float(np.percentile(near, PERCENTILE)),
        "nearest_real": mark,
        "nearer_than_real": float((near < mark).mean()),
        "median_generated": float(np.median(near)),
        "median_real": float(np.median(real_near)),
        "precision": spread.precision,
        "recall": spread.recall,
        "coverage": spread.coverage,
        "closest": [[int(at), int(rows[at])] for at in near.argsort()[:SHOWN]],
    }


def memory_sheet(
    file: Path,
    found: dict[str, Any],
    generated: Sequence[Image.Image],
    training: Callable[[int], Image.Image],
) -> None:
    """The generated pictures that come nearest, each beside its training picture."""
    pictures = []
    for at, row in found["closest"]:
        pictures += [generated[at], training(row).convert("RGB").resize(generated[at].size)]
    file.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(pictures, columns=8).save(file)


def memory_table(found: dict[str, Any]) -> str:
    """The report as text."""
    return "\n".join(
        [
            f"{'':34}{'generated':>10}{'real':>8}",
            f"{'nearest training picture, 5 %':34}{found['nearest_generated']:10.4f}"
            f"{found['nearest_real']:8.4f}",
            f"{'nearest training picture, median':34}{found['median_generated']:10.4f}"
            f"{found['median_real']:8.4f}",
            f"nearer than 95 % of real ones: {found['nearer_than_real']:.1%} (5 % is chance)",
            f"precision {found['precision']:.3f}, recall {found['recall']:.3f}, "
            f"coverage {found['coverage']:.3f}",
        ]
    )
