"""Does a generator draw what its captions ask for? Probes fitted on real pictures say.

    python -m estimators.metrics.probes fit TRAIN_DATA -o probes.npz
    python -m estimators.metrics.probes prompts VAL_DATA -o prompts.jsonl
    ufc generate --prompts-file prompts.jsonl --output-dir pictures
    python -m estimators.metrics.probes judge pictures --data VAL_DATA --probes probes.npz

Give captions that were not trained on. `fit` needs the extractor's weights (see TORCH_HOME) and
takes one pass over the training pictures; `judge` takes seconds. Both see pictures at the size that
they are stored in; `fit --size N` shrinks all to N pixels first, so that a small model's pictures
are not blamed for being small.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from estimators.metrics.extractors.command_line import ExtractorFlags, extractor_from
from estimators.metrics.extractors.features import Features, extract
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.attributes import (
    ATTRIBUTES,
    NATIVE,
    Scores,
    compare,
    fit_judge,
    load_judge,
    save_judge,
    score,
)
from estimators.metrics.probes.linear import L2
from estimators.metrics.sets.generated_files import find_pictures
from ufc_base.data.datasets import Samples, open_dataset
from ufc_base.entry import write_line
from ufc_base.images import load_image
from ufc_base.program import argument, option, program, switch

FIELDS = ("text", "text_zh")


def prompt_rows(
    records: Sequence[tuple[str, dict[str, Any]]], field: str = "text", seed_base: int = 0
) -> Iterator[dict[str, Any]]:
    """One request per (id, record): the prompt, and the seed `seed_base` + row number.

    `field` is `text`, `text_zh`, or `mixed`: the two in turn.

    Raises:
        ValueError: a record has no such caption.
    """
    for row, (name, record) in enumerate(records):
        wanted = FIELDS[row % 2] if field == "mixed" else field
        if not record.get(wanted):
            raise ValueError(f"sample {name} has no {wanted!r}; choose another --field")
        yield {"id": name, "prompt": record[wanted], "seed": seed_base + row}


@dataclass(kw_only=True)
class FitFlags(ExtractorFlags):
    data: Annotated[str, argument("Shards or ImageFolder with attributes in the records.")]
    output: Annotated[str, option("The .npz to write.", None, "--output", "-o")]
    size: Annotated[
        int | None,
        option(
            "Shrink real and generated pictures to squares of N pixels first (default: do not).",
            metavar="N",
            min=8,
            max=1024,
        ),
    ] = None
    attribute: Annotated[list[str] | None, option("Record field; may be given several times.")] = (
        None
    )
    l2: Annotated[float, option(f"Weight decay ({L2}).")] = L2
    cache_dir: Annotated[
        str | None, option("Keep features here, by content, for the next fit.")
    ] = None


@dataclass(kw_only=True)
class PromptsFlags:
    data: Annotated[str, argument("Shards or ImageFolder with captions in the records.")]
    output: Annotated[str, option("The .jsonl to write.", None, "--output", "-o")]
    limit: Annotated[int | None, option("Only the first N samples.", min=1)] = None
    field: Annotated[
        Literal["text", "text_zh", "mixed"],
        option("Which caption (text); mixed takes text and text_zh in turn."),
    ] = "text"
    seed_base: Annotated[int, option("Seed of the first row (0).")] = 0


@dataclass(kw_only=True)
class JudgeFlags(ExtractorFlags):
    pictures: Annotated[str, argument("Folder of {id}-{seed}-{index}.png.")]
    data: Annotated[str, option("The data that the prompts came from.")]
    probes: Annotated[str, option("What `fit` wrote.")]
    json: Annotated[bool, switch("--json", "Print JSON instead of a table.")] = False
    rows: Annotated[
        str | None, option("Also write what was wanted and seen, one line per picture.")
    ] = None


def _fit(args: FitFlags) -> str:
    extractor = extractor_from(args)
    samples = open_dataset(args.data)
    everything = range(len(samples))
    size = args.size or NATIVE
    features = {}
    for pixel_size in {size, NATIVE}:
        progress = _progress(f"{pixel_size or 'stored'} px", len(samples))
        measuring = Measuring(
            extractor, pixel_size or None, cache_dir=args.cache_dir, on_batch=progress
        )
        features[pixel_size] = measuring.features(samples, samples.content)
    records = [samples.record(index) for index in everything]
    judge = fit_judge(
        extractor, features, records, args.attribute or list(ATTRIBUTES), size=size, l2=args.l2
    )
    save_judge(args.output, judge)
    classes = ", ".join(f"{len(p.classes)} of {name}" for name, p in judge.probes.items())
    return f"{args.output}: probes for {classes}, from {len(samples)} pictures"


def _prompts(args: PromptsFlags) -> str:
    samples = open_dataset(args.data)
    count = len(samples) if args.limit is None else min(args.limit, len(samples))
    records = [(_sample_id(samples, index), samples.record(index)) for index in range(count)]
    lines = [
        json.dumps(row, ensure_ascii=False)
        for row in prompt_rows(records, args.field, args.seed_base)
    ]
    Path(args.output).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"{args.output}: {len(lines)} prompts"


def _judge(args: JudgeFlags) -> str:
    judge = load_judge(args.probes)
    extractor = extractor_from(args)
    if extractor.about != judge.about:
        raise ValueError(
            f"the probes were made with {judge.about}, this is {extractor.about}; "
            "give the same --extractor and --input-size, or fit again"
        )
    samples = open_dataset(args.data)
    index_of = {_sample_id(samples, index): index for index in range(len(samples))}
    pictures = find_pictures(args.pictures)
    unknown = [name for name, _ in pictures if name not in index_of]
    if unknown:
        raise ValueError(
            f"{args.pictures}: {len(unknown)} pictures have an id that {args.data} does not, "
            f"{unknown[0]} for one; judge them against the data their prompts came from"
        )
    size = judge.size or None
    asked = sorted({index_of[name] for name, _ in pictures})
    if len(asked) < len(samples):
        missing = len(samples) - len(asked)
        write_line(sys.stderr, f"note: {missing} of {len(samples)} captions have no picture")

    def judged(features: Features, indices: Sequence[int]) -> Scores:
        return score(judge, extractor, features, [records[index] for index in indices])

    records = {index: samples.record(index) for index in asked}
    drawn = judged(
        extract(extractor, (load_image(path) for _, path in pictures), size=size),
        [index_of[name] for name, _ in pictures],
    )
    asked_pictures = (samples[index].image for index in asked)
    real = judged(extract(extractor, asked_pictures, size=size), asked)
    report = {
        "pictures": len(pictures),
        "captions": len(asked),
        "size": size,
        "extractor": judge.about,
        **compare(drawn, real),
    }
    if args.rows:
        _write_rows(args.rows, pictures, [records[index_of[n]] for n, _ in pictures], drawn)
    return json.dumps(report, indent=1) if args.json else _table(report)


def _sample_id(samples: Samples, index: int) -> str:
    name = samples.record(index).get("id")
    return str(name) if name is not None else samples[index].id


def _progress(what: str, total: int) -> Callable[[int], None]:
    """A line on standard error that counts pictures; silent where nobody watches."""

    def show(done: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= total else "\r"
            write_line(sys.stderr, f"{what}: {done} of {total} pictures", end)

    return show


def _write_rows(
    path: str,
    pictures: Sequence[tuple[str, Path]],
    records: Sequence[dict[str, Any]],
    scores: Scores,
) -> None:
    """One JSON line per picture: its name, and what was asked and seen of each attribute."""
    with Path(path).open("w", encoding="utf-8") as stream:
        for number, ((name, picture), record) in enumerate(zip(pictures, records, strict=True)):
            seen = {key: classes[number] for key, classes in scores.seen.items()}
            asked = {key: record.get(key) for key in seen}
            row = {"id": name, "file_name": picture.name, "asked": asked, "seen": seen}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _size_words(size: int | None) -> str:
    return f"all shrunk to {size} px" if size else "all at their own size"


def _table(report: dict[str, Any]) -> str:
    """The report as text: a line per attribute and per distance."""
    drawn, real = report["drawn"], report["real"]
    lines = [
        f"{report['pictures']} pictures, {_size_words(report['size'])}, for {report['captions']} "
        f"captions; "
        f"{report['extractor']}",
        f"{'':12}{'drawn':>8}{'+-':>7}{'real':>8}{'share of real':>15}",
    ]
    for name, share in report["share"].items():
        error = report["standard_error"][name]
        lines.append(f"{name:12}{drawn[name]:8.3f}{error:7.3f}{real[name]:8.3f}{share:15.1%}")
    lines.append(f"{'':12}{'drawn':>8}{'':7}{'real':>8}{'above real':>15}")
    for name in ("fd", "fd_native") if report["size"] else ("fd",):
        above = report[f"{name}_above_real"]
        lines.append(f"{name:12}{drawn[name]:8.2f}{'':7}{real[name]:8.2f}{above:15.2f}")
    return "\n".join(lines)


main = program(
    "python -m estimators.metrics.probes",
    __doc__,
    {
        "fit": (FitFlags, _fit, "Learn the attributes from real pictures."),
        "prompts": (PromptsFlags, _prompts, "Write one request per caption."),
        "judge": (JudgeFlags, _judge, "What is seen in generated pictures and in real ones."),
    },
)

if __name__ == "__main__":
    sys.exit(main())
