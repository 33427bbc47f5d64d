"""Ids and target cells as vectors: the transformer's input.

A code's embedding is a row of its own plus what its look says; a cell with codes of several
codebooks is the sum of theirs. Of whole grids the cells' places are told as well.

Shapes: B batch, T target cells, S target cells and score tokens, D width, V codes of all codebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc.conditioning.sequence import SEGMENT_SCORE, SEGMENT_TARGET, SEGMENTS
from ufc.model.attention import rotary_table
from ufc_base.computing.inference import Derived

if TYPE_CHECKING:
    from ufc.model.transformer import UFCConfig

CAUSAL_MARKS = ("start", "next code")  # in the place of the first cell's input; added to all
PLACE_FEATURES = 16
LOOK_WIDTH = 64
MOST_PLACES = 32  # grids whose places are kept, with and without score tokens


class Embedding(nn.Module):
    """The transformer's input layer, which is its base: weights keep the names they have had."""

    causal_marks: nn.Embedding  # of an autoregressive model; made behind all else

    def __init__(self, config: UFCConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.embedding = nn.Embedding(self.vocabulary.rows, config.width)
        self.segment = nn.Embedding(SEGMENTS, config.width)
        self.place = nn.Linear(PLACE_FEATURES, config.width)
        self.looks: Tensor
        codes = config.codebooks * config.codebook_size
        self.register_buffer("looks", torch.zeros(codes, config.code_width))
        self.look = nn.Sequential(
            nn.Linear(config.code_width, LOOK_WIDTH),
            nn.SiLU(),
            nn.Linear(LOOK_WIDTH, config.width),
        )
        self.derived = Derived()

    @staticmethod
    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    @torch.no_grad()
    def know_codebook(self, codebook_VD: Tensor) -> None:
        """Tell what the codes look like, so that what is learnt of one serves those like it.

        Several codebooks stand one after another, (V, D / codebooks). Their vectors are of
        different parts of a cell's, so each codebook has columns of its own in the looks.
        """
        books = codebook_VD.chunk(self.config.codebooks)
        self.looks.copy_(torch.block_diag(*(standardised(book) for book in books)))

    def keep(
        self,
        key: Any,
        weights: Sequence[Tensor],
        make: Callable[[], Any],
        most: int | None = None,
    ) -> Any:
        """What `make` returns, computed once while nothing is learnt and `weights` stay the same.

        Under autocast it is computed anew, since its precision is of the moment. `most` is as
        `Derived.get` has it.
        """
        device = self.embedding.weight.device.type
        if self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(device):
            return make()
        return self.derived.get(key, weights, make, most)

    def train(self, mode: bool = True) -> Self:
        self.derived.forget()  # its memory is wanted elsewhere
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.derived.forget()
        return super()._apply(fn, recurse)

    def code_rows(self) -> Tensor:
        """Embeddings of the codes, (V, D): a row of its own each, and what its look says.

        They also are the output layer.
        """

        def make() -> Tensor:
            own = self.embedding.weight[self.vocabulary.code_rows]
            return own + self.look(self.looks)

        sources = [self.embedding.weight, self.looks, *self.look.parameters()]
        return self.keep("code rows", sources, make)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of any ids of the vocabulary, (..., D)."""
        several = self.config.codebooks > 1

        def make() -> Tensor:
            codes, weight = self.vocabulary.code_rows, self.embedding.weight
            rows = torch.cat([weight[: codes.start], self.code_rows(), weight[codes.stop :]])
            return F.pad(rows, (0, 0, 0, 1)) if several else rows

        sources = [self.embedding.weight, self.looks, *self.look.parameters()]
        rows = self.keep("all rows", sources, make)
        if several:
            return F.embedding(self.vocabulary.rows_of(ids), rows).sum(-2)
        return F.embedding(ids, rows)

    def embed_target(
        self, codes_BT: Tensor, scores: bool, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Embedded grid between the score tokens, (B, S, D), and its rotary table."""
        check_grid(codes_BT, grid)
        around_SD, table = self.kept_places(grid, scores)
        x_BSD = self.embed(codes_BT + self.vocabulary.code_base)
        if not scores:
            return x_BSD + around_SD, table
        x_BSD = x_BSD + around_SD[1:-1]
        rel, fdl = (around_SD[at].expand(x_BSD.shape[0], 1, -1) for at in (0, -1))
        return torch.cat([rel, x_BSD, fdl], dim=1), table

    def embed_causal(
        self, codes_BT: Tensor, cells: range, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Some cells of a grid, each with the code before it, (B, n, D), and their rotary table."""
        self.check_autoregressive()
        check_grid(codes_BT, grid)
        start_D, next_D = self.causal_marks.weight
        before = codes_BT[:, max(0, cells.start - 1) : cells.stop - 1]
        x_BnD = self.embed(before + self.vocabulary.code_base)
        if cells.start == 0:
            x_BnD = torch.cat([start_D.expand(len(codes_BT), 1, -1), x_BnD], dim=1)
        around_SD, table = self.kept_places(grid, False)
        at = slice(cells.start, cells.stop)
        return x_BnD + (around_SD[at] + next_D), table[:, at]

    def check_autoregressive(self) -> None:
        """Raise `ValueError` where the model has not learnt to tell codes one by one."""
        if not self.config.autoregressive:
            raise ValueError(
                "this model does not generate autoregressively: choose another order, or train it "
                "with the objective, `objectives: [autoregressive=0.3]` in its recipe (with "
                "--init-from, from this one)"
            )

    def kept_places(self, grid: tuple[int, int], scores: bool) -> tuple[Tensor, Tensor]:
        """`places`, computed once for a grid: a server is asked for any number of them."""
        weights = [self.embedding.weight, self.segment.weight, *self.place.parameters()]
        made: tuple[Tensor, Tensor] = self.keep(
            ("places", grid, scores), weights, lambda: self.places(grid, scores), MOST_PLACES
        )
        return made

    def places(self, grid: tuple[int, int], scores: bool) -> tuple[Tensor, Tensor]:
        """What every grid of a size has in common: segment and place (S, D), rotary table."""
        config, vocabulary, device = self.config, self.vocabulary, self.embedding.weight.device
        place = torch.arange(grid[0] * grid[1], device=device)
        rows, cols = place // grid[1], place % grid[1]
        # Rotary positions are relative: among nothing but masks, only this tells a cell its place.
        features = place_features(rows, cols, grid).to(self.embedding.weight.dtype)
        around_SD = self.segment.weight[SEGMENT_TARGET] + self.place(features)
        if scores:
            marks = [vocabulary.row(vocabulary.rel), vocabulary.row(vocabulary.fdl)]
            of_scores = self.embedding.weight[marks] + self.segment.weight[SEGMENT_SCORE]
            rel, fdl = of_scores.split(1)
            around_SD = torch.cat([rel, around_SD, fdl])
            rows, cols = F.pad(rows, (1, 1)), F.pad(cols, (1, 1))
        table = rotary_table(rows, cols, config.width // config.heads, config.rope_base)
        return around_SD, table[:, :, None, None].to(around_SD.dtype)


def standardised(book_VD: Tensor) -> Tensor:
    """Vectors of a codebook with mean 0 and spread 1 in each column."""
    return (book_VD - book_VD.mean(0)) / book_VD.std(0).clamp_min(1e-6)


def check_grid(codes_BT: Tensor, grid: tuple[int, int]) -> None:
    """Raise `ValueError` where a grid of (rows, columns) has not as many cells as there are."""
    rows, columns = grid
    if rows * columns != codes_BT.shape[1]:
        raise ValueError(
            f"got {codes_BT.shape[1]} cells for a grid of {rows} x {columns}: say which grid"
        )


def place_features(rows_T: Tensor, cols_T: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where a cell lies in the whole picture, on any grid: sines and cosines, (T, 16)."""
    centres_T2 = torch.stack([(rows_T + 0.5) / grid[0], (cols_T + 0.5) / grid[1]], dim=-1)
    octaves = torch.pi * 2.0 ** torch.arange(PLACE_FEATURES // 4, device=rows_T.device)
    angles = (centres_T2[..., None] * octaves).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
