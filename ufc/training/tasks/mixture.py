"""Which task each place of a step is given, and the sample that it makes of the place's record.

    image tasks     say how the controls of images are drawn (`control_odds`)
    TEXT and BOX    are asked beside the image of a place, as often as their weights say

Shapes: N samples.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from ufc.conditioning.text import TextTokenizer
from ufc.tasks.attributes import AUTOREGRESSIVE, BOX, IMAGE, TEXT
from ufc.tasks.instruction import Slot, Words
from ufc.tasks.mixture import Task
from ufc.training.codes.cache import CodeCache
from ufc.training.conditioning_dropout import ControlOdds
from ufc.training.tasks.collages import Collages, grounding_sample
from ufc.training.tasks.values import Record
from ufc.training.tasks.words import TaskSample, words_sample
from ufc_base.data.datasets import DataError

TRIES = 4  # tasks drawn for a record that lacks what the first one asks for


class TaskSamples:
    """Draws the task and the sample of any place of any step; it keeps no state."""

    def __init__(
        self,
        tasks: Sequence[Task],
        records: Sequence[Record],
        cache: CodeCache,
        text: TextTokenizer,
        seed: int,
        collages: Collages | None = None,
    ) -> None:
        self.tasks = tasks
        self.weights = [task.weight for task in tasks]
        self.records = records
        self.cache = cache
        self.text = text
        self.seed = seed
        self.collages = collages

    def __call__(self, step: int, place: int, index: int) -> TaskSample | None:
        """What a place that shows sample `index` is asked; None where it is an image alone."""
        rng = random.Random(f"{self.seed}/{step}/{place}/task")
        for _ in range(TRIES):
            plan = rng.choices(self.tasks, self.weights)[0].plan
            if plan.target.kind == IMAGE:
                return None
            sample = None
            if plan.target.kind == BOX and self.collages is not None:
                sample = grounding_sample(plan, self.records, index, self.collages, self.text, rng)
            elif plan.target.kind != BOX:
                codes_T = self.cache.target(index, rng.random() < 0.5)
                picture = codes_T.view(self.cache.grid)
                sample = words_sample(plan, self.records[index], picture, self.text, rng)
            if sample is not None:
                return sample
        return None


def control_odds(tasks: Sequence[Task], odds: ControlOdds) -> ControlOdds:
    """The odds that image tasks come to, by their weights; as they are without any.

    Raises:
        DataError: an image task that training cannot follow.
    """
    images = [task for task in tasks if task.plan.target.kind == IMAGE]
    for task in images:
        refuse(task)
    if not images:
        return odds
    by_count: dict[int, list[Task]] = {}
    for task in images:
        by_count.setdefault(len(task.plan.references), []).append(task)
    references = [0.0] * (max(by_count) + 1)
    for count, having in by_count.items():
        references[count] = sum(task.weight for task in having)
    alone = by_count.get(0, [])
    others = [task for count, having in by_count.items() if count for task in having]
    text = (
        odds.text[0] * worded(alone) if alone else odds.text[0],
        odds.text[1] * worded(others) if others else odds.text[1],
    )
    return replace(odds, references=tuple(references), text=text)


def worded(tasks: Sequence[Task]) -> float:
    """Share of the tasks, by weight, that give words."""
    total = sum(task.weight for task in tasks)
    return sum(task.weight for task in tasks if has_text(task)) / total


def has_text(task: Task) -> bool:
    return any(slot.kind == TEXT for slot in task.instruction.given.values())


def refuse(task: Task) -> None:
    """Raise `DataError` where an image task asks for what the trainer draws by itself."""
    for element in task.instruction.left:
        if isinstance(element, Words):
            raise DataError(
                f"task {task.name}: the words {element.text.strip()!r} of an image's task are not "
                "learnt; leave them out"
            )
        if isinstance(element, Slot) and element.kind == IMAGE and element.value("mask_ratio"):
            raise DataError(
                f"task {task.name}: which blocks of {element.name} are masked is drawn at random; "
                "write mask_ratio without a number"
            )


def autoregressive_share(tasks: Sequence[Task]) -> float | None:
    """Share of the images, by weight, that are told code by code; None without image tasks."""
    images = [task for task in tasks if task.plan.target.kind == IMAGE]
    total = sum(task.weight for task in images)
    causal = sum(task.weight for task in images if task.plan.order == AUTOREGRESSIVE)
    return causal / total if total else None
