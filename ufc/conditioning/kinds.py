"""The kinds of values that controls have. A kind checks, reads and writes its values; flags and
the editor's widgets are chosen by it.

A picture is the path of its file in a request, and is opened in a call of the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ufc.io.validation import (
    RequestError,
    check_integer,
    check_number,
    check_path,
    check_range,
    check_text,
    refuse_unknown,
    shortened,
    shown,
)

MAX_BLOCKS = 2**16
MOST_ADDED = 32  # blocks on a side, by outpainting
Place = Callable[[Any], Any]  # what stands for a picture, from the picture or its path


class Kind:
    """A kind of values: JSON as they stand (a tuple is a list there), but for pictures.

    Attributes:
        in_requests: whether requests have such a control, or calls of the pipeline alone.
        several: whether the value of one picture is a list.
    """

    in_requests = True
    several = False

    def check(self, name: str, value: Any) -> Any:
        """The value as `Conditioning` holds it; `RequestError` for one of another kind."""
        return value

    def from_json(self, name: str, value: Any) -> Any:
        """A value of a prompts file, to be checked."""
        return value

    def from_words(self, name: str, words: str, before: Any) -> Any:
        """A value written on a line of text; `before` is what the line said already."""
        return words


class Text(Kind):
    """Words."""

    check = staticmethod(check_text)


class Switch(Kind):
    """Yes or no."""

    def check(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise RequestError(f"{name}: got {shown(value)}, wanted true or false")
        return value

    def from_words(self, name: str, words: str, before: Any) -> bool:
        if words.lower() not in ("true", "false"):
            raise RequestError(f"--{name.replace('_', '-')}: got {words}, wanted true or false")
        return words.lower() == "true"


@dataclass(frozen=True)
class Picture(Kind):
    """A picture; `seen` is `rgb` (in sRGB), `own` (in its own colours) or `mask`."""

    seen: str = "rgb"

    def check(self, name: str, value: Any) -> Any:
        return check_path(name, value) if isinstance(value, str) else value

    def pictures(self, value: Any) -> list[Any]:
        """The pictures in a value."""
        return [value]

    def with_pictures(self, value: Any, place: Place) -> Any:
        """The value with `place(picture)` for each of its pictures."""
        return place(value)

    def to_json(self, value: Any, place: Place) -> Any:
        """The value as JSON, with `place(path)` for each of its pictures."""
        return place(value)


@dataclass(frozen=True)
class Reference:
    """A reference image and how much it counts, 0..10; 1 is as trained.

    Raises:
        RequestError: an ill-typed or empty path, or a weight out of range.
    """

    picture: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.picture, str) and not self.picture:
            raise RequestError("reference_images: got an empty path, wanted a picture file")
        if isinstance(self.picture, str):
            check_path("reference_images path", self.picture)
        check_number("reference_images weight", self.weight, 0.0, 10.0)
        if self.weight == 0 and isinstance(self.picture, str):
            raise RequestError("reference_images: got weight 0; leave the reference out instead")


@dataclass(frozen=True)
class References(Picture):
    """Pictures with a weight each; in JSON a path, or `{"path": …, "weight": …}`."""

    several = True

    def check(self, name: str, value: Any) -> tuple[Reference, ...]:
        return tuple(one if isinstance(one, Reference) else Reference(one) for one in value)

    def from_json(self, name: str, value: Any) -> tuple[Reference, ...]:
        if not isinstance(value, list):
            raise RequestError(f"{name}: got {shown(value)}, wanted a list")
        return tuple(self._entry(name, entry) for entry in value)

    def _entry(self, name: str, value: Any) -> Reference:
        if not isinstance(value, Mapping):
            return Reference(check_path(f"{name} path", value))
        refuse_unknown(value, ("path", "weight"), name)
        if "path" not in value:
            raise RequestError(f"{name}: an entry has no path")
        return Reference(check_path(f"{name} path", value["path"]), value.get("weight", 1.0))

    def from_words(self, name: str, words: str, before: Any) -> tuple[Reference, ...]:
        return (*(before or ()), Reference(words))

    def to_json(self, value: Sequence[Reference], place: Place) -> list[Any]:
        return [self._told(place(one.picture), one.weight) for one in value]

    def _told(self, file: Any, weight: float) -> Any:
        if isinstance(file, Mapping):
            return {**file, "weight": weight}
        return file if weight == 1 else {"path": file, "weight": weight}

    def pictures(self, value: Sequence[Reference]) -> list[Any]:
        return [one.picture for one in value]

    def with_pictures(self, value: Sequence[Reference], place: Place) -> tuple[Reference, ...]:
        return tuple(replace(one, picture=place(one.picture)) for one in value)


class Blocks(Kind):
    """Blocks of the grid, sorted, each once; in JSON a list, or text such as "0-47,60"."""

    several = True

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        if isinstance(value, str):
            return parse_blocks(value)
        for block in value:
            check_integer(name, block, 0, MAX_BLOCKS - 1)
        return tuple(sorted(set(value)))

    def from_json(self, name: str, value: Any) -> Any:
        if not isinstance(value, list | str):
            raise RequestError(f'{name}: got {shown(value)}, wanted a list or "0-47,60"')
        return value


class Sides(Kind):
    """Blocks added at top, right, bottom and left; in JSON four numbers, or "0,2,0,2"."""

    several = True

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        return check_added(value)


class Codes(Kind):
    """A whole grid of codes, row by row."""

    in_requests = False
    several = True

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        return tuple(value)


class Embeds(Kind):
    """Words as vectors, a tensor (T, D); rows of zeros at the end are padding."""

    in_requests = False

    def check(self, name: str, value: Any) -> Any:
        if getattr(value, "ndim", None) != 2 or not hasattr(value, "detach"):
            raise RequestError(
                f"{name}: got {shown(getattr(value, 'shape', value))}, wanted a tensor of words by "
                "width for a picture, as UFCPipeline.encode_prompt gives it"
            )
        return value


KINDS: dict[str, Kind] = {
    "text": Text(),
    "switch": Switch(),
    "picture": Picture(),
    "own picture": Picture("own"),
    "mask": Picture("mask"),
    "references": References(),
    "blocks": Blocks(),
    "sides": Sides(),
    "codes": Codes(),
    "embeds": Embeds(),
}


def check_added(added: object) -> tuple[int, ...]:
    """Blocks that are added at top, right, bottom and left, from four numbers or "0,2,0,2".

    Raises:
        RequestError: not four whole numbers from 0 on, or nothing is added.
    """
    said = added.split(",") if isinstance(added, str) else added
    wanted = f'wanted blocks at top, right, bottom, left, 0 to {MOST_ADDED}, such as "0,2,0,2"'
    if not isinstance(said, list | tuple) or len(said) != 4:
        raise RequestError(f"outpaint: got {shown(added)}, {wanted}")
    counts = []
    for one in said:
        text = one.strip() if isinstance(one, str) else one
        if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 4:
            text = int(text)
        if not isinstance(text, int) or isinstance(text, bool) or not 0 <= text <= MOST_ADDED:
            raise RequestError(f"outpaint: got {shown(added)}, {wanted}")
        counts.append(text)
    if not any(counts):
        raise RequestError(f"outpaint: got {shown(added)}, which adds nothing; {wanted}")
    return tuple(counts)


def parse_blocks(text: str, num_blocks: int | None = None) -> tuple[int, ...]:
    """Blocks from text such as "0-47,60": sorted, each once.

    Raises:
        RequestError: not of that form, or a block outside 0..num_blocks-1.
    """
    limit = MAX_BLOCKS if num_blocks is None else num_blocks
    blocks: set[int] = set()
    for part in text.replace("，", ",").split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        if match is None:
            raise RequestError(
                f'preserve_blocks: got "{shortened(text)}", '
                "wanted numbers and ranges such as 0-47,60"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise RequestError(f"preserve_blocks: the range {first}-{last} runs backwards")
        check_range((first, last), limit)
        blocks.update(range(first, last + 1))
    return tuple(sorted(blocks))


def format_blocks(blocks: Iterable[int]) -> str:
    """The shortest text that `parse_blocks` reads back as the same blocks."""
    runs: list[list[int]] = []
    for block in sorted(set(blocks)):
        if runs and block == runs[-1][1] + 1:
            runs[-1][1] = block
        else:
            runs.append([block, block])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
