"""What the lexicon's rules decide, and what is left to the network."""

from __future__ import annotations

import itertools

import pytest
import torch

from estimators.contradiction.model import ContradictionConfig, ContradictionModel
from estimators.contradiction.trees import parse
from estimators.contradiction.verdicts import by_rule, contradiction, contradictions

COLOURS = ("red", "blue", "black", "white", "green", "pink")


@pytest.fixture(scope="module")
def untrained() -> ContradictionModel:
    torch.manual_seed(0)
    return ContradictionModel(ContradictionConfig()).eval()


def test_another_colour_contradicts_whatever_the_network_says(
    untrained: ContradictionModel,
) -> None:
    pairs = list(itertools.product(COLOURS, repeat=2))
    prompts = [f"men's {asked} casual shirt" for asked, _ in pairs]
    captions = [f"men's {shown} casual shirt" for _, shown in pairs]
    for (asked, shown), found in zip(
        pairs, contradictions(prompts, captions, untrained), strict=True
    ):
        wanted = "entailment" if asked == shown else "contradiction"
        assert found.attributes["colour"].label == found.overall.label == wanted
        assert sum(found.overall.probabilities.values()) == pytest.approx(1)


def test_what_is_not_said_stays_open_where_every_word_is_known(
    untrained: ContradictionModel,
) -> None:
    found = contradiction("women's red handbag", "red handbag", untrained)
    assert found.attributes["gender"].label == "neutral"


def test_unknown_words_are_the_networks() -> None:
    known = by_rule(parse("red handbag"), parse("women's handbag"))
    unknown = by_rule(parse("red handbag for my flurble"), parse("women's handbag"))
    assert known["colour"] == known["overall"] == "neutral"
    assert unknown == {"type": "entailment"}
    granted = by_rule(parse("hairy purple flurbles handbag"), parse("purple handbag"))
    assert "overall" not in granted and granted["colour"] == "entailment"
    against = by_rule(parse("red handbag for my flurble"), parse("blue handbag"))
    assert against["overall"] == against["colour"] == "contradiction"
