"""What the tokenizer is trained to do: look like the picture, pixel by pixel and to a network.

VQGAN's losses (Esser et al. 2021) with the adaptive weight between reconstruction and PatchGAN,
plus a squared and a chroma term: at small sizes LPIPS hardly sees colour.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ufc_base.training.processes import Engine


@dataclass(frozen=True)
class LossWeights:
    """Weights of the reconstruction terms."""

    l1: float = 1.0
    l2: float = 2.0
    perceptual: float = 1.0
    chroma: float = 1.0
    texture: float = 0.0
    edges: float = 0.0


def chroma(x_BCHW: Tensor) -> Tensor:
    """Colour without lightness: every channel minus the mean of the three."""
    return x_BCHW - x_BCHW.mean(1, keepdim=True)


def edge_loss(x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
    """Absolute error of the differences between neighbouring pixels, down and to the right.

    It sees what LPIPS cannot: AlexNet's first layer looks at every fourth pixel, and to it a weave
    of that period is a plain surface.
    """
    error = y_BCHW - x_BCHW
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def enlarge(x_BCHW: Tensor) -> Tensor:
    """Pictures of twice the side, bilinear."""
    return F.interpolate(x_BCHW, scale_factor=2, mode="bilinear", align_corners=False)


def random_scale(least: float, seed: int, step: int) -> float:
    """A share of the sides between `least` and 1, of one step of a run."""
    return random.Random(f"{seed}/{step}").uniform(least, 1.0)


def shrink(x_BCHW: Tensor, scale: float) -> Tensor:
    """Pictures of that share of the sides, bilinear with antialiasing."""
    size = [max(1, round(side * scale)) for side in x_BCHW.shape[-2:]]
    return F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False, antialias=True)


def perceived(
    perceptual: Callable[[Tensor, Tensor], Tensor],
    engine: Engine,
    y: Tensor,
    x: Tensor,
    smallest: float,
    seed: int,
    step: int,
) -> Tensor:
    """LPIPS of two batches in the run's precision, at a random size of the step's."""
    if smallest < 1:
        scale = random_scale(smallest, seed, step)
        y, x = shrink(y, scale), shrink(x, scale)
    with engine.autocast():
        return perceptual(y, x).float()


def reconstruction_loss(
    x_BCHW: Tensor,
    y_BCHW: Tensor,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    weights: LossWeights,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of L1, squared, chroma, edge and LPIPS distances, and its parts for the log.

    Without a `perceptual` network there is no LPIPS among them.

    `texture` is LPIPS on the pictures enlarged twofold: AlexNet's first layer looks at every
    fourth pixel, and small pictures are looked at enlarged.
    """
    parts = {
        "l1": F.l1_loss(y_BCHW, x_BCHW),
        "l2": F.mse_loss(y_BCHW, x_BCHW),
        "chroma": F.l1_loss(chroma(y_BCHW), chroma(x_BCHW)),
    }
    if weights.edges:
        parts["edges"] = edge_loss(x_BCHW, y_BCHW)
    if perceptual is not None:
        parts["perceptual"] = perceptual(y_BCHW, x_BCHW).mean()
    if perceptual is not None and weights.texture:
        parts["texture"] = perceptual(enlarge(y_BCHW), enlarge(x_BCHW)).mean()
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    return torch.as_tensor(total), {name: part.detach() for name, part in parts.items()}


def adaptive_weight(of_reconstruction: Tensor, of_adversarial: Tensor, most: float = 1e4) -> Tensor:
    """Ratio of the norms of two losses' gradients at the decoder's last layer, clipped."""
    return (of_reconstruction.norm() / (of_adversarial.norm() + 1e-4)).clamp(0, most)


def discriminator_ramp(progress: float, start: float, length: float) -> float:
    """0 before `start`, then linearly to 1 over `length`, all of them shares of the run, 0..1.

    A sudden start ruins pictures.
    """
    return min(1.0, max(0.0, (progress - start) / max(length, 1e-6)))
