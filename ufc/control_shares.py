"""What each control adds to a picture's compliance: the score with it left out.

The estimator is asked once, with all controls and with each one missing, in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.controls import CONTROLS
from ufc.sampling.guidance import make_prefix, make_score

if TYPE_CHECKING:
    from ufc.pipeline.judging import Judging


@dataclass(frozen=True)
class ControlShare:
    """One control: its `name`, the compliance `without` it, 0..1, and what it `adds`, -1..1.

    Below 0 the picture obeys the others better than it obeys all of them. Of several references
    each has its number, such as `reference_images 2`.
    """

    name: str
    without: float
    adds: float


@dataclass(frozen=True)
class ControlShares:
    """Compliance with all controls, 0..1, and what each adds; nothing where there is but one."""

    compliance: float | None
    shares: tuple[ControlShare, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "compliance": self.compliance,
            "shares": [asdict(share) for share in self.shares],
        }


@torch.no_grad()
def control_shares(
    pipe: Judging,
    picture: Image.Image,
    given: Conditioning,
    *,
    codes_HW: torch.Tensor | None = None,
) -> ControlShares:
    """What each of a picture's controls adds; see `ControlShares`.

    The scores are of `codes_HW`, those that the picture was decoded from, where they are known;
    otherwise it is encoded, which may give other codes than it was generated with.

    Kept blocks are no part of it: they are in the picture itself.
    """
    without = dict(without_each(given))
    (whole, *parts), _, _ = pipe.controls([given, *without.values()])
    if whole.empty:
        return ControlShares(None, ())
    if codes_HW is None:
        codes_HW = pipe.encode_reference(picture)
    rows, columns = codes_HW.shape
    codes_BT = codes_HW.flatten().repeat(1 + len(parts), 1).to(pipe.device)
    with pipe.at_work(pipe.transformer):
        prefix = make_prefix(pipe.transformer, [whole, *parts])
        score = make_score(pipe.transformer, prefix, (rows, columns))
        found = score(codes_BT, torch.arange(len(codes_BT), device=pipe.device))["compliance"]
    all_given, *each = found.float().tolist()
    shares = [
        ControlShare(name, value, all_given - value)
        for name, value, item in zip(without, each, parts, strict=True)
        if not item.empty
    ]
    return ControlShares(all_given, tuple(shares))


def without_each(given: Conditioning) -> Iterator[tuple[str, Conditioning]]:
    """The names of the controls that become tokens, and the conditioning without each."""
    for name, value in given.present().items():
        if name not in CONTROLS:
            continue
        if not isinstance(value, tuple) or len(value) == 1:
            yield name, given.model_copy(update={name: None})
            continue
        for place in range(len(value)):
            rest = value[:place] + value[place + 1 :]
            yield f"{name} {place + 1}", given.model_copy(update={name: rest})
