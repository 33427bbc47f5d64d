"""How near enlarged reconstructions come to the photographs, beside plain enlargements of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from ufc_base.images import to_pil, to_tensor
from vqgan.metrics import psnr
from vqgan.upscaling.data import Pairs
from vqgan.upscaling.model import SCALE, bicubic

Enlarge = Callable[[Tensor], Tensor]


def lanczos(x_BCHW: Tensor) -> Tensor:
    """Pictures in -1..1 at twice the size by Lanczos interpolation, rounded to 8 bits."""
    size = SCALE * x_BCHW.shape[-1], SCALE * x_BCHW.shape[-2]
    enlarged = [one.resize(size, Image.Resampling.LANCZOS) for one in to_pil(x_BCHW)]
    return to_tensor(enlarged).to(x_BCHW.device)


PLAIN: Mapping[str, Enlarge] = {
    "bicubic": lambda x_BCHW: bicubic(x_BCHW).clamp(-1, 1),
    "lanczos": lanczos,
}


@torch.no_grad()
def enlargement_report(
    enlarge: Enlarge,
    pairs: Pairs,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    indices: Sequence[int],
    device: torch.device | None = None,
    batch_size: int = 8,
) -> dict[str, float]:
    """Means over pictures of PSNR (dB) and, with a `perceptual`, LPIPS of whole pictures."""
    totals = torch.zeros(2, dtype=torch.float64)
    for start in range(0, len(indices), batch_size):
        small, large = pairs.batch(indices[start : start + batch_size], device)
        made = enlarge(small)
        totals[0] += psnr(large, made).sum().cpu()
        if perceptual is not None:
            totals[1] += perceptual(made, large).sum().cpu()
    psnr_mean, lpips_mean = (totals / len(indices)).tolist()
    return {"psnr": psnr_mean} | ({} if perceptual is None else {"lpips": lpips_mean})


def plain_reports(
    pairs: Pairs,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    indices: Sequence[int],
    device: torch.device | None = None,
) -> dict[str, float]:
    """The figures of bicubic and Lanczos enlargement, as `psnr_bicubic` and so on."""
    return {
        f"{figure}_{name}": value
        for name, enlarge in PLAIN.items()
        for figure, value in enlargement_report(enlarge, pairs, perceptual, indices, device).items()
    }
