"""Tiny upscalers whose enlargements are no mere interpolation."""

from __future__ import annotations

import torch

from vqgan.upscaling.model import Upscaler, UpscalerConfig


def toy_upscaler(seed: int = 0) -> Upscaler:
    torch.manual_seed(seed)
    model = Upscaler(UpscalerConfig(width=4, depth=2, smoothing_channels=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()
