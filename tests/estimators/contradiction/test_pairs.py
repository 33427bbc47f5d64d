"""What one phrase says to another, and the pairs that are made to learn it."""

from __future__ import annotations

import random

import pytest

from estimators.contradiction.lexicon import ATTRIBUTES
from estimators.contradiction.meaning import Item, judge, read
from estimators.contradiction.pairs import (
    UNSEEN_WAYS,
    WAYS,
    Style,
    fill,
    held_out,
    items_of,
    sample_pair,
    tied_pair,
)
from estimators.contradiction.trees import parse, units

CAPTIONS = [
    "men's navy blue striped casual shirt",
    "women's red party dress",
    "unisex black leather casual wallet",
    "女士粉色休闲上衣",
    "men's white sports shoes",
]
ITEMS = items_of(CAPTIONS)


def labels(prompt: str, caption: str) -> dict[str, str]:
    return dict(judge(read(parse(prompt)), read(parse(caption))))


def test_items_are_what_captions_name() -> None:
    assert ITEMS[0] == Item("Shirts", ("Navy Blue",), ("Men",), ("Casual",), ("striped",))
    assert ITEMS[3] == Item("Tops", ("Pink",), ("Women",), ("Casual",))
    assert items_of(["a sunny day"]) == []


@pytest.mark.parametrize(
    ("prompt", "caption", "attribute", "label"),
    [
        ("navy shirt", "men's black shirt", "colour", "contradiction"),
        ("navy shirt", "men's black shirt", "gender", "neutral"),
        ("navy shirt", "藏青色衬衫", "colour", "entailment"),
        ("blue shirt", "navy shirt", "colour", "entailment"),  # navy is a blue
        ("navy shirt", "blue shirt", "colour", "neutral"),
        ("navy shirt", "navy shirt for men", "overall", "entailment"),
        ("navy shirt for men", "navy shirt", "overall", "neutral"),
        ("navy shirt for men", "unisex navy shirt", "gender", "neutral"),
        ("men's shirt", "men's jeans", "type", "contradiction"),
        ("formal shirt", "casual shirt", "occasion", "contradiction"),
        ("black dress, white belt", "white dress, black belt", "colour", "contradiction"),
        ("black dress, white belt", "white belt, black dress", "overall", "entailment"),
        ("red handbag with gold chain", "gold handbag with red chain", "colour", "contradiction"),
        ("red handbag with gold chain", "red handbag", "colour", "neutral"),
        ("男士衬衫和女士凉鞋", "女士衬衫和男士凉鞋", "gender", "contradiction"),
        ("", "red dress", "overall", "neutral"),
    ],
)
def test_labels_by_rule(prompt: str, caption: str, attribute: str, label: str) -> None:
    assert labels(prompt, caption)[attribute] == label


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("make", [sample_pair, tied_pair])
def test_labels_are_those_that_the_written_words_have(make, unseen: bool) -> None:
    """Nearly always: Chinese words may run into one another."""
    rng = random.Random(0)
    pairs = [make(ITEMS, rng, Style(unseen=unseen)) for _ in range(150)]
    agree = [labels(pair.prompt, pair.caption) == pair.labels for pair in pairs]
    assert sum(agree) >= 147
    assert {pair.labels["overall"] for pair in pairs} >= {"entailment", "contradiction"}


def test_tied_pairs_have_the_same_words_and_labels_of_both_kinds() -> None:
    rng = random.Random(0)
    pairs = [tied_pair(ITEMS, rng, Style()) for _ in range(200)]
    for pair in pairs:
        bags = [
            sorted(u.value for u in units(text) if u.value) for text in (pair.prompt, pair.caption)
        ]
        assert bags[0] == bags[1]
    contradicted = sum(pair.labels["overall"] == "contradiction" for pair in pairs)
    assert 70 < contradicted < 130


def test_training_has_no_combination_that_is_held_out() -> None:
    rng = random.Random(0)
    found = {True: 0, False: 0}
    for unseen in found:
        for make in (sample_pair, tied_pair):
            for pair in (make(ITEMS, rng, Style(unseen=unseen)) for _ in range(100)):
                items = [*read(parse(pair.prompt)), *read(parse(pair.caption))]
                found[unseen] += any(map(held_out, items))
    assert found[False] == 0
    assert found[True] > 150


def test_the_same_seed_makes_the_same_pairs() -> None:
    made = [[sample_pair(ITEMS, random.Random(3), Style()) for _ in range(3)] for _ in range(2)]
    assert made[0] == made[1]


def test_ways_of_writing_leave_out_what_is_unsaid() -> None:
    said = {"o": "", "a": "", "c": "red", "p": "", "u": "", "n": "belt"}
    assert fill("a {c} {p} {u} {n} [for {a}]", said) == "a red belt"
    assert fill("{n}[, {c}][, {p}]", said | {"c": ""}) == "belt"
    assert fill("[for {a}: ]something {c}, a {n}", said | {"a": "men"}) == (
        "for men: something red, a belt"
    )
    assert not set(WAYS["en"]) & set(UNSEEN_WAYS["en"])


def test_attributes_have_a_label_each() -> None:
    assert set(labels("red dress", "blue dress")) == {*ATTRIBUTES, "overall"}
