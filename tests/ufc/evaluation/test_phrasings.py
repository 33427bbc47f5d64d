"""Phrasings and their plain captions: reading them, pairing them, counting what was understood."""

from pathlib import Path

import pytest

from ufc.evaluation.language.phrasings import (
    groups,
    phrasings_table,
    plain_caption,
    read_phrasings,
    shares,
)
from ufc_base.data.names import DataError

RECORDS = [
    {"type": "bag", "colour": "red", "gender": "Men", "text": "men's red bag", "text_zh": "男红包"},
    {"type": "bag", "colour": "red", "gender": "Women", "text": "women's red bag"},
    {"type": "shirt", "colour": "red", "text": "red shirt"},
]


def test_the_packaged_ones_are_read() -> None:
    found = read_phrasings()
    assert len(found) == 100
    members = dict(groups(found))
    assert len(members["en"]) + len(members["zh"]) == len(members["all"]) == 100
    assert len(members["in the lexicon"]) + len(members["outside it"]) == 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no phrasings"),
        ("{", "line 1: no JSON"),
        ('{"prompt": "x"}', "wanted an object with prompt and type"),
        ("3", "wanted an object"),
        ('{"prompt": "x", "type": "bag", "lang": "fr"}', "wanted en or zh"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_phrasings(tmp_path / "p.jsonl")


def test_the_plain_caption_shows_the_same() -> None:
    her = {"prompt": "p", "type": "bag", "colour": "red", "gender": "Women"}
    assert plain_caption(her, RECORDS) == "women's red bag"
    assert plain_caption({**her, "lang": "zh"}, RECORDS) == "男红包"  # no other is Chinese
    assert plain_caption({"prompt": "p", "type": "shirt", "colour": "blue"}, RECORDS) == "red shirt"
    with pytest.raises(DataError, match="'belt'"):
        plain_caption({"prompt": "p", "type": "belt"}, RECORDS)


def test_shares_count_what_was_asked_for() -> None:
    asked = [{"type": "bag", "colour": None}, {"type": "shirt", "colour": "red"}]
    seen = [{"type": t, "colour": c} for t, c in (("bag", "red"), ("cap", "red"))] + [
        {"type": "shirt", "colour": c} for c in ("red", "blue")
    ]
    assert shares(seen, asked, [0, 1], 2) == {"type": 0.75, "colour": 0.5}
    assert shares(seen, asked, [0], 2) == {"type": 0.5}
    row = {"phrasings": {"type": 0.5}, "plain": {"type": 1.0}}
    table = phrasings_table({"phrasings": 1, "pictures": 2, "judge": "j", "groups": {"all": row}})
    assert "0.500 / 1.000 50%" in table
