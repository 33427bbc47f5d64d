"""Codes from logits: sampling, and how sure the model is of what was sampled.

Shapes: N cells, V codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from vqgan.quantizer import join_codes, of_book, split_codes

# Codes that look alike, (V, n), and how alike they are, 0..1 (V, n); of several codebooks one
# after another, see `vqgan.quantizer.neighbours_by_book`.
Alike = tuple[Tensor, Tensor]


class Cells(Protocol):
    """What a model says of N cells with codes of several codebooks, each after those before it."""

    @property
    def codebooks(self) -> int: ...

    @property
    def size(self) -> int:
        """V, the codes of one codebook."""

    @property
    def first(self) -> Tensor:
        """Logits (N, V) of the first codebook's codes."""

    def after(self, codes_NK: Tensor) -> Tensor:
        """Logits (N, V) of the next codebook's codes, after those of the first K codebooks.

        The codes count through the codebooks (`vqgan.quantizer.split_codes`).
        """


Prediction = Tensor | Cells  # logits (N, V) where there is one codebook


@dataclass(frozen=True)
class OneCodebook:
    """Logits (N, V) as `Cells`."""

    first: Tensor
    codebooks: int = 1

    @property
    def size(self) -> int:
        return self.first.shape[-1]

    def after(self, codes_NK: Tensor) -> Tensor:
        raise ValueError("there is one codebook: nothing comes after its codes")


@dataclass(frozen=True)
class CellsApart:
    """Cells of several images as those of a batch; each image's logits are computed by itself."""

    parts: Sequence[Cells]

    @property
    def codebooks(self) -> int:
        return self.parts[0].codebooks

    @property
    def size(self) -> int:
        return self.parts[0].size

    @property
    def first(self) -> Tensor:
        return torch.cat([part.first for part in self.parts])

    def after(self, codes_NK: Tensor) -> Tensor:
        split = codes_NK.split([len(part.first) for part in self.parts])
        return torch.cat([part.after(own) for part, own in zip(self.parts, split, strict=True)])


def as_cells(prediction: Prediction) -> Cells:
    return OneCodebook(prediction) if isinstance(prediction, Tensor) else prediction


def together(parts: Sequence[Prediction]) -> Prediction:
    """Predictions of several images as that of a batch; each is computed by itself."""
    logits = [part for part in parts if isinstance(part, Tensor)]
    if len(logits) == len(parts):
        return torch.cat(logits)
    return CellsApart([as_cells(part) for part in parts])


def sample_codes(
    prediction: Prediction,
    uniform_N: Tensor,
    temperature: float,
    alike: Alike | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Tensor, Tensor]:
    """A code for each cell by inverting the distribution at `uniform_N`, and its confidence.

    Of several codebooks it is the joint code, told codebook by codebook: where `uniform_N` lies
    within the share of the one that was found is where the next one's distribution is inverted,
    and confidence is the product of theirs. At temperature 0 each is the likeliest after those
    before it.

    With `top_k` and `top_p` only the likeliest codes of a codebook are sampled: so many of them,
    and as many as it takes for their probabilities to reach so much, at the temperature of
    sampling.

    Confidence is the code's probability at temperature 1, whatever temperature it was sampled at
    and whatever was left out.
    A codebook spends many codes on what is common (a white background), and each of them is
    improbable though the appearance is certain: with `alike` the probabilities of codes that look
    the same are added, as far as they do.
    """
    cells = as_cells(prediction)
    confidences: list[Tensor] = []

    def choose(k: int, logits_NV: Tensor) -> Tensor:
        nonlocal uniform_N
        probabilities = logits_NV.float().softmax(-1)
        if temperature == 0:
            sampled = probabilities.argmax(-1)
        else:
            tempered = probabilities
            if temperature != 1:
                tempered = (logits_NV.float() / temperature).softmax(-1)
            tempered = likeliest(tempered, top_k, top_p)
            sampled, uniform_N = invert(tempered, uniform_N, last=k == cells.codebooks - 1)
        own = None if alike is None else of_book(alike, k, cells.size)
        confidences.append(confidence_in(sampled, probabilities, own))
        return sampled

    return choose_codes(cells, choose), reduce(torch.mul, confidences)


def invert(p_NV: Tensor, uniform_N: Tensor, last: bool) -> tuple[Tensor, Tensor]:
    """Codes whose share of the distribution holds `uniform_N`, and where in it that lies, 0..1.

    The latter is not computed where nothing is to come.
    """
    cumulated = running_sum(p_NV)
    target = uniform_N[:, None] * cumulated[:, -1:]
    target = target.clamp_min(torch.finfo(target.dtype).tiny)  # at 0 codes left out begin
    codes = torch.searchsorted(cumulated, target).clamp_max(p_NV.shape[-1] - 1)
    if last:
        return codes.squeeze(-1), uniform_N
    upper = cumulated.gather(-1, codes)
    lower = torch.where(codes > 0, cumulated.gather(-1, (codes - 1).clamp_min(0)), 0.0)
    within = (target - lower) / (upper - lower).clamp_min(torch.finfo(upper.dtype).tiny)
    return codes.squeeze(-1), within.squeeze(-1).clamp(0, 1)


def choose_codes(cells: Cells, choose: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Joint codes (N,) of cells, codebook by codebook: `choose` returns the k-th ones, 0..V-1.

    It is given k, and logits (N, V) after the codes that it has chosen before.
    """
    chosen: list[Tensor] = []
    for k in range(cells.codebooks):
        logits_NV = cells.after(torch.stack(chosen, dim=1)) if chosen else cells.first
        chosen.append(choose(k, logits_NV).to(logits_NV.device) + k * cells.size)
    return join_codes(torch.stack(chosen, dim=1), cells.size)


def logits_along(cells: Cells, codes_NK: Tensor) -> Iterator[Tensor]:
    """The logits (N, V) of each codebook after the codes before it, which are given."""
    for k in range(cells.codebooks):
        yield cells.after(codes_NK[:, :k]) if k else cells.first


def multinomial_codes(prediction: Prediction, generator: torch.Generator) -> Tensor:
    """A code for each cell, sampled at temperature 1 from a CPU generator, (N,) int64."""

    def choose(k: int, logits_NV: Tensor) -> Tensor:
        probabilities = logits_NV.detach().float().softmax(-1).cpu()
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)

    return choose_codes(as_cells(prediction), choose)


def confidence_of(prediction: Prediction, codes_N: Tensor, alike: Alike | None = None) -> Tensor:
    """How sure the model is of these codes, 0..1; see `sample_codes`."""
    cells = as_cells(prediction)
    codes_NK = split_codes(codes_N, cells.size, cells.codebooks)
    found: list[Tensor] = []
    for k, logits_NV in enumerate(logits_along(cells, codes_NK)):
        own = None if alike is None else of_book(alike, k, cells.size)
        codes = codes_NK[:, k] - k * cells.size
        found.append(confidence_in(codes, logits_NV.float().softmax(-1), own))
    return reduce(torch.mul, found)


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
