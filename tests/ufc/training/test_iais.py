"""The relation alignment: its distances, and that a run lowers them."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import tiny_transformer

from ufc.conditioning.control_item import ControlItem
from ufc.training.objectives.iais import (
    Parts,
    attention_parts,
    distance,
    distributed,
    normalised,
    singular,
)


def items() -> list[ControlItem]:
    grid = torch.arange(16).view(4, 4)
    return [ControlItem([5, 6, 7], [grid]), ControlItem([8, 9], [grid.flip(0)])]


def test_attention_of_each_sample_without_its_padding() -> None:
    model = tiny_transformer(50)
    together = attention_parts(model, items())
    alone = attention_parts(model, items()[1:])[0]
    assert together[1].words_LL.shape == (2, 2) and together[0].across_LV.shape == (3, 16)
    torch.testing.assert_close(together[1].patches_VV, alone.patches_VV)
    for part in vars(alone).values():
        torch.testing.assert_close(part.sum(-1), torch.ones(len(part)))
    with pytest.raises(ValueError, match="prefix"):
        attention_parts(tiny_transformer(50, control_attention="full"), items())


def test_the_distance_is_symmetric_and_nothing_of_equals() -> None:
    p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    wanted = 0.4 * (math.log(0.9) - math.log(0.5)) - 0.4 * (math.log(0.1) - math.log(0.5))
    assert float(distance(p, q)) == pytest.approx(wanted, abs=1e-4)
    assert float(distance(q, p)) == pytest.approx(wanted, abs=1e-4)
    assert float(distance(p, p)) == 0


def test_words_that_look_at_their_own_patches_are_aligned() -> None:
    """Three words, three patches, each looks at its own: words are what patches are."""
    among = normalised(torch.tensor([[5.0, 2, 1], [2, 5, 1], [1, 1, 5]]))
    across = torch.eye(3)
    words, patches = distributed(Parts(among, among, across, across))
    assert float(words) > 0 and float(words) == pytest.approx(float(patches))
    same = Parts(across, across, across, across)
    assert float(distributed(same)[0]) == pytest.approx(0, abs=1e-5)
    turned = Parts(among, among[[1, 2, 0]][:, [1, 2, 0]], across[[2, 0, 1]], across)
    straight = Parts(among, among, across, across)
    torch.testing.assert_close(singular(turned)[0], singular(straight)[0])


def test_it_can_be_learnt() -> None:
    torch.manual_seed(0)
    model = tiny_transformer(50)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    values = []
    for _ in range(15):
        loss = torch.stack([sum(singular(p)) for p in attention_parts(model, items())]).sum()  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss))
    assert values[-1] < 0.8 * values[0]
