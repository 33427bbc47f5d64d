"""What is told on the way of a call: to a callback, with what it returns, and by a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ufc.sampling.canvas import Canvas

StepCallback = Callable[[Any, int, int, dict[str, Any]], Any]
PlainCallback = Callable[[int, int, Tensor], None]

TENSOR_INPUTS = (
    "latents", "codes", "confidence", "compliance", "fidelity", "filled_step", "filled_candidate",
)  # fmt: skip
RETURNED = ("latents", "codes", "confidence")  # what a callback may give back


def tensor_inputs(callback: object, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the tensors that a callback is given: those asked for, its own, or all.

    Raises:
        ValueError: a name that no step has.
    """
    named = getattr(callback, "tensor_inputs", None) if wanted is None else wanted
    names = TENSOR_INPUTS if named is None else tuple(named)
    unknown = [name for name in names if name not in TENSOR_INPUTS]
    if unknown:
        raise ValueError(
            f"callback_on_step_end_tensor_inputs has {', '.join(map(repr, unknown))}: "
            f"choose from {', '.join(TENSOR_INPUTS)}"
        )
    return names


def step_tensors(canvas: Canvas, grid: tuple[int, int], scored: bool) -> dict[str, Tensor | None]:
    """The tensors of a step by their names; scores are None where the step has none."""
    return {
        "latents": canvas.codes.view(-1, *grid),
        "codes": canvas.codes,
        "confidence": canvas.confidence,
        "compliance": canvas.scores["compliance"] if scored else None,
        "fidelity": canvas.scores["fidelity"] if scored else None,
        "filled_step": canvas.filled_step,
        "filled_candidate": canvas.filled_candidate,
    }


def take_over(canvas: Canvas, returned: object, locked_BT: Tensor, codebook: int) -> None:
    """Put the codes and the confidence that a callback returned into the canvas.

    Known cells, and those that are masked still, stay as they are.

    Raises:
        ValueError: it returned something else, or values of another shape or range.
    """
    if returned is None:
        return
    if not isinstance(returned, Mapping):
        raise ValueError(
            f"the callback returned a {type(returned).__name__}, wanted a dict of tensors by the "
            "names that it was given, or None"
        )
    fixed_BT = locked_BT.to(canvas.codes.device) | (canvas.codes >= codebook)
    for name in RETURNED:
        if name not in returned:
            continue
        held = canvas.confidence if name == "confidence" else canvas.codes
        value = torch.as_tensor(returned[name], device=held.device)
        if value.numel() != held.numel() or len(value) != len(held):
            raise ValueError(
                f"the callback returned {name} of shape {tuple(value.shape)}, wanted "
                f"{tuple(held.shape)} as it was given"
            )
        value = value.view(held.shape)
        if name != "confidence":
            wrong = value.is_floating_point() or bool(((value < 0) | (value > codebook)).any())
            if wrong or bool((value[~fixed_BT] == codebook).any()):
                raise ValueError(f"the callback returned {name} that are none of 0..{codebook - 1}")
        held.copy_(torch.where(fixed_BT, held, value.to(held.dtype)))


def every(callback: PlainCallback, steps: int, before: StepCallback | None) -> StepCallback:
    """The older form of a callback, f(step, timestep, latents), called at every so many steps.

    Raises:
        ValueError: `steps` below 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"callback_steps is {steps!r}, wanted a whole number from 1")

    def called(pipeline: Any, step: int, timestep: int, state: dict[str, Any]) -> Any:
        if step % steps == 0:
            callback(step, timestep, state["latents"])
        return None if before is None else before(pipeline, step, timestep, state)

    return called


class Progress:
    """A progress bar as diffusers' pipelines have it: tqdm's, with settings of the pipeline's."""

    _progress_bar_config: dict[str, Any]

    def set_progress_bar_config(self, **settings: Any) -> None:
        """tqdm's settings of the bars to come: `disable=True`, `desc`, `leave` and others.

        Where `disable` is not among them there is a bar on terminals alone.
        """
        self._progress_bar_config = settings

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """A bar over an iterable, or of `total` steps that are told by `update`.

        Raises:
            ValueError: neither is given.
        """
        from tqdm.auto import tqdm

        if iterable is None and total is None:
            raise ValueError("a progress bar needs an iterable or a total: got neither")
        settings = {"disable": None} | self._progress_bar_config
        if tqdm.monitor_interval:
            tqdm.monitor_interval = 0  # no thread: this process may be forked
        return tqdm(iterable, total=total, **settings)
