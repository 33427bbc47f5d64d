"""The lexicon: what people call the things, colours and wearers of a catalogue, in two languages.

`curated.yaml` was chosen by judgment, `drawn.yaml` taken from other works (each group there names
its source); a file of one's own is laid over them. docs/words.md has the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from os import PathLike
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from ufc.io.validation import shown
from ufc_base.data.names import DataError
from ufc_base.formats.yaml_text import load_yaml

CURATED = Path(__file__).with_name("curated.yaml")
DRAWN = Path(__file__).with_name("drawn.yaml")
SYNONYMS = ("types", "colours", "owners", "audiences", "usages", "patterns")
LANGUAGES = ("en", "zh")
PARTS = (*SYNONYMS, "families", "occasions", "measures_zh", "forms", "source", "licence", "extends")
# What entries of these have beside words by language, and which of it is one word.
FURTHER = {
    "families": ("types", "verb_zh", "measure_zh"),
    "occasions": ("types", "usages"),
}
MOST_LETTERS = 100  # of a name
ONE_WORD = ("verb_zh", "measure_zh")
# What sentence forms and the phrases of families may have in braces.
SLOTS = frozenset(
    ("thing", "a thing", "type", "a type", "colour", "owner", "audience", "occasion", "family",
     "verb", "measure")
)  # fmt: skip
FAMILY_SLOTS = frozenset(("colour", "my"))


@dataclass(frozen=True)
class Words:
    """What something is called in one language: the catalogue's own word first among `common`."""

    common: list[str] = field(default_factory=list)
    rare: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        yield from self.common
        yield from self.rare


@dataclass(frozen=True)
class Family:
    """Things that a phrase can mean without naming one, as what is worn on the feet."""

    types: list[str]
    phrases: dict[str, list[str]]
    verb_zh: str = "用"
    measure_zh: str = "个"


@dataclass(frozen=True)
class Occasion:
    """What things are for: said of these types, and of these usages of other types."""

    types: list[str]
    usages: list[str]
    phrases: dict[str, list[str]]


@dataclass
class Lexicon:
    """Words by kind (`SYNONYMS`), value of a record's field, and language.

    Attributes:
        measures: the Chinese measure word of a type, where it is not its family's.
        forms: sentence forms by language, with {slots}.
    """

    words: dict[str, dict[str, dict[str, Words]]] = field(
        default_factory=lambda: {kind: {} for kind in SYNONYMS}
    )
    families: dict[str, Family] = field(default_factory=dict)
    occasions: dict[str, Occasion] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)
    forms: dict[str, list[str]] = field(default_factory=dict)

    def of(self, kind: str, value: object, language: str) -> Words:
        """The words for a value of a record's field; none where it is unknown."""
        return self.words[kind].get(str(value), {}).get(language, Words())

    def knows(self, record: Mapping[str, Any]) -> bool:
        """Whether there are words for the type that a record names."""
        return str(record.get("type", "")) in self.words["types"]

    def family_of(self, type_: str) -> Family | None:
        return next((one for one in self.families.values() if type_ in one.types), None)

    def occasion_phrases(self, type_: str, usage: str, language: str) -> list[str]:
        """What a thing is said to be for: by its type, else by its usage."""
        found = list(self.occasions.values())
        own = [one for one in found if type_ in one.types] or [
            one for one in found if usage in one.usages
        ]
        return [phrase for one in own for phrase in one.phrases.get(language, [])]

    def count(self, kind: str, language: str) -> tuple[int, int]:
        """How many values of a kind have words in a language, and how many words."""
        found = [list(entry[language]) for entry in self.words[kind].values() if language in entry]
        return len(found), sum(map(len, found))


def load_lexicon(custom: str | PathLike[str] | None = None) -> Lexicon:
    """The packaged lexicon, with the words of a file of one's own laid over it.

    A word of that file is taken from whatever else it stood under. With `extends: false` in it the
    packaged words are left out; sentence forms stay where it has none.

    Raises:
        DataError: the file cannot be read, is not of the form, or has a word under two values.
    """
    packaged = _packaged()
    if custom is None:
        return packaged
    groups = read_groups(Path(custom))
    extends = all(group.get("extends", True) for group in groups)
    lexicon = _copy(packaged) if extends else Lexicon(forms=dict(packaged.forms))
    for group in groups:
        _take_over(lexicon, group)
        add_group(lexicon, group, common=True)
    _refuse_twins(lexicon, str(custom))
    return lexicon


@cache
def _packaged() -> Lexicon:
    lexicon = Lexicon()
    for path in (CURATED, DRAWN):
        for group in read_groups(path):
            add_group(lexicon, group, common=path == CURATED)
    return lexicon


def _copy(lexicon: Lexicon) -> Lexicon:
    words = {
        kind: {target: dict(entry) for target, entry in targets.items()}
        for kind, targets in lexicon.words.items()
    }
    return Lexicon(
        words,
        dict(lexicon.families),
        dict(lexicon.occasions),
        dict(lexicon.measures),
        dict(lexicon.forms),
    )


def read_groups(path: Path) -> list[dict[str, Any]]:
    """The groups of a lexicon file: one mapping, or a list of them.

    Raises:
        DataError: it cannot be read, or is not of the form.
    """
    if path in (CURATED, DRAWN):  # our own: by the fast loader
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found = yaml.load(path.read_text(encoding="utf-8"), loader)
    else:
        try:
            found = load_yaml(path)
        except (OSError, ValueError) as error:
            said = f"{error!s:.300}"
            raise DataError(f"lexicon {path}: cannot be read as YAML or JSON ({said})") from None
    groups = found if isinstance(found, list) else [found]
    for group in groups:
        _check(group, f"lexicon {path}")
    return groups


def _check(group: Any, where: str) -> None:
    """Raise `DataError` where a group is not of the form."""
    if not isinstance(group, dict):
        raise DataError(f"{where}: got {shown(group)}, wanted a mapping with {', '.join(SYNONYMS)}")
    _mapping(group, where)
    unknown = sorted(map(str, group.keys() - set(PARTS)))
    if unknown:
        raise DataError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(PARTS)}")
    for kind in (*SYNONYMS, "families", "occasions"):
        for target, entry in _mapping(group.get(kind, {}), f"{where}, {kind}").items():
            here = f"{where}, {kind}, {target}"
            known = (*LANGUAGES, *FURTHER.get(kind, ()))
            if odd := [key for key in _mapping(entry, here) if key not in known]:
                raise DataError(f"{here}: unknown {shown(odd[0])}; known are {', '.join(known)}")
            for name, value in entry.items():
                if name in ONE_WORD:
                    _texts([value], f"{here}, {name}")
                else:
                    _texts(value, f"{here}, {name}")
    for measure, types in _mapping(group.get("measures_zh", {}), f"{where}, measures_zh").items():
        _texts(types, f"{where}, measures_zh, {measure}")
    for language, forms in _mapping(group.get("forms", {}), f"{where}, forms").items():
        if language not in LANGUAGES:
            raise DataError(
                f"{where}, forms: got {shown(language)}, wanted {' or '.join(LANGUAGES)}"
            )
        _texts(forms, f"{where}, forms, {language}")
        _slots(forms, SLOTS, f"{where}, forms, {language}")
    for name, entry in group.get("families", {}).items():
        for language in LANGUAGES:
            _slots(entry.get(language, []), FAMILY_SLOTS, f"{where}, families, {name}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: got {shown(value)}, wanted a mapping")
    for key in value:
        if not isinstance(key, str | int | float) or len(shown(key)) > MOST_LETTERS:
            raise DataError(f"{where}: {shown(key)} is no name")
    return value


def _texts(value: Any, where: str) -> None:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise DataError(f"{where}: got {shown(value)}, wanted a list of words (quote yes, no, on)")


def slot_names(form: str) -> set[str]:
    """The slots that a sentence form fills. Raises `ValueError` where its braces do not pair."""
    return {name for _, name, _, _ in Formatter().parse(form) if name is not None}


def _slots(forms: list[str], known: frozenset[str], where: str) -> None:
    for form in forms:
        try:
            unknown = slot_names(form) - known
        except ValueError as error:
            raise DataError(f"{where}: {form!r}: {error}") from None
        if unknown:
            raise DataError(
                f"{where}: {form!r} has a slot {{{min(unknown)}}}; known are "
                f"{', '.join(f'{{{name}}}' for name in sorted(known))}"
            )


def add_group(lexicon: Lexicon, group: Mapping[str, Any], common: bool) -> None:
    """Add the parts of a file's group; `common` words are those that are said most."""
    for kind in SYNONYMS:
        for target, entry in group.get(kind, {}).items():
            place = lexicon.words[kind].setdefault(str(target), {})
            for language, found in _by_language(entry).items():
                place[language] = _joined(place.get(language, Words()), found, common)
    for name, entry in group.get("families", {}).items():
        lexicon.families[str(name)] = Family(
            list(map(str, entry.get("types", []))),
            _by_language(entry),
            entry.get("verb_zh", "用"),
            entry.get("measure_zh", "个"),
        )
    for name, entry in group.get("occasions", {}).items():
        lexicon.occasions[str(name)] = Occasion(
            list(map(str, entry.get("types", []))),
            list(map(str, entry.get("usages", []))),
            _by_language(entry),
        )
    for measure, types in group.get("measures_zh", {}).items():
        lexicon.measures |= dict.fromkeys(types, measure)
    lexicon.forms |= group.get("forms", {})


def _by_language(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    return {language: entry[language] for language in LANGUAGES if language in entry}


def _joined(old: Words, found: list[str], common: bool) -> Words:
    new = [word for word in dict.fromkeys(found) if word not in list(old)]
    if common or not old.common:
        return Words(old.common + new, old.rare)
    return Words(old.common, old.rare + new)


def _take_over(lexicon: Lexicon, group: Mapping[str, Any]) -> None:
    """Remove the words of a group from the other values they stand under."""
    for kind in SYNONYMS:
        owner = {
            (language, word.casefold()): str(target)
            for target, entry in group.get(kind, {}).items()
            for language in entry
            for word in entry[language]
        }
        for target, entry in lexicon.words[kind].items():
            for language, words in entry.items():
                common, rare = (
                    [w for w in part if owner.get((language, w.casefold()), target) == target]
                    for part in (words.common, words.rare)
                )
                entry[language] = Words(common, rare)


def twins(lexicon: Lexicon) -> list[str]:
    """Words that stand under two values of a kind, in words."""
    found = []
    for kind, targets in lexicon.words.items():
        seen: dict[str, str] = {}
        for target, entry in targets.items():
            for word in dict.fromkeys(w.casefold() for words in entry.values() for w in words):
                if seen.setdefault(word, target) != target:
                    found.append(f"{kind}: {word} under {seen[word]} and {target}")
    return found


def _refuse_twins(lexicon: Lexicon, where: str) -> None:
    found = twins(lexicon)
    if found:
        raise DataError(f"lexicon {where}: {'; '.join(found[:3])}: leave each under one")
