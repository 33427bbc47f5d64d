"""Vectors to codes and back, and the upkeep of a codebook while it is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc_base.training.processes import Engine, spread

DISTANCES = 2**27  # computed at a time, half a gigabyte of them, when the codes are placed


class VectorQuantizer(nn.Module):
    """Nearest-neighbour codebook; its only parameter is taming's `embedding.weight` (V, D)."""

    def __init__(self, n_embed: int, embed_dim: int, l2_norm: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_embed, embed_dim)
        self.l2_norm = l2_norm
        bound = 1.0 / n_embed
        nn.init.uniform_(self.embedding.weight, -bound, bound)

    def codebook(self) -> Tensor:
        """The vectors that codes stand for, (V, D); unit length when `l2_norm` is set."""
        weight = self.embedding.weight
        return F.normalize(weight, dim=-1) if self.l2_norm else weight

    def normalise(self, z_BDHW: Tensor) -> Tensor:
        """Put encoder output on the surface the codebook lives on."""
        return F.normalize(z_BDHW, dim=1) if self.l2_norm else z_BDHW

    def codes(self, z_BDHW: Tensor) -> Tensor:
        """Nearest code of every cell, (B, H, W) int64."""
        z_NC = self.normalise(z_BDHW).permute(0, 2, 3, 1).reshape(-1, z_BDHW.shape[1])
        nearest_N = nearest_codes(z_NC, self.codebook())
        return nearest_N.view(z_BDHW.shape[0], *z_BDHW.shape[2:])

    def vectors(self, codes_BHW: Tensor) -> Tensor:
        """Codebook vectors of codes, (B, D, H, W)."""
        return F.embedding(codes_BHW, self.codebook()).permute(0, 3, 1, 2).contiguous()

    def forward(self, z_BDHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise with a straight-through gradient.

        Returns quantised vectors (B, D, H, W), the commitment loss ||z - sg(z_q)||^2, and the
        codes (B, H, W). The codebook itself is moved by `CodebookUpdater`, not by a gradient.
        """
        z = self.normalise(z_BDHW)
        codes_BHW = self.codes(z_BDHW.detach())
        quantised = self.vectors(codes_BHW).detach()
        commitment = F.mse_loss(z, quantised)
        return z + (quantised - z).detach(), commitment, codes_BHW


def nearest_codes(z_ND: Tensor, codebook_VD: Tensor) -> Tensor:
    """Nearest codebook row of each vector, argmin_e ||z||^2 - 2 z.e + ||e||^2: (N,) int64."""
    distances_NV = (
        z_ND.square().sum(1, keepdim=True)
        + codebook_VD.square().sum(1)
        - 2 * z_ND @ codebook_VD.t()
    )
    return distances_NV.argmin(1)


class CodebookUpdater:
    """Keeps a codebook alive: k-means start, exponential moving averages, dead-code restart.

    The averages follow van den Oord et al. 2017 (appendix A.1) with Laplace smoothing; a code
    whose average count falls under `restart_below` is moved onto a vector of the current batch.
    With an `engine` the batch is that of all its processes, and all move alike.
    """

    def __init__(
        self,
        quantizer: VectorQuantizer,
        *,
        decay: float = 0.99,
        restart_below: float = 0.1,
        epsilon: float = 1e-5,
        engine: Engine | None = None,
    ) -> None:
        self.quantizer = quantizer
        self.engine = engine
        self.decay = decay
        self.restart_below = restart_below
        self.epsilon = epsilon
        weight = quantizer.embedding.weight.detach()
        self.counts_V = torch.ones(weight.shape[0], device=weight.device)
        self.sums_VD = weight.clone()

    @torch.no_grad()
    def initialise(self, z_ND: Tensor, generator: torch.Generator, iterations: int = 12) -> None:
        """Place the codes by k-means on encoder vectors (N, D).

        Raises:
            ValueError: N is less than the codebook's size.
        """
        size = self.counts_V.shape[0]
        if z_ND.shape[0] < size:
            raise ValueError(
                f"k-means start needs at least {size} vectors, got {z_ND.shape[0]}: "
                "give it more images or a smaller codebook"
            )
        picks = torch.randperm(z_ND.shape[0], generator=generator)
        centres_VD = z_ND[picks[:size]].clone()
        for _ in range(iterations):
            parts = z_ND.split(max(1, DISTANCES // size))
            nearest_N = torch.cat([nearest_codes(part, centres_VD) for part in parts])
            counts_V = torch.bincount(nearest_N, minlength=size).to(z_ND.dtype)
            sums_VD = torch.zeros_like(centres_VD).index_add_(0, nearest_N, z_ND)
            alive = counts_V > 0
            centres_VD[alive] = sums_VD[alive] / counts_V[alive, None]
            dead = int((~alive).sum())
            if dead:
                refill = torch.randint(z_ND.shape[0], (dead,), generator=generator)
                centres_VD[~alive] = z_ND[refill]
        self.place(centres_VD)
        self.counts_V.fill_(1.0)
        self.sums_VD.copy_(centres_VD)

    @torch.no_grad()
    def update(self, z_BDHW: Tensor, codes_BHW: Tensor, generator: torch.Generator) -> int:
        """Move the codes towards the vectors they were given. Returns how many were restarted."""
        z_ND = self.quantizer.normalise(z_BDHW).permute(0, 2, 3, 1).reshape(-1, z_BDHW.shape[1])
        codes_N = codes_BHW.reshape(-1)
        size = self.counts_V.shape[0]
        counts_V = torch.bincount(codes_N, minlength=size).to(z_ND.dtype)
        sums_VD = torch.zeros_like(self.sums_VD).index_add_(0, codes_N, z_ND)
        if self.engine is not None:
            self.engine.sum(counts_V)
            self.engine.sum(sums_VD)
        self.counts_V.lerp_(counts_V, 1 - self.decay)
        self.sums_VD.lerp_(sums_VD, 1 - self.decay)
        dead_V = self.counts_V < self.restart_below
        restarted = int(dead_V.sum())
        if restarted:
            self.sums_VD[dead_V] = self.draw(z_ND, restarted, generator)
            self.counts_V[dead_V] = 1.0
        total = self.counts_V.sum()
        smoothed_V = (self.counts_V + self.epsilon) / (total + size * self.epsilon) * total
        self.place(self.sums_VD / smoothed_V[:, None])
        return restarted

    def draw(self, z_ND: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` of the batch's vectors, of all processes' together (N is one's own)."""
        own, rank, processes = z_ND.shape[0], 0, 1
        if self.engine is not None:
            rank, processes = self.engine.ranks.rank, self.engine.ranks.count
        picks = torch.randint(own * processes, (count,), generator=generator)
        if processes == 1:
            return z_ND[picks]
        drawn = z_ND.new_zeros(count, z_ND.shape[1])
        mine = picks // own == rank
        drawn[mine] = z_ND[picks[mine] % own]
        assert self.engine is not None
        return self.engine.sum(drawn)

    def place(self, centres_VD: Tensor) -> None:
        """Put the codes where they belong."""
        weight = self.quantizer.embedding.weight
        weight.copy_(spread(centres_VD, weight))

    def state_dict(self) -> dict[str, Tensor]:
        return {"counts_V": self.counts_V, "sums_VD": self.sums_VD}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.counts_V.copy_(state["counts_V"])
        self.sums_VD.copy_(state["sums_VD"])


def code_neighbours(
    codebook_VD: Tensor, count: int = 16, width: float = 0.5
) -> tuple[Tensor, Tensor]:
    """For every code the `count` nearest ones, itself first, and how like it they are.

    Returns indices and weights, (V, count) each. A weight is a Gaussian of the distance, `width`
    times the median distance between nearest codes wide; a row sums to 1. A codebook packs many
    codes where data is dense (a white background, say), and those are nearly the same.
    """
    count = min(count, codebook_VD.shape[0])
    distances_VV = torch.cdist(codebook_VD, codebook_VD).fill_diagonal_(0)
    nearest_VK, indices_VK = distances_VV.topk(count, largest=False)
    if count == 1:
        return indices_VK, torch.ones_like(nearest_VK)
    scale = width * nearest_VK[:, 1].median().clamp_min(1e-12)
    return indices_VK, (-0.5 * (nearest_VK / scale).square()).softmax(-1)


def codebook_usage(counts_V: Tensor) -> tuple[int, float]:
    """How many codes appear at least once, and exp(entropy) of their frequencies (perplexity)."""
    share_V = counts_V.double() / counts_V.sum().clamp_min(1)
    entropy = -(share_V * share_V.clamp_min(1e-12).log()).sum()
    return int((counts_V > 0).sum()), float(entropy.exp())
