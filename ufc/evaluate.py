"""Can the model's own scores be trusted? `python -m ufc.evaluate --model M --data VAL_DATA`.

Compliance should tell a picture's own caption from another's, fidelity a real picture from one
the model drew for the same caption. Both are reported as the area under the ROC curve (0.5 is
chance) with the count of pictures behind it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from estimators.auc import auc
from ufc.controls import ControlItem
from ufc.guidance import make_prefix, make_score
from vqgan.checkpoint import CheckpointError
from vqgan.data import DataError, Pixels, open_dataset

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline

BATCH = 32


def exchanged(captions: Sequence[str], seed: int) -> list[str]:
    """For every caption one of another picture that reads differently.

    Raises `ValueError` if all captions are equal.
    """
    if len(set(captions)) < 2:
        raise ValueError(f"got {len(captions)} equal captions, wanted at least two different ones")
    rng = random.Random(seed)
    others = []
    for caption in captions:
        other = rng.choice(captions)
        while other == caption:
            other = rng.choice(captions)
        others.append(other)
    return others


@torch.no_grad()
def score_codes(
    pipeline: UFCPipeline, codes_NT: Tensor, captions: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Compliance and fidelity of grids under captions."""
    compliance: list[float] = []
    fidelity: list[float] = []
    for start in range(0, len(captions), BATCH):
        items = [ControlItem(pipeline.text.encode(c)) for c in captions[start : start + BATCH]]
        score = make_score(pipeline.transformer, make_prefix(pipeline.transformer, items))
        codes = codes_NT[start : start + BATCH].to(pipeline.device)
        found = score(codes, torch.arange(len(codes), device=pipeline.device))
        compliance += found[0].float().tolist()
        fidelity += found[1].float().tolist()
    return compliance, fidelity


def estimator_report(
    pipeline: UFCPipeline, pixels: Pixels, captions: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """AUC of compliance (own against exchanged captions) and fidelity (real against drawn)."""
    real = torch.cat(
        [
            pipeline.tokenizer.encode(pixels.batch(range(start, min(start + BATCH, len(pixels)))))
            for start in range(0, len(pixels), BATCH)
        ]
    ).flatten(1)
    drawn = torch.cat(
        [
            pipeline(
                list(captions[start : start + BATCH]),
                seed=list(range(seed + start, seed + min(start + BATCH, len(captions)))),
                output_type="codes",
            ).images.cpu()
            for start in range(0, len(captions), BATCH)
        ]
    )
    own = score_codes(pipeline, real, captions)
    wrong = score_codes(pipeline, real, exchanged(captions, seed))
    of_drawn = score_codes(pipeline, drawn, captions)
    wrong_of_drawn = score_codes(pipeline, drawn, exchanged(captions, seed))
    return {
        "pictures": len(captions),
        "compliance_auc": auc(own[0], wrong[0]),
        "compliance_auc_drawn": auc(of_drawn[0], wrong_of_drawn[0]),
        "fidelity_auc": auc(own[1], of_drawn[1]),
        "mean_compliance": {"real": mean(own[0]), "drawn": mean(of_drawn[0])},
        "mean_fidelity": {"real": mean(own[1]), "drawn": mean(of_drawn[1])},
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ufc.evaluate", description=__doc__)
    parser.add_argument("--model", default="fashion-64", help="a bundled name, folder or hub id")
    parser.add_argument("--data", required=True, help="held-out shards or ImageFolder")
    parser.add_argument("--caption-column", default="text", help="text or text_zh")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from ufc.pipeline import UFCPipeline

    try:
        pipeline = UFCPipeline.from_pretrained(options.model)
        samples = open_dataset(options.data)
        captions = [samples.record(i)[options.caption_column] for i in range(len(samples))]
        report = estimator_report(
            pipeline, Pixels(samples, pipeline.resolution), captions, options.seed
        )
    except KeyError as error:
        sys.stderr.write(f"error: samples of {options.data} have no field {error}\n")
        return 2
    except (CheckpointError, DataError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
