"""What a session is, and every way in which it may change: plain data and pure functions.

A session is what a person has made so far: settings, references, pictures, and a `View`, which is
the picture on the canvas with the blocks that are marked on it. Views can be undone; pictures are
never taken away by undoing. All of it is JSON both ways; pixels and codes lie in files beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from ufc.conditioning.conditioning import ControlField, registered_controls
from ufc.conditioning.frame import Grid, cells
from ufc.conditioning.kinds import Picture as KindOfPicture
from ufc.conditioning.kinds import Text
from ufc.request import Reference, Request
from ufc.sampling.generation_config import REQUEST_SETTINGS
from webui.drawing.blocks import Blocks, invert

MOST_UNDONE = 200
MOST_REFERENCES = 8
MAX_SEED = 2**31 - 1
MOST_LETTERS = 1_000
LEAST_WEIGHT, MOST_WEIGHT = 0.1, 3.0  # of a reference
MAY_BE_NONE = ("top_k", "top_p", "patience", "time_budget")
# What the controls of the page can be set to, both ends included.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, MAX_SEED),
    "pictures": (1, 8),
    "steps": (1, 40),
    "guidance_scale": (1.0, 10.0),
    "temperature": (0.0, 2.0),
    "top_k": (0, 512),
    "top_p": (0.0, 1.0),
    "candidates": (1, 8),
    "patience": (0, 40),
    "time_budget": (0.0, 600.0),
    "feather": (0, 16),
}
# Proportions (width, height) that a new picture can have; `same` is that of the one on the canvas.
SHAPES: dict[str, tuple[int, int] | None] = {
    "same": None, "portrait": (3, 4), "square": (1, 1), "landscape": (4, 3),
}  # fmt: skip
# The settings that have widgets of their own, by their names here, and those that have none.
OWN_SETTINGS = {
    "seed": "seed",
    "num_images_per_prompt": "pictures",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance_scale",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "order": "order",
    "num_candidates": "candidates",
    "patience": "patience",
    "time_budget": "time_budget",
    "feather": "feather",
}
NOT_ON_THE_PAGE = ("height", "width", "best_of", "contrastive_weight", "original_size")
KINDS = ("drawn", "upload", "step", "cross")


@dataclass(frozen=True)
class Settings:
    """What the controls of the page are set to. None leaves a setting to the model."""

    lang: str = "en"
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 1
    seed_locked: bool = False
    pictures: int = 1
    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    order: str = "maskgit"
    candidates: int = 1
    patience: int | None = None
    time_budget: float | None = None
    feather: int = 0
    shape: str = "same"
    controls: Mapping[str, str] = field(default_factory=dict)  # registered ones: words, or a file
    sampling: Mapping[str, Any] = field(default_factory=dict)  # of `further_settings`


@dataclass(frozen=True)
class ReferenceItem:
    """A reference image: its file, the name it came with, and how it counts."""

    file: str
    name: str
    on: bool = True
    weight: float = 1.0


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
        request: what it was asked for, as `Request.to_json` gives it.
        gone: its file is missing, so that it cannot be seen.
    """

    id: str
    file: str
    kind: str = "drawn"
    group: str = ""
    parent: str | None = None
    kept: Blocks = ()
    codes: Blocks | None = None
    grid: tuple[int, int] | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    compliance: float | None = None
    fidelity: float | None = None
    seconds: float | None = None
    steps: int | None = None
    favourite: bool = False
    gone: bool = False

    @property
    def score(self) -> float:
        """The mean of the scores that there are; 0 without any."""
        known = [value for value in (self.compliance, self.fidelity) if value is not None]
        return sum(known) / len(known) if known else 0.0


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
        pending: whether a drawing of it is under way, or was when the server ended.
    """

    settings: Settings = Settings()
    codebook: str = ""
    references: tuple[ReferenceItem, ...] = ()
    pictures: tuple[Picture, ...] = ()
    view: View = View()
    past: tuple[View, ...] = ()
    future: tuple[View, ...] = ()
    pending: bool = False

    @property
    def shown(self) -> tuple[Picture, ...]:
        """The pictures that can be seen, as they came."""
        return tuple(item for item in self.pictures if not item.gone)

    @property
    def current(self) -> Picture | None:
        """The picture on the canvas."""
        return self.find(self.view.picture)

    def find(self, picture: str | None) -> Picture | None:
        """A picture by its id; None where it cannot be seen."""
        return next((item for item in self.pictures if item.id == picture and not item.gone), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Session:
        """The session that `to_json` wrote; fields that a later version wrote are left out."""
        return cls(
            settings=_make(Settings, data.get("settings", {})),
            codebook=str(data.get("codebook", "")),
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


# What is on the canvas


def look(session: Session, view: View) -> Session:
    """Another view; the one before can be had back by `undo`."""
    if view == session.view:
        return session
    past = (*session.past, session.view)[-MOST_UNDONE:]
    return replace(session, view=view, past=past, future=())


def undo(session: Session) -> Session:
    """The view before; nothing where there is none."""
    if not session.past:
        return session
    *past, view = session.past
    return replace(session, view=view, past=tuple(past), future=(session.view, *session.future))


def redo(session: Session) -> Session:
    """The view that was undone."""
    if not session.future:
        return session
    view, *future = session.future
    return replace(session, view=view, past=(*session.past, session.view), future=tuple(future))


def show(session: Session, picture: str | None) -> Session:
    """Put a picture on the canvas; the marks stay where it has the grid of the one before."""
    if picture is not None and session.find(picture) is None:
        return session
    view = of_grid(session, replace(session.view, picture=picture))
    return replace(look(session, view), future=session.future)  # looking about changes nothing


def of_grid(session: Session, view: View) -> View:
    """A view of a picture; without the marks, where they are those of another grid."""
    before, after = session.current, session.find(view.picture)
    if after is None or after.grid is None:
        return view
    other = before is not None and before.grid is not None and before.grid != after.grid
    outside = any(block >= cells(after.grid) for block in view.marks)
    return replace(view, marks=()) if other or outside else view


def mark(session: Session, marks: Blocks) -> Session:
    """Mark these blocks and no others."""
    return look(session, replace(session.view, marks=tuple(sorted(set(marks)))))


def mark_to_change(session: Session, blocks: Blocks, grid: Grid) -> Session:
    """Mark so that exactly these blocks are regenerated, whatever marks mean now."""
    return mark(session, invert(blocks, grid) if session.view.keep else blocks)


def marked_to_change(session: Session, blocks: Blocks, grid: Grid) -> Session:
    """The same as a part of the change before: one `undo` takes both back."""
    return replace(session, view=mark_to_change(session, blocks, grid).view)


def set_keep(session: Session, keep: bool) -> Session:
    """Whether marked blocks are those to keep; the marks stay where they are."""
    return look(session, replace(session.view, keep=keep))


def just_drawn(session: Session, grid: Grid) -> bool:
    """Whether the marks are those that the picture on the canvas was generated with."""
    picture = session.current
    if picture is None or not picture.kept:
        return False
    return blocks_to_change(session.view, grid) == invert(picture.kept, grid)


def blocks_to_change(view: View, grid: Grid) -> Blocks:
    """The blocks that are generated next; all of them where none is marked."""
    if not view.marks or view.picture is None:
        return tuple(range(cells(grid)))
    return invert(view.marks, grid) if view.keep else view.marks


# Pictures


def next_id(session: Session) -> str:
    """An id for the next picture: they are numbered as they come."""
    return f"{max((int(item.id) for item in session.pictures), default=0) + 1:04d}"


def add(session: Session, pictures: Sequence[Picture], marks: Blocks | None = None) -> Session:
    """New pictures, the first of them on the canvas; marks stay unless others are given."""
    if not pictures:
        return session
    session = replace(session, pictures=(*session.pictures, *pictures))
    view = replace(session.view, picture=pictures[0].id)
    view = of_grid(session, view) if marks is None else replace(view, marks=marks)
    return look(session, view)


def set_favourite(session: Session, picture: str, favourite: bool) -> Session:
    """Star a picture, or take the star away."""
    changed = (
        replace(item, favourite=favourite) if item.id == picture else item
        for item in session.pictures
    )
    return replace(session, pictures=tuple(changed))


def group_of(session: Session, picture: Picture | None) -> tuple[Picture, ...]:
    """The pictures that were generated together with this one, itself among them."""
    if picture is None:
        return ()
    if not picture.group:
        return (picture,)
    return tuple(item for item in session.shown if item.group == picture.group)


def without_files(session: Session, missing: Collection[str]) -> Session:
    """The session while these of its files are missing: their pictures are not seen, and come back
    with their files; references are taken out."""
    pictures = tuple(replace(item, gone=item.file in missing) for item in session.pictures)
    references = tuple(item for item in session.references if item.file not in missing)
    session = replace(session, pictures=pictures, references=references)
    for name in picture_controls():
        if session.settings.controls.get(name) in missing:
            session = set_control(session, name, None)
    return of_what_is_seen(session)


def of_what_is_seen(session: Session) -> Session:
    """The session without views of pictures that cannot be seen."""
    seen = {None, *(item.id for item in session.shown)}
    return replace(
        session,
        view=session.view if session.view.picture in seen else View(keep=session.view.keep),
        past=tuple(view for view in session.past if view.picture in seen),
        future=tuple(view for view in session.future if view.picture in seen),
    )


# References


def add_reference(session: Session, item: ReferenceItem) -> Session:
    """Another reference, at the end; one with the same pixels is not taken twice.

    Raises `ValueError` where there are as many as the model reads.
    """
    if any(other.file == item.file for other in session.references):
        return session
    if len(session.references) >= MOST_REFERENCES:
        raise ValueError(f"there are {MOST_REFERENCES} reference images already; remove one first")
    return replace(session, references=(*session.references, item))


def change_reference(session: Session, file: str, **changes: Any) -> Session:
    """Switch a reference on or off, or weigh it otherwise."""
    changed = (
        replace(item, **changes) if item.file == file else item for item in session.references
    )
    return replace(session, references=tuple(changed))


def use_references(session: Session, weights: Mapping[str, float]) -> Session:
    """Switch these files on, weighed so, and all others off; those taken out come back."""
    known = {item.file for item in session.references}
    items = [
        replace(item, on=item.file in weights, weight=weights.get(item.file, item.weight))
        for item in session.references
    ]
    back = [
        ReferenceItem(file, file.rsplit("/", 1)[-1], weight=weight)
        for file, weight in weights.items()
        if file not in known
    ]
    return replace(session, references=tuple([*items, *back][:MOST_REFERENCES]))


def remove_reference(session: Session, file: str) -> Session:
    return replace(
        session, references=tuple(item for item in session.references if item.file != file)
    )


def move_reference(session: Session, file: str, by: int) -> Session:
    """A reference `by` places further back (or forward), as far as there are places."""
    items = list(session.references)
    place = next((number for number, item in enumerate(items) if item.file == file), None)
    if place is None:
        return session
    item = items.pop(place)
    items.insert(max(0, min(len(items), place + by)), item)
    return replace(session, references=tuple(items))


# Requests


def to_request(session: Session, grid: Grid, size: tuple[int, int] | None = None) -> Request:
    """What the session asks for now, for one picture; of `size` (height, width) where one is given.

    Raises `RequestError` where nothing says what to generate, or every block is kept.
    """
    settings, picture = session.settings, session.current
    change = blocks_to_change(session.view, grid)
    edited = picture is not None and len(change) < cells(grid)
    given: dict[str, Any] = {name: getattr(settings, mine) for name, mine in OWN_SETTINGS.items()}
    given |= {**settings.sampling, "feather": settings.feather or None}
    given |= {name: value for name, value in settings.controls.items() if value.strip()}
    request = Request(
        prompt=settings.prompt.strip() or None,
        negative_prompt=settings.negative_prompt.strip() or None,
        reference_images=tuple(
            Reference(item.file, item.weight) for item in session.references if item.on
        ),
        image=picture.file if edited and picture is not None else None,
        preserve_blocks=invert(change, grid) if edited else None,
        height=size and size[0],
        width=size and size[1],
        best_of=1,  # a visitor chooses among pictures, and sees each being generated
        **given,
    )
    request.check_controls()
    request.check_blocks(cells(grid))
    return request


def from_request(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """Settings as a picture's request had them, as far as they are ones of this page.

    Raises `RequestError` where the request is none: it comes from a file that anybody may write.
    """
    own = {"prompt": "prompt", "negative_prompt": "negative_prompt"} | OWN_SETTINGS
    del own["num_images_per_prompt"]  # one is made again at a time
    names = {*own, "expanded_prompt", *further_settings(), *word_controls()}
    request = Request.from_json({name: asked[name] for name in names if name in asked})
    said = {mine: getattr(request, theirs) for theirs, mine in own.items()}
    said["prompt"] = request.used_prompt
    none = {"prompt": "", "negative_prompt": "", "feather": 0}
    none |= {name: getattr(settings, name) for name in said if name not in (*none, *MAY_BE_NONE)}
    said = {name: none.get(name) if value is None else value for name, value in said.items()}
    set_here = request.settings.explicit()
    more: dict[str, Any] = {
        "controls": {name: text for name in word_controls() if (text := getattr(request, name))},
        "sampling": {name: set_here[name] for name in further_settings() if name in set_here},
    }
    return within(replace(settings, **said, **more, seed_locked=True, pictures=1))


def set_control(session: Session, name: str, value: str | None) -> Session:
    """Give a registered control its words or its file, or take it away."""
    controls = {key: old for key, old in session.settings.controls.items() if key != name}
    controls |= {} if value is None else {name: value}
    return replace(session, settings=replace(session.settings, controls=controls))


def further_settings() -> tuple[str, ...]:
    """The sampling settings whose widgets are derived from their kind; unset is the model's own."""
    known = (*OWN_SETTINGS, *NOT_ON_THE_PAGE)
    return tuple(name for name in REQUEST_SETTINGS if name not in known)


def word_controls() -> dict[str, ControlField]:
    """The registered controls that are words; their widgets are derived."""
    found = registered_controls().items()
    return {name: control for name, control in found if isinstance(control.kind, Text)}


def picture_controls() -> dict[str, ControlField]:
    """The registered controls that are one picture; their widgets are derived."""
    found = registered_controls().items()
    return {name: control for name, control in found if type(control.kind) is KindOfPicture}


def within(settings: Settings) -> Settings:
    """Settings brought to where the controls of the page can be set."""
    changes: dict[str, Any] = {}
    for name, (low, high) in RANGES.items():
        value = getattr(settings, name)
        if value is not None:
            changes[name] = type(low)(min(high, max(low, value)))
    changes["shape"] = settings.shape if settings.shape in SHAPES else "same"
    for name in ("prompt", "negative_prompt"):
        changes[name] = getattr(settings, name)[:MOST_LETTERS]
    return replace(settings, **changes)
