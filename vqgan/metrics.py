"""How well a tokenizer gives a picture back: PSNR, LPIPS, and how much of its codebook it uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ufc_base.data.datasets import Pixels
from vqgan.model import VQGAN
from vqgan.quantizer import codebook_usage
from vqgan.training.losses import chroma


def psnr(x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, (B,), for pixels in -1..1 (peak 2)."""
    mse_B = (x_BCHW - y_BCHW).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / mse_B.clamp_min(1e-10))


@torch.no_grad()
def reconstruction_report(
    model: VQGAN,
    pixels: Pixels,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    indices: Sequence[int] | None = None,
    batch_size: int = 32,
    on_batch: Callable[[Tensor], object] | None = None,
) -> dict[str, float | int]:
    """Means over pictures of PSNR (dB), LPIPS (with a `perceptual`) and chroma error; codes used.

    The chroma error is the mean absolute error of `chroma`, in pixels of -1..1, where the picture
    is not near white. Model and `perceptual` are on one device; the figures come back as numbers.
    `on_batch` is given the reconstructions, (B, 3, H, W).
    """
    indices = range(len(pixels)) if indices is None else indices
    device = model.quantize.embedding.weight.device
    counts_V = torch.zeros(len(model.quantize.embedding.weight), device=device)
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for start in range(0, len(indices), batch_size):
        x = pixels.batch(indices[start : start + batch_size], device)
        codes = model.encode(x)
        y = model.decode(codes)
        if on_batch is not None:
            on_batch(y)
        counts_V += torch.bincount(model.split(codes).flatten(), minlength=len(counts_V))
        garment = (x.amin(1, keepdim=True) < 0.8).float()
        error = (chroma(x) - chroma(y)).abs().mean(1, keepdim=True) * garment
        totals[0] += psnr(x, y).sum()
        if perceptual is not None:
            totals[1] += perceptual(y, x).sum()
        totals[2] += (error.flatten(1).sum(1) / garment.flatten(1).sum(1).clamp_min(1)).sum()
    means = (totals / len(indices)).tolist()
    used, perplexity = codebook_usage(counts_V)
    return {
        "pictures": len(indices),
        "psnr": means[0],
        **({} if perceptual is None else {"lpips": means[1]}),
        "chroma_error": means[2],
        "codes_used": used,
        "codes": len(counts_V),
        "perplexity": perplexity,
    }
