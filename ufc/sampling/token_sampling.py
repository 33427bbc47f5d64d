"""Codes from logits: sampling, and how sure the model is of what was sampled.

Shapes: N cells, V codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Codes that look alike, (V, n), and how alike they are, 0..1 (V, n).
Alike = tuple[Tensor, Tensor]


def sample_codes(
    logits_NV: Tensor,
    uniform_N: Tensor,
    temperature: float,
    alike: Alike | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Tensor, Tensor]:
    """A code for each cell by inverting the distribution at `uniform_N`, and its confidence.

    With `top_k` and `top_p` only the likeliest codes are sampled: so many of them, and as many as
    it takes for their probabilities to reach so much, at the temperature of sampling.

    Confidence is the code's probability at temperature 1, whatever temperature it was sampled at
    and whatever was left out.
    A codebook spends many codes on what is common (a white background), and each of them is
    improbable though the appearance is certain: with `alike` the probabilities of codes that look
    the same are added, as far as they do.
    """
    probabilities = logits_NV.float().softmax(-1)
    if temperature == 0:
        sampled = probabilities.argmax(-1, keepdim=True)
    else:
        tempered = probabilities
        if temperature != 1:
            tempered = (logits_NV.float() / temperature).softmax(-1)
        tempered = likeliest(tempered, top_k, top_p)
        cumulated = running_sum(tempered)
        target = uniform_N[:, None] * cumulated[:, -1:]
        target = target.clamp_min(torch.finfo(target.dtype).tiny)  # at 0 codes left out begin
        sampled = torch.searchsorted(cumulated, target).clamp_max(logits_NV.shape[-1] - 1)
    sampled = sampled.squeeze(-1)
    return sampled, confidence_in(sampled, probabilities, alike)


def likeliest(p_NV: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Probabilities with 0 for all but the likeliest codes, of which one stays at least."""
    if top_k is not None and top_k < p_NV.shape[-1]:
        kept = p_NV.topk(max(1, top_k), dim=-1)
        p_NV = torch.zeros_like(p_NV).scatter(-1, kept.indices, kept.values)
    if top_p is not None and top_p < 1:
        p_NV = p_NV / p_NV.sum(-1, keepdim=True)
        sorted_p = p_NV.sort(dim=-1, descending=True, stable=True)
        before = running_sum(sorted_p.values) - sorted_p.values  # what likelier ones have together
        left_out = before >= top_p
        left_out[:, 0] = False
        kept_p = sorted_p.values.masked_fill(left_out, 0.0)
        p_NV = torch.zeros_like(p_NV).scatter(-1, sorted_p.indices, kept_p)
    return p_NV


def running_sum(x_NV: Tensor) -> Tensor:
    """Sums up to each code. CUDA has no deterministic way of it that does not take V times the
    memory, so where that is asked for it is done on the CPU."""
    if x_NV.is_cuda and torch.are_deterministic_algorithms_enabled():
        return x_NV.cpu().cumsum(-1).to(x_NV.device)
    return x_NV.cumsum(-1)


def confidence_in(codes_N: Tensor, probabilities_NV: Tensor, alike: Alike | None = None) -> Tensor:
    """Probability of each code, or with `alike` of what looks like it, (N,)."""
    if alike is None:
        return probabilities_NV.gather(-1, codes_N[:, None]).squeeze(-1)
    neighbours, likeness = alike
    confidence = (probabilities_NV.gather(-1, neighbours[codes_N]) * likeness[codes_N]).sum(-1)
    return confidence.clamp_max(1)
