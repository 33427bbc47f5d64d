"""Which extractor judges where none is named: the first whose weights are on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from estimators.metrics.extractors.efficientnet import WEIGHTS_PACKAGE, packaged_weights
from ufc_base.extras import how_to_install

AUTO = "auto"
# Files in the torch hub's cache, as torch-fidelity and torchvision name them.
_HUB_FILES = {
    "inception": "weights-inception-2015-12-05-*.pth",
    "vgg16": "vgg16-*.pth",
    "alexnet": "alexnet-*.pth",
}
_LIBRARIES = {"inception": "torch_fidelity", "vgg16": "torchvision", "alexnet": "torchvision"}
_PREFERENCE = ("inception", "efficientnet-lite0", "vgg16", "alexnet")


def at_hand(name: str) -> bool:
    """Whether an extractor's weights, and what reads them, are here without a download."""
    if name == "efficientnet-lite0":
        return packaged_weights() is not None
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return find_spec(_LIBRARIES[name]) is not None and any(folder.glob(_HUB_FILES[name]))


def usual_extractor() -> str:
    """`inception`, the papers' network, if it is at hand; else `efficientnet-lite0`, and so on.

    Raises:
        RuntimeError: no extractor has its weights here.
    """
    for name in _PREFERENCE:
        if at_hand(name):
            return name
    raise RuntimeError(
        f"there is no network here to judge pictures by: {how_to_install('eval')} (or just "
        f"{WEIGHTS_PACKAGE}), or set TORCH_HOME to a folder that has hub/checkpoints/"
        f"{_HUB_FILES['inception']}, or name an --extractor to be downloaded"
    )


def other_judges() -> list[str]:
    """The extractors at hand that no loss of this program contains; `efficientnet-lite0` always."""
    return ["efficientnet-lite0", *(name for name in ("vgg16",) if at_hand(name))]


def fallback_note(asked: str, used: str) -> str:
    """A line for who named no extractor and gets another than the papers', else nothing."""
    if asked != AUTO or used not in _PREFERENCE[1:]:
        return ""
    trained_with = ", the network of the training loss" if used == "alexnet" else ""
    return (
        f"note: judged by {used}{trained_with}; there are no Inception weights here, so distances "
        f"are not FID as papers have it and compare only with others by {used}"
    )
