"""What a manifest was generated with, and what of it this machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ufc.request import Result

if TYPE_CHECKING:
    import torch

    from ufc.requests.loading import ModelSettings

RECORDED = ("device", "dtype", "attention_backend", "revision", "variant", "deterministic")


def agreed(results: Iterable[Result], name: str) -> str | None:
    """What all results that say anything about `name` say, None where they differ."""
    said = {
        str(result.backend[name]) for result in results if result.backend and name in result.backend
    }
    return said.pop() if len(said) == 1 else None


def have_here(
    settings: ModelSettings, flags: Mapping[str, object]
) -> tuple[ModelSettings, list[str]]:
    """The settings with `auto` for what a manifest records and this machine has not, and notices.

    What `flags` say themselves stays: it is refused where it cannot be had.
    """
    from ufc.model.attention import resolve_backend
    from ufc.model.placing import probe_device
    from ufc.model.quantisation import is_emulated, pick_precision
    from ufc_base.training.processes import pick_device

    notices = []

    def fit(name: str, check: Callable[[str], object]) -> None:
        nonlocal settings
        recorded = getattr(settings, name)
        if flags.get(name) is not None or recorded == "auto":
            return
        try:
            check(recorded)
        except ValueError:
            left_open: dict[str, Any] = {name: "auto"}
            settings = replace(settings, **left_open)
            notices.append(
                f"what is generated again was made with {name} {recorded}, which is not "
                "to be had here: pictures will differ"
            )

    fit("device", lambda name: probe_device(pick_device(name)))
    place: torch.device = pick_device(settings.device)
    fit("dtype", lambda name: pick_precision(name, place))
    fit("attention_backend", lambda name: resolve_backend(name, place.type))
    if flags.get("dtype") is None and is_emulated(settings.dtype, place):
        notices.append(
            f"what is generated again was made in {settings.dtype}, which this processor "
            "emulates, many times slower than fp32; --dtype auto is fast here, and gives other "
            "pictures"
        )
    return settings, notices


def differences(result: Result, now: Mapping[str, Any]) -> dict[str, Any]:
    """By name what a picture says it was generated with, where that is not so now."""
    then = {**(result.backend or {}), **(result.versions or {})}
    return {name: was for name, was in then.items() if name in now and now[name] != was}
