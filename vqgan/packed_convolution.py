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

from ufc_base.computing.inference import Derived, is_plain

OPERATORS = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")


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
        self.derived = Derived()

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Convolve; with `onto`, add the result to it, in place where nothing is learnt."""
        if not self.may_pack(x) or (onto is not None and onto.dtype != x.dtype):
            made = super().forward(x)
            return made if onto is None else onto + made
        packed = self.derived.get("packed", [self.weight], lambda: self.pack(x))
        how = self.bias, self.padding, self.stride, self.dilation, self.groups
        operators = torch.ops.mkldnn
        if onto is None:
            return operators._convolution_pointwise(x, packed, *how, "none", [], "")
        add = operators._convolution_pointwise_.binary
        return add(onto, x, packed, *how, "add", 1.0, None, [], None)

    def may_pack(self, x: Tensor) -> bool:
        """Whether a packed weight does for this input, or an ordinary convolution is to run."""
        return is_plain(x, self.weight) and not self.weight.is_inference() and has_operators()

    def pack(self, x: Tensor) -> Tensor:
        """The weight laid out for maps like `x`."""
        layout = self.padding, self.stride, self.dilation, self.groups, list(x.shape)
        return torch.ops.mkldnn._reorder_convolution_weight(self.weight.detach(), *layout)
