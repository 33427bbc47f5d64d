"""Verdicts against probes: what counts, and what 1 - P(contradiction) says."""

from __future__ import annotations

import pytest

from estimators.contradiction.lexicon import ATTRIBUTES
from estimators.contradiction.verdicts import Verdict, Verdicts
from ufc.evaluation.language.verdicts import against_probe, asks_for, one_minus_contradiction

PROMPTS = ["men's red shirt", "men's blue shirt", "men's black shirt", "men's shirt"]
RECORDS = [{"colour": colour} for colour in ("Red", "Blue", "Black", "Green")]


def verdicts(chance: float) -> Verdicts:
    """All that is asked is contradicted with this probability, else granted."""
    of = {"entailment": 1 - chance, "contradiction": chance, "neutral": 0.0}
    one = Verdict("contradiction" if chance > 0.5 else "entailment", of)  # type: ignore[arg-type]
    return Verdicts(one, dict.fromkeys(ATTRIBUTES, one))


FOUND = [verdicts(chance) for chance in (0.1, 0.9, 0.8, 0.9)]


def test_agreement_precision_and_recall_are_of_contradictions() -> None:
    seen = [{"colour": colour} for colour in ("Red", "Red", "Black", "Red")]
    assert against_probe("colour", PROMPTS, FOUND, seen, RECORDS) == {
        "count": 3,  # the last prompt asks for no colour
        "agreement": pytest.approx(2 / 3),
        "constant": pytest.approx(2 / 3),
        "precision": 0.5,
        "recall": 1.0,
        "contradicted": pytest.approx(2 / 3),
        "differs": pytest.approx(1 / 3),
    }


def test_where_nothing_differs_or_is_asked_there_is_no_share() -> None:
    same = [{"colour": record["colour"]} for record in RECORDS]
    found = against_probe("colour", PROMPTS, FOUND, same, RECORDS)
    assert found["recall"] is None and found["precision"] == 0
    granted = [verdicts(0.0)] * 4
    assert against_probe("colour", PROMPTS, granted, same, RECORDS)["precision"] is None
    assert against_probe("gender", PROMPTS, FOUND, same, RECORDS) == {"count": 0}


def test_prompts_ask_for_what_they_name() -> None:
    assert asks_for("men's shirt", "gender") and not asks_for("men's shirt", "colour")
    assert asks_for("红色衬衫", "colour") and not asks_for("", "type")


def test_what_contradicts_complies_less() -> None:
    assert one_minus_contradiction(FOUND) == pytest.approx([0.9, 0.1, 0.2, 0.1])
