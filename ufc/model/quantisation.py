"""Numbers the transformer computes with: fp32, bf16, fp16, or int8 in its linear layers.

    auto   on a CPU int8 where it has VNNI, else bf16 where it has that, else fp32;
           on a GPU bf16 where it has that, else fp16
    int8   on a CPU, in the blocks' linear layers (see `Int8Linear`), with attention in bf16 where
           the processor has that

That is the fastest that keeps quality (docs/performance.md). Without instructions for it bf16 is
emulated and many times slower than fp32, and int8 loses a bit and little time is won, which is why
the processor is asked. The tokenizer stays in fp32: it runs once a picture and its rounding is
seen.
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ufc_base.computing.inference import Derived
from ufc_base.computing.processor import cpu_has_bf16, cpu_has_vnni
from ufc_base.training.processes import has_bf16

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", *DTYPES, "int8")
PACKING = threading.Lock()  # the library that weights are packed for is one setting of the process


def pick_precision(name: str, device: torch.device, compiled: bool = False) -> str:
    """What `name` means on a device: `fp32`, `bf16`, `fp16` or `int8`.

    Code written for the machine (`compiled`) has no 8-bit products, so `auto` is not int8 there.

    Raises:
        ValueError: an unknown name, or int8 on anything but a CPU.
    """
    if name not in PRECISIONS:
        raise ValueError(f"dtype {name!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    if name == "int8" and device.type != "cpu":
        raise ValueError(f"dtype int8 runs on a CPU only, not on {device.type}; use bf16 there")
    if name != "auto":
        return name
    if device.type == "cpu" and cpu_has_vnni() and not compiled:
        return "int8"
    if has_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def is_emulated(name: str, device: torch.device) -> bool:
    """Whether a processor has no instructions for a precision, and is slower in it than in fp32."""
    return device.type == "cpu" and (name == "fp16" or (name == "bf16" and not cpu_has_bf16()))


@dataclass(frozen=True)
class PackedLinear:
    """A weight rounded to 8 bits, a scale for each output; inputs are rounded by their range."""

    packed: Any
    seven_bits: bool

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) in float32 to (..., out)."""
        multiply = torch.ops.quantized.linear_dynamic
        out: Tensor = multiply(x.contiguous(), self.packed, self.seven_bits)
        return out


def pack(weight: Tensor, bias: Tensor | None, seven_bits: bool) -> PackedLinear:
    """Round a weight (out, in) for the library that multiplies it here."""
    scales = weight.abs().amax(1).clamp_min(1e-12) / 127
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    with PACKING, warnings.catch_warnings(), engine(None if seven_bits else "onednn"):
        warnings.simplefilter("ignore")  # torch's plans to move these types elsewhere
        rounded = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        return PackedLinear(torch.ops.quantized.linear_prepack(rounded, bias), seven_bits)


class Int8Linear(nn.Linear):
    """A linear layer that multiplies weights and inputs rounded to 8 bits; outputs are float32.

    Weights are rounded once, a scale for each output, inputs by their own range. The exact weights
    stay, so that they can be saved, edited and gone back to.

    The products are torch's own: oneDNN's, with inputs of 8 bits, where the processor has VNNI;
    others add pairs of products in 16 bits, so there FBGEMM takes inputs of 7.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.bias = linear.bias
        self.seven_bits = not cpu_has_vnni()
        self.derived = Derived()
        self.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out); exact where something is learnt."""
        learnt = x.requires_grad or self.weight.requires_grad
        if torch.is_grad_enabled() and learnt:
            return super().forward(x)
        weights = [self.weight] if self.bias is None else [self.weight, self.bias]
        return self.derived.get(self.seven_bits, weights, self.pack)(x)

    def pack(self, scale: Tensor | None = None) -> PackedLinear:
        """The weights as the product takes them; `scale` (in,) is multiplied into them first."""
        weight = self.weight.detach().float()
        if scale is not None:
            weight = weight * scale
        bias = None if self.bias is None else self.bias.detach().float()
        return pack(weight, bias, self.seven_bits)

    def exact(self) -> nn.Linear:
        """The layer that this was made of, with the weights as they are now."""
        with torch.device("meta"):
            linear = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        linear.weight = self.weight
        linear.bias = self.bias
        return linear.train(self.training)


@contextmanager
def engine(name: str | None) -> Iterator[None]:
    """Weights packed meanwhile are for this library, where torch has it."""
    before = torch.backends.quantized.engine
    if name in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def quantise_linears(module: nn.Module) -> None:
    """Replace every linear layer within `module` by an `Int8Linear`, in place.

    The thin matrices of adapters stay exact.
    """
    exchange(module, nn.Linear, Int8Linear)


def restore_linears(module: nn.Module) -> None:
    """Take every `Int8Linear` within `module` back, in place."""
    exchange(module, Int8Linear, Int8Linear.exact)


def exchange(module: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Put `make` of it in the place of each layer of just this kind."""
    for path, parent in list(module.named_modules()):
        if ".lora_" in path:
            continue
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, make(child))


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
