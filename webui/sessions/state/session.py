"""What a session is: plain data, JSON both ways.

A session is what a person has made so far: settings, references, pictures, and a `View`, which is
the picture on the canvas with the blocks that are marked on it. Pixels and codes lie in files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter

from webui.drawing.blocks import Blocks
from webui.sessions.state.settings import Settings


@dataclass(frozen=True)
class ReferenceItem:
    """A reference image: its file, the name it came with, and how it counts."""

    file: str
    name: str
    on: bool = True
    weight: float = 1.0


PictureId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")]  # numbered as they come


@dataclass(frozen=True)
class Picture:
    """One picture of the session; `file` is its PNG at the model's size, or enlarged.

    Attributes:
        kind: `drawn`, `upload`, `step` (taken from a step of another) or `cross` (of two).
        group: pictures generated together share it.
        parent: the picture it was made from.
        kept: blocks taken over from the parent.
        codes: its codes; None for an upload, whose codes depend on what is erased of it.
        grid: its (rows, columns); None in sessions of earlier versions, for the model's own.
        full: a photograph's own file, where the canvas shows it reduced; `file` is what is shown.
        size: (width, height) of that file.
        request: what it was asked for, as `Request.to_json` gives it.
        stopped: it was ended before its last step.
        gone: its file is missing, so that it cannot be seen.
        deleted: its visitor took it away; it can be put back.
    """

    id: PictureId
    file: str
    kind: str = "drawn"
    group: str = ""
    parent: str | None = None
    kept: Blocks = ()
    codes: Blocks | None = None
    grid: tuple[int, int] | None = None
    full: str | None = None
    size: tuple[int, int] | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    compliance: float | None = None
    fidelity: float | None = None
    seconds: float | None = None
    steps: int | None = None
    favourite: bool = False
    stopped: bool = False
    gone: bool = False
    deleted: bool = False

    @property
    def seen(self) -> bool:
        """Whether it can be seen."""
        return not self.gone and not self.deleted

    @property
    def best(self) -> str:
        """The file to take home."""
        return self.full or self.file

    @property
    def prompt(self) -> str:
        """The words that it was made from; empty where it does not say."""
        return str(self.request.get("expanded_prompt") or self.request.get("prompt") or "")


@dataclass(frozen=True)
class View:
    """The picture on the canvas and its marked blocks: to change, or with `keep` to keep."""

    picture: str | None = None
    marks: Blocks = ()
    keep: bool = False


@dataclass(frozen=True)
class Session:
    """Everything of one person's work but pixels.

    Attributes:
        codebook: what its codes are codes of.
        name: what its visitor calls it; empty where it has no name.
        pending: whether a drawing of it is under way, or was when the server ended.
    """

    settings: Settings = field(default_factory=Settings)
    codebook: str = ""
    name: str = ""
    references: tuple[ReferenceItem, ...] = ()
    pictures: tuple[Picture, ...] = ()
    view: View = View()
    past: tuple[View, ...] = ()
    future: tuple[View, ...] = ()
    pending: bool = False

    @property
    def shown(self) -> tuple[Picture, ...]:
        """The pictures that can be seen, as they came."""
        return tuple(item for item in self.pictures if item.seen)

    @property
    def current(self) -> Picture | None:
        """The picture on the canvas."""
        return self.find(self.view.picture)

    def find(self, picture: str | None) -> Picture | None:
        """A picture by its id; None where it cannot be seen."""
        return next((item for item in self.pictures if item.id == picture and item.seen), None)

    def to_json(self) -> dict[str, Any]:
        # `asdict` copies every code of every picture: too slow for what follows each drag.
        return dict(vars(self)) | {
            "settings": dict(vars(self.settings)),
            "view": dict(vars(self.view)),
            **{
                name: [dict(vars(item)) for item in getattr(self, name)]
                for name in ("references", "pictures", "past", "future")
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Session:
        """The session that `to_json` wrote; fields that a later version wrote are left out."""
        return cls(
            settings=_make(Settings, data.get("settings", {})),
            codebook=str(data.get("codebook", "")),
            name=str(data.get("name", "")),
            references=tuple(_make(ReferenceItem, item) for item in data.get("references", ())),
            pictures=tuple(_make(Picture, item) for item in data.get("pictures", ())),
            view=_make(View, data.get("view", {})),
            past=tuple(_make(View, item) for item in data.get("past", ())),
            future=tuple(_make(View, item) for item in data.get("future", ())),
            pending=bool(data.get("pending")),
        )


def _make(kind: Any, data: Mapping[str, Any]) -> Any:
    """A dataclass of JSON. Raises `ValueError` for values of other types."""
    known = {item.name for item in fields(kind)}
    return checked(kind).validate_python({n: v for n, v in data.items() if n in known})


@cache
def checked(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
