"""What is laid over the picture, block by block: colours, their legend, and a line of text each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ufc.conditioning.frame import Grid, cells, sides
from webui.strings import Say

LAYERS = ("none", "confidence", "origin")
_DOUBT = "201, 84, 24"
_DRAWN = "196, 122, 20"
_KEPT = "38, 98, 158"
_STRONGEST = 0.66  # opacity; the picture stays to be seen


@dataclass(frozen=True)
class Layer:
    """CSS colours of the blocks, row-major (None is clear), and the legend, if there is one."""

    colours: list[str | None]
    legend: dict[str, str] | None = None


def layer(name: str, details: Mapping[str, Any], picture: str, say: Say) -> Layer:
    """The layer `none`, `confidence` or `origin` of a picture."""
    if name == "confidence" and details.get("confidence"):
        return doubt(details["confidence"], say)
    if name == "origin" and details.get("origin"):
        return sources(details["origin"], picture, say)
    return Layer([])


def doubt(confidence: Sequence[float | None], say: Say) -> Layer:
    """The less sure, the stronger the colour; kept blocks are clear.

    Within the picture: a codebook has many codes for one look, so that all confidences are small,
    and what matters is which blocks are doubted more than the others.
    """
    known = sorted(sure for sure in confidence if sure is not None)
    colours: list[str | None] = []
    for sure in confidence:
        place = 1.0 if sure is None else bisect_left(known, sure) / max(1, len(known) - 1)
        strength = (1 - place) ** 2 * _STRONGEST
        colours.append(None if strength < 0.005 else f"rgba({_DOUBT}, {strength:.2f})")
    bar = f"linear-gradient(90deg, rgba({_DOUBT}, .06), rgba({_DOUBT}, {_STRONGEST}))"
    return Layer(colours, {"from": say("legend_sure"), "to": say("legend_unsure"), "colours": bar})


def sources(origin: Sequence[Mapping[str, Any]], picture: str, say: Say) -> Layer:
    """Blocks drawn in this picture by their step; blocks kept from others in blue."""
    last = max((story.get("step", 0) for story in origin if story["picture"] == picture), default=0)
    colours: list[str | None] = []
    for story in origin:
        if story["picture"] == picture and "step" in story:
            share = 0.12 + (story["step"] / max(1, last)) * (_STRONGEST - 0.12)
            colours.append(f"rgba({_DRAWN}, {share:.2f})")
        else:
            colours.append(f"rgba({_KEPT}, 0.26)")
    bar = f"linear-gradient(90deg, rgba({_DRAWN}, .12), rgba({_DRAWN}, {_STRONGEST}) 70%, "
    bar += f"rgba({_KEPT}, .26) 70%)"
    return Layer(colours, {"from": say("legend_first"), "to": say("legend_last"), "colours": bar})


def labels(details: Mapping[str, Any], picture: str, grid: Grid, say: Say) -> list[str]:
    """One line for every block: where it is, where it came from, how sure the model was of it."""
    origin, confidence = details.get("origin"), details.get("confidence")
    lines = []
    for block in range(cells(grid)):
        row, column = divmod(block, sides(grid)[1])
        parts = [say("block_place", block=block, row=row + 1, column=column + 1)]
        if origin:
            parts.append(source(origin[block], picture, say))
        if confidence and confidence[block] is not None:
            parts.append(say("block_sure", value=f"{confidence[block]:.2f}"))
        lines.append(" · ".join(parts))
    return lines


def source(story: Mapping[str, Any], picture: str, say: Say) -> str:
    """Where one block came from."""
    if "step" not in story:
        return say("block_upload", picture=story["picture"])
    seed = story.get("seed")
    facts = {"step": story["step"] + 1, "seed": "–" if seed is None else seed, "candidate": 1}
    facts["candidate"] = story.get("candidate", 0) + 1
    drawn = say("block_drawn_try" if facts["candidate"] > 1 else "block_drawn", **facts)
    if story["picture"] == picture:
        return drawn
    return f"{say('block_from', picture=story['picture'])}, {drawn}"
