"""`docs/performance.md` from the reports: `python -m benchmarks.table`.

The page is a template with a place for each table (`<!-- table: pictures -->` up to
`<!-- end -->`); what lies between is replaced, the words around it stay. A report that is not there
leaves its tables as they are.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reports import read_report

Row = dict[str, Any]
Columns = Sequence[tuple[str, Callable[[Row], object]]]

PLACE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    names = ("bench", "shape", "overhead", "peers", "attention", "precision")
    reports = {name: read_report(options.results / f"{name}.json") for name in names}
    page = fill(options.page.read_text(encoding="utf-8"), reports)
    options.page.write_text(page, encoding="utf-8")
    print(options.page)
    return 0


def fill(page: str, reports: dict[str, dict[str, Any]]) -> str:
    """The page with every table whose report has rows put in its place."""

    def put(place: re.Match[str]) -> str:
        report, _, group = place[2].partition("/")
        text = render(reports.get(report, {"rows": []}), group)
        return place[0] if text is None else f"{place[1]}{text}\n{place[3]}"

    return PLACE.sub(put, page)


def render(report: dict[str, Any], group: str) -> str | None:
    """One table in Markdown; None where there is nothing to tell."""
    if not report["rows"]:
        return None
    if group == "machine":
        return describe(report["machine"])
    if group == "speed":
        return table(side_by_side(report["rows"]), speed_columns(report["rows"]))
    rows = [row for row in report["rows"] if row.get("group", row.get("kind", "")) == group]
    if not rows:
        return None
    if group in ("pictures", "equal-parameters", "autoregressive", "training"):
        rows = with_ratios(rows)
    return table(rows, COLUMNS[group])


def describe(machine: dict[str, Any]) -> str:
    gpus = ", ".join(machine["gpu"]) or "no GPU"
    return (
        f"{machine['date']}: {machine['processor']}, {machine['threads']} threads, "
        f"{machine['cpu_capability']}, {gpus}; torch {machine['torch']}, "
        f"Python {machine['python']}."
    )


def with_ratios(rows: list[Row]) -> list[Row]:
    """How many times as long as ours each takes; ours is the first of its comparison and batch."""
    told: list[Row] = []
    ours: dict[tuple[int, bool], float] = {}
    latest = 1.0
    for row in rows:
        if "seconds" in row:
            if row["name"].startswith("ours"):
                ours.setdefault((row["batch"], decodes(row)), row["seconds"])
                latest = row["seconds"]
            base = ours.get((row["batch"], decodes(row)), latest)
            if row["group"] == "equal-parameters":
                base = latest
            row = row | {"times": row["seconds"] / base}
        told.append(row)
    return told


def side_by_side(rows: list[Row]) -> list[Row]:
    """One row a setting, the precisions beside each other."""
    settings: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "speed":
            name = f"width {row['width']}, depth {row['depth']}, grid {row['grid']}"
            setting = settings.setdefault(f"{name}, {row['batch']}", {"name": name, **row})
            setting |= {"name": name, row["name"]: f"{1000 * row['seconds']:.0f} ms"}
            setting[row["name"]] += f" ({row['ratio']:.2f})"
    return list(settings.values())


def speed_columns(rows: list[Row]) -> Columns:
    names = dict.fromkeys(row["name"] for row in rows if row["kind"] == "speed")
    return (("", field("name")), ("batch", field("batch")), *((n, field(n)) for n in names))


def decodes(row: Row) -> bool:
    return "decoding" in row["name"] or row["name"].startswith("aMUSEd")


def table(rows: list[Row], columns: Columns) -> str:
    lines = ["| " + " | ".join(title for title, _ in columns) + " |"]
    lines.append("|---" + "|---:" * (len(columns) - 1) + "|")
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['name']} | did not run: {row['error'][:80]} |")
        else:
            lines.append("| " + " | ".join(str(cell(row)) for _, cell in columns) + " |")
    return "\n".join(lines)


def field(name: str, form: str = "{}") -> Callable[[Row], str]:
    return lambda row: form.format(row[name]) if row.get(name) is not None else ""


def seconds(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:.3f} s" if row[name] >= 0.1 else f"{1000 * row[name]:.1f} ms"


def with_interval(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:.3f} ± {row[name + '_interval']:.3f}"


def millions(row: Row) -> str:
    return f"{row['parameters'] / 1e6:.1f} M"


def best_of(row: Row) -> str:
    """Whole pictures generated for each; older reports call it drafts."""
    return str(row.get("best_of", row.get("drafts", "")))


PICTURES: Columns = (
    ("", field("name")),
    ("parameters", millions),
    ("batch", field("batch")),
    ("seconds a picture", seconds("seconds")),
    ("times ours", field("times", "{:.2f}")),
)
COLUMNS: dict[str, Columns] = {
    "pictures": PICTURES,
    "equal-parameters": PICTURES,
    "autoregressive": PICTURES,
    "one-step-diffusion": (
        ("", field("name")),
        ("pixels", field("size")),
        ("parameters", millions),
        ("seconds a picture", seconds("seconds")),
        ("peak MiB", field("peak_memory_mib")),
    ),
    "training": (
        *PICTURES[:3],
        ("samples a second", field("samples_per_second", "{:.2f}")),
        ("times ours", field("times", "{:.2f}")),
    ),
    "references": (
        ("controls", field("name")),
        ("a forward pass without", seconds("without_seconds")),
        ("with four references", seconds("seconds")),
        ("times", field("ratio")),
    ),
    "tokenizers": (
        ("", field("name")),
        ("taming", seconds("taming_seconds")),
        ("ours", seconds("seconds")),
        ("times faster", field("ratio")),
        ("largest difference", field("largest_difference")),
    ),
    "saved": (
        ("", field("name")),
        ("threads", field("threads")),
        ("plain", seconds("plain_seconds")),
        ("ours", seconds("seconds")),
        ("times faster", field("ratio", "{:.2f}")),
    ),
    "pools": (
        ("a picture", field("name")),
        ("pools stay", seconds("plain_seconds")),
        ("pools are let go", seconds("seconds")),
        ("times faster", field("ratio", "{:.2f}")),
    ),
    "load": (("", field("name")), ("seconds", seconds("seconds"))),
    "matmul": (("", field("name")), ("GFLOP/s", field("gflops"))),
    "forward": (
        ("", field("name")),
        ("references", field("references")),
        ("dtype", field("dtype")),
        ("seconds", seconds("seconds")),
        ("tokens/s", field("tokens_per_second", "{:,.0f}")),
        ("GFLOP/s", field("gflops")),
        ("of the matrix products", field("matmul_share", "{:.0%}")),
    ),
    "picture": (
        ("", field("name")),
        ("batch", field("batch")),
        ("steps", field("steps")),
        ("candidates", field("candidates")),
        ("best of", best_of),
        ("references", field("references")),
        ("dtype", field("dtype")),
        ("attention", field("attention_backend")),
        ("seconds", seconds("seconds")),
        ("pictures/s", field("pictures_per_second", "{:.3g}")),
        ("peak MiB", field("peak_memory_mib")),
    ),
    "tokenizer": (
        ("", field("name")),
        ("pixels", field("resolution")),
        ("seconds", seconds("seconds")),
        ("pictures/s", field("pictures_per_second", "{:.3g}")),
    ),
    "precision": (
        ("", field("name")),
        ("seconds a picture", seconds("seconds")),
        ("equal first choices", field("same_first_choice", "{:.1%}")),
        ("equal codes", field("same_codes", "{:.1%}")),
        ("pixels apart (of 255)", field("pixel_difference", "{:.2f}")),
    ),
    "quality": (
        ("", field("name")),
        ("equal first choices", field("same_first_choice", "{:.1%}")),
        ("held-out codes, nats", field("held_out_nats", "{:.3f}")),
        ("compliance", with_interval("compliance")),
        ("fidelity", with_interval("fidelity")),
        ("contrastive estimator", with_interval("contrastive")),
        ("own caption first", with_interval("own_caption_first")),
    ),
    "speed": (),  # as many columns as there are precisions
    "": (
        ("", field("name")),
        ("tokens", field("tokens")),
        ("batch", field("batch")),
        ("dtype", field("dtype")),
        ("seconds", seconds("seconds")),
    ),
}


if __name__ == "__main__":
    sys.exit(main())
