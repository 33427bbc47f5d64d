"""The bidirectional transformer over control and image tokens.

    [REL] [FDL] | text ids | reference codes [SEP] ... | target grid

Who sees whom:
  controls  see controls only (`control_attention="prefix"`), so their keys and values are
            computed once a request, or everything (`"full"`, as in the paper);
  target    sees controls and target;
  [REL]     sees controls, target and itself: does the picture obey its controls?
  [FDL]     sees target and itself: does the picture look real?
Nothing but themselves looks at [REL] and [FDL], so a pass that only predicts leaves them out.

Blocks in the manner of Qwen: RMSNorm, rotary positions, SwiGLU, biases on QKV only; QK-norm.

Shapes: B batch, C control tokens, T target cells, S target cells and score tokens, N heads,
D width, V codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc.attention import attend, rotary_table, rotate
from ufc.controls import SEGMENT_SCORE, SEGMENT_TARGET, SEGMENTS, Controls, Vocabulary
from vqgan.checkpoint import CheckpointError, load_module, save_module


@dataclass(frozen=True)
class UFCConfig:
    """Sizes of the transformer."""

    codes: int = 2048
    code_width: int = 8
    text_vocabulary: int = 2000
    grid: int = 8
    width: int = 256
    depth: int = 8
    heads: int = 4
    feed_forward: int = 704
    dropout: float = 0.0
    rope_base: float = 100.0
    control_attention: str = "prefix"

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(
                f"width {self.width} over {self.heads} heads must give a multiple of 4 per head"
            )
        if self.control_attention not in ("prefix", "full"):
            raise ValueError(
                f"control_attention is {self.control_attention!r}, wanted 'prefix' or 'full'"
            )

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.text_vocabulary, self.codes)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UFCConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(
                f"transformer config has unknown keys {unknown}; known are {sorted(known)}"
            )
        return cls(**values)


KeysValues = tuple[Tensor, Tensor]

PLACE_FEATURES = 16
LOOK_WIDTH = 64


@dataclass(frozen=True)
class Prefix:
    """Controls ready to be looked at by any number of target passes.

    `layers` holds a (keys, values) pair of shape (B, N, C, D / N) for every block; in full
    attention it is empty and the embedded controls are run along with each target.
    """

    layers: list[KeysValues]
    embedded_BCD: Tensor
    table: Tensor
    weight_BC: Tensor | None
    hidden_BCD: Tensor | None = None

    def take(self, index_M: Tensor) -> Prefix:
        """The prefixes of the given batch rows, in order (rows may repeat)."""
        return Prefix(
            [(k[index_M], v[index_M]) for k, v in self.layers],
            self.embedded_BCD[index_M],
            self.table[:, index_M],
            None if self.weight_BC is None else self.weight_BC[index_M],
        )


@dataclass(frozen=True)
class Hidden:
    """Final hidden states: target (B, T, D) and, if asked for, [REL] and [FDL] (B, D)."""

    target: Tensor
    rel: Tensor | None = None
    fdl: Tensor | None = None


class Block(nn.Module):
    """Attention and SwiGLU, each behind an RMSNorm and around a skip connection."""

    def __init__(self, config: UFCConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_width = config.width // config.heads
        self.norm1 = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.q_norm = nn.RMSNorm(self.head_width)
        self.k_norm = nn.RMSNorm(self.head_width)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.norm2 = nn.RMSNorm(config.width)
        self.gate_up = nn.Linear(config.width, 2 * config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)
        self.dropout = config.dropout

    def forward(
        self,
        x_BSD: Tensor,
        table: Tensor,
        mask: Tensor | None,
        past: KeysValues | None,
        backend: str,
    ) -> tuple[Tensor, KeysValues]:
        """New hidden states, and this block's own keys and values."""
        batch, length, width = x_BSD.shape
        qkv = self.qkv(self.norm1(x_BSD)).view(batch, length, 3, self.heads, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = rotate(self.q_norm(q), table), rotate(self.k_norm(k), table)
        own = (k, v)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mixed = attend(q, k, v, mask, backend).transpose(1, 2).reshape(batch, length, width)
        x_BSD = x_BSD + F.dropout(self.out(mixed), self.dropout, self.training)
        gate, up = self.gate_up(self.norm2(x_BSD)).chunk(2, dim=-1)
        fed = self.down(F.silu(gate) * up)
        return x_BSD + F.dropout(fed, self.dropout, self.training), own


class UFCTransformer(nn.Module):
    """M6-UFC's second stage (Zhang et al. 2021): heads for codes, text, [REL] and [FDL]."""

    def __init__(self, config: UFCConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.backend = "sdpa"
        self.embedding = nn.Embedding(self.vocabulary.size, config.width)
        self.segment = nn.Embedding(SEGMENTS, config.width)
        self.place = nn.Linear(PLACE_FEATURES, config.width)
        self.looks: Tensor
        self.register_buffer("looks", torch.zeros(config.codes, config.code_width))
        self.look = nn.Sequential(
            nn.Linear(config.code_width, LOOK_WIDTH),
            nn.SiLU(),
            nn.Linear(LOOK_WIDTH, config.width),
        )
        self.rows: Tensor | None = None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width)
        self.code_bias = nn.Parameter(torch.zeros(config.codes))
        self.text_bias = nn.Parameter(torch.zeros(config.text_vocabulary))
        self.rel_head = score_head(config.width)
        self.fdl_head = score_head(config.width)
        self.apply(self.initialise)
        nn.init.normal_(cast(nn.Linear, self.look[0]).weight, std=config.code_width**-0.5)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * config.depth) ** 0.5)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    @torch.no_grad()
    def know_codebook(self, codebook_VD: Tensor) -> None:
        """Tell what the codes look like, so that what is learnt of one serves those like it."""
        spread = codebook_VD.std(0).clamp_min(1e-6)
        self.looks.copy_((codebook_VD - codebook_VD.mean(0)) / spread)

    def code_rows(self) -> Tensor:
        """Embeddings of the codes, (V, D): a row of its own each, and what its look says.

        They also are the output layer. Kept while nothing can change them.
        """
        if self.rows is not None and not torch.is_grad_enabled():
            return self.rows
        own = self.embedding.weight[self.vocabulary.code_base : self.vocabulary.code_mask]
        rows = own + self.look(self.looks)
        if not self.training and not torch.is_grad_enabled():
            self.rows = rows
        return rows

    def train(self, mode: bool = True) -> UFCTransformer:
        self.rows = None
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> UFCTransformer:
        self.rows = None
        return super()._apply(fn, recurse)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of any ids of the vocabulary, (..., D)."""
        base, mask = self.vocabulary.code_base, self.vocabulary.code_mask
        is_code = (ids >= base) & (ids < mask)
        of_codes = F.embedding((ids - base).clamp(0, self.config.codes - 1), self.code_rows())
        return torch.where(is_code[..., None], of_codes, self.embedding(ids))

    def encode_controls(self, controls: Controls) -> Prefix:
        """Run the controls by themselves; the result serves every step, candidate and score."""
        config = self.config
        table = rotary_table(
            controls.rows, controls.cols, config.width // config.heads, config.rope_base
        )[:, :, None]
        x_BCD = self.embed(controls.ids) + self.segment(controls.segments)
        weight_BC = None if bool((controls.weight == 1).all()) else controls.weight
        if config.control_attention == "full" or controls.length == 0:
            return Prefix([], x_BCD, table, weight_BC)
        mask = None if weight_BC is None else controls_mask(weight_BC, x_BCD.dtype)
        embedded, layers = x_BCD, []
        for block in self.blocks:
            x_BCD, own = block(x_BCD, table, mask, None, self.backend)
            layers.append(own)
        return Prefix(layers, embedded, table, weight_BC, self.norm(x_BCD))

    def forward(self, codes_BT: Tensor, prefix: Prefix | None, scores: bool = False) -> Hidden:
        """Hidden states of a target grid under its controls.

        `codes_BT` is the row-major grid, with V for a masked cell. The grid is square unless it
        has another size than the config's, in which case its side is the square root of T.
        With `scores`, [REL] and [FDL] are run along.
        """
        x_BSD, table = self.embed_target(codes_BT, scores)
        control_tokens = 0 if prefix is None else prefix.embedded_BCD.shape[1]
        if prefix is not None and not prefix.layers and control_tokens:
            hidden = self.run_full(x_BSD, table, prefix, codes_BT.shape[1], scores)
        else:
            weight_BC = prefix.weight_BC if prefix is not None and control_tokens else None
            mask = target_mask(x_BSD, control_tokens, weight_BC, codes_BT.shape[1], scores)
            layers = prefix.layers if prefix is not None and prefix.layers else None
            for number, block in enumerate(self.blocks):
                past = None if layers is None else layers[number]
                x_BSD, _ = block(x_BSD, table, mask, past, self.backend)
            hidden = self.norm(x_BSD)
        if not scores:
            return Hidden(hidden)
        return Hidden(hidden[:, :-2], hidden[:, -2], hidden[:, -1])

    def run_full(
        self, x_BSD: Tensor, table: Tensor, prefix: Prefix, cells: int, scores: bool
    ) -> Tensor:
        """One pass over controls and target together (the paper's attention)."""
        controls = prefix.embedded_BCD.shape[1]
        rows = target_mask(x_BSD, controls, prefix.weight_BC, cells, scores)
        if rows is not None:
            # A control token sees what a target cell sees: everything but [REL] and [FDL].
            of_controls = rows[:, :, :1].expand(-1, -1, controls, -1)
            rows = torch.cat([of_controls, rows], dim=2)
        x = torch.cat([prefix.embedded_BCD, x_BSD], dim=1)
        wide = table[:, None, None].expand(-1, x.shape[0], 1, -1, -1)
        table = torch.cat([prefix.table, wide], dim=3)
        for block in self.blocks:
            x, _ = block(x, table, rows, None, self.backend)
        return self.norm(x)[:, controls:]

    def embed_target(self, codes_BT: Tensor, scores: bool) -> tuple[Tensor, Tensor]:
        """Embedded grid with the score tokens behind it, (B, S, D), and its rotary table."""
        config, vocabulary, device = self.config, self.vocabulary, codes_BT.device
        cells = codes_BT.shape[1]
        side = config.grid if cells == config.grid**2 else round(cells**0.5)
        place = torch.arange(cells, device=device)
        ids, rows, cols = codes_BT + vocabulary.code_base, place // side, place % side
        segments = torch.full_like(place, SEGMENT_TARGET)
        if scores:
            marks = torch.tensor([vocabulary.rel, vocabulary.fdl], device=device)
            ids = torch.cat([ids, marks.expand(ids.shape[0], 2)], dim=1)
            segments = F.pad(segments, (0, 2), value=SEGMENT_SCORE)
            rows, cols = F.pad(rows, (0, 2)), F.pad(cols, (0, 2))
        table = rotary_table(rows, cols, config.width // config.heads, config.rope_base)
        x_BSD = self.embed(ids) + self.segment(segments)
        # Rotary positions are relative: among nothing but masks, only this tells a cell its place.
        features = place_features(place // side, place % side, side).to(x_BSD.dtype)
        x_BSD[:, :cells] += self.place(features)
        return x_BSD, table

    def code_logits(self, hidden_MD: Tensor) -> Tensor:
        """Logits over the V codes for the cells that ask, (M, V)."""
        return F.linear(hidden_MD, self.code_rows(), self.code_bias)

    def text_logits(self, hidden_MD: Tensor) -> Tensor:
        """Logits over text ids, (M, text_vocabulary)."""
        rows = self.embedding.weight[: self.vocabulary.text]
        return F.linear(hidden_MD, rows, self.text_bias)

    def score_logits(self, hidden: Hidden) -> tuple[Tensor, Tensor]:
        """Compliance and fidelity before the sigmoid, (B,) each."""
        if hidden.rel is None or hidden.fdl is None:
            raise ValueError("no [REL] and [FDL] states here: run the pass with scores=True")
        return self.rel_head(hidden.rel).squeeze(-1), self.fdl_head(hidden.fdl).squeeze(-1)

    def save_pretrained(
        self, folder: str | PathLike[str], dtype: torch.dtype | None = None
    ) -> None:
        """Write `config.json` and `model.safetensors` (cast to `dtype` if given)."""
        save_module(self, self.config.to_dict(), folder, dtype=dtype)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str]) -> UFCTransformer:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        return load_module(folder, lambda values: cls(UFCConfig.from_dict(values))).eval()


def place_features(rows_T: Tensor, cols_T: Tensor, side: int) -> Tensor:
    """Where a cell lies in the whole picture, on any grid: sines and cosines, (T, 16)."""
    centres_T2 = (torch.stack([rows_T, cols_T], dim=-1) + 0.5) / side
    octaves = torch.pi * 2.0 ** torch.arange(PLACE_FEATURES // 4, device=rows_T.device)
    angles = (centres_T2[..., None] * octaves).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def score_head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))


def controls_mask(weight_BC: Tensor, dtype: torch.dtype) -> Tensor:
    """Controls see controls, (B, 1, C, C); padding sees itself, so that no row is empty."""
    own = torch.eye(weight_BC.shape[1], dtype=torch.bool, device=weight_BC.device)
    seen = weight_BC[:, None, None, :] > 0
    return weigh(seen | own, torch.where(seen, weight_BC[:, None, None, :], 1), dtype)


def target_mask(
    x_BSD: Tensor, controls: int, weight_BC: Tensor | None, cells: int, scores: bool
) -> Tensor | None:
    """Who among target cells, [REL] and [FDL] sees which keys: (1 or B, 1, S, C + S), or None."""
    if weight_BC is None and not scores:
        return None
    length = x_BSD.shape[1]
    seen = torch.ones(length, controls + length, dtype=torch.bool, device=x_BSD.device)
    if scores:
        seen[:, controls + cells :] = False
        seen[-2, -2] = seen[-1, -1] = True
        seen[-1, :controls] = False
    if weight_BC is None:
        return seen[None, None]
    weight = F.pad(weight_BC, (0, length), value=1.0)[:, None, None, :]
    return weigh(seen[None, None] & (weight > 0), weight, x_BSD.dtype)


def weigh(seen: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask, or, where some weight is neither 0 nor 1, its logarithm as a bias."""
    if bool(((weight == 0) | (weight == 1)).all()):
        return seen
    return torch.where(seen, weight.log(), -torch.inf).to(dtype)
