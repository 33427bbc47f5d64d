"""What a picture's file says of its blocks: one versioned form, checked wherever it comes in.

`ufc_blocks` is JSON with `format` 2: the `grid`, blocks along a side or [rows, columns] where it
is not square, and row-major lists with an entry a block: the
`codes`, the `confidence` they were sampled with (null for known tokens), and the `provenance`.
An entry of the latter has `kept` (whether this picture took the block over), and where the block
was once sampled `step` and `candidate`, counted from 0, with the `seed` and, in a session of the
editor, the number of the `picture` in which that happened. Two older forms are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ufc.io.validation import RequestError, check_integer, check_number, shown

FORMAT = 2
MOST_BLOCKS_A_SIDE = 128
_MOST_CODES = 2**53  # joint codes of several codebooks
_MOST_SEED = 2**63 - 1
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_NUMBER = re.compile(r"[0-9]{1,8}")


@dataclass(frozen=True)
class Origin:
    """Where a block came from; `step` is None where it was not sampled but given, as pixels."""

    kept: bool
    step: int | None = None
    candidate: int | None = None
    seed: int | None = None
    picture: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kept, bool):
            raise RequestError(f"kept: got {shown(self.kept)}, wanted true or false")
        for name, most in (("step", 10_000), ("candidate", 10_000), ("seed", _MOST_SEED)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 0, most)
        picture = self.picture
        if picture is not None and not (isinstance(picture, str) and _NUMBER.fullmatch(picture)):
            raise RequestError(f"picture: got {shown(picture)}, wanted the number of a picture")

    @classmethod
    def from_json(cls, value: object) -> Origin:
        """An entry of any of the forms; fields that are not known are passed over.

        Raises:
            RequestError: not an object, or a value out of its range.
        """
        if not isinstance(value, Mapping):
            raise RequestError(f"provenance: got {shown(value)}, wanted an object")
        names = ("step", "candidate", "seed", "picture")
        kept = value.get("kept", value.get("step") is None)
        return cls(kept, **{name: value.get(name) for name in names})

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class BlockRecord:
    """The blocks of a picture; each part but the grid may be absent.

    `grid` is (rows, columns), or a side where both are equal.

    Raises:
        RequestError: lists of another length than the grid has blocks, values out of range.
    """

    grid: int | tuple[int, int]
    codes: tuple[int, ...] | None = None
    pixels_sha256: str | None = None
    codebook_sha256: str | None = None
    confidence: tuple[float | None, ...] | None = None
    provenance: tuple[Origin, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", _checked_grid(self.grid))
        for name in ("codes", "confidence", "provenance"):
            values = getattr(self, name)
            if values is not None and len(values) != self.blocks:
                raise RequestError(f"{name}: got {len(values)} entries for {self.blocks} blocks")
        for code in self.codes or ():
            check_integer("codes", code, 0, _MOST_CODES)
        for sure in self.confidence or ():
            if sure is not None:
                check_number("confidence", sure, 0.0, 1.0)
        for name in ("pixels_sha256", "codebook_sha256"):
            digest = getattr(self, name)
            if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
                raise RequestError(f"{name}: got {shown(digest)}, wanted hexadecimal digits")

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (self.grid, self.grid) if isinstance(self.grid, int) else self.grid

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.grid_size[0] * self.grid_size[1]

    @classmethod
    def from_json(cls, value: object) -> BlockRecord:
        """The record of a file, of this form or an older one.

        Raises:
            RequestError: it is of a later form, or not a record.
        """
        if not isinstance(value, Mapping):
            raise RequestError(f"got {shown(value)}, wanted a JSON object")
        form = value.get("format", 1)
        check_integer("format", form, 1, FORMAT)
        confidence = _list("confidence", value)
        if form == 1 and confidence is not None and any(isinstance(c, list) for c in confidence):
            confidence = [sure for row in confidence for sure in _list("row", {"row": row}) or ()]
        provenance = _list("provenance", value)
        codes = _list("codes", value)
        return cls(
            value.get("grid"),  # type: ignore[arg-type]  # checked on construction
            None if codes is None else tuple(codes),
            value.get("pixels_sha256"),
            value.get("codebook_sha256"),
            None if confidence is None else tuple(confidence),
            None if provenance is None else tuple(map(Origin.from_json, provenance)),
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON of format 2."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        said["grid"] = self.grid if isinstance(self.grid, int) else list(self.grid)
        if self.codes is not None:
            said["codes"] = list(self.codes)
        if self.confidence is not None:
            said["confidence"] = list(self.confidence)
        if self.provenance is not None:
            said["provenance"] = [origin.to_json() for origin in self.provenance]
        return {"format": FORMAT, **said}


def sampled_blocks(
    provenance: Sequence[Mapping[str, Any]], confidence: Sequence[float], seed: int | None
) -> tuple[list[float | None], list[Origin]]:
    """Confidence and origins of a picture's blocks, from what a pipeline's output says of them."""
    origins = [
        Origin(True) if story["kept"] else Origin(False, story["step"], story["candidate"], seed)
        for story in provenance
    ]
    found = zip(origins, confidence, strict=True)
    return [None if origin.kept else sure for origin, sure in found], origins


def rounded_confidence(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Probabilities as a record has them: six digits, within 0..1, None for what is no number."""
    return tuple(
        None
        if value is None or not math.isfinite(value)
        else min(1.0, max(0.0, round(float(value), 6)))
        for value in values
    )


def _checked_grid(value: object) -> int | tuple[int, int]:
    """A grid as a record has it: one number where rows and columns are equal."""
    if not isinstance(value, list | tuple):
        check_integer("grid", value, 1, MOST_BLOCKS_A_SIDE)
        return value  # type: ignore[return-value]  # checked
    if len(value) != 2:
        raise RequestError(f"grid: got {len(value)} numbers, wanted rows and columns")
    for side in value:
        check_integer("grid", side, 1, MOST_BLOCKS_A_SIDE)
    rows, columns = value
    return rows if rows == columns else (rows, columns)


def _list(name: str, value: Mapping[str, Any]) -> list[Any] | None:
    """A list of at most as many entries as the largest grid has blocks."""
    found = value.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > MOST_BLOCKS_A_SIDE**2:
        raise RequestError(f"{name}: got {shown(found)}, wanted a list with an entry a block")
    return found
