"""All figures on one page with example pictures: HTML that needs no other file and no script."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.evaluation.ablation import table as ablation_table
from ufc.evaluation.ablation import verdict
from ufc.evaluation.context import Context
from ufc.evaluation.controls import control_report, control_table, make_task
from ufc.evaluation.distances import distance_report, distance_table
from ufc.evaluation.generated_sets import GeneratedSet
from ufc.evaluation.plots import calibration_plot
from ufc.evaluation.scores import estimator_report, estimator_table
from ufc.io.contact_sheet import contact_sheet
from ufc_base.files import write_atomically

EXAMPLES = 12  # pictures a grid
# Of so many captions several are generated: K to choose the best of, one a subset of controls.
ESTIMATOR_CAPTIONS, CONTROL_CAPTIONS = 128, 64

STYLE = (
    "body{font:15px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:left;"
    "border-bottom:1px solid #ddd}img{max-width:100%}code{font-size:.9em}h2{margin-top:2.2rem}"
)


@dataclass(frozen=True)
class Section:
    """A heading, Markdown under it, and pictures with a caption each."""

    title: str
    text: str
    pictures: Sequence[tuple[str, Image.Image]] = ()


def write_report(
    context: Context, folder: Path, choices: int, ablation: Path = Path("docs/ablation.json")
) -> Path:
    """Take every figure, and write `report.html`, `report.md` and `report.json`; returns the page.

    An ablation that has been written to `ablation` is included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generated = context.generate()
    pictures = context.pictures(generated)
    distances = distance_report(context.pipeline, context.judges, context.real, pictures)
    estimators = estimator_report(
        context.pipeline,
        context.judges,
        context.real.first(ESTIMATOR_CAPTIONS),
        choices=choices,
        seed=context.seed,
        folder=context.folder,
        progress=context.progress("estimators"),
    )
    task = make_task(context.pipeline, context.real, context.types(), context.seed).first(
        CONTROL_CAPTIONS
    )
    controls = control_report(
        context.pipeline, context.judges, task, context.seed, context.progress("controls")
    )
    measured = context.judges.measure(pictures, context.real.captions).figures
    about = context.about()
    sections = [
        Section("Pictures", figure_table(measured, about)),
        Section(
            "Examples",
            "By the mean of compliance and fidelity, on the page.",
            examples(context, generated),
        ),
        Section("Distances", distance_table(distances)),
        Section(
            "The model's scores",
            estimator_table(estimators),
            [("How often was right what was scored so?", calibration_picture(estimators))],
        ),
        Section("Controls", f"{len(task.captions)} captions.\n\n{control_table(controls)}"),
    ]
    found: dict[str, Any] = {
        "about": about,
        "pictures": measured,
        "distances": distances,
        "estimators": estimators,
        "controls": controls,
    }
    if ablation.is_file():
        found["ablation"] = json.loads(ablation.read_text(encoding="utf-8"))
        sections.append(Section("Ablation", ablation_text(found["ablation"])))
    text = json.dumps(found, indent=1, ensure_ascii=False)
    write_atomically(folder / "report.json", lambda file: file.write(text.encode()))
    title = f"{about['model']}, measured"
    plain = "\n\n".join([f"# {title}", *(f"## {s.title}\n\n{s.text}" for s in sections)])
    write_atomically(folder / "report.md", lambda file: file.write(f"{plain}\n".encode()))
    page = folder / "report.html"
    markup = page_of(title, sections).encode()
    write_atomically(page, lambda file: file.write(markup))
    return page


def figure_table(figures: dict[str, Any], about: dict[str, Any]) -> str:
    """The figures of one picture a caption, and how they were taken."""
    rows = [f"| {name} | {value:.4g} |" for name, value in figures.items() if value is not None]
    return "\n".join(
        [
            f"One picture for each of {about['pictures']} held-out captions, seeds from "
            f"{about['seed']}; model `{about['model']}` ({about['model_hash']}). "
            f"Features: {about['recipe']}. R-precision by `{about['contrastive']}`, "
            f"{about['r_precision_of_real']:.3f} on the captions' own pictures.",
            "",
            "| figure | |",
            "|---|---|",
            *rows,
        ]
    )


def examples(context: Context, generated: GeneratedSet) -> list[tuple[str, Image.Image]]:
    """The best, the median and the worst pictures by score, a sheet each."""
    score = (generated.scores["compliance"] + generated.scores["fidelity"]) / 2
    order = score.argsort(descending=True).tolist()
    count = min(EXAMPLES, len(order))
    middle = (len(order) - count) // 2
    parts = {
        "best": order[:count],
        "median": order[middle : middle + count],
        "worst": order[len(order) - count :],
    }
    sheets = []
    for name, rows in parts.items():
        pictures = context.pictures(generated, rows)
        captions = "; ".join(context.real.captions[row] for row in rows)
        span = f"{float(score[rows[0]]):.2f} to {float(score[rows[-1]]):.2f}"
        sheets.append((f"{name}, {span}: {captions}", contact_sheet(pictures, columns=6)))
    return sheets


def calibration_picture(report: dict[str, Any]) -> Image.Image:
    """The calibration curves of both scores."""
    curves = {name: of["curve"] for name, of in report["calibration"].items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.png"
        calibration_plot(curves, path)
        with Image.open(path) as picture:
            return picture.convert("RGB")


def ablation_text(found: dict[str, Any]) -> str:
    """The ablation's table and what it shows."""
    from ufc.evaluation.ablation import Comparison

    lines = [f"- {verdict(Comparison(**row))}" for row in found["comparisons"]]
    return "\n".join([ablation_table(found["rows"]), "", *lines])


def page_of(title: str, sections: Sequence[Section]) -> str:
    """One HTML page with its pictures inside."""
    body = "".join(
        f"<h2>{html.escape(section.title)}</h2>{to_html(section.text)}"
        + "".join(
            f'<figure><img alt="{html.escape(caption)}" src="{data_address(picture)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for caption, picture in section.pictures
        )
        for section in sections
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>{body}\n"
    )


def data_address(picture: Image.Image) -> str:
    """A picture as a `data:` address."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def to_html(text: str) -> str:
    """The Markdown that tables here are written in: paragraphs, lists, tables, bold, code."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            parts.append(_table(lines))
        elif lines[0].startswith("- "):
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in lines)
            parts.append(f"<ul>{items}</ul>")
        else:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "".join(parts)


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head, *rest = [row for row in rows if any(set(cell) - {"-"} for cell in row)]

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in rest)}</table>"


def _inline(text: str) -> str:
    text = html.escape(text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\*(.+?)\*", r"<i>\1</i>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)
