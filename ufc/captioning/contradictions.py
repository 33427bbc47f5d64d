"""Does a picture contradict its prompt? It is captioned, and the two texts are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from estimators.contradiction.model import ContradictionModel
from estimators.contradiction.trees import language_of
from estimators.contradiction.verdicts import Verdicts, contradictions, explain
from ufc.io.hub import resolve_estimator

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline

BUNDLED = "fashion-contradiction"


def load_judge(model: str = BUNDLED) -> ContradictionModel:
    """A folder that `ufc train-contradiction` wrote, or a bundled one by name.

    Raises:
        CheckpointError: there is none, or its files are damaged or changed.
    """
    made_by = "ufc train-contradiction"
    folder = resolve_estimator(model, "contradiction model", made_by, BUNDLED)
    return ContradictionModel.from_pretrained(folder)


@dataclass(frozen=True)
class Comparison:
    """What a picture is said to show, and what of its prompt that contradicts.

    `explanation` is in the prompt's language, such as "asked navy, looks black"; empty where
    nothing is contradicted.
    """

    caption: str
    verdicts: Verdicts
    explanation: str

    def to_json(self) -> dict[str, Any]:
        return {"caption": self.caption, "explanation": self.explanation, **self.verdicts.as_dict()}


def compare_with_prompts(
    pipeline: UFCPipeline,
    prompts: Sequence[str],
    pictures: Sequence[Image.Image],
    model: ContradictionModel,
) -> list[Comparison]:
    """Each picture beside its prompt; captioned in the prompt's language where the model can.

    Raises:
        RequestError: the pipeline's model writes no captions.
    """
    captions = captions_for(pipeline, prompts, pictures)
    found = contradictions(list(prompts), captions, model)
    return [
        Comparison(caption, verdicts, explain(prompt, caption, verdicts))
        for prompt, caption, verdicts in zip(prompts, captions, found, strict=True)
    ]


def captions_for(
    pipeline: UFCPipeline, prompts: Sequence[str], pictures: Sequence[Image.Image]
) -> list[str]:
    """What each picture shows, in the language of its prompt where the model can.

    Raises:
        RequestError: the pipeline's model writes no captions.
    """
    captions = [""] * len(prompts)
    for lang in ("en", "zh"):
        rows = [row for row, prompt in enumerate(prompts) if spoken(pipeline, prompt) == lang]
        told = pipeline.caption([pictures[row] for row in rows], lang) if rows else []
        for row, one in zip(rows, told, strict=True):
            captions[row] = one.text
    return captions


def spoken(pipeline: UFCPipeline, prompt: str) -> str:
    """The language to caption in: the prompt's, or English where the model has no other."""
    lang = language_of(prompt)
    return lang if f"captioning-{lang}" in pipeline.tasks.instructions else "en"
