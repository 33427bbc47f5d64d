"""TBCNN-pair (Mou 2016): convolution over trees, heuristic matching, verdicts.

A window is a node with its children, W by how they hang on it; windows of a tree are pooled by
their maximum. Two pooled trees are matched as [h1; h2; h1 - h2; h1 * h2].

Shapes: U distinct words of a batch, N nodes and M edges of its trees, B trees, E embedding,
C channels, A outputs (attributes and overall).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from os import PathLike
from typing import Any, Protocol
from zlib import crc32

import torch
from torch import Tensor, nn

from estimators.contradiction.lexicon import meanings
from estimators.contradiction.meaning import LABELS, OUTPUTS
from estimators.contradiction.trees import RELATIONS, Node, Unit
from ufc_base.checkpoint import CheckpointError, load_module, save_module

MATCHING = ("first", "second", "difference", "product")
MARKS = ",;.!?:|/+。"  # what the sequence of a text has besides words


def known_words() -> tuple[str, ...]:
    """The words that have an embedding of their own: the lexicon's."""
    return tuple(sorted({*meanings(), *MARKS, "<phrase>", "<thing>"}))


@dataclass(frozen=True)
class ContradictionConfig:
    """Sizes, and the words with an embedding of their own.

    `outputs`, `labels` and `relations` are kept with the weights, whose order they say.
    """

    vocabulary: tuple[str, ...] = ()
    buckets: int = 1024
    embedding: int = 32
    channels: int = 128
    hidden: int = 64
    dropout: float = 0.1
    matching: tuple[str, ...] = MATCHING
    relations: tuple[str, ...] = RELATIONS
    outputs: tuple[str, ...] = OUTPUTS
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        for name, known in (("relations", RELATIONS), ("outputs", OUTPUTS), ("labels", LABELS)):
            if tuple(getattr(self, name)) != known:
                raise CheckpointError(
                    f"{name}: got {list(getattr(self, name))}, wanted {list(known)}: the model is "
                    "of another version; train it again with `ufc train-contradiction`"
                )
        unknown = sorted(set(self.matching) - set(MATCHING))
        if unknown or not self.matching:
            raise CheckpointError(f"matching: got {unknown}, wanted some of {', '.join(MATCHING)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContradictionConfig:
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise CheckpointError(
                f"contradiction config has unknown keys {unknown}; known are {sorted(known)}"
            )
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class FlatTree:
    """A tree's words, parents first; the parent of each (-1: none) and how it hangs on it."""

    words: tuple[str, ...]
    parents: tuple[int, ...]
    relations: tuple[int, ...]


def flatten(tree: Node) -> FlatTree:
    """A tree as lists."""
    words: list[str] = []
    parents: list[int] = []
    relations: list[int] = []

    def add(node: Node, parent: int) -> None:
        place = len(words)
        empty = "<phrase>" if node.relation == "phrase" else "<thing>"
        words.append(spelling(node.unit) if node.unit else empty)
        parents.append(parent)
        relations.append(RELATIONS.index(node.relation) if parent >= 0 else -1)
        for child in node.children:
            add(child, place)

    add(tree, -1)
    return FlatTree(tuple(words), tuple(parents), tuple(relations))


def spelling(unit: Unit) -> str:
    """The word that is embedded: the lexicon's spelling where it has one."""
    return unit.form or unit.text


@lru_cache(maxsize=65536)
def grams(word: str, buckets: int) -> tuple[int, ...]:
    """Buckets of a word's character n-grams: 3 and 4 of letters, 1 and 2 of anything else."""
    sizes = (3, 4) if word.isascii() else (1, 2)
    marked = f"<{word}>" if word.isascii() else word
    found = [marked[i : i + n] for n in sizes for i in range(len(marked) - n + 1)]
    return tuple(crc32(g.encode("utf-8", "replace")) % buckets for g in found or [marked])


@dataclass(frozen=True)
class Batch:
    """B trees as one graph."""

    words_U: Tensor  # rows of the vocabulary; that after the last is the unknown word's
    grams: Tensor  # buckets of all words, one after another
    offsets_U: Tensor
    nodes_N: Tensor  # which of the U words a node has
    trees_N: Tensor
    parents_M: Tensor
    children_M: Tensor
    relations_M: Tensor
    count: int


class Words(nn.Module):
    """A word's embedding: its own row, and the mean of its n-grams' rows."""

    def __init__(self, config: ContradictionConfig) -> None:
        super().__init__()
        self.rows = {word: row for row, word in enumerate(config.vocabulary)}
        self.buckets = config.buckets
        self.own = nn.Embedding(len(self.rows) + 1, config.embedding)
        self.grams = nn.EmbeddingBag(config.buckets, config.embedding, mode="mean")

    def assemble(self, trees: Sequence[FlatTree]) -> Batch:
        """Trees as the tensors of one graph."""
        places: dict[str, int] = {}
        nodes: list[int] = []
        owners: list[int] = []
        edges: list[tuple[int, int, int]] = []
        for number, tree in enumerate(trees):
            start = len(nodes)
            nodes += [places.setdefault(word, len(places)) for word in tree.words]
            owners += [number] * len(tree.words)
            for place, parent in enumerate(tree.parents):
                if parent >= 0:
                    edges.append((start + parent, start + place, tree.relations[place]))
        bags = [grams(word, self.buckets) for word in places]
        offsets = torch.tensor([0, *map(len, bags)]).cumsum(0)[:-1]
        rows = [self.rows.get(word, len(self.rows)) for word in places]
        parents_M, children_M, relations_M = torch.tensor(edges, dtype=torch.long).view(-1, 3).T
        return Batch(
            words_U=torch.tensor(rows),
            grams=torch.tensor([gram for bag in bags for gram in bag]),
            offsets_U=offsets,
            nodes_N=torch.tensor(nodes),
            trees_N=torch.tensor(owners),
            parents_M=parents_M,
            children_M=children_M,
            relations_M=relations_M,
            count=len(trees),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Embeddings of the nodes, (N, E)."""
        table_UE = self.own(batch.words_U) + self.grams(batch.grams, batch.offsets_U)
        return table_UE.index_select(0, batch.nodes_N)


class TreeConvolution(nn.Module):
    """relu(W x + sum over children of W_relation x_child + b), and its maximum over a tree."""

    def __init__(self, config: ContradictionConfig) -> None:
        super().__init__()
        self.node = nn.Linear(config.embedding, config.channels)
        self.modifiers = nn.Linear(
            len(RELATIONS) * config.embedding, config.channels, bias=False
        )  # a W for each relation, side by side

    def forward(self, x_NE: Tensor, batch: Batch) -> Tensor:
        """Embeddings of nodes to features of trees, (B, C)."""
        return pooled(self.windows(x_NE, batch), batch)

    def windows(self, x_NE: Tensor, batch: Batch) -> Tensor:
        """The features of each window before pooling, (N, C), 0 or more."""
        y_NC = self.node(x_NE)
        if len(batch.children_M):
            order_M = batch.relations_M.argsort(stable=True)
            counts = torch.bincount(batch.relations_M, minlength=len(RELATIONS)).tolist()
            children = x_NE.index_select(0, batch.children_M[order_M]).split(counts)
            weights = self.modifiers.weight.chunk(len(RELATIONS), dim=1)
            added_MC = torch.cat([x @ w.T for x, w in zip(children, weights, strict=True)])
            y_NC = y_NC.index_add(0, batch.parents_M[order_M], added_MC)
        return torch.relu(y_NC)


def pooled(x_NC: Tensor, batch: Batch) -> Tensor:
    """The maximum over each tree of features that are 0 or more, (B, C)."""
    trees_NC = batch.trees_N[:, None].expand_as(x_NC)
    return x_NC.new_zeros(batch.count, x_NC.shape[1]).scatter_reduce(0, trees_NC, x_NC, "amax")


def match(first_BC: Tensor, second_BC: Tensor, features: Sequence[str] = MATCHING) -> Tensor:
    """Heuristic matching: those of [h1; h2; h1 - h2; h1 * h2] that are named, side by side."""
    made = {
        "first": first_BC,
        "second": second_BC,
        "difference": first_BC - second_BC,
        "product": first_BC * second_BC,
    }
    return torch.cat([made[name] for name in features], dim=-1)


class Encoder(Protocol):
    """What makes features (B, C) of the nodes' embeddings (N, E)."""

    def __call__(self, x_NE: Tensor, batch: Batch) -> Tensor: ...


class ContradictionModel(nn.Module):
    """Prompt and caption to logits; the tree convolution may be another encoder, to compare."""

    encoder: Encoder

    def __init__(self, config: ContradictionConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.words = Words(config)
        self.encoder = encoder or TreeConvolution(config)
        self.judge = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(len(config.matching) * config.channels, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, len(OUTPUTS) * len(LABELS)),
        )
        for table in (self.words.own.weight, self.words.grams.weight):
            nn.init.normal_(table, std=0.3)

    def forward(self, batch: Batch) -> Tensor:
        """2 B trees, all prompts and then all captions, to logits (B, A, 3) of `LABELS`."""
        first_BC, second_BC = self.encoder(self.words(batch), batch).chunk(2)
        logits: Tensor = self.judge(match(first_BC, second_BC, self.config.matching))
        return logits.view(-1, len(OUTPUTS), len(LABELS))

    @torch.no_grad()
    def probabilities(self, prompts: Sequence[Node], captions: Sequence[Node]) -> Tensor:
        """Probabilities of `LABELS` for B pairs of trees, (B, A, 3)."""
        batch = self.words.assemble([flatten(tree) for tree in (*prompts, *captions)])
        return torch.as_tensor(self(batch)).softmax(-1)

    def save_pretrained(
        self, folder: str | PathLike[str], dtype: torch.dtype | None = torch.float16
    ) -> None:
        """Write `config.json` and `model.safetensors`, in half precision if not said otherwise."""
        save_module(self, self.config.to_dict(), folder, dtype=dtype)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str]) -> ContradictionModel:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        return load_module(folder, lambda c: cls(ContradictionConfig.from_dict(c))).eval()
