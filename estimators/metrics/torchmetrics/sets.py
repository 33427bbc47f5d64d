"""The registered metrics of sets of pictures, `estimators/metrics/base.py`, as torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torchmetrics
from torch import Tensor

from estimators.metrics.base import MeasuredSet, Need, Options, find_metrics
from estimators.metrics.extractors.features import extract
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.extractors.networks import load_extractor
from estimators.metrics.fid import frechet_distance, statistics
from estimators.metrics.torchmetrics.pictures import as_image, eight_bits

END = 0  # byte after each caption: those of all processes are one row of bytes


class SetFigure(torchmetrics.Metric):
    """The figures of a registered metric (`estimators/metrics/base.py`) of a set of pictures.

    `compute` gives them by name, as `ufc evaluate --json` does; what is no number, or cannot be
    told of these pictures, is left out.

    Args:
        measuring: how pictures become features, where the figure is of features; by default with
            the extractor that `ufc evaluate` takes.
        options: what judges the metric may load.
        normalize: pictures are float 0..1.
        reset_real_features: whether `reset` forgets the real pictures too.
        seed: of subsets and pairs that are chosen.
        pairs: how many pairs of pictures are compared at most, of any two.
        settings: of `torchmetrics.Metric`.
    """

    name: ClassVar[str]
    is_differentiable = False
    full_state_update = False

    generated: list[Tensor]
    logits: list[Tensor]
    real: list[Tensor]
    pictures: list[Tensor]
    captions: list[Tensor]

    def __init__(
        self,
        measuring: Measuring | None = None,
        options: Options | None = None,
        *,
        normalize: bool = False,
        reset_real_features: bool = True,
        seed: int = 0,
        pairs: int = 500,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.figure = find_metrics()[self.name]
        self.needs: frozenset[Need] = self.figure.needs
        self.of_features = bool(self.needs & {"features", "real", "logits"})
        if measuring is None and self.of_features:
            measuring = Measuring(load_extractor(logits="logits" in self.needs))
        self.measuring = measuring
        self.judge = self.figure.load(options or Options())
        self.normalize, self.seed, self.pairs = normalize, seed, pairs
        self.reset_real_features = reset_real_features
        for state in ("generated", "logits", "real", "pictures", "captions"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def take(
        self, pictures: Tensor, captions: Sequence[str] | None = None, real: bool = False
    ) -> None:
        """Take in pictures, with a caption each where the figure is of words.

        Raises:
            ValueError: no pictures, or not as many captions.
        """
        taken = eight_bits(pictures, self.normalize)
        if "captions" in self.needs and (captions is None or len(captions) != len(pictures)):
            raise ValueError(
                f"{self.name} is of pictures and captions: got {len(pictures)} and "
                f"{len(captions or ())}, wanted as many"
            )
        if self.of_features:
            self._take_features(taken, real)
        if not real and self.needs & {"pictures", "captions"}:
            self.pictures.append(taken)
        if not real and captions is not None:
            row = b"".join(text.encode() + bytes([END]) for text in captions)
            self.captions.append(torch.tensor(list(row), dtype=torch.uint8, device=self.device))

    def _take_features(self, taken: Tensor, real: bool) -> None:
        assert self.measuring is not None
        own = self.measuring
        found = torch.from_numpy(
            extract(
                own.extractor,
                map(as_image, taken),
                size=own.size,
                fit=own.fit,
                mode=own.mode,
                pad=own.pad,
                batch_size=own.batch_size,
            )
        ).to(self.device)
        (self.real if real else self.generated).append(found[:, own.extractor.frechet])
        if own.extractor.logits is not None and not real:
            self.logits.append(found[:, own.extractor.logits])

    def compute(self) -> Any:
        """The figures by name.

        Raises:
            ValueError: too few pictures, or none of a kind that is needed.
        """
        found = self.figure.measure(self.given(), self.judge)
        return {
            name: torch.tensor(float(value), device=self.device)
            for name, value in found.items()
            if isinstance(value, int | float)
        }

    def given(self) -> MeasuredSet:
        """What was taken in.

        Raises:
            ValueError: no pictures, or no real ones where they are compared with.
        """
        pictures = [as_image(one) for batch in _listed(self.pictures) for one in batch]
        captions = b"".join(bytes(part.tolist()) for part in _listed(self.captions))
        own, real = _rows(self.generated), _rows(self.real)
        if own is None and not pictures:
            raise ValueError(f"{self.name}: no pictures yet: call update with some")
        if "real" in self.needs and real is None:
            raise ValueError(f"{self.name}: no real pictures yet: call update(…, real=True)")
        return MeasuredSet(
            features=own,
            real=real,
            logits=_rows(self.logits),
            pictures=pictures,
            captions=captions.decode().split(chr(END))[:-1] or None,
            seed=self.seed,
            pairs=self.pairs,
        )

    def reset(self) -> None:
        """Forget the pictures; the real ones too if `reset_real_features`."""
        held = _listed(self.real)
        super().reset()
        if not self.reset_real_features:
            self.real = held


class AgainstReal(SetFigure):
    """A figure of generated pictures against real ones."""

    def update(self, pictures: Tensor, real: bool) -> None:
        """Pictures, uint8 (B, 3, H, W), real or generated ones.

        Raises:
            ValueError: no pictures.
        """
        self.take(pictures, real=real)


class OfPictures(SetFigure):
    """A figure of generated pictures, of some with their captions."""

    def update(self, pictures: Tensor, captions: Sequence[str] | None = None) -> None:
        """Pictures, uint8 (B, 3, H, W), and a caption for each where the figure is of words.

        Raises:
            ValueError: no pictures, or not as many captions.
        """
        self.take(pictures, captions)


class FrechetDistance(AgainstReal):
    """Frechet distance; FID in the papers' sense with the extractor `inception`. A number."""

    name = "fid"
    higher_is_better = False

    def compute(self) -> Tensor:
        """The distance alone: an interval takes forty times as long."""
        given = self.given()
        assert given.features is not None and given.real is not None
        value = frechet_distance(statistics(given.features), statistics(given.real))
        return torch.tensor(value, device=self.device)


class KernelDistance(AgainstReal):
    """`kid` and its spread over subsets, `kid_std`."""

    name = "kid"
    higher_is_better = False


class PrecisionRecall(AgainstReal):
    """`precision`, `recall`, `density` and `coverage`."""

    name = "prc"
    higher_is_better = True


class InceptionScore(OfPictures):
    """The Inception score, of an extractor with logits."""

    name = "isc"
    higher_is_better = True


class LpipsDiversity(OfPictures):
    """`lpips_spread`, and with captions `lpips_diversity`."""

    name = "lpips"
    higher_is_better = True


class RPrecision(OfPictures):
    """`r_precision` of the contrastive estimator that `options.contrastive` opens."""

    name = "r_precision"
    higher_is_better = True


class ClipScore(OfPictures):
    """`clip_score` of the CLIP that `options` names."""

    name = "clip_score"
    higher_is_better = True


def _listed(state: Any) -> list[Tensor]:
    """A state of parts, which several processes have brought together as one."""
    return [state] if isinstance(state, Tensor) else list(state)


def _rows(state: Any) -> Any:
    """A state's parts as one array, or None; processes bring parts together as no rows."""
    rows = torch.cat(parts) if (parts := _listed(state)) else torch.empty(0)
    return rows.cpu().numpy() if len(rows) else None
