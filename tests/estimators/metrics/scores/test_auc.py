"""The rank AUC against counting pairs by hand."""

import numpy as np
import pytest

from estimators.metrics.scores.auc import AucInterval, auc, auc_interval


def test_ends_and_middle():
    assert auc([3, 4], [1, 2]) == 1.0
    assert auc([1, 2], [3, 4]) == 0.0
    assert auc([5, 5], [5]) == 0.5


def test_equals_counting_all_pairs():
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(0, 6, 40), rng.integers(0, 5, 23)  # integers: many ties
    pairs = [(r > w) + 0.5 * (r == w) for r in right for w in wrong]
    assert auc(right, wrong) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(("right", "wrong"), [([], [1]), ([1], []), ([float("nan")], [1])])
def test_refuses_what_has_no_rank(right, wrong):
    with pytest.raises(ValueError, match=r"wanted at least one|NaN"):
        auc(right, wrong)


def test_an_interval_holds_the_area_and_is_narrower_with_more_pictures():
    rng = np.random.default_rng(0)
    own, other = rng.normal(0.6, 1, 400), rng.normal(0, 1, 400)
    many, few = auc_interval(own, other), auc_interval(own[:40], other[:40])
    assert many.value == auc(own, other)
    assert many.low < many.value < many.high
    assert many.high - many.low < few.high - few.low
    assert auc_interval([2, 3], [0, 1]) == AucInterval(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="wanted pairs"):
        auc_interval([1, 2], [1])
