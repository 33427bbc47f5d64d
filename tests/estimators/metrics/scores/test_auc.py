"""The rank AUC against counting pairs by hand."""

import numpy as np
import pytest

from estimators.metrics.scores.auc import auc


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
