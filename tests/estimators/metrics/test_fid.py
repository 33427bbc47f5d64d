"""The Frechet distance against closed forms, and what it must not depend on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from estimators import fid as command
from estimators.metrics import fid
from estimators.metrics.extractors import command_line, make_extractor
from estimators.metrics.fid import (
    Statistics,
    frechet_distance,
    load_statistics,
    save_statistics,
    statistics,
)


def gaussian(mean, covariance):
    return Statistics(np.asarray(mean, float), np.asarray(covariance, float), 100)


def test_closed_form_of_one_dimension():
    # N(1, 4) and N(4, 25): (1 - 4)^2 + (2 - 5)^2
    assert frechet_distance(gaussian([1], [[4]]), gaussian([4], [[25]])) == pytest.approx(18)


def test_closed_form_of_diagonal_covariances():
    a, b = np.array([1.0, 4.0, 0.0]), np.array([9.0, 4.0, 2.0])
    distance = frechet_distance(gaussian([0, 0, 0], np.diag(a)), gaussian([1, 2, 2], np.diag(b)))
    assert distance == pytest.approx(9 + np.square(np.sqrt(a) - np.sqrt(b)).sum())


def test_equals_the_textbook_product_for_full_covariances():
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(7, 7))
    a, b = statistics(rng.normal(size=(60, 7))), statistics(rng.normal(size=(50, 7)) @ mix)
    root_trace = np.sqrt(np.linalg.eigvals(a.covariance @ b.covariance)).real.sum()
    textbook = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance)
    assert frechet_distance(a, b) == pytest.approx(textbook - 2 * root_trace)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_a_set_against_itself_is_zero_even_when_it_is_smaller_than_its_features():
    few = np.random.default_rng(2).normal(size=(5, 40))
    assert frechet_distance(statistics(few), statistics(few)) == pytest.approx(0, abs=1e-6)


def test_a_shifted_set_is_the_squared_shift_away():
    x = np.random.default_rng(3).normal(size=(200, 6))
    shift = np.arange(6.0)
    distance = frechet_distance(statistics(x), statistics(x + shift))
    assert distance == pytest.approx(np.square(shift).sum())


def test_the_order_of_the_pictures_does_not_matter():
    x = np.random.default_rng(4).normal(size=(64, 8)).astype(np.float32)
    other = statistics(np.random.default_rng(5).normal(size=(64, 8)))
    shuffled = np.random.default_rng(6).permutation(x)
    first, second = statistics(x), statistics(shuffled)
    assert frechet_distance(first, other) == pytest.approx(frechet_distance(second, other), 1e-9)


def test_statistics_are_float64_and_unbiased():
    x = np.random.default_rng(7).normal(size=(30, 4)).astype(np.float32)
    stats = statistics(x)
    assert stats.mean.dtype == stats.covariance.dtype == np.float64
    np.testing.assert_allclose(stats.covariance, np.cov(x.astype(float), rowvar=False))


@pytest.mark.parametrize(
    "features", [np.zeros((1, 3)), np.zeros(3), np.array([[1.0, np.nan], [0.0, 0.0]])]
)
def test_refuses_what_has_no_statistics(features):
    with pytest.raises(ValueError, match=r"at least 2 pictures|NaN"):
        statistics(features)


def test_refuses_statistics_of_two_extractors():
    with pytest.raises(ValueError, match="2 and of 1 features"):
        frechet_distance(gaussian([0, 0], np.eye(2)), gaussian([0], [[1]]))


def test_statistics_survive_a_file(tmp_path):
    stats = statistics(np.random.default_rng(8).normal(size=(9, 3)))
    save_statistics(tmp_path / "s.npz", stats, "tiny")
    loaded, about = load_statistics(tmp_path / "s.npz")
    assert about == "tiny"
    assert loaded.count == 9
    assert frechet_distance(loaded, stats) == pytest.approx(0, abs=1e-9)
    (tmp_path / "bad.npz").write_text("no archive")
    with pytest.raises(ValueError, match="wanted the arrays mu and sigma"):
        load_statistics(tmp_path / "bad.npz")


def test_ref_and_calc_from_the_command_line(tmp_path, capsys, monkeypatch):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
    tiny = make_extractor("random", layers, (1,), 16)
    monkeypatch.setattr(command_line, "load_extractor", lambda *_, **__: tiny)
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    a, b, ref = str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a.npz")
    assert command.main(["ref", a, "-o", ref]) == 0
    capsys.readouterr()
    figures = {}
    for fake, against in ((a, ref), (b, ref), (b, a)):
        assert command.main(["calc", fake, "--ref", against]) == 0
        printed = capsys.readouterr()
        assert "biased upwards" in printed.err
        figures[fake, against] = json.loads(printed.out)["fd"]
    assert figures[a, ref] == pytest.approx(0, abs=1e-9)
    assert figures[b, ref] == pytest.approx(figures[b, a])
    assert figures[b, ref] > 0
    assert command.main(["calc", b, "--ref", ref, "--size", "8"]) == 2
    assert "give the same options" in capsys.readouterr().err
    assert command.main(["ref", a, "-o", str(tmp_path / "none" / "a.npz")]) == 2
    assert "in a folder that exists" in capsys.readouterr().err
    assert command.main(["calc", b, "--ref", ref, "--batch-size", "0"]) == 2
    (tmp_path / "b" / "manifest.jsonl").write_text(
        "".join(f'{{"file_name": "{n}.png", "status": "done", "order": "halton"}}\n' for n in "012")
    )
    assert command.main(["calc", b, "--ref", ref]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pictures"], report["sampler"]) == (3, {"order": "halton"})


def test_agrees_with_torchmetrics_on_the_same_features():
    from vqgan.perceptual import import_torchvision

    import_torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Mean(nn.Module):
        num_features = 6

        def forward(self, x):
            return x.float().flatten(1)[:, :6]

    rng = np.random.default_rng(9)
    a, b = (rng.integers(0, high, (40, 3, 2, 2), dtype=np.uint8) for high in (200, 255))
    metric = FrechetInceptionDistance(feature=Mean(), input_img_size=(3, 2, 2)).set_dtype(
        torch.float64
    )
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    own = frechet_distance(*(statistics(x.reshape(40, -1)[:, :6].astype(float)) for x in (a, b)))
    assert own == pytest.approx(float(metric.compute()), rel=1e-5)


def test_the_interval_covers_what_other_pictures_of_the_kind_give():
    rng = np.random.default_rng(10)
    reference = statistics(rng.normal(size=(5000, 4)))
    sets = [rng.normal(size=(300, 4)) + 0.5 for _ in range(60)]
    found = [fid.distance_of(x, reference) for x in sets]
    values = np.array([each.value for each in found])
    widths = np.array([each.half_width for each in found])
    covered = (np.abs(values - values.mean()) < widths).mean()
    assert 0.85 <= covered <= 1
    assert (
        fid.distance_of(rng.normal(size=(10_000, 2)), statistics(sets[0][:, :2])).half_width is None
    )


def test_the_change_between_two_sets_of_the_same_captions_is_narrower_than_between_any_two():
    rng = np.random.default_rng(11)
    reference = statistics(rng.normal(size=(2000, 4)))
    before = rng.normal(size=(200, 4)) + 0.6
    after = before - 0.2
    change, width = fid.distance_change(after, before, reference)
    alone = fid.distance_of(after, reference).half_width
    assert change < -width < 0
    assert width < alone
    with pytest.raises(ValueError, match="wanted pairs"):
        fid.distance_change(after, before[1:], reference)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])  # pytorch-fid's, clean-fid's
def test_statistics_of_pytorch_fid_and_clean_fid_are_read(tmp_path, save):
    mean, covariance = np.arange(6.0), np.diag(np.arange(1.0, 7.0))
    save(tmp_path / "theirs.npz", mu=mean, sigma=covariance)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
    other = command_line.Measuring(make_extractor("random", layers, (1,), 16))
    with pytest.raises(ValueError, match=r"6 features.*--extractor inception, and --mode clean"):
        fid.statistics_for(other, tmp_path / "theirs.npz")
    same = command_line.Measuring(make_extractor("inception", layers, (1,), 16))
    stats = fid.statistics_for(same, tmp_path / "theirs.npz")
    assert stats.count == 0
    # |m|^2 apart in the mean, and (sqrt(c) - sqrt(4 c))^2 = c in each variance
    moved = Statistics(np.zeros(6), 4 * covariance, 100)
    assert frechet_distance(moved, stats) == pytest.approx(55 + 21)
    narrow = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
    fewer = command_line.Measuring(make_extractor("inception", narrow, (1,), 16))
    with pytest.raises(ValueError, match="this is inception with 4"):
        fid.statistics_for(fewer, tmp_path / "theirs.npz")
    save(tmp_path / "bad.npz", mu=mean, sigma=mean)
    with pytest.raises(ValueError, match=r"wanted \(F\) and \(F, F\)"):
        fid.load_statistics(tmp_path / "bad.npz")
