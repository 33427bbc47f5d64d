"""KID, IS, precision, recall, density, coverage, and what makes a score worth its decimals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from estimators.metrics.inception_score import inception_score
from estimators.metrics.kid import kernel_distance
from estimators.metrics.precision_recall import density_and_coverage, overlap
from estimators.metrics.scores.trust import (
    calibration_curve,
    calibration_error,
    mean_gain,
    rank_correlation,
)


def normal(count: int, width: int = 6, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, width)) + shift).astype(np.float32)


def test_kid_is_about_zero_for_one_distribution_and_grows_with_a_shift() -> None:
    same, _ = kernel_distance(normal(200), normal(200, seed=1))
    near, _ = kernel_distance(normal(200), normal(200, shift=0.5, seed=1))
    far, width = kernel_distance(normal(200), normal(200, shift=1.0, seed=1))
    assert abs(same) < near / 3 < near < far
    assert width > 0


def test_kid_is_the_unbiased_cubic_estimate() -> None:
    a, b = normal(4).astype(np.float64), normal(4, shift=1, seed=1).astype(np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 6 + 1) ** 3

    # Of four pictures the subsets have two: the mean over all pairs of pairs is the estimate.
    off = ~np.eye(4, dtype=bool)
    exact = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    found, spread = kernel_distance(a, b)
    assert abs(found - exact) < 4 * spread / 10


def test_inception_score_is_one_without_and_the_number_of_classes_with_certainty() -> None:
    flat = np.tile(np.arange(5, dtype=np.float32), (40, 1))
    sure = np.tile(np.eye(5, dtype=np.float32) * 50, (8, 1))
    assert inception_score(flat, splits=1)[0] == pytest.approx(1)
    assert inception_score(sure, splits=1)[0] == pytest.approx(5, rel=1e-4)
    with pytest.raises(ValueError, match="fully connected layers"):
        inception_score(np.zeros((40, 5), dtype=np.float32))


def test_overlap_of_a_set_with_itself_is_whole_and_with_a_far_one_none() -> None:
    x = normal(60)
    whole, none = overlap(x, x), overlap(x + 100, x)
    assert (whole.precision, whole.recall, whole.coverage) == (1, 1, 1)
    assert (none.precision, none.recall, none.density, none.coverage) == (0, 0, 0, 0)


def test_one_good_picture_repeated_is_precise_but_covers_little() -> None:
    real = normal(80)
    found = overlap(np.repeat(real[:1], 80, 0), real)
    assert found.precision == 1
    assert found.recall < 0.2
    assert found.coverage < 0.5


def test_density_counts_balls_and_coverage_counts_centres() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    # With k = 1 the balls reach 1, 1, 1 and 8; the point 0.5 lies in those of 0 and 1.
    density, coverage = density_and_coverage(torch.tensor([[0.5], [50.0]]), real, neighbours=1)
    assert density == pytest.approx(2 / 2)
    assert coverage == pytest.approx(2 / 4)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted 4 or more"):
        kernel_distance(normal(3), normal(9))
    with pytest.raises(ValueError, match="wanted 6 or more"):
        overlap(normal(9), normal(5))


def test_a_calibrated_score_has_no_error_and_an_overconfident_one_has() -> None:
    scores = np.repeat([0.25, 0.75], 100)
    fair = np.concatenate([np.arange(100) < 25, np.arange(100) < 75])
    assert calibration_error(calibration_curve(scores, fair)) == pytest.approx(0)
    boastful = calibration_curve(np.full(100, 0.95), np.arange(100) < 50)
    assert calibration_error(boastful) == pytest.approx(0.45)
    assert [point.count for point in calibration_curve([1.0, 0.0], [1, 0])] == [1, 1]
    with pytest.raises(ValueError, match=r"scores in 0\.\.1"):
        calibration_curve([1.2], [1])


def test_rank_correlation_sees_order_alone_and_shares_ties() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(x, x**5) == pytest.approx(1)
    assert rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(4)) == 0
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == pytest.approx(1)


def test_a_gain_beyond_chance_has_zero_outside_its_interval() -> None:
    noise = np.random.default_rng(0).normal(size=200)
    assert mean_gain(noise + 1, noise).low > 0
    gain = mean_gain(noise, np.random.default_rng(1).normal(size=200))
    assert gain.low < 0 < gain.high
    with pytest.raises(ValueError, match="equal numbers"):
        mean_gain([1.0], [1.0, 2.0])
