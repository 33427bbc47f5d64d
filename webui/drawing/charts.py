"""The two score curves as a small drawing."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, EDGE = 320, 84, 6
SCORES = (
    "compliance",
    "fidelity",
)  # their colours are in page.css, and here, where it cannot reach
STYLE = """
path { fill: none; stroke: #8886; vector-effect: non-scaling-stroke }
.compliance { stroke: #b4532a; stroke-width: 2px }
.fidelity { stroke: #26629e; stroke-width: 2px }
.end { stroke-width: 7px; stroke-linecap: round }
@media (prefers-color-scheme: dark) {
  .compliance { stroke: #e58a5f } .fidelity { stroke: #7db2e8 }
}
"""


def curves(points: Sequence[Mapping[str, Any]], steps: int, names: Mapping[str, str]) -> str:
    """HTML with compliance and fidelity, 0..1 upwards, over `steps` steps; `names` them."""
    drawing = base64.b64encode(svg(points, steps).encode()).decode()
    said = []
    for score in SCORES:
        known = [point[score] for point in points if point.get(score) is not None]
        text = f"{names[score]} {known[-1]:.2f}" if known else names[score]
        said.append(f'<span class="{score}">{escape(text)}</span>')
    alt = escape(", ".join(names.values()))
    return (
        f'<div class="curves"><img alt="{alt}" src="data:image/svg+xml;base64,{drawing}">'
        f"<div>{''.join(said)}</div></div>"
    )


def svg(points: Sequence[Mapping[str, Any]], steps: int) -> str:
    """The curves themselves, to be stretched to any width."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'preserveAspectRatio="none"><style>{STYLE}</style>'
    ]
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<path d="M{EDGE} {_y(share)}H{WIDTH - EDGE}"/>')
    for score in SCORES:
        values = [point.get(score) for point in points]
        places = [f"{_x(n, steps)} {_y(v)}" for n, v in enumerate(values) if v is not None]
        if places:
            parts.append(f'<path class="{score}" d="M{"L".join(places)}"/>')
            parts.append(f'<path class="{score} end" d="M{places[-1]}h0"/>')
    return "".join([*parts, "</svg>"])


def _x(number: int, steps: int) -> float:
    return round(EDGE + number / max(1, steps - 1) * (WIDTH - 2 * EDGE), 1)


def _y(value: float) -> float:
    return round(EDGE + (1 - value) * (HEIGHT - 2 * EDGE), 1)
