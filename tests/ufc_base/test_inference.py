"""When arithmetic may be rewritten."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ufc_base.inference import is_plain


class Quantised(Tensor):
    """As libraries put in the place of weights."""


def test_plain_is_torchs_own_tensor_in_fp32_without_a_gradient() -> None:
    x = torch.ones(2)
    assert not is_plain(x)
    with torch.no_grad():
        assert is_plain(x, nn.Parameter(x))
        assert not is_plain(x, x.half())
        assert not is_plain(x.as_subclass(Quantised))
        with torch.autocast("cpu", torch.bfloat16):
            assert not is_plain(x)
