"""What can be told of words and pictures: whether the model knows such things, what it sees."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from estimators.contradiction.model import ContradictionModel
from estimators.contradiction.trees import units
from ufc.captioning.contradictions import compare_with_prompts, load_judge

if TYPE_CHECKING:
    from webui.sessions.studio import Studio

FASHION = "fashion"  # models whose name begins so make what the lexicon has


def is_out_of_domain(studio: Studio, prompt: str) -> bool:
    """Whether a prompt has words for something, and none for what the model was trained on."""
    if not studio.loaded.name.rsplit("/", 1)[-1].startswith(FASHION):
        return False  # nobody knows
    roles = {unit.role for unit in units(prompt)}
    return "other" in roles and "type" not in roles


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
