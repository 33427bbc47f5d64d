"""Sets of pictures generated to be measured: one plan, many captions, counted forward passes.

A set is a function of the model, the captions and the plan, and is kept on disk under a hash of all
three (`key_of`), so that a measurement that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ufc.call_arguments import sampler_config
from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.generate import generate_tokens, last_is_best
from ufc.sampling.generation_config import SETTINGS, GenerationConfig
from ufc.sampling.guidance import make_prefix, make_score
from ufc.sampling.loop import Problem, Score
from ufc_base.data.names import DataError
from ufc_base.files import write_atomically
from ufc_base.formats.archives import read_arrays
from ufc_base.formats.json_text import load_json

BATCH = 32
# Settings of a plan under the names that sets are kept by, and those that count only if given.
_KEPT_AS = {
    "num_inference_steps": "steps",
    "num_candidates": "candidates",
    "best_of": "drafts",
    "num_images_per_prompt": "per_caption",
}
_IF_GIVEN = {
    *("contrastive_weight", "clip_weight", "min_score", "time_budget", "feather", "score_steps"),
    *("top_k", "top_p"),
}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """How a set is generated.

    Attributes:
        config: the settings; what is left out is the model's own default. Picture i of the set
            uses seed + i (0 if not said), and a caption's pictures follow one another.
        estimators: whether canvases are chosen by score; without, the last canvas is the result.
    """

    config: GenerationConfig
    estimators: bool = True

    @classmethod
    def of(cls, estimators: bool = True, **settings: Any) -> Plan:
        """A plan of these settings of `GenerationConfig`."""
        return cls(GenerationConfig(**{"seed": 0} | settings), estimators)

    def resolved(self, defaults: dict[str, Any]) -> Plan:
        """The plan with nothing left open.

        Raises:
            ValueError: it asks for rerankers, which only the pipeline's own calls have.
        """
        config = GenerationConfig.over(defaults, self.config.explicit())
        if config.contrastive_weight or config.clip_weight or config.min_score:
            raise ValueError("sets to be measured are chosen by the model's own scores alone")
        return Plan(config, self.estimators)

    @property
    def recipe(self) -> dict[str, Any]:
        """The plan in full, for reports."""
        settings = {
            name: value
            for name, value in self.config.model_dump().items()
            if name not in _IF_GIVEN or value != SETTINGS[name].default
        }
        return settings | {"estimators": self.estimators}


@dataclass(frozen=True)
class GeneratedSet:
    """A set of N pictures as codes.

    Attributes:
        codes_NT: grids, row-major, (N, T) int64.
        scores: the model's own scores of the results by name, (N,) each.
        passes: forward passes of one picture (NFE), on average; see `ForwardPasses`.
        seconds: wall time of generating, without scoring what was not chosen by score.
        steps: mean steps taken.
        recipe: the plan in full.
    """

    codes_NT: Tensor
    scores: dict[str, Tensor]
    passes: float
    seconds: float
    steps: float
    recipe: dict[str, Any]


class ForwardPasses:
    """Counts pictures that go through a transformer, one for each row of a batch."""

    def __init__(self, model: nn.Module) -> None:
        self.rows = 0
        self._handle = model.register_forward_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        self.rows += len(inputs[0])

    def __enter__(self) -> ForwardPasses:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()


@torch.no_grad()
def generate_set(
    pipeline: UFCPipeline,
    captions: Sequence[str],
    plan: Plan,
    *,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> GeneratedSet:
    """Generate the plan's number of pictures for each caption.

    Forward passes are counted honestly: each candidate's prediction counts, its branch without
    controls (guidance) counts again, and so does each scoring that a choice was made by. Scoring a
    finished picture only to report it is neither counted nor timed.
    """
    plan = plan.resolved(pipeline.defaults)
    first, copies = plan.config.seed or 0, plan.config.num_images_per_prompt
    texts = [caption for caption in captions for _ in range(copies)]
    codes, scores, steps = [], [], []
    seconds, rows = 0.0, 0
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        started = time.perf_counter()
        with ForwardPasses(pipeline.transformer) as counter:
            found, score, taken = generate_batch(pipeline, batch, plan, first + start)
        seconds += time.perf_counter() - started
        rows += counter.rows
        codes.append(found.cpu())
        owner = torch.arange(len(batch), device=found.device)
        scores.append({name: value.float().cpu() for name, value in score(found, owner).items()})
        steps += taken
        if progress is not None:
            progress(start + len(batch), len(texts))
    return GeneratedSet(
        torch.cat(codes),
        {name: torch.cat([part[name] for part in scores]) for name in scores[0]},
        rows / len(texts),
        seconds,
        float(np.mean(steps)),
        plan.recipe,
    )


def generate_batch(
    pipeline: UFCPipeline, texts: Sequence[str], plan: Plan, seed: int
) -> tuple[Tensor, Score, list[int]]:
    """Codes (B, T) of one batch, the function that scores them, and the steps taken."""
    model, config = pipeline.transformer, sampler_config(plan.config)
    items = [ControlItem(pipeline.text.encode(text)) for text in texts]
    rows, columns = pipeline.grid_size
    codes_BT = torch.zeros(len(texts), rows * columns, dtype=torch.int64, device=pipeline.device)
    problem = Problem(
        codes_BT=codes_BT,
        locked_BT=torch.zeros_like(codes_BT, dtype=torch.bool),
        codes=model.config.codes,
        generators=[torch.Generator().manual_seed(seed + row) for row in range(len(texts))],
        grid=pipeline.grid_size,
        alike=pipeline.alike,
    )
    chooses = plan.estimators and (config.scored or plan.config.best_of > 1)
    refined = generate_tokens(
        model,
        items,
        None,
        problem,
        config,
        guidance_scale=plan.config.guidance_scale,
        best_of=plan.config.best_of,
        rescore=None if chooses else lambda score: last_is_best(),
    )
    score = make_score(model, make_prefix(model, items), problem.grid)
    return refined.canvas.codes, score, refined.steps


def kept_set(
    folder: str | Path | None, key: dict[str, Any], generate: Callable[[], GeneratedSet]
) -> GeneratedSet:
    """`generate()`, or what it gave for an equal key before, kept in `folder` (None: nowhere)."""
    if folder is None:
        return generate()
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path, older = Path(folder) / f"generated-{digest}.npz", Path(folder) / f"drawn-{digest}.npz"
    for there in (path, older):
        if there.is_file():
            with suppress(DataError):  # damaged: it is generated anew
                return load_set(there)
    found = generate()
    about = {n: getattr(found, n) for n in ("passes", "seconds", "steps", "recipe")}
    arrays: dict[str, Any] = {name: value.numpy() for name, value in found.scores.items()}
    arrays |= {"codes": found.codes_NT.numpy(), "about": np.array(json.dumps(about))}
    write_atomically(path, lambda stream: np.savez(stream, **arrays))
    return found


def load_set(path: Path) -> GeneratedSet:
    """Read what `kept_set` wrote.

    Raises:
        DataError: it is no such file, or damaged.
    """
    try:
        file = read_arrays(path)
        about = load_json(str(file.pop("about")))
        tensors = {name: torch.from_numpy(value) for name, value in file.items()}
        return GeneratedSet(tensors.pop("codes"), tensors, **about)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: no generated set of this program ({error!s:.200})") from error


def key_of(pipeline: UFCPipeline, captions: Sequence[str], plan: Plan) -> dict[str, Any]:
    """All that a set of a resolved plan depends on; see `kept_set`."""
    config = plan.config
    chosen = plan.estimators and (config.order == "pnag" or (config.num_candidates or 1) > 1)
    # Sets that were kept before have the best canvas of all steps.
    returned = {"returned": "last"} if chosen and config.patience is None else {}
    return returned | {
        "model": fingerprint(pipeline),
        "numbers": f"{pipeline.device.type} {pipeline.precision}",
        "captions": list(captions),
        "plan": {_KEPT_AS.get(name, name): value for name, value in plan.recipe.items()},
    }


def generate_kept(
    pipeline: UFCPipeline,
    captions: Sequence[str],
    plan: Plan,
    folder: Path | None,
    progress: Progress | None = None,
) -> GeneratedSet:
    """`generate_set`, kept in `folder` by all that it depends on."""
    plan = plan.resolved(pipeline.defaults)
    return kept_set(
        folder,
        key_of(pipeline, captions, plan) if folder else {},
        lambda: generate_set(pipeline, captions, plan, progress=progress),
    )


def fingerprint(pipeline: UFCPipeline) -> str:
    """A hash of a model's weights, sizes and words, shortened."""
    digest = hashlib.sha256(pipeline.text.tokenizer.to_str().encode())
    for config in (pipeline.tokenizer.config, pipeline.transformer.config):
        digest.update(json.dumps(config.to_dict(), sort_keys=True).encode())
    for module in (pipeline.tokenizer, pipeline.transformer):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def pictures_of(pipeline: UFCPipeline, codes_NT: Tensor) -> list[Image.Image]:
    """Pictures of codes (N, T), decoded a batch at a time."""
    return [
        picture
        for start in range(0, len(codes_NT), BATCH)
        for picture in pipeline.decode_pil(codes_NT[start : start + BATCH])
    ]
