"""What can be told of words and pictures: whether the model knows such things, what it sees."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from estimators.contradiction.model import ContradictionModel
from estimators.contradiction.trees import units
from ufc.captioning.contradictions import compare_with_prompts, load_judge

if TYPE_CHECKING:
    from webui.sessions.studio import Studio

# Of models that name no domain, those whose name begins so make what the lexicon has.
FASHION = "fashion"


def is_out_of_domain(studio: Studio, prompt: str) -> bool:
    """Whether a prompt has words for something, and none for what the model was trained on."""
    if known := [word for words in studio.loaded.pipe.tasks.domain.values() for word in words]:
        things = {"other", "type"} & {unit.role for unit in units(prompt)}
        return bool(things) and not any(names(prompt, word) for word in known)
    if not studio.loaded.name.rsplit("/", 1)[-1].startswith(FASHION):
        return False  # nobody knows
    roles = {unit.role for unit in units(prompt)}
    return "other" in roles and "type" not in roles


def names(prompt: str, word: str) -> bool:
    """Whether a word, or its plural, is in a prompt."""
    here = re.escape(word)
    if word.isascii():
        here = rf"(?<!\w){here}(?:e?s)?(?!\w)"
    return re.search(here, prompt, re.IGNORECASE) is not None


def domain(studio: Studio, lang: str) -> list[str]:
    """Words for what the model's pictures show, in a language where it has them in that; empty
    where it does not say."""
    known = studio.loaded.pipe.tasks.domain
    return list(known.get(lang) or next(iter(known.values()), []))


def can_describe(studio: Studio) -> bool:
    """Whether the model has learnt to caption pictures."""
    known = studio.loaded.pipe.tasks.instructions
    return any(name.startswith("captioning") for name in known)


def describe(studio: Studio, key: str) -> None:
    """Write down what the model sees in the picture on the canvas, and what of its own words that
    contradicts; kept with its details.

    Raises:
        CheckpointError: what compares them is not there.
        RequestError: the model writes no captions.
    """
    session = studio.store.load(key)
    picture = session.current
    if picture is None:
        return
    image = studio.store.open_picture(key, picture.best)
    pipe, prompt = studio.loaded.pipe, picture.prompt
    if prompt:
        (found,) = compare_with_prompts(pipe, [prompt], [image], judge())
        told = {"caption": found.caption, "contradiction": found.explanation}
    else:
        lang = session.settings.lang
        known = f"captioning-{lang}" in pipe.tasks.instructions
        told = {"caption": pipe.caption([image], lang if known else "en")[0].text}
    details = studio.store.read_details(key, picture.id)
    studio.store.write_details(key, picture.id, details | {"told": told})


@cache
def judge() -> ContradictionModel:
    """What compares a caption with a prompt, loaded once."""
    return load_judge()
