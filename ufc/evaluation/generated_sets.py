"""Sets of pictures drawn to be measured: one plan, many captions, counted passes, kept on disk.

A set is a function of the model, the captions and the plan, and is kept under a hash of all three
(`key_of`), so that a measurement that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ufc.conditioning.known_tokens import blank_edit
from ufc.conditioning.sequence import ControlItem
from ufc.pipeline import UFCPipeline
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import generate_tokens, last_is_best
from ufc.sampling.guidance import make_prefix, make_score
from ufc.sampling.loop import Problem, Score

BATCH = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """How a set is drawn; None is the model's own default.

    Attributes:
        estimators: whether canvases are chosen by score; without, the last canvas is the result.
        per_caption: pictures a caption, which follow one another.
        seed: picture i of the set uses seed + i.
    """

    order: str | None = None
    steps: int | None = None
    candidates: int | None = None
    drafts: int | None = None
    patience: int | None = None
    compliance_weight: float | None = None
    guidance_scale: float | None = None
    temperature: float | None = None
    choice_temperature: float | None = None
    estimators: bool = True
    per_caption: int = 1
    seed: int = 0

    def resolved(self, defaults: dict[str, Any]) -> Plan:
        """The plan with nothing left open."""
        names = {
            "steps": "num_inference_steps",
            "candidates": "num_candidates",
            "drafts": "best_of",
        }
        values = {
            name: defaults[names.get(name, name)] if value is None and name != "patience" else value
            for name, value in asdict(self).items()
        }
        return Plan(**values)


@dataclass(frozen=True)
class Drawn:
    """A set of N pictures as codes.

    Attributes:
        codes_NT: grids, row-major, (N, T) int64.
        compliance, fidelity: the model's own scores of the results, (N,).
        passes: passes of one picture through the transformer, on average; see `count_passes`.
        seconds: wall time of drawing, without scoring what was not chosen by score.
        steps: mean steps taken.
        recipe: the plan in full.
    """

    codes_NT: Tensor
    compliance: Tensor
    fidelity: Tensor
    passes: float
    seconds: float
    steps: float
    recipe: dict[str, Any]


class PassCounter:
    """Counts pictures that go through a transformer, one for each row of a batch."""

    def __init__(self, model: nn.Module) -> None:
        self.rows = 0
        self._handle = model.register_forward_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        self.rows += len(inputs[0])

    def __enter__(self) -> PassCounter:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()


@torch.no_grad()
def draw_set(
    pipeline: UFCPipeline,
    captions: Sequence[str],
    plan: Plan,
    *,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> Drawn:
    """Draw `plan.per_caption` pictures for each caption.

    Passes are counted honestly: each candidate's prediction counts, its branch without controls
    (guidance) counts again, and so does each scoring that a choice was made by. Scoring a finished
    picture only to report it is neither counted nor timed.
    """
    plan = plan.resolved(pipeline.defaults)
    texts = [caption for caption in captions for _ in range(plan.per_caption)]
    codes, scores, steps = [], [], []
    seconds, rows = 0.0, 0
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        started = time.perf_counter()
        with PassCounter(pipeline.transformer) as counter:
            found, score, taken = draw_batch(pipeline, batch, plan, plan.seed + start)
        seconds += time.perf_counter() - started
        rows += counter.rows
        codes.append(found.cpu())
        owner = torch.arange(len(batch), device=found.device)
        scores.append({name: value.float().cpu() for name, value in score(found, owner).items()})
        steps += taken
        if progress is not None:
            progress(start + len(batch), len(texts))
    return Drawn(
        torch.cat(codes),
        torch.cat([part["compliance"] for part in scores]),
        torch.cat([part["fidelity"] for part in scores]),
        rows / len(texts),
        seconds,
        float(np.mean(steps)),
        asdict(plan),
    )


def draw_batch(
    pipeline: UFCPipeline, texts: Sequence[str], plan: Plan, seed: int
) -> tuple[Tensor, Score, list[int]]:
    """Codes (B, T) of one batch, the function that scores them, and the steps taken."""
    model = pipeline.transformer
    items = [ControlItem(pipeline.text.encode(text)) for text in texts]
    weight = float(plan.compliance_weight or 0)
    config = SamplerConfig(
        order=str(plan.order),
        steps=int(plan.steps or 1),
        candidates=int(plan.candidates or 1),
        temperature=float(plan.temperature or 0),
        choice_temperature=float(plan.choice_temperature or 0),
        patience=plan.patience,
        score_weights={"compliance": weight, "fidelity": 1 - weight},
    )
    blank = blank_edit(pipeline.grid, pipeline.resolution)
    locked_BT = blank.locked_T.expand(len(texts), -1).clone().to(pipeline.device)
    drafts = int(plan.drafts or 1)
    chooses = plan.estimators and (config.scored or drafts > 1)
    problem = Problem(
        codes_BT=torch.zeros_like(locked_BT, dtype=torch.int64),
        locked_BT=locked_BT,
        codes=model.config.codes,
        generators=[torch.Generator().manual_seed(seed + row) for row in range(len(texts))],
        grid=pipeline.grid_size,
        alike=pipeline.alike,
    )
    refined = generate_tokens(
        model,
        items,
        None,
        problem,
        config,
        guidance_scale=float(plan.guidance_scale or 1),
        best_of=drafts,
        rescore=None if chooses else lambda score: last_is_best(),
    )
    score = make_score(model, make_prefix(model, items), problem.grid)
    return refined.canvas.codes, score, refined.steps


def keep_drawn(folder: str | Path | None, key: dict[str, Any], draw: Callable[[], Drawn]) -> Drawn:
    """`draw()`, or what it gave for an equal key before, kept in `folder` (None keeps nothing)."""
    if folder is None:
        return draw()
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = Path(folder) / f"drawn-{digest}.npz"
    if path.is_file():
        return load_drawn(path)
    drawn = draw()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    about = {n: getattr(drawn, n) for n in ("passes", "seconds", "steps", "recipe")}
    with part.open("wb") as stream:
        np.savez(
            stream,
            codes=drawn.codes_NT.numpy(),
            compliance=drawn.compliance.numpy(),
            fidelity=drawn.fidelity.numpy(),
            about=np.array(json.dumps(about)),
        )
    part.replace(path)
    return drawn


def load_drawn(path: Path) -> Drawn:
    """Read what `keep_drawn` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Drawn(
            torch.from_numpy(file["codes"]),
            torch.from_numpy(file["compliance"]),
            torch.from_numpy(file["fidelity"]),
            **json.loads(str(file["about"])),
        )


def key_of(pipeline: UFCPipeline, captions: Sequence[str], plan: Plan) -> dict[str, Any]:
    """All that a set drawn by a resolved plan depends on; see `keep_drawn`."""
    return {
        "model": fingerprint(pipeline),
        "numbers": f"{pipeline.device.type} {pipeline.precision}",
        "captions": list(captions),
        "plan": asdict(plan),
    }


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
        for picture in pipeline.draw(codes_NT[start : start + BATCH])
    ]
