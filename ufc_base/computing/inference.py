"""When arithmetic may be rewritten, and for how long what was made of weights may be kept.

Faster forms of a layer (packed convolutions, folded upsampling, the fused block) hold for one case
alone: nothing is learnt, in float32, on a CPU, without autocast, and nobody listens to the layers
that they go round. `is_plain` and `is_untouched` are that rule, and `Derived` the one place where
what was computed from weights is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks

TORCHS_OWN = (nn.Linear, nn.Conv2d, nn.RMSNorm)
SAMPLES = 16  # of a weight, in a fingerprint


def is_plain(*tensors: Tensor) -> bool:
    """Whether there is no gradient, no autocast and no compiler, and all is float32 on a CPU.

    Tensors of a kind of their own, as libraries that quantise or shard weights put in their place,
    are not plain, whatever dtype they give.
    """
    return not (
        torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    ) and all(
        type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.device.type == "cpu"
        for t in tensors
    )


def is_untouched(*layers: nn.Module, kinds: tuple[type[nn.Module], ...] = TORCHS_OWN) -> bool:
    """Whether these layers are just of those kinds: no subclass, adapter, parametrisation, hook."""
    hooks = global_hooks._global_forward_hooks, global_hooks._global_forward_pre_hooks
    return not any(hooks) and all(
        type(layer) in kinds and not layer._forward_hooks and not layer._forward_pre_hooks
        for layer in layers
    )


def weights_key(weights: Sequence[Tensor]) -> tuple[object, ...] | None:
    """Changes when a weight's storage, version or dtype does; None for one made in inference mode.

    Writing through `.data` changes none of them: see `WeightWatch`.
    """
    if any(weight.is_inference() for weight in weights):
        return None
    return tuple((weight.data_ptr(), weight._version, weight.dtype) for weight in weights)


class Derived:
    """What a module computed from weights, by name; kept as long as the weights stay as they are.

    Copies and pickles of the module compute anew.
    """

    def __init__(self) -> None:
        # Weights are held too, so that no other one comes to lie where they lay.
        self.kept: dict[Hashable, tuple[object, list[Tensor], Any]] = {}

    def get(
        self,
        name: Hashable,
        weights: Sequence[Tensor],
        make: Callable[[], Any],
        most: int | None = None,
    ) -> Any:
        """What `make` returns for these weights, from the last time if they are the same.

        With `most` the name is a tuple, and of those that begin alike so many are kept, those that
        were made last.
        """
        found = self.kept.get(name)
        if torch.compiler.is_compiling():  # a compiled pass takes what the pass before it left
            return make() if found is None else found[2]
        key = weights_key(weights)
        if key is None:
            return make()
        if found is None or found[0] != key:
            found = self.kept[name] = key, [weight.detach() for weight in weights], make()
            if most is not None and isinstance(name, tuple):
                self.let_go(name[:1], most)
        return found[2]

    def let_go(self, beginning: tuple[Any, ...], most: int) -> None:
        """Forget all but the latest of the names that begin so; other threads may do the same."""
        names = [one for one in list(self.kept) if isinstance(one, tuple)]
        alike = [one for one in names if one[:1] == beginning]
        for one in alike[: max(0, len(alike) - most)]:
            self.kept.pop(one, None)

    def forget(self) -> None:
        self.kept.clear()

    def __deepcopy__(self, memo: object) -> Derived:
        return Derived()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Derived, ()


class WeightWatch:
    """Notices what `weights_key` cannot: weights written through `.data`, as fused adapters are."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.seen = fingerprint(module)

    def look(self) -> None:
        """Forget what was derived from weights that have changed; where a request begins."""
        now = fingerprint(self.module)
        if now == self.seen:
            return
        self.seen = now
        for part in self.module.modules():
            derived = getattr(part, "derived", None)
            if isinstance(derived, Derived):
                derived.forget()


def as_stored(weight: Tensor) -> Tensor:
    """All numbers of a weight in a row, where possible without copying them: also of convolutions,
    whose channels lie last."""
    channels_last = weight.ndim == 4 and not weight.is_contiguous()
    return (weight.permute(0, 2, 3, 1) if channels_last else weight).flatten()


@torch.no_grad()
def fingerprint(module: nn.Module) -> tuple[float, ...]:
    """A few numbers of every weight; a fraction of a millisecond, too much for every forward."""
    samples = [
        as_stored(weight.detach())[:: max(1, weight.numel() // SAMPLES)].float()
        for weight in (*module.parameters(), *module.buffers())
        if weight.numel()
    ]
    return tuple(torch.cat(samples).tolist()) if samples else ()
