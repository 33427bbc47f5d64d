"""The kinds of tasks there are: which instructions are of one, and how it is planned.

To add one, write its predicate and its planner and list it in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ufc.tasks.attributes import AUTOREGRESSIVE, BOX, CATEGORY, IMAGE, TEXT
from ufc.tasks.errors import InstructionError
from ufc.tasks.instruction import ARROW, Element, Instruction, Slot, Words
from ufc.tasks.plan import Part, Plan

BASE = "base"  # an image of this name is one to keep parts of
TEXT_ENCODER = "ids of byte-level BPE, before all codes"
CODES = "codes of the tokenizer"


@dataclass(frozen=True)
class Family:
    """A kind of task: the instructions that are of it, and how they are planned."""

    name: str
    shape: str
    serves: Callable[[Instruction], bool]
    build: Callable[[Instruction], Plan]


def make_plan(instruction: Instruction) -> Plan:
    """The plan of an instruction.

    Raises:
        InstructionError: a combination that nothing serves; those that are served are listed.
    """
    wanted = list(instruction.wanted.values())
    if len(wanted) > 1:
        raise instruction.error(
            "a second thing is wanted", f"leave one slot right of {ARROW}", wanted[1]
        )
    for family in FAMILIES:
        if family.serves(instruction):
            return family.build(instruction)
    raise unsupported(instruction)


def unsupported(instruction: Instruction) -> InstructionError:
    """The error of a combination that no family serves."""
    kinds = " ".join(kinds_of(instruction.left))
    target = target_of(instruction)
    problem = f"nothing here makes {' '.join(kinds_of(instruction.right))} from {kinds}"
    served = "; ".join(f"{family.name}: {family.shape}" for family in FAMILIES)
    return instruction.error(problem, f"supported are {served}", target)


def kinds_of(elements: tuple[Element, ...]) -> Iterator[str]:
    """Kinds of slots, and "words" for plain text."""
    for one in elements:
        yield one.kind if isinstance(one, Slot) else "words"


def target_of(instruction: Instruction) -> Slot:
    return next(iter(instruction.wanted.values()))


def given(instruction: Instruction, kind: str) -> list[Slot]:
    """Slots of a kind left of the arrow."""
    return [slot for slot in instruction.given.values() if slot.kind == kind]


def has_words(elements: tuple[Element, ...]) -> bool:
    """Whether there is any text, plain or in a slot."""
    return any(isinstance(one, Words) or one.kind == TEXT for one in elements)


def only_words_and_images(instruction: Instruction) -> bool:
    return not given(instruction, BOX) and not given(instruction, CATEGORY)


def images_plain(instruction: Instruction, count: int) -> bool:
    """Whether there are so many images, none of them one to keep parts of."""
    images = given(instruction, IMAGE)
    return len(images) == count and not any(slot.has("use_mask") for slot in images)


def is_base(slot: Slot, target: Slot) -> bool:
    """Whether an image is one to keep parts of: by its name, use_mask or mask_ratio."""
    named = slot.name in (BASE, target.name)
    return named or slot.has("use_mask") or slot.has("mask_ratio")


def makes_image(instruction: Instruction) -> bool:
    target = target_of(instruction)
    bases = [slot for slot in given(instruction, IMAGE) if is_base(slot, target)]
    alone = target.kind == IMAGE and not has_words(instruction.right)
    return alone and only_words_and_images(instruction) and len(bases) <= 1


def answers(instruction: Instruction) -> bool:
    target = target_of(instruction)
    closed = target.kind in (TEXT, CATEGORY) and target.value("closed_set") is not None
    fits = images_plain(instruction, 1) and only_words_and_images(instruction)
    return closed and fits and not any(isinstance(one, Words) for one in instruction.right)


def fills_words(instruction: Instruction) -> bool:
    target = target_of(instruction)
    fits = images_plain(instruction, 0) or images_plain(instruction, 1)
    same = target.kind == TEXT and target.name in instruction.given
    return same and not target.has("closed_set") and fits and only_words_and_images(instruction)


def captions(instruction: Instruction) -> bool:
    target = target_of(instruction)
    fits = images_plain(instruction, 1) and only_words_and_images(instruction)
    return target.kind == TEXT and not target.has("closed_set") and fits


def grounds(instruction: Instruction) -> bool:
    fits = images_plain(instruction, 1) and only_words_and_images(instruction)
    box = target_of(instruction).kind == BOX and not has_words(instruction.right)
    return box and fits and has_words(instruction.left)


def plan_image(instruction: Instruction) -> Plan:
    target = target_of(instruction)
    bases = [slot for slot in given(instruction, IMAGE) if is_base(slot, target)]
    references = [slot for slot in given(instruction, IMAGE) if slot not in bases]
    refuse_too_many(instruction, references)
    parts = []
    for one in instruction.left:
        if isinstance(one, Words) or one.kind == TEXT:
            parts.append(text_part(one))
        elif one in bases:
            parts.append(Part(one, "base", f"{CODES}, known on the target's grid", base_mask(one)))
        else:
            number = references.index(one) + 1
            mask = share_masked(one, "its blocks")
            parts.append(Part(one, f"reference {number}", f"{CODES}, after the text", mask))
    order = target.value("order")
    what = "all but the known blocks" if bases else "all blocks"
    made = Part(target, "target", f"{CODES} on the grid, decoded to pixels", what)
    if order == AUTOREGRESSIVE:
        objective = ("autoregressive", "cross-entropy of each block's code from those before it")
        sampler = "autoregressive, code by code in raster order with cached keys and values"
    else:
        objective = ("masked-codes", "cross-entropy of the masked blocks' codes")
        sampler = f"iterative refinement of masked codes, order {order or 'as --order says'}"
    return Plan(instruction, "image", tuple(parts), (made,), objective, sampler, order)


def refuse_too_many(instruction: Instruction, references: list[Slot]) -> None:
    """Raise `InstructionError` at the first reference more than a model can tell apart."""
    if len(references) > 1:  # a short way for the many instructions that have one at most
        from ufc.conditioning.sequence import MAX_REFERENCES

        if len(references) > MAX_REFERENCES:
            raise instruction.error(
                f"this is reference {MAX_REFERENCES + 1}",
                f"leave {MAX_REFERENCES} at most",
                references[MAX_REFERENCES],
            )


def plan_words(task: str, sampler: str) -> Callable[[Instruction], Plan]:
    """The planner of a task whose target is text, made by filling masked words."""

    def build(instruction: Instruction) -> Plan:
        target = target_of(instruction)
        parts = [picture_or_text(one, target) for one in instruction.left]
        same = target.name in instruction.given
        made = Part(
            target,
            "target",
            "ids of the model's vocabulary" if not target.has("closed_set") else answer_set(target),
            "its masked words" if same else "all words",
        )
        targets = [
            made if one is target else Part(one, "prefix", TEXT_ENCODER)
            for one in instruction.right
        ]
        objective = ("text-targets", "cross-entropy of the masked words")
        how = sampler.format(set=target.value("closed_set"))
        return Plan(instruction, task, tuple(parts), tuple(targets), objective, how)

    return build


def plan_grounding(instruction: Instruction) -> Plan:
    target = target_of(instruction)
    parts = tuple(picture_or_text(one, target) for one in instruction.left)
    made = Part(target, "target", "a probability for each block of the picture", "all blocks")
    objective = ("grounded-blocks", "binary cross-entropy of each block, about the words or not")
    sampler = "one forward pass, a probability a block"
    return Plan(instruction, "grounding", parts, (made,), objective, sampler)


def answer_set(target: Slot) -> str:
    return f"one of the closed set {target.value('closed_set')}"


def picture_or_text(element: Element, target: Slot) -> Part:
    """A part left of the arrow where the target is no image."""
    if isinstance(element, Slot) and element.kind == IMAGE:
        mask = share_masked(element, "its blocks")
        return Part(element, "picture", f"{CODES}, after the text", mask)
    if isinstance(element, Slot) and element.name == target.name:
        mask = share_masked(element, "its words") or "the words that are marked as masked"
        return Part(element, "masked text", TEXT_ENCODER, mask)
    return text_part(element)


def text_part(element: Element) -> Part:
    mask = share_masked(element, "its words") if isinstance(element, Slot) else ""
    return Part(element, "text", TEXT_ENCODER, mask)


def share_masked(slot: Slot, of_what: str) -> str:
    """What training masks, and replaces, of something that is given."""
    said = []
    for key, verb in (("mask_ratio", "masked"), ("noise_ratio", "replaced")):
        if slot.has(key):
            said.append(f"in training {slot.value(key) or 'a random share'} of {of_what} {verb}")
    return ", ".join(said)


def base_mask(slot: Slot) -> str:
    """What of a base image is masked: what --mask-image says, in training a share or a mask."""
    trained = share_masked(slot, "its blocks")
    if not slot.has("mask_ratio"):
        trained = ", ".join(filter(None, ["in training a random share or box", trained]))
    asked = "white of --mask-image, all but --preserve-blocks, what --outpaint adds"
    return f"{asked}, or all in part by --strength; {trained}"


FAMILIES = (
    Family(
        "image",
        f"words, TEXT and IMAGE, in any number but one base at most {ARROW} IMAGE",
        makes_image,
        plan_image,
    ),
    Family(
        "question",
        f"words or TEXT and one IMAGE {ARROW} TEXT or CATEGORY with closed_set",
        answers,
        plan_words("question", "the likeliest member of the closed set {set}"),
    ),
    Family(
        "infilling",
        f"TEXT, with or without one IMAGE {ARROW} TEXT of the same name",
        fills_words,
        plan_words("infilling", "iterative refinement of the masked words"),
    ),
    Family(
        "captioning",
        f"one IMAGE, with or without words {ARROW} TEXT",
        captions,
        plan_words("captioning", "iterative refinement of masked words"),
    ),
    Family(
        "grounding",
        f"words or TEXT and one IMAGE {ARROW} BOX",
        grounds,
        plan_grounding,
    ),
)
