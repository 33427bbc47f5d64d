"""Text, reference and kept-block controls as one sequence of tokens.

    text ids | reference 1 codes [SEP] reference 2 codes [SEP] ...

An absent control is absent: it has no tokens. Samples of different lengths share a batch by
padding that no token ever looks at.

Shapes: B batch, C control tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ufc.conditioning.control_item import ControlItem
from vqgan.quantizer import split_codes

SEGMENT_TEXT, SEGMENT_TARGET, SEGMENT_SCORE, SEGMENT_REFERENCE = range(4)
MAX_REFERENCES = 8
SEGMENTS = SEGMENT_REFERENCE + MAX_REFERENCES
MOST_CODES = 2**53  # whole numbers that every reader of JSON keeps exactly


@dataclass(frozen=True)
class Vocabulary:
    """One id space for everything that is embedded: text, codes, and the marks between them.

    With several `codebooks` a code is the joint one of them all (`vqgan.quantizer.join_codes`), of
    which there are too many for a row of the embedding table each: it has one for each code of
    each codebook, and where there is one codebook, a row for each id.
    """

    text: int
    codes: int
    codebooks: int = 1

    @property
    def code_base(self) -> int:
        return self.text + 1

    @property
    def code_mask(self) -> int:
        return self.code_base + self.codes

    @property
    def sep(self) -> int:
        return self.code_mask + 1

    @property
    def rel(self) -> int:
        return self.code_mask + 2

    @property
    def fdl(self) -> int:
        return self.code_mask + 3

    @property
    def codebook_size(self) -> int:
        """Codes of one codebook."""
        return root(self.codes, self.codebooks)

    @property
    def code_rows(self) -> slice:
        """The rows of codes in the embedding table, codebook by codebook."""
        return slice(self.code_base, self.code_base + self.codebooks * self.codebook_size)

    @property
    def rows(self) -> int:
        """Rows of the embedding table."""
        return self.code_rows.stop + 4

    def row(self, mark: int) -> int:
        """The row of a mark behind the codes."""
        return self.code_rows.stop + mark - self.code_mask

    def rows_of(self, ids: Tensor) -> Tensor:
        """The rows that an id's embedding is the sum of, (..., codebooks).

        Where they are fewer than there are codebooks, the others are `rows`: nothing.
        """
        is_code = (ids >= self.code_base) & (ids < self.code_mask)
        joint = torch.where(is_code, ids - self.code_base, 0)
        of_codes = split_codes(joint, self.codebook_size, self.codebooks) + self.code_base
        behind = ids - self.code_mask + self.code_rows.stop
        single = torch.where(ids < self.code_base, ids, behind)
        nothing = torch.full_like(single, self.rows)
        others = torch.stack([single, *[nothing] * (self.codebooks - 1)], dim=-1)
        return torch.where(is_code[..., None], of_codes, others)


def root(codes: int, codebooks: int) -> int:
    """V of V ** codebooks codes, or what is nearest to it."""
    return round(codes ** (1 / codebooks))


def check_codebooks(codes: int, codebooks: int) -> None:
    """Raise `ValueError` where there cannot be so many joint codes of so many codebooks."""
    if codebooks < 1 or root(codes, codebooks) ** codebooks != codes:
        raise ValueError(
            f"codes is {codes} with {codebooks} codebooks, wanted V ** codebooks, the joint codes "
            "of codebooks of V each"
        )
    if codes > MOST_CODES:
        raise ValueError(
            f"a cell has {codes:,} joint codes, wanted at most 2**53, which pictures' metadata can "
            "say: train a tokenizer of fewer or smaller codebooks"
        )


@dataclass(frozen=True)
class Controls:
    """A batch of control sequences; all fields but the last (B, C).

    `weight` is 0 for padding, 1 for a token as trained, and multiplies the attention it gets.
    `embedded` has vectors (n, D) in the place of words, each with its row and its first column.
    """

    ids: Tensor
    segments: Tensor
    rows: Tensor
    cols: Tensor
    weight: Tensor
    embedded: Sequence[tuple[int, int, Tensor]] = ()

    @property
    def batch(self) -> int:
        return self.ids.shape[0]

    @property
    def length(self) -> int:
        return self.ids.shape[1]

    def to(self, device: torch.device | str) -> Controls:
        return Controls(
            self.ids.to(device),
            self.segments.to(device),
            self.rows.to(device),
            self.cols.to(device),
            self.weight.to(device),
            [(row, place, vectors.to(device)) for row, place, vectors in self.embedded],
        )


def assemble(items: Sequence[ControlItem], vocabulary: Vocabulary) -> Controls:
    """Lay out the controls of a batch.

    Raises `ValueError` for more than `MAX_REFERENCES` references.
    """
    rows = [sequence(item, vocabulary) for item in items]
    length = max(row.shape[1] for row in rows)
    packed = torch.zeros(len(rows), 4, length, dtype=torch.int64)
    weight = torch.zeros(len(rows), length)
    for index, (item, row) in enumerate(zip(items, rows, strict=True)):
        packed[index, :, : row.shape[1]] = row
        weight[index, : row.shape[1]] = 1
        for number, factor in enumerate(item.weights):
            weight[index, row_of_reference(row, number)] = factor
    ids, segments, places, columns = packed.unbind(1)
    embedded = [
        (row, place, vectors_TD)
        for row, item in enumerate(items)
        for place, vectors_TD in item.embedded
    ]
    return Controls(ids, segments, places, columns, weight, embedded)


def row_of_reference(row: Tensor, number: int) -> Tensor:
    """Positions of a reference's tokens in a sequence (4, C)."""
    return (row[1] == SEGMENT_REFERENCE + number).nonzero().squeeze(1)


def sequence(item: ControlItem, vocabulary: Vocabulary) -> Tensor:
    """One sample's tokens as rows of ids, segments, rows, columns: (4, C)."""
    if len(item.references) > MAX_REFERENCES:
        raise ValueError(
            f"got {len(item.references)} reference images, at most {MAX_REFERENCES} are possible"
        )
    place = torch.arange(len(item.text))
    text = torch.tensor(list(item.text), dtype=torch.int64)
    parts = [torch.stack([text, torch.full_like(place, SEGMENT_TEXT), place, place])]
    for number, codes_HW in enumerate(item.references):
        height, width = codes_HW.shape
        cells = torch.arange(height * width)
        ids = codes_HW.reshape(-1).cpu() + vocabulary.code_base
        segment = torch.full_like(cells, SEGMENT_REFERENCE + number)
        parts.append(torch.stack([ids, segment, cells // width, cells % width]))
        end = [vocabulary.sep, SEGMENT_REFERENCE + number, height, width]
        parts.append(torch.tensor(end)[:, None])
    return torch.cat(parts, dim=1)
