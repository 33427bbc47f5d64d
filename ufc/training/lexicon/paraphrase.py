"""A caption of a record in other words: synonyms of the lexicon in a loose sentence form.

Chance is spent in one order whatever the record says, so two records under one seed are put in the
same form, and differ in the words for what they differ in (`Rivals` needs that).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ufc.training.lexicon.words import Lexicon, Words, load_lexicon, slot_names

CHINESE = 0.4  # share of paraphrases, where both languages have words
OWN, COMMON = 0.2, 0.55  # odds of the catalogue's own word and of one that many people use
USAGE, PATTERN = 0.3, 0.6  # odds that a use and each pattern are named
TYPOS = 0.03  # share of the English ones that have one
MASS = ("wear", "hosiery", "luggage", "baggage", "bling", "neckwear")  # takes no article


def paraphrase(
    record: Mapping[str, Any],
    rng: random.Random,
    lexicon: Lexicon | None = None,
    typos: float = TYPOS,
) -> str:
    """A caption from a record's `type`, `colour`, `gender`, `usage` and `patterns`.

    Empty where the lexicon has no words for its type; other fields may be missing.
    """
    lexicon = lexicon or load_lexicon()
    language = _language(record, rng.random(), lexicon)
    slots = _slots(record, rng, lexicon, language)
    form, typo = rng.random(), rng.random()
    if not slots:
        return ""
    forms = [text for text in lexicon.forms[language] if slot_names(text) <= slots.keys()]
    text = _pick(forms or ["{type}"], form).format_map(slots)
    if language == "zh":
        return text
    text = re.sub(r"\ba (?=[aeio]|un(?!i)|um)", "an ", " ".join(text.split()))
    return with_typo(text, rng) if typo < typos else text


def _language(record: Mapping[str, Any], chance: float, lexicon: Lexicon) -> str:
    """The language that is drawn, of those that have words for the type."""
    found = [
        language
        for language in lexicon.forms
        if lexicon.of("types", record.get("type"), language).common
    ]
    drawn = "zh" if chance < CHINESE else "en"
    return drawn if drawn in found or not found else found[0]


def _slots(
    record: Mapping[str, Any], rng: random.Random, lexicon: Lexicon, language: str
) -> dict[str, str]:
    """What each slot of a form is filled with; those that nothing is known for are left out."""
    value = {name: str(record.get(name) or "") for name in ("type", "colour", "gender", "usage")}
    type_ = _word(lexicon.of("types", value["type"], language), rng)
    colour = _word(lexicon.of("colours", value["colour"], language), rng)
    owner = _word(lexicon.of("owners", value["gender"], language), rng)
    audience = _word(lexicon.of("audiences", value["gender"], language), rng)
    usage = _word(lexicon.of("usages", value["usage"], language), rng)
    occasions = lexicon.occasion_phrases(value["type"], value["usage"], language)
    occasion = _pick(occasions, rng.random())
    family = lexicon.family_of(value["type"])
    phrase = _pick(family.phrases.get(language, []) if family else [], rng.random())
    mine = {"Men": "his", "Women": "her"}.get(value["gender"], "my")
    mine = mine if rng.random() < 0.5 else "my"
    names_usage, order, article = rng.random() < USAGE, rng.random(), rng.random()
    own_words = lexicon.of("types", value["type"], language).common[:1]
    if not names_usage or any(usage and usage in word for word in (type_, *own_words)):
        usage = ""
    patterns = _patterns(record, random.Random(rng.getrandbits(32)), lexicon, language)
    if not type_:
        return {}
    thing = _thing(colour, patterns, usage, type_, order, language)
    slots = {
        "type": type_, "colour": colour, "owner": owner, "audience": audience, "thing": thing,
        "a thing": _article(thing, article), "a type": _article(type_, article),
        "occasion": occasion,
        "family": phrase.format(colour=colour, my=mine) if colour else "",
        "verb": family.verb_zh if family else "用",
        "measure": lexicon.measures.get(value["type"], family.measure_zh if family else "个"),
    }  # fmt: skip
    return {name: text for name, text in slots.items() if text}


def _pick(items: Sequence[str], chance: float) -> str:
    """The item at a place 0..1 of a sequence; nothing of an empty one."""
    return items[int(chance * len(items))] if items else ""


def _word(words: Words, rng: random.Random) -> str:
    """One of the words, the common ones more often."""
    which, chance = rng.random(), rng.random()
    if which < OWN:
        return _pick(words.common[:1], chance)
    common = which < OWN + COMMON or not words.rare
    return _pick(words.common if common else words.rare, chance)


def _patterns(
    record: Mapping[str, Any], rng: random.Random, lexicon: Lexicon, language: str
) -> list[str]:
    found = record.get("patterns")
    names = found if isinstance(found, list) else []
    drawn = [_word(lexicon.of("patterns", name, language), rng) for name in names]
    return [word for word in drawn if word and rng.random() < PATTERN]


def _thing(
    colour: str, patterns: list[str], usage: str, type_: str, order: float, language: str
) -> str:
    """Colour, patterns, use and type as one noun phrase."""
    if language == "zh":
        patterns = [word for word in patterns if word not in type_]
        link = "的" if order < 0.25 and colour else ""
        return colour + link + "".join(patterns) + usage + type_
    words = [colour, *(word for word in patterns if word not in type_.split()), usage]
    if order < 0.15:
        words = [*words[1:-1], colour, usage]
    elif order < 0.3:
        words = [usage, *words[:-1]]
    return " ".join(filter(None, [*words, type_]))


def is_plural(words: str) -> bool:
    """Whether an English noun phrase takes no article: plurals, and what is not counted."""
    last = re.split(" and | with ", words)[0].split()[-1]
    return last.endswith(MASS) or (last.endswith("s") and not last.endswith("ss"))


def _article(thing: str, chance: float) -> str:
    if not is_plural(thing):
        return f"a {thing}"
    return f"some {thing}" if chance < 0.5 else thing


def with_typo(text: str, rng: random.Random) -> str:
    """The text with one word mistyped: two letters changed places, one missing, or one doubled."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    place = rng.choice(long)
    word, at = words[place], rng.randrange(1, len(words[place]) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    changed = (swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:])
    words[place] = rng.choice(changed)
    return " ".join(words)
