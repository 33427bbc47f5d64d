"""Where blocks came from, as the page tells it and as a picture's file has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ufc.io.png.block_record import Origin


def to_origins(stories: Sequence[Mapping[str, Any]], picture: str) -> list[Origin]:
    """A session's stories of the blocks of `picture`, for its file."""
    return [
        Origin(
            kept="step" not in story or story["picture"] != picture,
            step=story.get("step"),
            candidate=story.get("candidate"),
            seed=story.get("seed"),
            picture=story["picture"],
        )
        for story in stories
    ]


def to_stories(
    origins: Sequence[Origin], picture: str, seed: int | None = None
) -> list[dict[str, Any]]:
    """A file's origins as stories of a session that has the picture as `picture`: the numbers in
    it are those of the session that it comes from, and everything in it came with this picture.

    `seed` is the picture's own, for blocks that do not say theirs.
    """
    return [_story(origin, picture, seed) for origin in origins]


def _story(origin: Origin, picture: str, seed: int | None) -> dict[str, Any]:
    if origin.step is None:
        return {"picture": picture, "kind": "upload"}
    return {
        "picture": picture,
        "seed": seed if origin.seed is None else origin.seed,
        "step": origin.step,
        "candidate": origin.candidate or 0,
    }
