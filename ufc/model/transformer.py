"""The bidirectional transformer over control and image tokens.

    [REL] [FDL] | text ids | reference codes [SEP] ... | target grid

Who sees whom:
  controls  see controls only (`control_attention="prefix"`), so their keys and values are
            computed once a request, or everything (`"full"`, as in the paper);
  target    sees controls and target;
  [REL]     sees controls, target and itself: does the picture obey its controls?
  [FDL]     sees target and itself: does the picture look real?
Nothing but themselves looks at [REL] and [FDL], so a pass that only predicts leaves them out, and
one that scores lays the sequence out as

    [REL] | controls | target grid | [FDL]

where everybody's keys lie side by side: nobody needs a mask.

A model with `autoregressive` has a second way to generate, M6's: a causal pass (`forward(...,
causal=True)`), in which cell t is given the code of cell t-1 with its own place and tells its own
code. It sees the controls and the cells before it (`causal.py`).

Blocks in the manner of Qwen: RMSNorm, rotary positions, SwiGLU, biases on QKV only; QK-norm.

Shapes: B batch, C control tokens, T target cells, S target cells and score tokens, N heads,
D width, V codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimators.registry import find_estimators
from ufc.conditioning.sequence import Controls, Vocabulary, check_codebooks
from ufc.model.attention import rotary_table
from ufc.model.blocks.block import Block
from ufc.model.blocks.compiled_block import CompiledBlock
from ufc.model.blocks.fused_block import Lean, is_lean, make_lean
from ufc.model.causal import CausalCache
from ufc.model.code_head import CodeStates, Link, make_links
from ufc.model.embedding import CAUSAL_MARKS, Embedding
from ufc.model.prefix_cache import Layout, Prefix, along, prefix_layout, see_itself
from ufc_base.checkpoint import CheckpointError, load_module, refuse_sizes, save_module
from ufc_base.computing.inference import is_plain


@dataclass(frozen=True)
class UFCConfig:
    """Sizes of the transformer."""

    codes: int = 2048  # that a cell may have: joint ones, of all its codebooks together
    code_width: int = 8
    text_vocabulary: int = 2000
    grid: int | tuple[int, int] = 8  # cells a side, or (rows, columns)
    width: int = 256
    depth: int = 8
    heads: int = 4
    feed_forward: int = 704
    dropout: float = 0.0
    rope_base: float = 100.0
    control_attention: str = "prefix"
    estimators: tuple[str, ...] = ("compliance", "fidelity")
    autoregressive: bool = False  # whether it also tells each code from those before it
    grounding: bool = False  # whether it also tells which blocks of a picture words are about
    ffn: str = "dense"  # or "moe": sparse experts, see `ufc.model.blocks.experts`
    experts: int = 4  # of a block, in all its prototypes
    prototypes: int = 1  # groups of experts; a token sees one expert of each
    capacity_factor: float = 1.25  # tokens that an expert takes in training, over its even share
    balance_weight: float = 0.0  # of the experts' balance loss
    codebooks: int = 1  # codes a cell; each of them is one of codes ** (1 / codebooks)

    def __post_init__(self) -> None:
        if not isinstance(self.grid, int):
            rows, columns = self.grid
            object.__setattr__(self, "grid", rows if rows == columns else (rows, columns))
        object.__setattr__(self, "estimators", tuple(self.estimators))
        refuse_sizes(self, codes=2**62, depth=4096, experts=2**16, codebooks=64, grid=4096)
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(
                f"width {self.width} over {self.heads} heads must give a multiple of 4 per head"
            )
        check_codebooks(self.codes, self.codebooks)
        if self.control_attention not in ("prefix", "full"):
            raise ValueError(
                f"control_attention is {self.control_attention!r}, wanted 'prefix' or 'full'"
            )
        if self.autoregressive and self.control_attention == "full":
            raise ValueError(
                "an autoregressive model needs control_attention 'prefix', got 'full': with it "
                "controls look at the cells that are to be told from them"
            )
        if self.ffn not in ("dense", "moe"):
            raise ValueError(f"ffn is {self.ffn!r}, wanted 'dense' or 'moe'")
        if min(self.experts, self.prototypes) < 1 or self.experts % self.prototypes:
            raise ValueError(
                f"{self.experts} experts do not make {self.prototypes} prototypes of one size: "
                "give a multiple of prototypes as experts"
            )
        if self.capacity_factor <= 0:
            raise ValueError(f"capacity_factor is {self.capacity_factor}, wanted more than 0")

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of the grid that the model was trained on; it runs on others too."""
        return (self.grid, self.grid) if isinstance(self.grid, int) else self.grid

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.text_vocabulary, self.codes, self.codebooks)

    @property
    def codebook_size(self) -> int:
        """Codes of one codebook."""
        return self.vocabulary.codebook_size

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


# Weights by the names that they had in earlier files.
OLD_WEIGHTS = {"rel_head.": "heads.compliance.", "fdl_head.": "heads.fidelity."}


@dataclass(frozen=True)
class Hidden:
    """Final hidden states: target (B, T, D) and, if asked for, [REL] and [FDL] (B, D)."""

    target: Tensor
    rel: Tensor | None = None
    fdl: Tensor | None = None


class UFCTransformer(Embedding):
    """M6-UFC's second stage (Zhang et al. 2021): heads for codes, text, [REL] and [FDL]."""

    def __init__(self, config: UFCConfig) -> None:
        super().__init__(config)
        self.backend = "sdpa"
        self.compiled_training = False  # see `compiled_block`
        self.lockstep = False  # every pass runs every block: processes that share them must agree
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width)
        self.code_bias = nn.Parameter(torch.zeros(len(self.looks)))
        self.text_bias = nn.Parameter(torch.zeros(config.text_vocabulary))
        self.estimators = find_estimators(config.estimators)
        self.heads = nn.ModuleDict(
            {name: estimator.head(config.width) for name, estimator in self.estimators.items()}
        )
        self.apply(self.initialise)
        nn.init.normal_(cast(nn.Linear, self.look[0]).weight, std=config.code_width**-0.5)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * config.depth) ** 0.5)
        if config.autoregressive:  # last: what else a seed starts with is the same without
            self.causal_marks = nn.Embedding(len(CAUSAL_MARKS), config.width)
            self.initialise(self.causal_marks)
        for block in self.layers():
            if block.experts is not None:
                block.experts.initialise(std_down=0.02 / (2 * config.depth) ** 0.5)
        self.links = make_links(config.width, config.codebooks)
        if config.grounding:
            self.ground_head = nn.Linear(config.width, 1)
            self.initialise(self.ground_head)

    def layers(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def lean_layers(self) -> list[Lean | CompiledBlock | None]:
        """The blocks' fused or compiled arithmetic; None each where it is as it is written."""
        return [self.lean_layer(number) for number in range(self.config.depth)]

    def lean_layer(self, number: int) -> Lean | CompiledBlock | None:
        block = self.layers()[number]
        if self.compiled_training and self.training and torch.is_grad_enabled():
            return CompiledBlock(block) if block.experts is None else None
        weights = list(block.parameters())
        if self.training or not (is_lean(block) and is_plain(*weights)):
            return None
        return self.keep(("lean", number, type(block.qkv)), weights, lambda: make_lean(block))

    def embed_controls(self, controls: Controls) -> Prefix:
        """Controls before any block: a prefix without layers."""
        config = self.config
        x_BCD = self.embed(controls.ids)
        for row, first, vectors_TD in controls.embedded:
            x_BCD[row, first : first + len(vectors_TD)] = vectors_TD.to(x_BCD.dtype)
        x_BCD = x_BCD + self.segment(controls.segments)
        table = rotary_table(
            controls.rows, controls.cols, config.width // config.heads, config.rope_base
        )[:, :, :, None, None].to(x_BCD.dtype)
        weight_BC = controls.weight
        place = torch.arange(1, controls.length + 1, device=weight_BC.device)
        lengths_B = ((weight_BC > 0) * place).amax(1) if controls.length else weight_BC.sum(1).int()
        weighted = bool((weight_BC != (place <= lengths_B[:, None])).any())
        plain = not weighted and bool((lengths_B == controls.length).all())
        bias_BC = None if plain else weight_BC.log().to(x_BCD.dtype)
        return Prefix([], x_BCD, table, tuple(lengths_B.tolist()), bias_BC, weighted)

    def encode_controls(self, controls: Controls) -> Prefix:
        """Run the controls by themselves; the result serves every step, candidate and score."""
        config, prefix = self.config, self.embed_controls(controls)
        if config.control_attention == "full":
            return prefix
        x_BCD, bias_BC = prefix.embedded_BCD, prefix.bias_BC
        if controls.length == 0:
            lean = self.lean_layer(0)
            dtype = x_BCD.dtype if lean is None else lean.attention_dtype
            shape = len(x_BCD), 0, config.heads, config.width // config.heads
            none = x_BCD.new_empty(shape, dtype=dtype)
            return replace(prefix, layers=[(none, none)] * config.depth)
        layout = Layout(bias_BC=None if bias_BC is None else see_itself(bias_BC))
        for block, lean in zip(self.layers(), self.lean_layers(), strict=True):
            x_BCD, own = block(x_BCD, prefix.table, layout, None, self.backend, lean=lean)
            prefix.layers.append(own)
        return replace(prefix, hidden_BCD=self.norm(x_BCD))

    def last_attention(self, controls: Controls) -> Tensor:
        """The last block's attention among controls, a mean over its heads: (B, C, C)."""
        prefix = self.embed_controls(controls)
        x_BCD, bias_BC = prefix.embedded_BCD, prefix.bias_BC
        layout = Layout(bias_BC=None if bias_BC is None else see_itself(bias_BC))
        *before, last = self.layers()
        for block in before:
            x_BCD, _ = block(x_BCD, prefix.table, layout, None, self.backend)
        q, k, _ = last.project(x_BCD, prefix.table)
        scores = torch.einsum("bqnd,bknd->bnqk", q.float(), k.float()) / q.shape[-1] ** 0.5
        if layout.bias_BC is not None:
            scores = scores + layout.bias_BC.float()
        return scores.softmax(-1).mean(1)

    def forward(
        self,
        codes_BT: Tensor,
        prefix: Prefix | None,
        scores: bool = False,
        ask_N: Tensor | None = None,
        grid: tuple[int, int] | None = None,
        causal: bool = False,
    ) -> Hidden:
        """Hidden states of a target grid under its controls.

        `codes_BT` is the row-major `grid` of (rows, columns), the model's own if none is given,
        with V for a masked cell; of several codebooks they are the joint ones.

        With `scores`, [REL] and [FDL] are run along. With `ask_N`, places in the flattened grids,
        the target states are those of the cells asked for, (N, D), and the last block spares the
        others; with both, only the scores are.

        In a `causal` pass a cell's state tells its code from the codes before it; its own code
        and those behind it are not seen.

        Raises:
            ValueError: the grid does not have T cells; a causal pass with scores, or of a model
                that is not autoregressive.
        """
        cells, grid = codes_BT.shape[1], grid or self.config.grid_size
        if causal and scores:
            raise ValueError("a causal pass has no scores: run one pass for each")
        if causal:
            x_BSD, table = self.embed_causal(codes_BT, range(cells), grid)
        else:
            x_BSD, table = self.embed_target(codes_BT, scores, grid)
        layout = Layout(scores, causal=causal)
        if prefix is not None and prefix.layers:
            layout = prefix_layout(prefix, scores, cells, torch.is_grad_enabled())
            layout = replace(layout, causal=causal)
        elif prefix is not None:
            x_BSD, table = along(prefix, x_BSD, table, scores)
            layout = Layout(scores, prefix.embedded_BCD.shape[1], bias_BC=prefix.bias_BC)
        for number, (block, lean) in enumerate(zip(self.layers(), self.lean_layers(), strict=True)):
            past = prefix.layers[number] if prefix is not None and prefix.layers else None
            only = ask_N if number == self.config.depth - 1 else None
            x_BSD, _ = block(x_BSD, table, layout, past, self.backend, only, lean)
        hidden = self.norm(x_BSD)
        if not scores:
            return Hidden(hidden if ask_N is not None else hidden[:, layout.inside :])
        return Hidden(hidden[:, 1 + layout.inside : -1], hidden[:, 0], hidden[:, -1])

    def causal_cache(self, prefix: Prefix, cells: int) -> CausalCache:
        """What `next_hidden` keeps from cell to cell, for one target a row of the prefix."""
        self.check_autoregressive()
        return CausalCache.of(prefix, cells, self.lean_layers())

    def next_hidden(
        self, codes_BT: Tensor, cell: int, cache: CausalCache, grid: tuple[int, int]
    ) -> Tensor:
        """States that tell the code of one cell from those before it, (B, D).

        It is what `forward(..., causal=True)` has there. Cells that the cache has not seen yet,
        up to this one, are run; of `codes_BT` only what stands before it counts.
        """
        cells = range(cache.cells, cell + 1)
        x_BSD, table = self.embed_causal(codes_BT, cells, grid)
        layout, last = cache.extended(len(cells)), self.config.depth - 1
        ask_N = torch.arange(len(x_BSD), device=x_BSD.device) * len(cells) + len(cells) - 1
        for number, (block, lean) in enumerate(zip(self.layers(), cache.lean, strict=True)):
            only = ask_N if number == last else None
            past = cache.layers[number]
            x_BSD, _ = block(x_BSD, table, layout, past, self.backend, only, lean)
        return self.norm(x_BSD)

    def code_states(self, hidden_MD: Tensor) -> CodeStates:
        """States of the cells that ask, (M, D), with what tells their codes from them."""
        links = cast(list[Link], list(self.links))
        return CodeStates(hidden_MD, self.code_rows(), self.code_bias, links)

    def code_logits(self, hidden_MD: Tensor) -> Tensor:
        """Logits over the V codes of the cells that ask, (M, V), those of the first codebook."""
        return self.code_states(hidden_MD).first

    def text_logits(self, hidden_MD: Tensor) -> Tensor:
        """Logits over text ids, (M, text_vocabulary)."""
        rows = self.embedding.weight[: self.vocabulary.text]
        return F.linear(hidden_MD, rows, self.text_bias)

    def score_logits(self, hidden: Hidden) -> dict[str, Tensor]:
        """The estimators' scores before the sigmoid, (B,) each."""
        if hidden.rel is None or hidden.fdl is None:
            raise ValueError("no [REL] and [FDL] states here: run the pass with scores=True")
        return {
            name: self.heads[name](
                hidden.rel if estimator.sees_conditioning else hidden.fdl
            ).squeeze(-1)
            for name, estimator in self.estimators.items()
        }

    def save_pretrained(
        self,
        folder: str | PathLike[str],
        dtype: torch.dtype | None = None,
        variant: str | None = None,
        max_shard_size: int | str = "1GB",
    ) -> None:
        """Write `config.json` and `model.safetensors` (cast to `dtype` if given)."""
        save_module(
            self,
            self.config.to_dict(),
            folder,
            dtype=dtype,
            variant=variant,
            max_shard_size=max_shard_size,
            state=without_adapters(self.state_dict()),
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], variant: str | None = None, mmap: bool = True
    ) -> UFCTransformer:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        return load_module(
            folder, lambda values: cls(UFCConfig.from_dict(values)), variant, OLD_WEIGHTS, mmap
        ).eval()


def without_adapters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without low-rank adapters', under the names that a model without them has."""
    return {
        name.replace(".base_layer.", "."): value
        for name, value in state.items()
        if ".lora_" not in name
    }
