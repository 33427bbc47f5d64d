"""What a caption says to a prompt, and how to say it: `contradiction` and `explain`.

Values of the lexicon are compared by rule (`meaning.judge`). The network decides what the rules
leave open where there are words that the lexicon does not have.

model = ContradictionModel.from_pretrained(folder)
verdicts = contradiction("a navy shirt for men", "black casual shirt", model)
explain("a navy shirt for men", "black casual shirt", verdicts)  # "asked navy, looks black"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from torch import Tensor

from estimators.contradiction.lexicon import canonical
from estimators.contradiction.meaning import (
    LABELS,
    OUTPUTS,
    Label,
    align,
    compare,
    judge,
    nouns,
    read,
)
from estimators.contradiction.model import ContradictionModel
from estimators.contradiction.trees import Node, language_of, parse

PAIRS = 256  # judged at a time
RULES = 0.75  # of a probability, where the rules decide; the rest is the network's
NAMES_ZH = {"type": "类别", "colour": "颜色", "gender": "适用人群", "occasion": "场合"}


@dataclass(frozen=True)
class Verdict:
    """A label and its probability, and those of all labels, 0..1."""

    label: Label
    probabilities: dict[Label, float]

    @property
    def probability(self) -> float:
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Verdicts:
    """One verdict for all and one for each of `lexicon.ATTRIBUTES`."""

    overall: Verdict
    attributes: dict[str, Verdict]

    @property
    def contradicted(self) -> list[str]:
        """The attributes that are contradicted, the surest first."""
        names = [n for n, v in self.attributes.items() if v.label == "contradiction"]
        return sorted(names, key=lambda name: -self.attributes[name].probability)

    def as_dict(self) -> dict[str, Any]:
        """Labels and probabilities as plain data, for JSON."""
        every = {"overall": self.overall, **self.attributes}
        return {
            name: {"verdict": verdict.label, **verdict.probabilities}
            for name, verdict in every.items()
        }


def contradiction(
    prompt: str, caption: str, model: ContradictionModel | str | PathLike[str]
) -> Verdicts:
    """Whether a caption of a picture contradicts the prompt, and in what.

    The two may be of different languages; any text is taken, of a long one the first words.

    Args:
        model: the model, or the folder that `ufc train-contradiction` wrote.

    Raises:
        CheckpointError: there is no sound model in the folder.
    """
    return contradictions([prompt], [caption], model)[0]


def contradictions(
    prompts: Sequence[str],
    captions: Sequence[str],
    model: ContradictionModel | str | PathLike[str],
) -> list[Verdicts]:
    """`contradiction` of many pairs, which is faster.

    Raises:
        ValueError: there are more prompts than captions, or fewer.
        CheckpointError: there is no sound model in the folder.
    """
    if len(prompts) != len(captions):
        raise ValueError(
            f"got {len(prompts)} prompts and {len(captions)} captions, wanted a caption for each"
        )
    if not isinstance(model, ContradictionModel):
        model = ContradictionModel.from_pretrained(model)
    found: list[Verdicts] = []
    for at in range(0, len(prompts), PAIRS):
        asked = [parse(text) for text in prompts[at : at + PAIRS]]
        shown = [parse(text) for text in captions[at : at + PAIRS]]
        rows = model.probabilities(asked, shown)
        found += [_verdicts(*pair) for pair in zip(rows, map(by_rule, asked, shown), strict=True)]
    return found


def by_rule(asked: Node, shown: Node) -> dict[str, Label]:
    """What the rules decide of `OUTPUTS`: attributes that are granted or contradicted, and where
    the lexicon has every word all of them. Overall, a contradiction is one whatever else is said;
    all that is asked is granted only where all of it is known."""
    labels = judge(read(asked), read(shown))
    units = [node.unit for tree in (asked, shown) for node in tree.walk()]
    if not any(unit is not None and unit.role == "other" for unit in units):
        return labels
    overall = labels.pop("overall")
    decided: dict[str, Label] = {n: label for n, label in labels.items() if label != "neutral"}
    if overall == "contradiction":
        decided["overall"] = overall
    return decided


def _verdicts(probabilities_A3: Tensor, decided: Mapping[str, Label]) -> Verdicts:
    made = {}
    for output, row in zip(OUTPUTS, probabilities_A3.tolist(), strict=True):
        by_label = dict(zip(LABELS, row, strict=True))
        if rule := decided.get(output):
            by_label = {k: RULES * (k == rule) + (1 - RULES) * v for k, v in by_label.items()}
        made[output] = Verdict(max(LABELS, key=by_label.__getitem__), by_label)
    return Verdicts(made.pop("overall"), made)


def explain(prompt: str, caption: str, verdicts: Verdicts) -> str:
    """What is contradicted, in the prompt's language: "asked navy, looks black".

    Several are joined by "; ", the surest first; with several things each is named. Empty where
    nothing is contradicted.
    """
    language = language_of(prompt)
    asked, shown = parse(prompt), parse(caption)
    told = [_difference(name, asked, shown, language) for name in verdicts.contradicted]
    return ("；" if language == "zh" else "; ").join(told)


def _difference(attribute: str, asked: Node, shown: Node, language: str) -> str:
    """The first pair of words that differ in an attribute, or that it does."""
    items, seen = read(asked), read(shown)
    nodes, seen_nodes = nouns(asked), nouns(shown)
    for place, other in enumerate(align(items, seen)):
        if other is None:
            continue
        label = compare(items[place].values(attribute), seen[other].values(attribute))
        if label in ("contradiction", "neutral") and seen[other].values(attribute):
            words = (_words(nodes[place], attribute, language),
                     _words(seen_nodes[other], attribute, language))  # fmt: skip
            several = len(items) > 1 and attribute != "type"
            return _told(*words, _name(nodes[place], language) if several else "", language)
    return f"{NAMES_ZH[attribute]}不符" if language == "zh" else f"{attribute} differs"


def _told(asked: str, shown: str, thing: str, language: str) -> str:
    if language == "zh":
        return f"{thing}：要{asked}，看起来是{shown}" if thing else f"要{asked}，看起来是{shown}"
    return f"{thing}: asked {asked}, looks {shown}" if thing else f"asked {asked}, looks {shown}"


def _words(node: Node, attribute: str, language: str) -> str:
    """What a thing is said to be, in the language: its own word, or the caption's for it."""
    if attribute == "type":
        return _name(node, language)
    said = [child for child in node.children if child.relation == attribute]
    return ("" if language == "zh" else " ").join(_name(child, language) for child in said)


def _name(node: Node, language: str) -> str:
    unit = node.unit
    if unit is None:
        return ""
    if language_of(unit.text) == language or not unit.value:
        return unit.text
    return canonical(unit.role, unit.value, language)
