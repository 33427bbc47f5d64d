"""What the controls of the page can be set to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ufc.conditioning.conditioning import ControlField, registered_controls
from ufc.conditioning.kinds import Picture as KindOfPicture
from ufc.conditioning.kinds import Text
from ufc.sampling.generation_config import REQUEST_SETTINGS

MAX_SEED = 2**31 - 1


MOST_LETTERS = 1_000


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


NOT_ON_THE_PAGE = (
    "height",
    "width",
    "best_of",
    "contrastive_weight",
    "clip_weight",
    "original_size",
    "strength",  # Vary has it
    "min_compliance",
    "min_score",
    "max_attempts",
)


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
