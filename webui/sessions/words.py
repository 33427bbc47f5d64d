"""Words of a picture: the blocks that they are about, and what changes when one is changed."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, cast

from ufc.captioning.tell import Located, carry_out
from ufc.io.validation import shortened
from ufc.tasks.attributes import BOX, TEXT
from ufc.tasks.plan import Plan
from webui.sessions import state
from webui.sessions.state import RefusedError

if TYPE_CHECKING:
    from webui.drawing.blocks import Blocks
    from webui.sessions.state import Session
    from webui.sessions.studio import Studio

HAN = "\u3400-\u9fff"  # a word each
WORD = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['’-][^\W_{HAN}]+)*")


def can_find_words(studio: Studio) -> bool:
    """Whether the model has learnt to say where words are."""
    return finding_plan(studio) is not None


def finding_plan(studio: Studio) -> Plan | None:
    """The task that finds words in a picture, where the model knows one."""
    plans = studio.loaded.pipe.tasks.plans().values()
    return next((plan for plan in plans if plan.target.kind == BOX), None)


def blocks_of(studio: Studio, key: str, session: Session, words: str) -> Blocks:
    """The blocks of the picture on the canvas that words are likely about.

    Raises:
        RefusedError: none are.
        ValueError: there is no picture, or the model has not learnt it.
    """
    plan, picture = finding_plan(studio), session.current
    if plan is None or picture is None:
        raise ValueError("there is no picture to find words in, or the model has not learnt it")
    slot = next(one.name for one in plan.instruction.given.values() if one.kind == TEXT)
    image = studio.store.open_picture(key, picture.file)
    (found,) = carry_out(studio.loaded.pipe, plan, {slot: words}, [image])
    blocks = tuple(cast(Located, found).marked)
    if not blocks:
        raise RefusedError("words_nowhere", words=shortened(words, 80))
    return blocks


def mark_words(studio: Studio, key: str, words: str) -> None:
    """Mark the blocks that words are about, to be generated anew.

    Raises:
        RefusedError, ValueError: as of `blocks_of`.
    """
    session = studio.store.load(key)
    change, grid = blocks_of(studio, key, session, words), studio.frame(session).grid
    studio.store.update(key, lambda s: state.mark_to_change(s, change, grid))


def reword(studio: Studio, key: str, before: str, after: str) -> None:
    """Make a changed description the prompt, and mark the blocks that the old words are about.

    Where words were only added, nothing is marked.

    Raises:
        RefusedError, ValueError: as of `blocks_of`; the prompt is taken over all the same.
    """
    studio.store.update(
        key, lambda s: replace(s, settings=replace(s.settings, prompt=" ".join(after.split())))
    )
    if gone := left_out(before, after):
        mark_words(studio, key, gone)


def left_out(before: str, after: str) -> str:
    """The words of a text that stand in another no more, in their order."""
    old, new = WORD.findall(before), WORD.findall(after)
    matched = SequenceMatcher(a=[w.casefold() for w in old], b=[w.casefold() for w in new])
    spans = [old[a:b] for what, a, b, _, _ in matched.get_opcodes() if what != "equal"]
    words = [word for span in spans for word in span]
    separated = " " if any(word.isascii() for word in words) else ""
    return separated.join(words)
