"""`GenerationConfig`: every sampling setting once, with its type, range, default and help.

Pipeline calls, prompts files, manifests, flags and a checkpoint's own defaults are all checked
here, so that what one of them takes the others take too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo

from ufc.io.validation import RequestError, listed, shown
from ufc.sampling.orders import ORDERS, find_order
from ufc.sampling.seeds import MAX_SEED

# Names that files of earlier versions have.
OLD_NAMES = {"num_drafts": "best_of"}

# What no request has: what it brings is in no file.
_OF_NO_REQUEST = ("score_steps",)

# What belongs to one call and never to a checkpoint.
_OF_A_CALL = (
    "height",
    "width",
    "seed",
    "num_images_per_prompt",
    "contrastive_weight",
    "clip_weight",
    "top_k",
    "top_p",
    "min_compliance",
    "min_score",
    "max_attempts",
    "patience",
    "time_budget",
    "feather",
    "original_size",
    "upscale",
    "strength",
    "score_steps",
)


def known_order(name: str) -> str:
    return find_order(name).name


def read_min_score(text: str) -> dict[str, float]:
    """Least scores by name, of text such as "contrastive=0.6,fidelity=0.3".

    Raises:
        ValueError: it is not of that form, a number is not from 0 to 1, or a name is said twice.
    """
    least: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        value = float(number)
        if not name.isidentifier() or name in least or not 0 <= value <= 1:
            raise ValueError(part)
        least[name] = value
    return least


def plain_min_score(value: Any) -> Any:
    """Least scores as text in one form, from such text or from a mapping."""
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={number}" for name, number in value.items())
    if not isinstance(value, str):
        return value
    return ",".join(f"{name}={number:g}" for name, number in read_min_score(value).items())


class GenerationConfig(BaseModel):
    """How pictures are sampled. `None`, or a setting left out, is its default.

    Numbers of numpy and torch count as what they hold; text, NaN and infinity are no numbers.

    Raises:
        RequestError: an unknown setting, or a value of another type or out of its range.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )

    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Picture i uses seed + i; random where none is given."
    )
    height: int | None = Field(
        None,
        ge=1,
        le=16_384,
        description="Pixels, a multiple of the block size (as trained, or as the image's shape).",
    )
    width: int | None = Field(None, ge=1, le=16_384, description="As --height.")
    num_images_per_prompt: int = Field(1, ge=1, le=10_000, description="Pictures per prompt (1).")
    num_inference_steps: int = Field(
        12,
        ge=1,
        le=1_000,
        description="Refinement steps (12). Numbers in brackets are for models that name none.",
    )
    guidance_scale: float = Field(
        3.0,
        ge=0,
        le=100,
        description="How strongly controls are followed (3); 1 is not at all.",
    )
    temperature: float = Field(
        1.0, ge=0, le=100, description="Variety of the codes (1); 0 takes the likeliest."
    )
    top_k: int | None = Field(
        None, ge=1, le=65_536, description="Sample only this many of a cell's likeliest codes."
    )
    top_p: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Sample only a cell's likeliest codes, of this probability together.",
    )
    choice_temperature: float = Field(
        4.5,
        ge=0,
        le=100,
        description="Variety of the places that maskgit fills first (4.5), falling to 0.",
    )
    num_candidates: int = Field(
        1, ge=1, le=64, description="Canvases tried per step, the best is kept (1)."
    )
    best_of: int = Field(
        1,
        ge=1,
        le=64,
        description="Whole pictures generated for each, the best is kept (1).",
    )
    order: Annotated[str, AfterValidator(known_order)] = Field(
        "maskgit",
        description="How the canvas is filled: "
        + "; ".join(f"{name}, {order.summary}" for name, order in ORDERS.items()),
    )
    compliance_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of compliance in the score, the rest is fidelity (0.5).",
    )
    contrastive_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the contrastive estimator in compliance, for choosing (0).",
    )
    clip_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of CLIP (--clip-checkpoint) in compliance, for choosing (0).",
    )
    min_compliance: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Generate a picture again until its compliance is this at least.",
    )
    min_score: Annotated[str | None, BeforeValidator(plain_min_score)] = Field(
        None,
        description="The same by other scores, NAME=X,NAME=X: compliance, fidelity, contrastive, "
        "clip, 0 to 1.",
    )
    max_attempts: int = Field(
        8,
        ge=1,
        le=1_000,
        description="Attempts at --min-compliance and --min-score; the best is kept (8).",
    )
    patience: int | None = Field(
        None, ge=1, le=1_000, description="Stop after so many steps without a better score."
    )
    time_budget: float | None = Field(
        None,
        ge=0.001,
        le=86_400,
        description="Stop after so many seconds, of a batch and all its attempts; such a run is "
        "not exactly repeatable.",
    )
    feather: int = Field(
        0, ge=0, le=1_024, description="Pixels over which kept parts blend into the new."
    )
    original_size: bool = Field(
        False,
        description="Edits come back at the image's own size: the model works on the part around "
        "what changes, and no other pixel is touched.",
    )
    upscale: int = Field(
        1,
        ge=1,
        le=2,  # vqgan.upscaling.model.SCALE
        description="2: pictures of twice the size, by the model's upscaler, if it has one (1).",
    )
    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        description="How far an image is changed where nothing keeps it (1): below 1 a share of "
        "those blocks stays as its code says, and steps are as many fewer.",
    )
    score_steps: bool = Field(
        False, description="Score every step, where the order would score the end only."
    )

    def __init__(self, **settings: Any) -> None:
        plain = plain_settings(settings)
        for name, value in plain.items():
            if name in SETTINGS and hasattr(value, "__array__"):  # older numpys make it a number
                raise RequestError(misfit(name, value))
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise RequestError(explain(error)) from None

    @classmethod
    def over(cls, defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> GenerationConfig:
        """Settings in the place of a checkpoint's `defaults`."""
        return cls(**(plain_settings(defaults) | plain_settings(settings)))

    def explicit(self) -> dict[str, Any]:
        """The settings that were given, by name."""
        return self.model_dump(exclude_unset=True)


SETTINGS: Mapping[str, FieldInfo] = GenerationConfig.model_fields

REQUEST_SETTINGS = tuple(name for name in SETTINGS if name not in _OF_NO_REQUEST)

# What pictures of one batch must have in common.
BATCH_SETTINGS = tuple(
    name for name in REQUEST_SETTINGS if name not in ("seed", "num_images_per_prompt")
)

# What a model folder may name defaults for, and what counts where it names none.
DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in SETTINGS.items() if name not in _OF_A_CALL
}


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something, as plain Python values.

    Raises `RequestError` as `GenerationConfig` does.
    """
    plain = plain_settings(settings)
    GenerationConfig(**plain)
    return plain


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names that they have today.

    Raises:
        RequestError: an old name beside the new one.
    """
    for old, new in OLD_NAMES.items():
        if settings.get(old) is not None and settings.get(new) is not None:
            raise RequestError(f"got both {new} and {old}, its old name; leave {old} out")
    return {
        OLD_NAMES.get(name, name): value
        for name, value in settings.items()
        if name not in OLD_NAMES or value is not None
    }


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something, under today's names, as Python's own numbers."""
    named = current_names(settings)
    return {name: plain_number(value) for name, value in named.items() if value is not None}


def plain_number(value: Any) -> Any:
    """A number of numpy, or a tensor without dimensions, as Python's own; else the value itself."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def kind_of(name: str) -> type:
    """int, float, bool or str."""
    annotation = SETTINGS[name].annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    kind = kinds[0] if type(None) in get_args(annotation) else annotation
    return kind if isinstance(kind, type) else str


def range_of(name: str) -> tuple[Any, Any]:
    """The least and the most that a number may be, both included."""
    low, high = None, None
    for bound in SETTINGS[name].metadata:
        low, high = getattr(bound, "ge", low), getattr(bound, "le", high)
    return low, high


def wanted(name: str, of_kind: bool) -> str:
    """What a setting should have been; `of_kind` says that its type was right."""
    if name == "min_score":
        return "scores from 0 to 1, such as contrastive=0.6 or contrastive=0.6,fidelity=0.3"
    if kind_of(name) is str:
        return f"one of {listed(ORDERS)}"
    if kind_of(name) is bool:
        return "true or false"
    low, high = (f"{end:g}" if isinstance(end, float) else str(end) for end in range_of(name))
    noun = "" if of_kind else "a whole number from " if kind_of(name) is int else "a number from "
    return f"{noun}{low} to {high}"


def explain(error: ValidationError) -> str:
    """One line for the first thing that is wrong: what was got, what wanted, what to do."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if name not in SETTINGS:
        return f"unknown setting {name}; known are {listed(SETTINGS)}"
    return misfit(name, first["input"])


def misfit(name: str, value: object) -> str:
    """One line for a value that a setting cannot have."""
    kinds = int if kind_of(name) is int else (int, float)
    of_kind = isinstance(value, kinds) and not isinstance(value, bool)
    got = f"{name}: got {shown(value)}, wanted {wanted(name, of_kind)}"
    return f"{got}; leave it out for the default"
