"""Convolutions whose weights are kept as oneDNN multiplies them.

Without a gradient, on a CPU, in float32:

- torch hands a single small map to an older routine that unfolds it first; this never does;
- weights are laid out for the processor once, not at every call;
- a residual sum is added to by the convolution itself. A large map costs more to allocate than to
  read, since its pages come back from the system empty, so this saves more than a pass over it.

The operators are those that torch's own compiler calls. Where they are missing, or the weights are
somebody else's to change, it is an ordinary convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

OPERATORS = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")


def weight_state(weight: Tensor) -> tuple[int, int, torch.dtype] | None:
    """Changes when the weight does; None for one that does not tell (made in inference mode)."""
    if weight.is_inference():
        return None
    return weight._version, weight.data_ptr(), weight.dtype


def has_operators() -> bool:
    """Whether this torch has oneDNN, switched on, and its operators for packed weights."""
    mkldnn = torch.backends.mkldnn
    return (
        mkldnn.is_available()
        and bool(mkldnn.enabled)
        and all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS)
    )


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, packed where it may be.

    Not worth it for 1 x 1 kernels: for those the older routine is a plain product, and faster.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.packed: tuple[object, Tensor | None] = (None, None)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Convolve; with `onto`, add the result to it, in place where no gradient is kept."""
        packed = self.pack(x)
        if packed is None:
            made = super().forward(x)
            if onto is None:
                return made
            return onto + made if torch.is_grad_enabled() else onto.add_(made)
        how = self.bias, self.padding, self.stride, self.dilation, self.groups
        operators = torch.ops.mkldnn
        if onto is None:
            return operators._convolution_pointwise(x, packed, *how, "none", [], "")
        add = operators._convolution_pointwise_.binary
        return add(onto, x, packed, *how, "add", 1.0, None, [], None)

    def pack(self, x: Tensor) -> Tensor | None:
        """The weight laid out for maps like `x`; None where an ordinary convolution is to run."""
        if (
            torch.is_grad_enabled()
            or x.device.type != "cpu"
            or x.dtype != torch.float32
            or self.weight.dtype != torch.float32
            or torch.compiler.is_compiling()
            or not has_operators()
        ):
            return None
        state = weight_state(self.weight)
        if state is None:
            return None
        if self.packed[0] != state:
            self.packed = (
                state,
                torch.ops.mkldnn._reorder_convolution_weight(
                    self.weight.detach(),
                    self.padding,
                    self.stride,
                    self.dilation,
                    self.groups,
                    list(x.shape),
                ),
            )
        return self.packed[1]

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles pack anew: oneDNN's layout is of this process."""
        return self.__dict__ | {"packed": (None, None)}
