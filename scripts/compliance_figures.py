"""What a model's compliance is worth as a judge: held-out figures, and other heads on its states.

    python scripts/compliance_figures.py MODEL [MODEL ...] --train-data-dir TRAIN --val-data-dir VAL

For each model a line of JSON:

    auc         a picture's own caption scores above another's, which reads differently; with the
                half width of the 95 % interval (bootstrap over pictures)
    retrieval   share of pictures whose own caption is first, of all different ones: by the
                contrastive reranker alone, with its best 20 ordered again by compliance, and by
                compliance and reranker together; `found` is the share whose own is among the 20
    heads       the same AUC of heads that are fitted on the frozen states of training pictures,
                with their interval, mean of the seeds:
                  linear    on [REL], one layer
                  mlp       on [REL], as the model's own head is built
                  pair      an MLP on [h1; h2]: h1 is the mean state of the words, h2 that of the
                            picture without them
                  matching  an MLP on [h1; h2; h1 - h2; h1 * h2] (heuristic matching, Mou 2016)
                  both      an MLP on [REL] and the matching features
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimators.metrics.scores.auc import auc_interval
from ufc.conditioning.sequence import ControlItem
from ufc.contrastive_scorer import BUNDLED, ContrastiveEstimator
from ufc.evaluation.scores import HeldOut, exchanged, held_out, score_codes
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix
from ufc_base.data.datasets import open_dataset
from ufc_base.data.records import Reading

BATCH = 32
TOP = 20


@dataclass(frozen=True)
class States:
    """Of N pictures under captions: [REL], the words' mean and the picture's alone, (N, D) each."""

    rel: Tensor
    words: Tensor
    picture: Tensor

    def matching(self) -> Tensor:
        h1, h2 = self.words, self.picture
        return torch.cat([h1, h2, h1 - h2, h1 * h2], dim=1)


HEADS: dict[str, tuple[Callable[[States], Tensor], bool]] = {  # inputs, and whether it has layers
    "linear": (lambda states: states.rel, False),
    "mlp": (lambda states: states.rel, True),
    "pair": (lambda states: torch.cat([states.words, states.picture], dim=1), True),
    "matching": (States.matching, True),
    "both": (lambda states: torch.cat([states.rel, states.matching()], dim=1), True),
}


@torch.no_grad()
def states_of(pipeline: UFCPipeline, codes_NT: Tensor, captions: Sequence[str]) -> States:
    """What the transformer makes of pictures under captions."""
    model, parts = pipeline.transformer, []
    for start in range(0, len(captions), BATCH):
        codes = codes_NT[start : start + BATCH].to(pipeline.device)
        items = [ControlItem(pipeline.text.encode(c)) for c in captions[start : start + BATCH]]
        prefix = make_prefix(model, items)
        rel = model(codes, prefix, scores=True, grid=pipeline.grid_size).rel
        alone = model(codes, None, grid=pipeline.grid_size).target.mean(1)
        assert rel is not None and prefix.hidden_BCD is not None
        rows = zip(prefix.hidden_BCD, prefix.lengths, strict=True)
        words = torch.stack([hidden[:length].mean(0) for hidden, length in rows])
        parts.append((rel.float(), words.float(), alone.float()))
    rel_ND, words_ND, picture_ND = (torch.cat(column) for column in zip(*parts, strict=True))
    return States(rel_ND, words_ND, picture_ND)


def with_interval(own: Sequence[float], wrong: Sequence[float]) -> list[float]:
    """An AUC, and half the width of its 95 % interval."""
    found = auc_interval(own, wrong)
    return [round(found.value, 3), round((found.high - found.low) / 2, 3)]


def fit_head(x_ND: Tensor, y_N: Tensor, layers: bool, seed: int, epochs: int) -> nn.Module:
    """A head by binary cross-entropy; its inputs are brought to one scale first."""
    torch.manual_seed(seed)
    width = x_ND.shape[1]
    scale = nn.BatchNorm1d(width, affine=False)
    head = nn.Sequential(nn.Linear(width, 256), nn.SiLU(), nn.Dropout(0.2), nn.Linear(256, 1))
    model = nn.Sequential(scale, head if layers else nn.Linear(width, 1))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(epochs):
        for rows in torch.randperm(len(x_ND)).split(256):
            loss = F.binary_cross_entropy_with_logits(model(x_ND[rows]).squeeze(1), y_N[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return model.eval()


def head_figures(
    own: States, wrong: States, own_held: States, wrong_held: States, seeds: int, epochs: int
) -> dict[str, Any]:
    """AUC on held-out pictures of each kind of head."""
    found = {}
    for name, (inputs, layers) in HEADS.items():
        x_ND = torch.cat([inputs(own), inputs(wrong)])
        y_N = torch.cat([torch.ones(len(own.rel)), torch.zeros(len(wrong.rel))])
        runs = []
        for seed in range(seeds):
            head = fit_head(x_ND, y_N, layers, seed, epochs)
            with torch.no_grad():
                scores = [head(inputs(one)).squeeze(1).tolist() for one in (own_held, wrong_held)]
            runs.append(with_interval(*scores))
        found[name] = [round(float(value), 3) for value in np.mean(runs, axis=0)]
    return found


def retrieval(
    pipeline: UFCPipeline, reranker: ContrastiveEstimator, real: HeldOut
) -> dict[str, float]:
    """How often the own caption is first, by the reranker and with its best 20 ordered again."""
    captions = list(dict.fromkeys(real.captions))
    own_N = torch.tensor([captions.index(caption) for caption in real.captions])
    images, texts = reranker.embed_images(real.pictures), reranker.embed_texts(captions)
    top = (images @ texts.T).topk(min(TOP, len(captions)), dim=1)
    best_NK = top.indices
    asked = [captions[index] for index in best_NK.flatten().tolist()]
    codes = real.codes_NT.repeat_interleave(best_NK.shape[1], 0)
    compliance_NK = torch.tensor(score_codes(pipeline, codes, asked)[0]).view_as(best_NK)
    chance_NK = reranker.model.probability(top.values)

    def first(score_NK: Tensor) -> float:
        chosen = best_NK.gather(1, score_NK.argmax(1, keepdim=True)).squeeze(1)
        return round(float((chosen == own_N).float().mean()), 3)

    return {
        "captions": len(captions),
        "reranker": first(chance_NK),
        "compliance": first(compliance_NK),
        "together": first(compliance_NK * chance_NK),
        "found": round(float((best_NK == own_N[:, None]).any(1).float().mean()), 3),
    }


def read(pipeline: UFCPipeline, data: str, split: str, count: int | None, fit: str) -> HeldOut:
    """The first pictures of a data set with their captions and codes."""
    samples = open_dataset(data, Reading(), split)
    rows = range(min(len(samples), count or len(samples)))
    pictures = [samples[row].image for row in rows]
    return held_out(pipeline, pictures, [str(samples.record(row)["text"]) for row in rows], fit)


def figures(options: argparse.Namespace, name: str) -> dict[str, Any]:
    pipeline = UFCPipeline.from_pretrained(name, dtype="fp32")
    reranker = ContrastiveEstimator.from_pretrained(options.contrastive)
    real = read(pipeline, options.val_data_dir, "validation", options.limit, options.fit)
    others = exchanged(real.captions, 0)
    own, wrong = (score_codes(pipeline, real.codes_NT, c)[0] for c in (real.captions, others))
    found = {
        "model": name,
        "pictures": len(real.captions),
        "auc": with_interval(own, wrong),
        "retrieval": retrieval(pipeline, reranker, real),
    }
    if options.pictures:
        seen = read(pipeline, options.train_data_dir, "train", options.pictures, options.fit)
        found["heads"] = head_figures(
            states_of(pipeline, seen.codes_NT, seen.captions),
            states_of(pipeline, seen.codes_NT, exchanged(seen.captions, 0)),
            states_of(pipeline, real.codes_NT, real.captions),
            states_of(pipeline, real.codes_NT, others),
            options.seeds,
            options.epochs,
        )
    return found


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="folders, or models' names")
    parser.add_argument("--train-data-dir", required=True)
    parser.add_argument("--val-data-dir", required=True)
    parser.add_argument("--fit", default="stretch", choices=("pad", "stretch", "crop"))
    parser.add_argument("--contrastive", default=BUNDLED, help="the reranker")
    parser.add_argument("--pictures", type=int, default=3000, help="that heads learn on; 0: none")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="held-out pictures")
    options = parser.parse_args()
    for name in options.models:
        print(json.dumps(figures(options, name)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
