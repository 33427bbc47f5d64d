"""What a phrase says of its things, and by rule which of it another phrase grants.

These rules label the pairs that the network learns from, whose meaning is known before they are
put into words; read from the words themselves (`read`), they are what it has to be measured by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from estimators.contradiction.lexicon import ATTRIBUTES, WIDER
from estimators.contradiction.trees import Node

Label = Literal["entailment", "contradiction", "neutral"]
LABELS: tuple[Label, ...] = ("entailment", "contradiction", "neutral")
SAID = {
    "colour": ("colour",), "gender": ("gender",), "occasion": ("occasion",),
    "pattern": ("pattern", "material"),
}  # fmt: skip
OUTPUTS = (*ATTRIBUTES, "overall")  # in the order of labels and logits


@dataclass(frozen=True)
class Item:
    """A thing and what is said of it, as values of the lexicon; empty is unsaid.

    What it is made of counts as a pattern, as in the captions. A part ("with gold chain") has its
    kind as `type`, which is no matter of the type's verdict.
    """

    type: str = ""
    colour: tuple[str, ...] = ()
    gender: tuple[str, ...] = ()
    occasion: tuple[str, ...] = ()
    pattern: tuple[str, ...] = ()
    part: bool = False

    def values(self, attribute: str) -> tuple[str, ...]:
        """What is said of an attribute of `ATTRIBUTES`."""
        if attribute == "type":
            return (self.type,) if self.type and not self.part else ()
        values: tuple[str, ...] = getattr(self, attribute)
        return values


def read(tree: Node) -> list[Item]:
    """The things of a tree in the order that they are named in, as far as the lexicon goes."""
    return [_item(node) for node in nouns(tree)]


def nouns(tree: Node) -> list[Node]:
    """The nodes of a tree's things, in the order of `read`."""
    return [node for node in tree.walk() if node.relation in ("head", "part")]


def _item(node: Node) -> Item:
    said = {
        name: tuple(c.unit.value for c in node.children if c.unit and c.relation in relations)
        for name, relations in SAID.items()
    }
    unit = node.unit
    part = unit is not None and unit.role == "part" and node.relation == "part"
    return Item(unit.value if unit is not None else "", part=part, **said)


def align(asked: Sequence[Item], shown: Sequence[Item]) -> list[int | None]:
    """For each thing asked for the index of what is shown in its place, or None.

    That of the same type, else of a wider or narrower one, else what is left over, in order. A
    part stands for no whole.
    """
    free = list(range(len(shown)))
    found: list[int | None] = [None] * len(asked)
    for fits in (_same, _kin, _any):
        for place, item in enumerate(asked):
            if found[place] is not None:
                continue
            chosen = next((i for i in free if fits(item, shown[i])), None)
            if chosen is not None:
                found[place] = chosen
                free.remove(chosen)
    return found


def _same(a: Item, b: Item) -> bool:
    return a.part == b.part and a.type == b.type != ""


def _kin(a: Item, b: Item) -> bool:
    return a.part == b.part and bool(a.type and b.type) and grants(a.type, b.type) != LABELS[1]


def _any(a: Item, b: Item) -> bool:
    return not a.part and not b.part


def grants(asked: str, shown: str) -> Label:
    """What a value shown says to a value asked for.

    A narrower one grants it (navy is a blue), a wider one leaves it open, and so does unisex.
    """
    if asked == shown or WIDER.get(shown) == asked:
        return "entailment"
    if WIDER.get(asked) == shown or "Unisex" in (asked, shown):
        return "neutral"
    return "contradiction"


def compare(asked: Sequence[str], shown: Sequence[str]) -> Label | None:
    """What values shown say to those asked for; None where nothing is asked."""
    if not asked:
        return None
    if not shown:
        return "neutral"
    best = [min((grants(a, s) for s in shown), key=_badness) for a in asked]
    return max(best, key=_badness)


def _badness(label: Label) -> int:
    return ("entailment", "neutral", "contradiction").index(label)


def judge(asked: Sequence[Item], shown: Sequence[Item]) -> dict[str, Label]:
    """A label for each of `OUTPUTS`.

    An attribute is contradicted where one thing's is, neutral where something that is asked stays
    open or nothing is asked. Overall one contradiction suffices; entailment is all that is asked.
    """
    pairs = [
        (item, shown[i] if i is not None else Item())
        for item, i in zip(asked, align(asked, shown), strict=True)
    ]
    found: dict[str, Label] = {}
    told: list[Label] = []
    for attribute in ATTRIBUTES:
        labels = [compare(a.values(attribute), s.values(attribute)) for a, s in pairs]
        said = [label for label in labels if label is not None]
        told += said
        found[attribute] = max(said, key=_badness, default="neutral")
    found["overall"] = max(told, key=_badness, default="neutral")
    return found
