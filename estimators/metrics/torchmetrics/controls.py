"""Are the controls obeyed? What words and references asked for, as it is seen in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from estimators.metrics.extractors import Extractor, load_extractor
from estimators.metrics.extractors.features import extract
from estimators.metrics.probes.attributes import Judge, right_of
from estimators.metrics.probes.linear import predict
from estimators.metrics.references.colour import NAMES, DominantColour, agreement, dominant_colour
from estimators.metrics.torchmetrics.pictures import as_image, eight_bits


class AttributesSeen(torchmetrics.Metric):
    """Share of pictures in which a linear probe sees the attribute asked for: `type`, `colour` …

    `compute` gives a share, 0..1, for each attribute that the probes know; one that nothing was
    asked of is left out. Real pictures of the same records, measured by another one of these, are
    the mark.

    Args:
        judge: the probes, of `load_judge` or `fit_judge` (`estimators/metrics/probes/`).
        extractor: what they were fitted with; by default the one that `ufc evaluate` takes.
        normalize: pictures are float 0..1.
        settings: of `torchmetrics.Metric`.

    Raises:
        ValueError: the probes were fitted with another extractor.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    right: Tensor
    judged: Tensor

    def __init__(
        self,
        judge: Judge,
        extractor: Extractor | None = None,
        *,
        normalize: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.judge, self.extractor = judge, extractor or load_extractor()
        self.normalize = normalize
        if self.extractor.about != judge.about:
            raise ValueError(
                f"the probes were fitted with {judge.about}, this is {self.extractor.about}: "
                "give the same extractor, or fit again"
            )
        for state in ("right", "judged"):
            self.add_state(state, torch.zeros(len(judge.probes)).long(), dist_reduce_fx="sum")

    def update(self, pictures: Tensor, records: Sequence[Mapping[str, Any]]) -> None:
        """Pictures, uint8 (B, 3, H, W), and what was asked of each: `{"type": …, "colour": …}`.

        Raises:
            ValueError: no pictures, or not as many records.
        """
        taken = eight_bits(pictures, self.normalize)
        if len(records) != len(taken):
            raise ValueError(
                f"got {len(taken)} pictures and {len(records)} records, wanted as many"
            )
        features = extract(self.extractor, map(as_image, taken), size=self.judge.size or None)
        scaled = self.judge.scaler(features)
        for index, (name, probe) in enumerate(self.judge.probes.items()):
            if any(record.get(name) for record in records):
                right = right_of(name, predict(probe, scaled), records)
                self.right[index] += sum(right)
                self.judged[index] += len(right)

    def compute(self) -> dict[str, Tensor]:
        """The shares by attribute.

        Raises:
            ValueError: nothing was asked of any picture yet.
        """
        if not self.judged.any():
            asked = ", ".join(self.judge.probes)
            raise ValueError(f"no picture was asked for {asked} yet: call update with some")
        found = zip(self.judge.probes, self.right, self.judged, strict=True)
        return {name: right / judged for name, right, judged in found if judged}


class ColourTakenUp(torchmetrics.Metric):
    """Do pictures take up the colours of their own references?

    `compute` gives `same`, the share whose dominant colour has the name of its reference's, beside
    `same_by_chance`; `nearer`, how often that colour is nearer to the own reference's than to
    another's, .5 by chance; and `p_value` (`estimators/metrics/references/colour.py`).

    Args:
        permutations: of the references, which say what is chance.
        seed: of these.
        normalize: pictures and references are float 0..1.
        settings: of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    seen: list[Tensor]
    wanted: list[Tensor]

    def __init__(
        self,
        *,
        permutations: int = 1000,
        seed: int = 0,
        normalize: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.permutations, self.seed, self.normalize = permutations, seed, normalize
        for state in ("seen", "wanted"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, pictures: Tensor, references: Tensor) -> None:
        """Pictures, uint8 (B, 3, H, W), and the reference of each, of any height and width.

        References are brought to the pictures' size first, so that both are looked at alike.

        Raises:
            ValueError: no pictures, or not as many references.
        """
        taken = [as_image(one) for one in eight_bits(pictures, self.normalize)]
        given = [as_image(one) for one in eight_bits(references, self.normalize)]
        if len(given) != len(taken):
            raise ValueError(
                f"got {len(taken)} pictures and {len(given)} references, wanted as many"
            )
        size = taken[0].size
        self.seen.append(self._row([dominant_colour(one) for one in taken]))
        self.wanted.append(self._row([dominant_colour(one.resize(size)) for one in given]))

    def compute(self) -> dict[str, Tensor]:
        """The figures by name.

        Raises:
            ValueError: fewer than two pictures.
        """
        found = agreement(
            _colours(self.seen),
            _colours(self.wanted),
            permutations=self.permutations,
            seed=self.seed,
        ).as_dict()
        names = ("same", "same_by_chance", "nearer", "p_value")
        return {name: torch.tensor(found[name], device=self.device) for name in names}

    def _row(self, colours: Sequence[DominantColour]) -> Tensor:
        """Colours as numbers, (B, 5): of the name, L, a, b, and the share."""
        rows = [[NAMES.index(one.name), *one.lab, one.share] for one in colours]
        return torch.tensor(rows, dtype=torch.float64, device=self.device)


def _colours(state: Any) -> list[DominantColour]:
    rows = dim_zero_cat(state).tolist() if len(state) else []
    return [DominantColour(NAMES[int(name)], (low, a, b), share) for name, low, a, b, share in rows]
