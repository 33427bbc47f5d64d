"""The one door to torchvision and to LPIPS, the perceptual distance that training and metrics use.

A PyPI torchvision beside a CPU-only torch cannot load its operator library, and its import stops
at the missing operators `torchvision::nms` and `qnms`. Nothing here detects objects: declaring
the two schemas is enough, and everything that needs torchvision comes through here for it.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ufc_base.extras import UnavailableError

LPIPS_NETS = ("alex", "vgg", "squeeze")

_MISSING_OPERATORS = ("nms", "qnms")
_declared: list[Any] = []  # a library's schemas live as long as the object


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its detection operators first where they cannot be loaded.

    Raises:
        ImportError: torchvision is missing, or does not match the installed torch.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if all(hasattr(torch.ops.torchvision, name) for name in _MISSING_OPERATORS):
            raise ImportError(_mismatch(error)) from error
    for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        raise ImportError(_mismatch(error)) from error


def lpips_model(net: str = "alex") -> nn.Module:
    """LPIPS v0.1 with its trained linear layers: frozen, in evaluation mode, on the CPU.

    Call it with two float BCHW batches in -1..1 of 64 px or more; it returns B x 1 x 1 x 1
    distances (0 for equal pictures). Gradients flow to the pictures, not to the weights.

    Args:
        net: `alex` (fast, the one reported), `vgg` or `squeeze`.

    Raises:
        ValueError: `net` is none of these.
        UnavailableError: the backbone's ImageNet weights are neither cached nor to be downloaded.
    """
    if net not in LPIPS_NETS:
        raise ValueError(f"unknown LPIPS net {net!r}; choose one of {', '.join(LPIPS_NETS)}")
    import_torchvision()
    lpips: Any = importlib.import_module("lpips")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torchvision")  # `pretrained` is deprecated
            model: nn.Module = lpips.LPIPS(net=net, verbose=False)
    except (OSError, RuntimeError, EOFError) as error:
        raise UnavailableError(backbone_help(f"LPIPS ({net})", error)) from error
    return model.eval().requires_grad_(False)


def backbone_help(what: str, error: Exception) -> str:
    """The message for backbone weights that could not be loaded: what, why, and what to do."""
    cache = os.path.join(torch.hub.get_dir(), "checkpoints")
    return (
        f"{what} needs torchvision's ImageNet weights, looked for in {cache}: {error}. "
        "Set TORCH_HOME to a folder that has them under hub/checkpoints, or connect to a network "
        "so that they can be downloaded; delete a file there that is incomplete"
    )


def _declare_operators() -> None:
    """Declare the schemas that torchvision registers shape functions for, once per process."""
    make_library: Any = torch.library.Library
    library = make_library("torchvision", "FRAGMENT")
    for name in _MISSING_OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _mismatch(error: Exception) -> str:
    return (
        f"torchvision does not import with torch {torch.__version__}: {error}. "
        "Install the torchvision release made for this torch (see requirements.txt)"
    )
