"""The figures as torchmetrics take pictures in: what `ufc evaluate` and torchmetrics itself say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vqgan.perceptual import import_torchvision

import_torchvision()
pytest.importorskip("torchmetrics")
pytest.importorskip("torch_fidelity")

from toy_extractor import tiny_extractor  # noqa: E402

from estimators.metrics import torchmetrics as ours  # noqa: E402
from estimators.metrics.base import MeasuredSet, Options, find_metrics  # noqa: E402
from estimators.metrics.extractors.measuring import Measuring  # noqa: E402
from estimators.metrics.pairs.preservation import seam_ratio  # noqa: E402


def batches(seed: int, count: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


REAL, MADE = batches(0), (batches(1) // 2) + 60


def pictures(x: Tensor) -> list[Image.Image]:
    return [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in x]


pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")


@pytest.fixture(scope="module")
def measuring() -> Measuring:
    return Measuring(tiny_extractor())


@pytest.mark.parametrize(
    ("metric", "name"),
    [(ours.FrechetDistance, "fid"), (ours.KernelDistance, "kid"), (ours.PrecisionRecall, "prc")],
)
def test_figures_against_real_pictures_are_those_of_evaluation(
    metric: type[ours.AgainstReal], name: str, measuring: Measuring
) -> None:
    figure = metric(measuring)
    figure.update(REAL[:7], True)
    figure.update(MADE, real=False)
    figure.update(REAL[7:], real=True)

    def features(x: Tensor) -> np.ndarray:
        samples = [SimpleNamespace(image=one) for one in pictures(x)]
        return measuring.features(samples, None)[:, measuring.extractor.frechet]  # type: ignore[arg-type]

    given = MeasuredSet(features=features(MADE), real=features(REAL))
    wanted = find_metrics()[name].measure(given, None)
    found = figure.compute()
    found = {name: found} if isinstance(found, Tensor) else found
    assert {key: float(value) for key, value in found.items()} == pytest.approx(
        {key: value for key, value in wanted.items() if key in found}, rel=1e-5
    )
    assert found


def test_frechet_distance_is_torchmetrics_own(measuring: Measuring) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(nn.Module):
        num_features = 8

        def forward(self, x_BCHW: Tensor) -> Tensor:
            found = measuring.extractor.net(x_BCHW.float() / 127.5 - 1)
            return found[:, measuring.extractor.frechet]

    theirs = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    own = ours.FrechetDistance(measuring)
    for metric in (theirs, own):
        metric.update(REAL, real=True)
        metric.update(MADE, real=False)
    assert float(own.compute()) == pytest.approx(float(theirs.compute()), rel=1e-3)
    again = float(own.compute())
    own.reset()
    with pytest.raises(ValueError, match="no pictures yet"):
        own.compute()
    halves = ours.FrechetDistance(measuring, normalize=True, reset_real_features=False)
    halves.update(REAL / 255, real=True)
    halves.reset()
    halves.update(MADE / 255, real=False)
    assert float(halves.compute()) == pytest.approx(again, rel=1e-5)


class Ranker:
    """Knows a picture's caption by the picture's brightness."""

    name = "brightness"

    def embed_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        values = torch.tensor([float(np.asarray(one).mean()) / 255 for one in pictures])
        return torch.stack([values.cos(), values.sin()], 1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        values = torch.tensor([float(text.split()[-1]) / 255 for text in texts])
        return torch.stack([values.cos(), values.sin()], 1)


def test_figures_of_words_see_the_captions() -> None:
    figure = ours.RPrecision(options=Options(contrastive=Ranker))
    flat = torch.arange(0, 240, 20, dtype=torch.uint8)
    x = flat.view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    captions = [f"红色 {value}" for value in flat.tolist()]
    captions[3] = "wrong 0"
    figure.update(x[:5], captions[:5])
    figure.update(x[5:], captions[5:])
    found = figure.compute()
    assert float(found["r_precision"]) == pytest.approx(10.5 / 12)  # a tie counts half
    assert figure.given().captions == captions
    with pytest.raises(ValueError, match="pictures and captions: got 12 and 11"):
        figure.update(x, captions[1:])


def test_lpips_and_a_collection_of_figures(measuring: Measuring) -> None:
    from torchmetrics import MetricCollection

    perceptual = Options(perceptual=lambda x, y: (x - y).abs().mean((1, 2, 3)))
    spread = ours.LpipsDiversity(options=perceptual, pairs=5)
    spread.update(MADE, ["a", "b"] * 8)
    assert 0 < float(spread.compute()["lpips_diversity"]) < 1
    both = MetricCollection([ours.FrechetDistance(measuring), ours.PrecisionRecall(measuring)])
    both.update(REAL, real=True)
    both.update(MADE, real=False)
    assert {"FrechetDistance", "precision", "coverage"} <= set(both.compute())


def test_edits() -> None:
    kept = torch.zeros(2, 16, 16, dtype=torch.bool)
    kept[:, :8] = True
    results = REAL[:2].clone()
    results[0, :, 0] += 1
    figure = ours.KeptPixels()
    figure.update(results, REAL[:2], kept)
    assert float(figure.compute()) == pytest.approx((1 + 7 / 8) / 2)
    known = torch.zeros(2, 4, 4, dtype=torch.bool)
    known[0, :2] = True  # nothing of the second is kept: it has no seam
    seam = ours.SeamRatio()
    seam.update(results, known)
    assert float(seam.compute()) == pytest.approx(seam_ratio(results[0], known[0]))
    assert math.isnan(float(ours.SeamRatio().compute()))


@pytest.mark.parametrize("wrong", [REAL[:0], REAL[:, :1], REAL.float(), REAL[0]])
def test_what_are_no_pictures_is_refused(wrong: Tensor, measuring: Measuring) -> None:
    with pytest.raises(ValueError, match=r"wanted (pictures|uint8)"):
        ours.FrechetDistance(measuring).update(wrong, real=True)
