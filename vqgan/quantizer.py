"""Vectors to codes and back, and the upkeep of a codebook while it is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ufc_base.training.processes import Engine, spread

DISTANCES = 2**27  # computed at a time, half a gigabyte of them, when the codes are placed
NEIGHBOURS = 2**22  # the same when codes are compared with each other, 16 MiB


class VectorQuantizer(nn.Module):
    """Nearest-neighbour codebook; its only parameter is taming's `embedding.weight` (V, D).

    With several `codebooks` (product quantisation) a cell's vector is cut into as many parts, each
    with a codebook of its own: the weight holds them one after another, (codebooks V, D /
    codebooks), and codes count through them, so a cell's k-th code lies in k V .. (k + 1) V - 1.
    """

    def __init__(
        self, n_embed: int, embed_dim: int, l2_norm: bool = False, codebooks: int = 1
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebooks * n_embed, embed_dim // codebooks)
        self.l2_norm = l2_norm
        self.codebooks = codebooks
        bound = 1.0 / n_embed
        nn.init.uniform_(self.embedding.weight, -bound, bound)

    def codebook(self) -> Tensor:
        """The vectors that codes stand for, (V, D); unit length when `l2_norm` is set."""
        weight = self.embedding.weight
        return F.normalize(weight, dim=-1) if self.l2_norm else weight

    def books(self) -> Tensor:
        """The same by codebook, (codebooks, V, D / codebooks)."""
        return self.codebook().unflatten(0, (self.codebooks, -1))

    def normalise(self, z_BDHW: Tensor) -> Tensor:
        """Put encoder output on the surface the codebook lives on."""
        return F.normalize(z_BDHW, dim=1) if self.l2_norm else z_BDHW

    def parts(self, z_BDHW: Tensor) -> Tensor:
        """Vectors to compare with a codebook, (codebooks, N, D / codebooks) of N cells."""
        z_BDHW = self.normalise(z_BDHW)
        return rearrange(z_BDHW, "b (k d) h w -> k (b h w) d", k=self.codebooks)

    def codes(self, z_BDHW: Tensor) -> Tensor:
        """Nearest code of every cell, (B, H, W) int64, or (B, H, W, codebooks) of several."""
        with torch.autocast(z_BDHW.device.type, enabled=False):  # distances want all their digits
            parts_KND = self.parts(z_BDHW.float())
            books = self.codebook().float().chunk(self.codebooks)
            nearest = [nearest_codes(z, book) for z, book in zip(parts_KND, books, strict=True)]
        size = len(books[0])
        codes_NK = torch.stack([codes + k * size for k, codes in enumerate(nearest)], dim=-1)
        codes_BHWK = codes_NK.view(z_BDHW.shape[0], *z_BDHW.shape[2:], self.codebooks)
        return codes_BHWK.squeeze(-1) if self.codebooks == 1 else codes_BHWK

    def vectors(self, codes_BHW: Tensor) -> Tensor:
        """Codebook vectors of codes, (B, D, H, W)."""
        vectors = F.embedding(codes_BHW, self.codebook())
        return (
            (vectors if self.codebooks == 1 else vectors.flatten(-2))
            .permute(0, 3, 1, 2)
            .contiguous()
        )

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


def join_codes(codes: Tensor, size: int) -> Tensor:
    """One number for all codes of a cell, (..., codebooks) to (...): its digits in base V = `size`.

    It is in 0 .. V ** codebooks - 1, with the first codebook's digit in front; the codes count
    through the codebooks, as those of `VectorQuantizer` do.
    """
    joint = codes[..., 0]
    for k in range(1, codes.shape[-1]):
        joint = joint * size + (codes[..., k] - k * size)
    return joint


def split_codes(joint: Tensor, size: int, codebooks: int) -> Tensor:
    """The codes of every cell, (..., codebooks), which count through them: `join_codes` undone."""
    digits = [joint // size ** (codebooks - 1 - k) % size + k * size for k in range(codebooks)]
    return torch.stack(digits, dim=-1)


def name_codes(codebooks: int, size: int) -> str:
    """How many codes there are, in words: "4096", or "2 x 4096"."""
    return str(size) if codebooks == 1 else f"{codebooks} x {size}"


def nearest_codes(z_ND: Tensor, codebook_VD: Tensor) -> Tensor:
    """Nearest codebook row of each vector, argmin_e ||z||^2 - 2 z.e + ||e||^2: (N,) int64."""
    distances_NV = (
        z_ND.square().sum(1, keepdim=True)
        + codebook_VD.square().sum(1)
        - 2 * z_ND @ codebook_VD.t()
    )
    return distances_NV.argmin(1)


def k_means(z_ND: Tensor, size: int, generator: torch.Generator, iterations: int) -> Tensor:
    """Centres of `size` clusters of the vectors, (size, D); empty ones start anew on a vector."""
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
    return centres_VD


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
    def initialise(self, z_BDHW: Tensor, generator: torch.Generator, iterations: int = 12) -> None:
        """Place the codes by k-means on encoder output (B, D, H, W), each codebook by itself.

        Raises:
            ValueError: there are fewer cells than codes.
        """
        parts_KND = self.quantizer.parts(z_BDHW)
        size = self.counts_V.shape[0] // len(parts_KND)
        if parts_KND.shape[1] < size:
            raise ValueError(
                f"k-means start needs at least {size} vectors, got {parts_KND.shape[1]}: "
                "give it more images or a smaller codebook"
            )
        centres_VD = torch.cat([k_means(z, size, generator, iterations) for z in parts_KND])
        self.place(centres_VD)
        self.counts_V.fill_(1.0)
        self.sums_VD.copy_(centres_VD)

    @torch.no_grad()
    def update(self, z_BDHW: Tensor, codes_BHW: Tensor, generator: torch.Generator) -> int:
        """Move the codes towards the vectors they were given. Returns how many were restarted."""
        parts_KND = self.quantizer.parts(z_BDHW)
        codes_KN = codes_BHW.reshape(-1, len(parts_KND)).t()
        size = self.counts_V.shape[0]
        counts_V = torch.bincount(codes_KN.flatten(), minlength=size).to(parts_KND.dtype)
        sums_VD = torch.zeros_like(self.sums_VD)
        sums_VD.index_add_(0, codes_KN.flatten(), parts_KND.flatten(0, 1))
        if self.engine is not None:
            self.engine.sum(counts_V)
            self.engine.sum(sums_VD)
        self.counts_V.lerp_(counts_V, 1 - self.decay)
        self.sums_VD.lerp_(sums_VD, 1 - self.decay)
        dead_KV = (self.counts_V < self.restart_below).view(len(parts_KND), -1)
        sums = self.sums_VD.view(*dead_KV.shape, -1)
        for z_ND, dead_V, sums_of_book in zip(parts_KND, dead_KV, sums, strict=True):
            if dead_V.any():
                sums_of_book[dead_V] = self.sample_vectors(z_ND, int(dead_V.sum()), generator)
        self.counts_V[dead_KV.flatten()] = 1.0
        total = self.counts_V.sum()
        smoothed_V = (self.counts_V + self.epsilon) / (total + size * self.epsilon) * total
        self.place(self.sums_VD / smoothed_V[:, None])
        return int(dead_KV.sum())

    def sample_vectors(self, z_ND: Tensor, count: int, generator: torch.Generator) -> Tensor:
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
    size = codebook_VD.shape[0]
    count = min(count, size)
    found = []
    for rows in torch.arange(size, device=codebook_VD.device).split(max(1, NEIGHBOURS // size)):
        distances_NV = torch.cdist(codebook_VD[rows], codebook_VD)
        distances_NV[torch.arange(len(rows)), rows] = 0  # itself first, whatever the rounding
        found.append(distances_NV.topk(count, largest=False))
    nearest_VK = torch.cat([part.values for part in found])
    indices_VK = torch.cat([part.indices for part in found])
    if count == 1:
        return indices_VK, torch.ones_like(nearest_VK)
    scale = width * nearest_VK[:, 1].median().clamp_min(1e-12)
    return indices_VK, (-0.5 * (nearest_VK / scale).square()).softmax(-1)


def neighbours_by_book(
    books_KVD: Tensor, count: int = 16, width: float = 0.5
) -> tuple[Tensor, Tensor]:
    """`code_neighbours` within each codebook, one after another, (codebooks V, count) each.

    Indices count within their codebook, 0 .. V - 1.
    """
    found = [code_neighbours(book_VD, count, width) for book_VD in books_KVD]
    indices, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return indices, weights


def of_book(of_codes: tuple[Tensor, Tensor], k: int, size: int) -> tuple[Tensor, Tensor]:
    """The rows of codebook `k` in what is kept for the codes of all, (V, n) each."""
    indices, weights = (part[k * size : (k + 1) * size] for part in of_codes)
    return indices, weights


def codebook_usage(counts_V: Tensor) -> tuple[int, float]:
    """How many codes appear at least once, and exp(entropy) of their frequencies (perplexity)."""
    share_V = counts_V.double() / counts_V.sum().clamp_min(1)
    entropy = -(share_V * share_V.clamp_min(1e-12).log()).sum()
    return int((counts_V > 0).sum()), float(entropy.exp())
