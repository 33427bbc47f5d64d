"""The two score curves as a small drawing."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, EDGE = 320, 84, 6
COLOURS = {"compliance": "#b4532a", "fidelity": "#26629e"}


def curves(points: Sequence[Mapping[str, Any]], steps: int, names: Mapping[str, str]) -> str:
    """HTML with compliance and fidelity, 0..1 upwards, over `steps` steps; `names` them."""
    drawing = base64.b64encode(svg(points, steps, names).encode()).decode()
    said = escape(", ".join(names.values()))
    return f'<img alt="{said}" style="width: 100%" src="data:image/svg+xml;base64,{drawing}">'


def svg(points: Sequence[Mapping[str, Any]], steps: int, names: Mapping[str, str]) -> str:
    """The curves themselves."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 18}" '
        'font-family="sans-serif">'
    ]
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(f'<path d="M{EDGE} {y}H{WIDTH - EDGE}" stroke="#e6e1d8" stroke-width="1"/>')
    left = EDGE
    for name, colour in COLOURS.items():
        values = [point.get(name) for point in points]
        known = [(number, value) for number, value in enumerate(values) if value is not None]
        places = " ".join(f"{_x(number, steps)},{_y(value)}" for number, value in known)
        if known:
            parts.append(
                f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
            end, height = places.split(" ")[-1].split(",")
            parts.append(f'<circle cx="{end}" cy="{height}" r="3" fill="{colour}"/>')
        said = f"{names[name]} {known[-1][1]:.2f}" if known else names[name]
        parts.append(
            f'<text x="{left}" y="{HEIGHT + 14}" font-size="12" fill="{colour}">'
            f"{escape(said)}</text>"
        )
        left += 150
    return "".join([*parts, "</svg>"])


def _x(number: int, steps: int) -> float:
    return round(EDGE + number / max(1, steps - 1) * (WIDTH - 2 * EDGE), 1)


def _y(value: float) -> float:
    return round(EDGE + (1 - value) * (HEIGHT - 2 * EDGE), 1)
