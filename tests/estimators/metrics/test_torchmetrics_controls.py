"""What controls asked for, seen in pictures, and edits' seams, as torchmetrics take pictures in."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from vqgan.perceptual import import_torchvision

import_torchvision()
pytest.importorskip("torchmetrics")

from toy_extractor import tiny_extractor  # noqa: E402

from estimators.metrics import torchmetrics as ours  # noqa: E402
from estimators.metrics.extractors import Extractor  # noqa: E402
from estimators.metrics.extractors.features import extract  # noqa: E402
from estimators.metrics.pairs.seams import seam  # noqa: E402
from estimators.metrics.probes.attributes import NATIVE, Judge, fit_judge, score  # noqa: E402
from estimators.metrics.references import __main__ as references  # noqa: E402

COLOURS = {"Red": (200, 30, 40), "Blue": (40, 90, 200), "Green": (30, 140, 60), "Black": (9, 9, 9)}


def box(colour: str, size: int = 32, moved: int = 0) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    edge = size // 5
    place = (edge + moved, edge, size - edge + moved, size - edge)
    ImageDraw.Draw(image).rectangle(place, fill=COLOURS[colour])
    return image


def batch(pictures: list[Image.Image]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in pictures])


NAMES = [list(COLOURS)[row % 4] for row in range(16)]
PICTURES = [box(name, moved=row % 3) for row, name in enumerate(NAMES)]
RECORDS = [
    {"colour": name, "gender": ("Men", "Women")[row % 2] if row < 8 else None}
    for row, name in enumerate(NAMES)
]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return tiny_extractor()


@pytest.fixture(scope="module")
def judge(extractor: Extractor) -> Judge:
    features = {NATIVE: extract(extractor, PICTURES)}
    return fit_judge(extractor, features, RECORDS, ("colour", "gender"), l2=1e-4)


def test_attributes_seen_are_those_that_the_probes_command_finds(
    extractor: Extractor, judge: Judge
) -> None:
    asked = [*RECORDS[:2], *RECORDS[:14]]  # some are not what is seen
    wanted = score(judge, extractor, extract(extractor, PICTURES), asked).accuracy
    figure = ours.AttributesSeen(judge, extractor)
    for part in (slice(0, 5), slice(5, 10), slice(10, 16)):  # the last has no gender at all
        figure.update(batch(PICTURES[part]), asked[part])
    found = {name: float(value) for name, value in figure.compute().items()}
    assert found == pytest.approx(wanted)
    assert 0 < found["colour"] < 1
    figure.reset()
    figure.update(batch(PICTURES[:4]), [{"colour": name} for name in NAMES[:4]])
    assert {name: float(value) for name, value in figure.compute().items()} == {"colour": 1}


def test_what_cannot_be_judged_is_refused(extractor: Extractor, judge: Judge) -> None:
    figure = ours.AttributesSeen(judge, extractor, normalize=True)
    with pytest.raises(ValueError, match="asked for colour, gender yet"):
        figure.compute()
    with pytest.raises(ValueError, match="4 pictures and 3 records"):
        figure.update(batch(PICTURES[:4]) / 255, RECORDS[:3])
    other = Judge("another network", judge.size, judge.scaler, judge.probes, judge.references)
    with pytest.raises(ValueError, match="fitted with another network"):
        ours.AttributesSeen(other, extractor)


def test_colours_taken_up_are_those_that_the_references_command_finds(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [box(name, size=48) for name in [*NAMES[:8], *NAMES[8:][::-1]]]
    (tmp_path / "requests" / "references").mkdir(parents=True)
    (tmp_path / "pictures").mkdir()
    for row, (picture, reference) in enumerate(zip(PICTURES, given, strict=True)):
        picture.save(tmp_path / "pictures" / f"{row:02d}-0-0.png")
        reference.save(tmp_path / "requests" / "references" / f"{row:02d}.png")
    command = ["judge", str(tmp_path / "pictures"), "--requests", str(tmp_path / "requests")]
    assert references.main([*command, "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)
    figure = ours.ColourTakenUp()
    figure.update(batch(PICTURES[:6]), batch(given[:6]))
    figure.update(batch(PICTURES[6:]), batch(given[6:]))
    found = {name: float(value) for name, value in figure.compute().items()}
    assert found == pytest.approx({name: wanted[name] for name in found})
    assert set(found) == {"same", "same_by_chance", "nearer", "p_value"}
    assert found["same"] == 0.5
    with pytest.raises(ValueError, match="4 pictures and 3 references"):
        figure.update(batch(PICTURES[:4]), batch(given[:3]))
    figure.reset()
    with pytest.raises(ValueError, match="2 or more"):
        figure.compute()


def test_seams_of_edits_are_meaned() -> None:
    pixels = np.random.default_rng(0).normal(120, 5, (2, 3, 32, 32))
    pixels[1, :, 8:24, 8:24] += 40
    results = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    changed = torch.zeros(2, 32, 32, dtype=torch.bool)
    changed[:, 8:24, 8:24] = True
    mask = Image.fromarray(changed[0].byte().numpy() * 255)
    wanted = [seam(Image.fromarray(one.permute(1, 2, 0).numpy()), mask) for one in results]
    assert wanted[1] > 2 * wanted[0]
    figure = ours.EditSeam()
    figure.update(results[:1], changed[:1])
    figure.update(results[:, :, :, :20], torch.zeros(2, 32, 20))  # nothing changed: no border
    figure.update(results[1:], changed[1:])
    assert float(figure.compute()) == pytest.approx(sum(wanted) / 2)
    assert math.isnan(float(ours.EditSeam().compute()))
    with pytest.raises(ValueError, match="wanted one size"):
        figure.update(results, changed[:, :16])


pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
