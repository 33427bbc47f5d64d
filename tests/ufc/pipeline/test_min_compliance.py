"""A compliance that pictures have to reach: in the call, with a notice where none does."""

from __future__ import annotations

import pytest
from conftest import make_pipeline

from ufc.io.validation import RequestError


def test_what_falls_short_is_said() -> None:
    pipe = make_pipeline()
    settings = {"num_inference_steps": 2, "seed": 3}
    plain = pipe("red bag", **settings)
    reached = pipe("red bag", min_compliance=0.0, **settings)
    assert reached.codes.equal(plain.codes) and reached.notices == plain.notices
    short = pipe("red bag", min_compliance=1.0, max_attempts=3, **settings)
    assert "after 3 attempts, min_compliance 1 was wanted" in short.notices[0][-1]
    assert short.compliance[0] >= plain.compliance[0]
    again = pipe("red bag", min_compliance=1.0, max_attempts=3, **settings)
    assert again.codes.equal(short.codes)


def test_it_is_a_share() -> None:
    with pytest.raises(RequestError, match="min_compliance"):
        make_pipeline()("red bag", min_compliance=1.5)


def test_there_is_something_to_comply_with() -> None:
    with pytest.raises(RequestError, match="nothing to comply with"):
        make_pipeline()(min_compliance=0.5)
