"""When arithmetic may be rewritten, and for how long what was made of weights may be kept.

Faster forms of a layer (packed convolutions, folded upsampling, the fused block) hold for one case
alone: nothing is learnt, in float32, on a CPU, without autocast, and nobody listens to the layers
that they go round. `is_plain` and `is_untouched` are that rule, and `Derived` the one place where
what was computed from weights is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks

Made = TypeVar("Made")
SAMPLES = 16  # of a weight, compared by `fingerprint`


def is_plain(*tensors: Tensor) -> bool:
    """Whether there is no gradient, no autocast and no compiler, and all is float32 on a CPU."""
    return not (
        torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    ) and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


def is_untouched(*layers: nn.Module) -> bool:
    """Whether these layers are torch's own: no subclass, adapter or parametrisation, no hook."""
    hooks = global_hooks._global_forward_hooks, global_hooks._global_forward_pre_hooks
    return not any(hooks) and all(
        type(layer) in (nn.Linear, nn.Conv2d, nn.RMSNorm)
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
        for layer in layers
    )


def weights_key(weights: Sequence[Tensor]) -> tuple[object, ...] | None:
    """Changes when a weight's storage, version or dtype does; None for one made in inference mode.

    Writing through `.data` changes none of them: see `fingerprint`.
    """
    if any(weight.is_inference() for weight in weights):
        return None
    return tuple((weight.data_ptr(), weight._version, weight.dtype) for weight in weights)


@torch.no_grad()
def fingerprint(module: nn.Module) -> tuple[float, ...]:
    """A few numbers of every weight: what was written through `.data` shows in them.

    It costs a fraction of a millisecond, so it is for the beginning of a call and not for every
    forward pass.
    """
    samples = [
        weight.detach().flatten()[:: max(1, weight.numel() // SAMPLES)].float()
        for weight in (*module.parameters(), *module.buffers())
        if weight.numel()
    ]
    return tuple(torch.cat(samples).tolist()) if samples else ()


class Derived(Generic[Made]):
    """Something computed from weights, kept as long as they stay as they are."""

    def __init__(self) -> None:
        self.key: tuple[object, ...] | None = None
        self.storages: list[Tensor] = []  # held, so that no other weight comes to lie there
        self.made: Made | None = None

    def get(self, weights: Sequence[Tensor], make: Callable[[], Made]) -> Made:
        """What `make` returns for these weights, from the last time if they are the same."""
        key = weights_key(weights)
        if key is None:
            return make()
        if self.made is None or key != self.key:
            self.made = make()
            self.key, self.storages = key, [weight.detach() for weight in weights]
        return self.made

    def forget(self) -> None:
        self.key, self.storages, self.made = None, [], None

    def __deepcopy__(self, memo: object) -> Derived[Made]:
        """Copies compute anew: they have weights of their own."""
        return Derived()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Derived, ()
