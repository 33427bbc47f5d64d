"""Numbers the transformer computes with: fp32, bf16, fp16, or int8 in its linear layers.

    auto   bf16 on a GPU that has it (else fp16) and on a CPU with instructions for it, else fp32
    int8   on a CPU: weights rounded once, a scale for each output; inputs rounded as they come

bf16 without instructions for it is emulated and many times slower than fp32, which is why the
processor is asked. The tokenizer stays in fp32: it runs once a picture and its rounding is seen.
"""

from __future__ import annotations

import os
import shutil
import warnings

import torch
from torch import Tensor, nn

from ufc_base.training.processes import has_bf16

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", *DTYPES, "int8")


def pick_precision(name: str, device: torch.device) -> str:
    """What `name` means on a device: `fp32`, `bf16`, `fp16` or `int8`.

    Raises:
        ValueError: an unknown name, or int8 on anything but a CPU.
    """
    if name not in PRECISIONS:
        raise ValueError(f"dtype {name!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    if name == "int8" and device.type != "cpu":
        raise ValueError(f"dtype int8 runs on a CPU only, not on {device.type}; use bf16 there")
    if name != "auto":
        return name
    if has_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, inputs rounded to 7 bits by their own range.

    7 bits, because processors without VNNI add pairs of products in 16. The product is torch's
    own (FBGEMM); outputs are float32.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp_min(1e-12) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's plans to move these types elsewhere
            rounded = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
            )
            bias = None if linear.bias is None else linear.bias.detach().float()
            self.packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        out: Tensor = torch.ops.quantized.linear_dynamic(x.contiguous(), self.packed, True)
        return out


def quantise_linears(module: nn.Module) -> nn.Module:
    """Replace every linear layer within `module` by an `Int8Linear`, in place: all, or on an
    error none."""
    rounded = [
        (parent, name, Int8Linear(child))
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    for parent, name, layer in rounded:
        setattr(parent, name, layer)
    return module


def has_int8(module: nn.Module) -> bool:
    return any(isinstance(part, Int8Linear) for part in module.modules())


def check_compiler(device: torch.device) -> None:
    """Raise `ValueError` where there is no C++ compiler, which code for a CPU needs."""
    compiler = os.environ.get("CXX") or "g++"
    if device.type == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise ValueError(
            f"compiling for a CPU needs a C++ compiler and there is no {compiler} here: install "
            "one (Debian: apt install g++), or leave compiling out"
        )


def compile_forward(module: nn.Module, wanted: bool) -> None:
    """Let `torch.compile` write the code of `module`'s forward pass, when it is first called.

    That takes a minute or so, and again for a new number of pictures; it pays for long runs. Where
    it is not `wanted`, the pass runs as it is written.
    """
    written = module._compiled_call_impl is not None
    if wanted and not written:
        module.compile()
    elif written and not wanted:
        module._compiled_call_impl = None
