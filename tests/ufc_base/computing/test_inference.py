"""When arithmetic may be rewritten."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ufc_base.computing.inference import Derived, is_plain


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


def test_of_many_names_the_latest_are_kept() -> None:
    """What there is one of for every size that is asked for would fill the memory."""
    derived, weights, made = Derived(), [torch.ones(1)], list[int]()

    def get(number: int) -> int:
        def make() -> int:
            made.append(number)
            return number

        found: int = derived.get(("size", number), weights, make, most=3)
        return found

    derived.get("rows", weights, lambda: "kept")
    derived.get(("layer", 1), weights, lambda: "kept")
    assert [get(number) for number in (0, 1, 2, 2, 3, 1, 0)] == [0, 1, 2, 2, 3, 1, 0]
    assert made == [0, 1, 2, 3, 0]
    assert list(derived.kept) == ["rows", ("layer", 1), ("size", 2), ("size", 3), ("size", 0)]
