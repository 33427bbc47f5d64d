"""The ablation: what each part of progressive generation is worth, at equal forward passes (NFE).

A forward pass is one picture through the transformer once. Guidance doubles those of a prediction
and a scored candidate costs one more, so K scored candidates take K (g + 1) a step, g being 2 with
guidance and 1 without; in the first step, where all are the same empty canvas, g + K. At equal
numbers they get fewer steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ufc.evaluation.generated_sets import BATCH, Plan, generate_kept, pictures_of
from ufc.evaluation.judges import Judges
from ufc.pipeline import UFCPipeline
from ufc.sampling.orders import ORDERS
from ufc_base.files import write_text

PATIENCE = 2  # steps, in the row that stops by itself

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Variant:
    """A row: what it is called and how its pictures are generated."""

    name: str
    plan: Plan
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two rows, what their difference says, and the changes of FD and R-precision."""

    after: str
    before: str
    question: str
    fd: float
    fd_interval: float
    r_precision: dict[str, float]


NO_ESTIMATORS, FEW_STEPS = "PNAG, no estimators", "PNAG, no estimators, few steps"
BOTH = "PNAG, both"
BEST_OF = "MaskGIT, best of several"
QUESTIONS = (
    ("PNAG, compliance", FEW_STEPS, "Choosing by compliance, equal steps"),
    ("PNAG, fidelity", FEW_STEPS, "Choosing by fidelity, equal steps"),
    (BOTH, FEW_STEPS, "Choosing by both, equal steps"),
    (BOTH, NO_ESTIMATORS, "Choosing by both, equal forward passes"),
    (BOTH, "MaskGIT", "The paper's method against MaskGIT, equal forward passes"),
    (BEST_OF, "MaskGIT", "Choosing among whole pictures, equal forward passes"),
    (BOTH, "one-shot", "Refinement against one shot"),
)


CELL_BY_CELL = "cell by cell: its forward passes are of one cell each, and are not compared"
NAMED_ORDERS = ("pnag", "maskgit", "mask-predict", "halton")  # in rows of their own


def variants(
    passes: int,
    candidates: int,
    guidance_scale: float,
    seed: int = 0,
    autoregressive: bool = False,
) -> list[Variant]:
    """The rows at so many forward passes a picture.

    A model that is `autoregressive` has a row of that, too, whose passes are of one cell each.

    Raises:
        ValueError: too few for two steps of scored candidates.
    """
    guided = 1 if guidance_scale == 1 else 2
    first, step = guided + candidates, candidates * (guided + 1)
    plain, scored = passes // guided, 1 + (passes - first) // step
    if scored < 2:
        raise ValueError(
            f"got {passes} forward passes, wanted {first + step} or more: two steps of "
            f"{candidates} scored candidates"
        )

    def of(order: str, steps: int, estimators: bool = True, **changes: Any) -> Plan:
        settings = {"num_candidates": 1, "best_of": 1, "guidance_scale": guidance_scale} | changes
        return Plan.of(estimators, order=order, num_inference_steps=steps, seed=seed, **settings)

    def pnag(weight: float, **changes: Any) -> Plan:
        return of("pnag", scored, num_candidates=candidates, compliance_weight=weight, **changes)

    return [
        Variant("one-shot", of("maskgit", 1), "every cell in one step; more cannot be used"),
        Variant("Mask-Predict", of("mask-predict", plain)),
        Variant("MaskGIT", of("maskgit", plain)),
        Variant(
            BEST_OF,
            of("maskgit", 1 + (passes - first) // (candidates * guided), best_of=candidates),
            f"the better of {candidates} whole pictures by the model's score, each in fewer steps",
        ),
        Variant("Halton", of("halton", plain)),
        *(
            Variant(name, of(name, plain), CELL_BY_CELL if order.causal else "")
            for name, order in ORDERS.items()
            if name not in NAMED_ORDERS and (autoregressive or not order.causal)
        ),
        Variant(NO_ESTIMATORS, of("pnag", plain, estimators=False)),
        Variant(
            FEW_STEPS,
            of("pnag", scored, estimators=False),
            "the steps of the scored rows, so that choosing alone is seen",
        ),
        Variant("PNAG, compliance", pnag(1.0)),
        Variant("PNAG, fidelity", pnag(0.0)),
        Variant(BOTH, pnag(0.5)),
        Variant(
            "PNAG, both, dynamic stop",
            pnag(0.5, patience=PATIENCE),
            f"stops after {PATIENCE} steps without a better score; at most the NFE of the rest",
        ),
    ]


def run_ablation(
    pipeline: UFCPipeline,
    judges: Judges,
    captions: Sequence[str],
    rows: Sequence[Variant],
    folder: Path | None,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], list[Comparison]]:
    """Generate and measure every row; sets that are in `folder` already are taken from there."""
    found, measured = [], {}
    for row in rows:
        tell = None if progress is None else partial(progress, row.name)
        generated = generate_kept(pipeline, captions, row.plan, folder, tell)
        result = judges.measure(pictures_of(pipeline, generated.codes_NT), captions)
        measured[row.name] = result
        found.append(
            {
                "name": row.name,
                "note": row.note,
                "steps": generated.steps,
                "passes": None if row.note == CELL_BY_CELL else generated.passes,
                "seconds_per_picture": generated.seconds / len(generated.codes_NT),
                **result.figures,
                **{f"mean_{name}": float(s.mean()) for name, s in generated.scores.items()},
                "recipe": generated.recipe,
            }
        )
    return found, [
        Comparison(after, before, question, **judges.compare(measured[after], measured[before]))
        for after, before, question in QUESTIONS
    ]


COLUMNS = (
    ("name", "", "{}"),
    ("steps", "steps", "{:.1f}"),
    ("passes", "NFE", "{:.1f}"),
    ("fd", "FD", "{:.2f}"),
    ("precision", "precision", "{:.3f}"),
    ("recall", "recall", "{:.3f}"),
    ("r_precision", "R-precision", "{:.3f}"),
    ("lpips_diversity", "LPIPS diversity", "{:.3f}"),
    ("seconds_per_picture", "seconds", "{:.2f}"),
)
INTERVALS = {"fd": ("fd_interval", "{:.2f}"), "r_precision": ("r_precision_interval", "{:.3f}")}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown, with half widths of 95 % intervals behind FD and R-precision."""

    def cell(row: dict[str, Any], name: str, form: str) -> str:
        if row.get(name) is None:
            return "–"
        text = form.format(row[name])
        interval, width = INTERVALS.get(name, ("", ""))
        return f"{text} ± {width.format(row[interval])}" if row.get(interval) else text

    head = "| " + " | ".join(title for _, title, _ in COLUMNS) + " |"
    rule = "|" + "---|" * len(COLUMNS)
    cells = [[cell(row, name, form) for name, _, form in COLUMNS] for row in rows]
    return "\n".join([head, rule, *("| " + " | ".join(line) + " |" for line in cells)])


def verdict(found: Comparison) -> str:
    """What a comparison shows, in a sentence."""
    gain = found.r_precision
    width = (gain["high"] - gain["low"]) / 2
    return (
        f"{found.question} (*{found.after}* against *{found.before}*): FD {found.fd:+.2f} "
        f"± {found.fd_interval:.2f}, {_word(-found.fd, found.fd_interval)}; R-precision "
        f"{gain['mean']:+.3f} ± {width:.3f}, {_word(gain['mean'], width)}."
    )


def _word(better: float, width: float) -> str:
    if abs(better) <= width:
        return "no difference beyond chance"
    return "**better**" if better > 0 else "**worse**"


def document(
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    about: dict[str, Any],
    command: str,
    plot: str,
) -> str:
    """`docs/ablation.md`: the table, what it shows, and all that is needed to repeat it."""
    notes = [f"- *{row['name']}*: {row['note']}." for row in rows if row["note"]]
    return "\n".join(
        [
            "# Ablation",
            "",
            f"`{command}` wrote this page, `ablation.json` and the plot. One picture for each of "
            f"{about['pictures']} held-out captions, the same seeds in every row, the same weights "
            f"(`{about['model']}`, {about['model_hash']}); at most {about['passes']} forward "
            "passes (NFE) a picture.",
            "",
            table(rows),
            "",
            f"![FD and R-precision of every row]({plot})",
            "",
            "± is the half width of a 95 % interval: a delete-a-group jackknife over the "
            "generated pictures for FD, binomial for R-precision. LPIPS diversity is between "
            "pictures of one caption.",
            "",
            *notes,
            "",
            "## What it shows",
            "",
            "Changes between rows, caption by caption, with 95 % intervals:",
            "",
            *[f"- {verdict(found)}" for found in comparisons],
            "",
            "## How it was measured",
            "",
            "A forward pass is one picture through the transformer once. A prediction takes "
            f"{about['passes_a_prediction']} (guidance scale {about['guidance_scale']}), scoring a "
            f"candidate one more; {about['candidates']} candidates are tried where scores choose "
            "(in the first step they are one empty canvas, which is predicted once). "
            "Scoring a finished picture only to report it is neither counted nor timed. Seconds "
            f"are of a picture's share of {BATCH} generated together, its decoding left out; kept "
            "pictures keep theirs.",
            "",
            f"FD is to {about['training_pictures']} training pictures, precision and recall (k = 3)"
            " to the captions' own pictures, both shrunk to the size generated: "
            f"{about['recipe']}. R-precision is by `{about['contrastive']}` among 99 captions that "
            f"read differently ({about['r_precision_of_real']:.3f} on the real pictures).",
            "",
        ]
    )


def write_results(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    about: dict[str, Any],
) -> None:
    """`ablation.json`, `ablation.md` and `ablation.png` in a folder."""
    from ufc.evaluation.plots import ablation_plot

    folder.mkdir(parents=True, exist_ok=True)
    found = [asdict(comparison) for comparison in comparisons]
    text = json.dumps({"about": about, "rows": list(rows), "comparisons": found}, indent=1)
    write_text(folder / "ablation.json", text + "\n")
    page = document(rows, comparisons, about, "make ablation", "ablation.png")
    write_text(folder / "ablation.md", page)
    ablation_plot(rows, folder / "ablation.png")
