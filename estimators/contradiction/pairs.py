"""Pairs of phrases with their labels, put together from the attributes that captions name.

Nothing is read back from words: what two phrases say is chosen, judged by `meaning.judge`, and
then written in one of several ways. Phrases to be judged by, later, combine a type and a colour
that training never combines (`held_out`), and are written in ways that it never writes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from estimators.contradiction.lexicon import LANGUAGES, canonical, words_of
from estimators.contradiction.meaning import Item, Label, judge, read
from estimators.contradiction.trees import language_of, parse

HELD_OUT_PERCENT = 15  # of the combinations of a type and a colour
FILLED = 0.4  # share of phrases with words that mean nothing here, as wishes have
CROSS_LANGUAGE = 0.2  # share of pairs whose prompt and caption are of two languages


@dataclass(frozen=True)
class Pair:
    """Prompt and caption, and a label for each of `meaning.OUTPUTS`."""

    prompt: str
    caption: str
    labels: dict[str, Label]


@dataclass(frozen=True)
class Style:
    """How phrases may be written.

    unseen: combinations and ways of writing that training does not have.
    synonyms: whether other words than the captions' own are used.
    """

    unseen: bool = False
    synonyms: bool = True


def held_out(item: Item) -> bool:
    """Whether a type and a colour of an item are never combined in training; of parts all are."""
    return not item.part and any(
        crc32(f"{item.type}|{colour}".encode()) % 100 < HELD_OUT_PERCENT for colour in item.colour
    )


def items_of(captions: Sequence[str]) -> list[Item]:
    """What captions say of their one thing; those that name no type are left out."""
    found = [read(parse(caption)) for caption in captions]
    return [items[0] for items in found if len(items) == 1 and items[0].type]


# Meanings


def sample_pair(items: Sequence[Item], rng: random.Random, style: Style = Style()) -> Pair:
    """A pair of any kind: one thing or two, the same or with one attribute changed."""
    if rng.random() < 0.35:
        return several_pair(items, rng, style)
    shown = sample_item(items, rng, style)
    asked = shown
    kind = rng.random()
    if kind < 0.45:
        asked = change(asked, _attribute(rng), items, rng, style)
    elif kind < 0.55:
        asked = sample_item(items, rng, style)
    return pair_of([_less(asked, rng, 0.3)], [_less(shown, rng, 0.2)], rng, style)


def sample_item(items: Sequence[Item], rng: random.Random, style: Style) -> Item:
    """A thing of the set, some of its values replaced by any of the lexicon."""
    item = rng.choice(items)
    for attribute, share in (("type", 0.3), ("colour", 0.4), ("gender", 0.1), ("occasion", 0.4)):
        if rng.random() < share:
            item = with_value(item, attribute, _value(attribute, rng))
    if rng.random() < 0.15:
        item = with_value(item, "pattern", _value(rng.choice(("pattern", "material")), rng))
    return allowed(item, rng, style)


def allowed(item: Item, rng: random.Random, style: Style) -> Item:
    """The item, its colour replaced until the combination is one that the style may have."""
    while item.colour and not item.part and held_out(item) != style.unseen:
        item = with_value(item, "colour", _value("colour", rng))
    return item


def change(
    item: Item, attribute: str, items: Sequence[Item], rng: random.Random, style: Style
) -> Item:
    """The item with another value of one attribute, as often as not one that is common."""
    while True:
        common = rng.choice(items).values(attribute)
        value = common[0] if common and rng.random() < 0.5 else _value(attribute, rng)
        if (value,) != item.values(attribute):
            return allowed(with_value(item, attribute, value), rng, style)


def with_value(item: Item, attribute: str, value: str) -> Item:
    """The item with one value of an attribute."""
    changed: dict[str, Any] = {attribute: value if attribute == "type" else (value,)}
    return replace(item, **changed)


def several_pair(items: Sequence[Item], rng: random.Random, style: Style) -> Pair:
    """Two things, or a thing with a part: reordered, exchanged, one changed, or one left out."""
    shown = two_things(items, rng, style)
    asked = list(shown)
    kind = rng.random()
    if kind < 0.35:
        swapped = exchanged(asked, _swappable(asked, rng))
        asked = swapped if swapped and (style.unseen or not any(map(held_out, swapped))) else asked
    elif kind < 0.6:
        place = rng.randrange(2)
        asked[place] = change(asked[place], "colour", items, rng, style)
    elif kind < 0.7 and not asked[1].part:
        place = rng.randrange(2)
        asked[place] = change(asked[place], "type", items, rng, style)
    elif kind < 0.8:
        asked = asked[: 1 if asked[1].part else 2][-1:]
    return pair_of(_reordered(asked, rng), _reordered(shown, rng), rng, style)


def two_things(items: Sequence[Item], rng: random.Random, style: Style) -> list[Item]:
    """Two things of different types and colours, some with a wearer each; or thing and part."""
    first = _coloured(replace(sample_item(items, rng, style), pattern=()), rng, style)
    gendered = rng.random() < 0.3
    while True:
        if rng.random() < 0.3:
            part = rng.choice(list(words_of("part")))
            second = Item(part, (_value("colour", rng),), part=True)
        else:
            second = _coloured(replace(sample_item(items, rng, style), pattern=()), rng, style)
        if second.type != first.type and second.colour != first.colour:
            break
    return [
        replace(item, occasion=(), gender=item.gender if gendered else ())
        for item in (first, second)
    ]


def exchanged(items: Sequence[Item], attribute: str) -> list[Item] | None:
    """Two items with their values of an attribute exchanged; None where that changes nothing."""
    first, second = items
    a, b = getattr(first, attribute), getattr(second, attribute)
    if a == b or not a or not b:
        return None
    return [replace(first, **{attribute: b}), replace(second, **{attribute: a})]


def tied_pair(items: Sequence[Item], rng: random.Random, style: Style) -> Pair:
    """Two phrases of the very same words, half of them with colours or wearers exchanged.

    The others say the same in another order (a thing and its part in the same one).
    """
    while True:
        shown = two_things(items, rng, style)
        swapped = exchanged(shown, _swappable(shown, rng))
        if swapped is None or judge(swapped, shown)["overall"] != "contradiction":
            continue
        combined = [held_out(item) for item in (*swapped, *shown) if not item.part]
        if any(combined) == style.unseen:
            break
    asked = swapped if rng.random() < 0.5 else list(shown)
    language = rng.choice(LANGUAGES)
    return Pair(
        write(_reordered(asked, rng), language, rng, replace(style, synonyms=False), plain=True),
        write(_reordered(shown, rng), language, rng, replace(style, synonyms=False), plain=True),
        judge(asked, shown),
    )


def pair_of(asked: Sequence[Item], shown: Sequence[Item], rng: random.Random, style: Style) -> Pair:
    """Both phrases written, with their labels."""
    language = rng.choice(LANGUAGES)
    other = LANGUAGES[1 - LANGUAGES.index(language)]
    of_caption = other if rng.random() < CROSS_LANGUAGE else language
    prompt = write(asked, language, rng, style)
    caption = write(shown, of_caption, rng, style)
    return Pair(prompt, caption, judge(asked, shown))


def _attribute(rng: random.Random) -> str:
    return rng.choices(("type", "colour", "gender", "occasion"), (3, 4, 2, 3))[0]


def _value(attribute: str, rng: random.Random) -> str:
    return rng.choice(list(words_of(attribute)))


def _less(item: Item, rng: random.Random, share: float) -> Item:
    """The item with a share of what is said of it dropped, rarely its type."""
    gone = {
        name: () for name in ("colour", "gender", "occasion", "pattern") if rng.random() < share
    }
    type_gone = rng.random() < share / 6 and len(gone) < 3
    return replace(item, **gone, type="" if type_gone else item.type)  # type: ignore[arg-type]


def _coloured(item: Item, rng: random.Random, style: Style) -> Item:
    return item if item.colour else allowed(replace(item, colour=("Black",)), rng, style)


def _swappable(items: Sequence[Item], rng: random.Random) -> str:
    genders = [item.gender for item in items]
    different = all(genders) and genders[0] != genders[1] and not items[1].part
    return "gender" if different and rng.random() < 0.5 else "colour"


def _reordered(items: Sequence[Item], rng: random.Random) -> list[Item]:
    if len(items) == 2 and not items[1].part and rng.random() < 0.5:
        return [items[1], items[0]]
    return list(items)


# Words

LETTERS = "aaabcdeeefghiiijklmnooopqrstuuvwxyz"
# {o} the owner, {a} for whom, {c} colour, {p} patterns, {u} occasion, {n} noun. What is unsaid goes
# with its brackets.
WAYS = {
    "en": (
        "{o} {c} {p} {u} {n}", "a {c} {p} {u} {n} [for {a}]", "{n}[, {c}][, {p}][, {u}][, {o}]",
        "{u} {p} {n} [in {c}] [for {a}]", "{o} {n}[, {c}][, {u}][, {p}]", "{c} {o} {u} {p} {n}",
    ),
    "zh": (
        "{o}{c}{p}{u}{n}", "{c}{p}{u}{n}[，{o}]", "[{c}的]{o}{p}{u}{n}",
        "{n}[，{c}][，{p}][，{u}][，{o}]", "{o}{u}{p}{n}[ {c}]", "{u}{n}[ {o}][ {c}][ {p}]",
    ),
}  # fmt: skip
UNSEEN_WAYS = {
    "en": (
        "looking for a {u} {n} [that is {c}] [and {p}][, made for {a}]",
        "[for {a}: ]something {c} {p} {u}, a {n}",
        "{n} [of {c} {p}], {u} kind[, {a}]",
    ),
    "zh": (
        "想要[{o}穿的]{n}[，要{c}的][，{u}风][，{p}]",
        "[{u}场合的][{o}]{n}[，颜色{c}]{p}",
        "{n}[是{c}的] [{u}] [{o}款] {p}",
    ),
}  # fmt: skip
# Of several things; ways in which what they say is next to their noun.
PLAIN_WAYS = {
    "en": ("{o} {c} {p} {u} {n}", "{c} {p} {u} {n} [for {a}]", "{o} {u} {p} {n} [in {c}]"),
    "zh": ("{o}{c}{p}{u}{n}", "[{c}的]{o}{p}{u}{n}"),
}
JOINS = {"en": (", ", " and ", ", and ", " + "), "zh": ("，", "和", "、", "+")}
UNSEEN_JOINS = {"en": ("; ", " plus ", " / "), "zh": ("；", "与", " 加 ")}
WITHS = {"en": (" with ", " with a "), "zh": ("带", "配")}
OWNERS = {
    "en": {"Men": ("men's", "male", "mens"), "Women": ("women's", "ladies", "female"),
           "Unisex": ("unisex",)},
    "zh": {},
}  # fmt: skip
AUDIENCES = {
    "Men": ("men", "him", "a man", "guys", "boys"),
    "Women": ("women", "her", "a woman", "ladies", "girls"),
    "Unisex": ("everyone", "anyone"),
}


def write(
    items: Sequence[Item], language: str, rng: random.Random, style: Style, plain: bool = False
) -> str:
    """A phrase that says what the items are; `plain` ones have no words but theirs and joins."""
    several = len(items) > 1
    ways = PLAIN_WAYS if several or plain else UNSEEN_WAYS if style.unseen else WAYS
    join = rng.choice((UNSEEN_JOINS if style.unseen else JOINS)[language])
    phrase = ""
    for item in items:
        written = fill(rng.choice(ways[language][:1] if plain else ways[language]),
                       _said(item, language, rng, style))  # fmt: skip
        opening = rng.choice(WITHS[language]) if item.part and phrase else join if phrase else ""
        phrase += opening + written
    return phrase if plain or style.unseen or rng.random() > FILLED else filled(phrase, rng)


def filled(phrase: str, rng: random.Random) -> str:
    """A phrase with made-up words, or in English a purpose, before or after it."""
    if language_of(phrase) == "zh":
        filler = "".join(chr(rng.randrange(0x4E00, 0x8000)) for _ in range(rng.randint(1, 3)))
        return rng.choice((f"{filler}{phrase}", f"{phrase}{filler}", f"{phrase}，{filler}"))
    lengths = [rng.randint(2, 9) for _ in range(rng.randint(1, 4))]
    filler = " ".join("".join(rng.choices(LETTERS, k=length)) for length in lengths)
    purpose = f"to go with {canonical('type', _value('type', rng), 'en')}"
    ways = (
        f"{filler} {phrase}",
        f"{phrase} {filler}",
        f"{phrase}, {filler}",
        f"{phrase} {purpose}",
    )
    return rng.choice(ways)


def fill(way: str, said: dict[str, str]) -> str:
    """A way of writing with its words in place."""
    out, rest = "", way
    while rest:
        before, bracket, rest = rest.partition("[")
        out += before.format(**said)
        inside, _, rest = rest.partition("]") if bracket else ("", "", rest)
        if inside and all(said[name] for name in _names(inside)[:1]):
            out += inside.format(**said)
    return " ".join(out.split()).replace(" ,", ",").strip(" ,，")


def _names(text: str) -> list[str]:
    return [part[0] for part in text.split("{")[1:]]


def _said(item: Item, language: str, rng: random.Random, style: Style) -> dict[str, str]:
    """The words of an item by the letters of `WAYS`."""
    gender, how = item.gender[0] if item.gender else "", (language, rng, style)
    owners = OWNERS[language].get(gender)
    patterns = [("pattern" if v in words_of("pattern") else "material", v) for v in item.pattern]
    kind = "part" if item.part else "type"
    return {
        "o": _pick(owners, rng, style) if owners else _words([("gender", gender)], *how),
        "a": _pick(AUDIENCES[gender], rng, style) if gender else "",
        "c": _words([("colour", value) for value in item.colour], *how),
        "p": _words(patterns, *how),
        "u": _words([("occasion", value) for value in item.occasion], *how),
        "n": _words([(kind, item.type)], *how) or {"en": "something", "zh": "东西"}[language],
    }


def _words(said: Sequence[tuple[str, str]], language: str, rng: random.Random, style: Style) -> str:
    """Words for roles and values, one after another; none for no value."""
    words = [words_of(role).get(value, {}).get(language) for role, value in said]
    return (" " if language == "en" else "").join(_pick(w, rng, style) for w in words if w)


def _pick(words: Sequence[str], rng: random.Random, style: Style) -> str:
    return rng.choice(words) if style.synonyms and rng.random() < 0.5 else words[0]
