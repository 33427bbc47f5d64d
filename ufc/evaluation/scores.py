"""Can the model's own scores be trusted, and what does choosing by them gain?

Compliance should tell a picture's own caption from another's, fidelity a real picture from a
generated one. Both are held against the truth (AUC, calibration), against judges that were not
trained with them (LPIPS to the caption's own picture, retrieval by the contrastive estimator), and
put to use: the best of K pictures by each score against the first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from estimators.metrics.extractors.features import Features, fitted
from estimators.metrics.fid import distance_change, frechet_distance, statistics
from estimators.metrics.pairs.similarity import lpips_of_pairs
from estimators.metrics.r_precision import own_first
from estimators.metrics.scores.auc import auc
from estimators.metrics.scores.trust import (
    calibration_curve,
    calibration_error,
    mean_gain,
    rank_correlation,
)
from ufc.conditioning.sequence import ControlItem
from ufc.evaluation.generated_sets import (
    GeneratedSet,
    Plan,
    Progress,
    generate_kept,
    pictures_of,
)
from ufc.evaluation.judges import Judges
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix, make_score
from ufc_base.images import to_tensor

BATCH = 32
CHOICES = 8

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Real pictures with their captions, and the codes that the model's tokenizer gives them.

    `pictures` have their own size, `fitted` the model's.
    """

    pictures: list[Image.Image]
    captions: list[str]
    fitted: list[Image.Image]
    codes_NT: Tensor

    def first(self, count: int) -> HeldOut:
        """The same for the first captions only."""
        return HeldOut(
            self.pictures[:count],
            self.captions[:count],
            self.fitted[:count],
            self.codes_NT[:count],
        )


def held_out(
    pipeline: UFCPipeline,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    fit: str = "pad",
) -> HeldOut:
    """Bring real pictures to the model's size and encode them, a batch at a time."""
    shaped = [fitted(picture, pipeline.tokenizer.config.size, fit) for picture in pictures]
    codes = [
        pipeline.encode_pixels(to_tensor(shaped[start : start + BATCH])).flatten(1)
        for start in range(0, len(shaped), BATCH)
    ]
    return HeldOut(list(pictures), list(captions), shaped, torch.cat(codes))


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
        prefix = make_prefix(pipeline.transformer, items)
        score = make_score(pipeline.transformer, prefix, pipeline.grid_size)
        codes = codes_NT[start : start + BATCH].to(pipeline.device)
        found = score(codes, torch.arange(len(codes), device=pipeline.device))
        compliance += found["compliance"].float().tolist()
        fidelity += found["fidelity"].float().tolist()
    return compliance, fidelity


def estimator_report(
    pipeline: UFCPipeline,
    judges: Judges,
    real: HeldOut,
    *,
    choices: int = CHOICES,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Everything that is known of the two scores, for JSON.

    `choices` pictures are generated for each caption with the model's default settings and kept in
    `folder`.
    """
    plan = Plan.of(num_images_per_prompt=choices, seed=seed, num_candidates=1, best_of=1)
    generated = generate_kept(pipeline, real.captions, plan, folder, progress)
    first = generated.codes_NT[::choices]
    others = exchanged(real.captions, seed)
    own = score_codes(pipeline, real.codes_NT, real.captions)
    wrong = score_codes(pipeline, real.codes_NT, others)
    of_generated = (
        generated.scores["compliance"][::choices].tolist(),
        generated.scores["fidelity"][::choices].tolist(),
    )
    wrong_of_generated = score_codes(pipeline, first, others)
    return {
        "captions": len(real.captions),
        "pictures_a_caption": choices,
        "compliance_auc": auc(own[0], wrong[0]),
        "compliance_auc_drawn": auc(of_generated[0], wrong_of_generated[0]),
        "fidelity_auc": auc(own[1], of_generated[1]),
        "mean_compliance": {"real": mean(own[0]), "drawn": mean(of_generated[0])},
        "mean_fidelity": {"real": mean(own[1]), "drawn": mean(of_generated[1])},
        "calibration": {
            "compliance": calibration(
                [*own[0], *of_generated[0]], [*wrong[0], *wrong_of_generated[0]]
            ),
            "fidelity": calibration(own[1], of_generated[1]),
        },
        **of_choosing(pipeline, judges, real, generated, choices),
        "recipe": generated.recipe,
    }


def calibration(right: Sequence[float], wrong: Sequence[float]) -> dict[str, Any]:
    """The curve of a score and its expected calibration error; right and wrong as many."""
    curve = calibration_curve([*right, *wrong], [1] * len(right) + [0] * len(wrong))
    return {"ece": calibration_error(curve), "curve": [asdict(point) for point in curve]}


def of_choosing(
    pipeline: UFCPipeline, judges: Judges, real: HeldOut, generated: GeneratedSet, choices: int
) -> dict[str, Any]:
    """Correlations of the scores with the judges', and what choosing by each score gains."""
    pictures = pictures_of(pipeline, generated.codes_NT)
    texts = [caption for caption in real.captions for _ in range(choices)]
    truth = [picture for picture in real.fitted for _ in range(choices)]
    retrieval = judges.contrastive
    images, captions_NE = retrieval.embed_images(pictures), retrieval.embed_texts(real.captions)
    similarity = images @ captions_NE.T
    columns = [own_first(similarity[k::choices], real.captions) for k in range(choices)]
    measured = {
        "lpips_to_real": np.array(
            lpips_of_pairs(judges.perceptual, zip(pictures, truth, strict=True))
        ),
        "r_precision": torch.stack(columns, dim=1).double().flatten().numpy(),
    }
    reranker = retrieval.probability(images, retrieval.embed_texts(texts)).double().numpy()
    scores = {
        "compliance": generated.scores["compliance"].double().numpy(),
        "fidelity": generated.scores["fidelity"].double().numpy(),
        "contrastive": reranker,
    }
    scores["both"] = (scores["compliance"] + scores["fidelity"]) / 2
    features = judges.features(pictures)
    shaped = {name: values.reshape(-1, choices) for name, values in measured.items()}
    return {
        "correlation": {
            name: {judge: rank_correlation(values, found) for judge, found in measured.items()}
            | {"lpips_to_real_of_one_caption": within(values, measured["lpips_to_real"], choices)}
            for name, values in scores.items()
        },
        "choosing": {
            name: gain_of(judges, values.reshape(-1, choices), features, shaped)
            for name, values in scores.items()
        },
    }


def within(a: FloatArray, b: FloatArray, choices: int) -> float:
    """Mean rank correlation among the pictures of one caption; NaN for fewer than 3 of them."""
    if choices < 3:
        return float("nan")
    rows = zip(a.reshape(-1, choices), b.reshape(-1, choices), strict=True)
    return float(np.mean([rank_correlation(x, y) for x, y in rows]))


def gain_of(
    judges: Judges, scores_NK: FloatArray, features: Features, measured: dict[str, FloatArray]
) -> dict[str, Any]:
    """The best of K by a score against the first of them: changes with 95 % intervals."""
    count, choices = scores_NK.shape
    best = scores_NK.argmax(axis=1)
    rows = np.arange(count)
    chosen, first = features[rows * choices + best], features[rows * choices]
    change, width = distance_change(chosen, first, judges.training_statistics)
    return {
        "fd": frechet_distance(statistics(chosen), judges.training_statistics),
        "fd_of_first": frechet_distance(statistics(first), judges.training_statistics),
        "fd_change": change,
        "fd_change_interval": width,
        **{
            name: {
                "chosen": float(values[rows, best].mean()),
                "first": float(values[:, 0].mean()),
                **asdict(mean_gain(values[rows, best], values[:, 0])),
            }
            for name, values in measured.items()
        },
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def estimator_table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    errors = report["calibration"]
    lines = [
        f"{report['captions']} held-out captions, {report['pictures_a_caption']} pictures of each.",
        "",
        "| | AUC | on generated pictures | calibration error |",
        "|---|---|---|---|",
        f"| compliance: own against exchanged captions | {report['compliance_auc']:.3f} | "
        f"{report['compliance_auc_drawn']:.3f} | {errors['compliance']['ece']:.3f} |",
        f"| fidelity: real against generated pictures | {report['fidelity_auc']:.3f} | – | "
        f"{errors['fidelity']['ece']:.3f} |",
        "",
        "| rank correlation with | LPIPS to the real picture | the same among pictures of one "
        "caption | R-precision |",
        "|---|---|---|---|",
    ]
    for name, row in report["correlation"].items():
        lines.append(
            f"| {name} | {row['lpips_to_real']:+.3f} | {row['lpips_to_real_of_one_caption']:+.3f} "
            f"| {row['r_precision']:+.3f} |"
        )
    lines += [
        "",
        f"| best of {report['pictures_a_caption']} by | FD, change | R-precision, change "
        "[95 %] | LPIPS to the real picture, change [95 %] |",
        "|---|---|---|---|",
    ]
    for name, row in report["choosing"].items():
        changes = []
        for figure in ("r_precision", "lpips_to_real"):
            of = row[figure]
            changes.append(f"{of['mean']:+.3f} [{of['low']:+.3f}, {of['high']:+.3f}]")
        lines.append(
            f"| {name} | {row['fd']:.2f}, {row['fd_change']:+.2f} ± "
            f"{row['fd_change_interval']:.2f} | {' | '.join(changes)} |"
        )
    return "\n".join(lines)
