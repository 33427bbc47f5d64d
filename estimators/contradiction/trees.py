"""Head-modifier trees of noun phrases, by rules, in English and Chinese.

"women's red cotton handbag with gold chain" becomes

    (phrase) - head: handbag - gender: women's, colour: red, material: cotton, part: chain
                                                                  part: chain - colour: gold

Nothing fails on any text: what the lexicon does not know hangs on its head as `other`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from estimators.contradiction.lexicon import meanings, pattern

RELATIONS = (
    "head", "colour", "gender", "occasion", "material", "pattern", "part", "purpose",
    "compound", "other",
)  # fmt: skip
MAX_UNITS = 64  # of a text; what comes after is not looked at


@dataclass(frozen=True)
class Unit:
    """A word, or words that the lexicon has together; `form` is how the lexicon spells it."""

    text: str
    role: str
    value: str = ""
    form: str = ""


@dataclass
class Node:
    """A word of the tree, how it hangs on its parent, and what hangs on it."""

    text: str
    relation: str
    unit: Unit | None = None
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@lru_cache(maxsize=8192)
def units(text: str) -> tuple[Unit, ...]:
    """The first `MAX_UNITS` words of a text in order, with what the lexicon knows of them.

    Roles are those of the lexicon, `mark` for punctuation, and `other`. Chinese characters that
    are unknown stay together.
    """
    found: list[Unit] = []
    text = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    end = -1
    for match in pattern().finditer(text):
        kind, word = match.lastgroup, match.group()
        if kind == "form" or match.group("latin"):
            found.append(_known(word, match.group("form")))
        elif match.group("chinese"):
            found.append(_known(word, word))
        elif match.group("mark"):
            found.append(Unit(word, "mark", form=word))
        elif found and found[-1].role == "other" and match.start() == end and _is_chinese(word):
            found[-1] = Unit(found[-1].text + word, "other")
        else:
            found.append(Unit(word, "other"))
        end = match.end()
        if len(found) > MAX_UNITS:
            break
    return tuple(found[:MAX_UNITS])


def _known(word: str, form: str) -> Unit:
    meaning = meanings()[form]
    return Unit(word, meaning.role, meaning.value, form)


def _is_chinese(word: str) -> bool:
    return "\u3400" <= word[0] <= "\u9fff"


def language_of(text: str) -> str:
    """`zh` where there are Chinese characters, else `en`."""
    return "zh" if any(map(_is_chinese, text)) else "en"


def parse(text: str) -> Node:
    """The tree of a phrase: a root without a word, and on it the things that are named, in order.

    Where no thing is named, what is said hangs on a head without a word.
    """
    builder = _Builder()
    for opening, chunk, follows in _chunks(units(text)):
        builder.add(opening, chunk, follows)
    return builder.finish()


Chunk = list[Unit]


def _chunks(found: tuple[Unit, ...]) -> Iterator[tuple[str, Chunk, bool]]:
    """Parts between separators: what opened each, and whether "and" with a noun comes after."""
    parts: list[tuple[str, Chunk]] = [("", [])]
    for unit in found:
        if unit.role in ("mark", "join", "with"):
            parts.append((unit.role, []))
        elif unit.role != "silent":
            parts[-1][1].append(unit)
    merged = _without_empty(parts)
    for index, (opening, chunk) in enumerate(merged):
        after = merged[index + 1] if index + 1 < len(merged) else ("", [])
        yield opening, chunk, after[0] == "join" and any(map(_is_noun, after[1]))


def _without_empty(parts: list[tuple[str, Chunk]]) -> list[tuple[str, Chunk]]:
    """Parts with words; of separators that follow each other "with" wins, then "and"."""
    kept: list[tuple[str, Chunk]] = []
    opened: set[str] = set()
    for opening, chunk in parts:
        opened.add(opening)
        if chunk:
            kept.append((next((o for o in ("with", "join", "mark") if o in opened), ""), chunk))
            opened = set()
    return kept


def _is_noun(unit: Unit) -> bool:
    return unit.role in ("type", "part")


class _Builder:
    """The tree so far: the phrase's heads, and modifiers that wait for the next one."""

    def __init__(self) -> None:
        self.root = Node("", "phrase")
        self.waiting: list[Node] = []

    def add(self, opening: str, chunk: Chunk, follows: bool) -> None:
        """Take one part of the phrase."""
        nouns = [unit for unit in chunk if _is_noun(unit)]
        head = self.root.children[-1] if self.root.children else None
        if head is not None and not nouns and not follows:
            head.children += [_modifier(unit) for unit in chunk if unit.role in RELATIONS]
            return
        self._nouns_of(chunk, opening == "with")

    def _nouns_of(self, chunk: Chunk, is_with: bool) -> None:
        """A noun ends its modifiers; what comes after "in" or "for" is the noun's before it."""
        purpose = behind = adjacent = False
        last: Node | None = None
        for unit in chunk:
            if unit.role in ("purpose", "behind"):
                purpose, behind, adjacent = purpose or unit.role == "purpose", True, False
            elif _is_noun(unit) and purpose:
                self._modify(Node(unit.text, "purpose", unit), last, True)
            elif _is_noun(unit):
                if adjacent and last is not None:  # "shirt dress": the last noun is the head
                    _demote(last, unit)
                else:
                    last = self._open(unit, is_with)
                behind, adjacent = False, True
            else:
                self._modify(_modifier(unit), last, behind)
                adjacent = False
        if last is not None:  # modifiers after the last noun are its own
            last.children += self.waiting
            self.waiting = []

    def _modify(self, node: Node, last: Node | None, behind: bool) -> None:
        if behind and last is not None:
            of_whole = last.relation == "part" and node.relation in ("gender", "occasion")
            (self.root.children[-1] if of_whole else last).children.append(node)
        else:
            self.waiting.append(node)

    def _open(self, unit: Unit, is_with: bool) -> Node:
        """A node for a noun, with the modifiers that waited for it."""
        heads = self.root.children
        part = bool(heads) and (unit.role == "part" or is_with)
        node = Node(unit.text, "part" if part else "head", unit, self.waiting)
        (heads[-1].children if part else heads).append(node)
        self.waiting = []
        return node

    def finish(self) -> Node:
        """The tree; modifiers that found no noun get a head without a word."""
        if self.waiting and self.root.children:
            self.root.children[-1].children += self.waiting
        elif self.waiting or not self.root.children:
            self.root.children.append(Node("", "head", None, self.waiting))
        return self.root


def _modifier(unit: Unit) -> Node:
    return Node(unit.text, unit.role if unit.role in RELATIONS else "other", unit)


def _demote(node: Node, unit: Unit) -> None:
    """Make `unit` the node's word, and what it was a compound's first part."""
    node.children.append(Node(node.text, "compound", node.unit))
    node.text, node.unit = unit.text, unit
