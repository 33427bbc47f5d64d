"""Two processes' figures are those of one process that saw all pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vqgan.perceptual import import_torchvision

import_torchvision()
pytest.importorskip("torchmetrics")
pytest.importorskip("torch_fidelity")

from torchmetrics import Metric  # noqa: E402
from toy_extractor import tiny_extractor  # noqa: E402

from estimators.metrics import torchmetrics as ours  # noqa: E402
from estimators.metrics.base import Options  # noqa: E402
from estimators.metrics.extractors.features import extract  # noqa: E402
from estimators.metrics.extractors.measuring import Measuring  # noqa: E402
from estimators.metrics.probes.attributes import NATIVE, Judge, fit_judge  # noqa: E402
from estimators.metrics.torchmetrics.pictures import as_image  # noqa: E402

TINY = tiny_extractor()
CAPTIONS = [f"{colour} 包 {row}" for row, colour in enumerate(["红色", "blue", "绿", "grey"] * 3)]


def batches(seed: int, count: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


REAL, MADE = batches(0), batches(1) // 2 + 60


class Ranker:
    """Knows a picture's caption by the number in it, which is the picture's first pixel."""

    name = "number"

    def embed_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        return self._circle([int(np.asarray(one)[0, 0, 0]) for one in pictures])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self._circle([int(text.split()[-1]) for text in texts])

    def _circle(self, numbers: Sequence[int]) -> Tensor:
        angles = torch.tensor(numbers) / 12
        return torch.stack([angles.cos(), angles.sin()], 1)


def of_real(metric: type[ours.AgainstReal], **settings: Any) -> ours.AgainstReal:
    return metric(Measuring(TINY), **settings)


def against_real(figure: ours.AgainstReal, part: slice) -> None:
    figure.update(MADE[part], real=False)
    figure.update(REAL[part], real=True)


def of_captions(**settings: Any) -> ours.RPrecision:
    return ours.RPrecision(options=Options(contrastive=Ranker), **settings)


def with_captions(figure: ours.RPrecision, part: slice) -> None:
    numbered = MADE.clone()
    numbered[:, :, 0, 0] = torch.tensor([*range(8), 0, 0, 0, 0])[:, None]  # the last are wrong
    figure.update(numbered[part], CAPTIONS[part])


def attributes(**settings: Any) -> ours.AttributesSeen:
    return ours.AttributesSeen(probes(), TINY, **settings)


def probes() -> Judge:
    features = extract(TINY, map(as_image, REAL))
    records = [{"kind": ("odd", "even")[row % 2]} for row in range(len(REAL))]
    return fit_judge(TINY, {NATIVE: features}, records, ("kind",))


def with_records(figure: ours.AttributesSeen, part: slice) -> None:
    figure.update(MADE[part], [{"kind": "odd"}] * len(MADE[part]))


def with_references(figure: ours.ColourTakenUp, part: slice) -> None:
    plain = batches(2)[:, :, :1, :1].expand_as(REAL)
    figure.update(torch.cat([plain[:6], plain[6:].flip(0)])[part], plain[part])


def with_edits(figure: ours.KeptPixels, part: slice) -> None:
    kept = torch.zeros(len(MADE), 16, 16, dtype=torch.bool)
    kept[:, :8] = True
    results = MADE.clone()
    results[5:, :, 3] = REAL[5:, :, 3]
    figure.update(results[part], MADE[part], kept[part])


def with_changes(figure: ours.EditSeam, part: slice) -> None:
    changed = torch.zeros(len(MADE), 16, 16, dtype=torch.bool)
    changed[:, 4:12, 4:12] = True
    figure.update(MADE[part], changed[part])


def states(figure: Metric) -> list[Tensor]:
    """What a process has taken in, as it is gathered: an empty state is no rows."""
    lists = {name: state for name, state in figure.metric_state.items() if isinstance(state, list)}
    rows = {name: torch.cat(state) if state else torch.tensor([]) for name, state in lists.items()}
    return [tensor.clone() for tensor in (figure.metric_state | rows).values()]


def beside(other: Metric) -> dict[str, Any]:
    """Settings of a figure in a process beside another's: each state is gathered with the same."""
    gathered = iter(states(other))
    return {
        "dist_sync_fn": lambda own, group=None: [own, next(gathered)],
        "distributed_available_fn": lambda: True,
    }


def values(found: Any) -> dict[str, float]:
    named = found if isinstance(found, dict) else {"": found}
    return {name: float(value) for name, value in named.items()}


@pytest.mark.parametrize(
    ("make", "update"),
    [
        pytest.param(partial(of_real, ours.FrechetDistance), against_real, id="fid"),
        pytest.param(partial(of_real, ours.PrecisionRecall), against_real, id="prc"),
        pytest.param(of_captions, with_captions, id="r_precision"),
        pytest.param(attributes, with_records, id="attributes"),
        pytest.param(ours.ColourTakenUp, with_references, id="colour"),
        pytest.param(ours.KeptPixels, with_edits, id="kept"),
        pytest.param(ours.EditSeam, with_changes, id="seam"),
    ],
)
def test_two_processes_have_the_figures_of_one(
    make: Callable[..., Metric], update: Callable[[Any, slice], None]
) -> None:
    alone, other = make(), make()
    for part in (slice(0, 3), slice(3, 7), slice(7, 12)):
        update(alone, part)
    update(other, slice(7, 12))
    own = make(**beside(other))
    update(own, slice(0, 3))
    update(own, slice(3, 7))
    before = states(own)
    assert values(own.compute()) == pytest.approx(values(alone.compute()), rel=1e-5)
    assert all(map(torch.equal, before, states(own)))  # its own again, to go on with


def test_captions_stay_with_their_pictures() -> None:
    other = of_captions()
    with_captions(other, slice(7, 12))
    own = of_captions(**beside(other))
    with_captions(own, slice(0, 7))
    with own.sync_context(dist_sync_fn=own.dist_sync_fn):
        given = own.given()
    assert given.captions == CAPTIONS
    firsts = [int(np.asarray(one)[0, 0, 0]) for one in given.pictures]
    assert firsts == [*range(8), 0, 0, 0, 0]


def test_two_processes_without_real_pictures_are_told_so() -> None:
    other = of_real(ours.FrechetDistance)
    other.update(MADE, real=False)
    own = of_real(ours.FrechetDistance, **beside(other))
    own.update(MADE, real=False)
    with pytest.raises(ValueError, match="no real pictures yet"):
        own.compute()
