"""Phrasings and their plain captions: reading them, pairing them, counting what was understood."""

from pathlib import Path

import pytest

from ufc.evaluation.language.phrasings import (
    groups,
    in_common,
    phrasings_table,
    plain_record,
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
        ('\n{"prompt": "x", "type": "bag", "lang": []}', "line 2.*wanted en or zh"),
        ('{"prompt": "x", "type": [1]}', "line 1: type: got a list, wanted text"),
        ('{"prompt": "\\ud800", "type": "bag"}', "line 1: prompt: .*not valid Unicode"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_phrasings(tmp_path / "p.jsonl")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes('{"prompt": "包", "type": "bag"}'.encode("gbk"))
    with pytest.raises(DataError, match="is not UTF-8"):
        read_phrasings(tmp_path / "p.jsonl")


def test_the_plain_caption_shows_the_same() -> None:
    her = {"prompt": "p", "type": "bag", "colour": "red", "gender": "Women"}
    assert plain_record(her, RECORDS) == RECORDS[1]
    assert plain_record({**her, "lang": "zh"}, RECORDS) == RECORDS[0]  # no other is Chinese
    shirt = {"prompt": "p", "type": "shirt", "colour": "blue"}
    found = plain_record(shirt, RECORDS)
    assert found == RECORDS[2]
    assert in_common(shirt, found) == {**shirt, "colour": None}
    with pytest.raises(DataError, match="'belt'"):
        plain_record({"prompt": "p", "type": "belt"}, RECORDS)


def test_shares_count_what_was_asked_for() -> None:
    asked = [{"type": "bag", "colour": None}, {"type": "shirt", "colour": "red"}]
    seen = [{"type": t, "colour": c} for t, c in (("bag", "red"), ("cap", "red"))] + [
        {"type": "shirt", "colour": c} for c in ("red", "blue")
    ]
    assert shares(seen, asked, [0, 1], 2) == {"type": 0.75, "colour": 0.5}
    assert shares(seen, asked, [0], 2) == {"type": 0.5}
    row = {"phrasings": {"type": 0.5}, "plain": {"type": 1.0}}
    about = {"phrasings": 1, "asked_less": 0, "pictures": 2, "judge": "j"}
    table = phrasings_table(about | {"groups": {"all": row}})
    assert "0.500 / 1.000 50%" in table
