"""The prompts that measure words outside the training captions: their form, counts and spread."""

import json
from collections import Counter
from importlib.resources import files

import pytest

TYPES = {
    *("Tshirts", "Shirts", "Casual Shoes", "Kurtas", "Tops", "Sports Shoes", "Watches"),
    *("Handbags", "Heels", "Sunglasses", "Sweaters", "Flip Flops", "Wallets", "Sandals"),
    *("Sweatshirts", "Belts", "Trousers", "Formal Shoes", "Socks", "Jeans", "Jackets"),
    *("Flats", "Backpacks", "Shorts", "Caps"),
}
COLOURS = {
    *("Black", "Blue", "White", "Brown", "Grey", "Red", "Green", "Navy Blue", "Purple"),
    *("Pink", "Beige", "Maroon", "Yellow", "Olive", "Silver"),
}
FIELDS = {"prompt", "lang", "type", "colour", "gender", "out_of_lexicon"}


@pytest.fixture(scope="module")
def lines():
    text = (files("ufc") / "measure" / "unseen_prompts.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_one_hundred_different_prompts_in_two_languages(lines):
    assert Counter(line["lang"] for line in lines) == {"en": 65, "zh": 35}
    assert len({line["prompt"].casefold() for line in lines}) == 100


def test_every_line_has_the_fields_and_values_of_the_data(lines):
    for line in lines:
        assert set(line) == FIELDS
        assert line["prompt"] == " ".join(line["prompt"].split()) != ""
        assert line["type"] in TYPES
        assert line["colour"] in COLOURS | {None}
        assert line["gender"] in {"Men", "Women", None}
        assert type(line["out_of_lexicon"]) is bool


def test_the_language_is_that_of_the_words(lines):
    for line in lines:
        chinese = any("\u4e00" <= character <= "\u9fff" for character in line["prompt"])
        assert chinese == (line["lang"] == "zh")


def test_every_type_and_colour_is_asked_for_and_both_kinds_of_words_occur(lines):
    assert {line["type"] for line in lines} == TYPES
    assert {line["colour"] for line in lines} - {None} == COLOURS
    assert 20 <= sum(not line["out_of_lexicon"] for line in lines) <= 40
