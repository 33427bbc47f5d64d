"""Does a picture take its reference's colour when the caption names none?

    python -m estimators.metrics.references prompts VAL_DATA -o requests
    ufc generate --prompts-file requests/prompts.jsonl --output-dir pictures
    python -m estimators.metrics.references judge pictures --requests requests

Each caption loses its colour words and is given the picture of another product as its reference,
of the same type where there is one. Only through the reference can the colour be known.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from estimators.metrics.extractors.command_line import entry_point
from estimators.metrics.references.colour import (
    Agreement,
    DominantColour,
    agreement,
    dominant_colour,
    without_colour,
)
from estimators.metrics.references.pairing import pair_up
from estimators.metrics.sets.generated_files import find_pictures
from ufc_base.data.datasets import Samples, open_dataset
from ufc_base.images import load_image

REFERENCES = ("other", "own")


def write_requests(
    samples: Samples, folder: Path, *, reference: str = "other", limit: int | None, seed_base: int
) -> int:
    """Write `prompts.jsonl` and the reference pictures beside it; returns the number of prompts.

    Raises:
        ValueError: a sample has no `text`.
    """
    count = len(samples) if limit is None else min(limit, len(samples))
    records = [samples.record(index) for index in range(count)]
    others = pair_up([str(record.get("type", "")) for record in records])
    (folder / "references").mkdir(parents=True, exist_ok=True)
    lines = []
    for index, record in enumerate(records):
        name = str(record.get("id", samples[index].id))
        if not record.get("text"):
            raise ValueError(f"sample {name} has no 'text' to make a prompt of")
        given = others[index] if reference == "other" else index
        place = f"references/{name}.png"
        samples[given].image.save(folder / place)
        prompt = without_colour(record["text"], str(record.get("colour", "")))
        row = {"id": name, "prompt": prompt, "reference_images": [place], "seed": seed_base + index}
        lines.append(json.dumps(row, ensure_ascii=False))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return count


def judge_pictures(pictures: str | Path, requests: Path) -> Agreement:
    """Compare pictures named `{id}-{seed}-{index}.png` with `requests/references/{id}.png`.

    The references are shrunk to the pictures' size first, so that both are looked at alike.

    Raises:
        ValueError: no pictures, or one without a reference.
    """
    drawn: list[DominantColour] = []
    given: list[DominantColour] = []
    for name, path in find_pictures(pictures):
        image = load_image(path)
        drawn.append(dominant_colour(image))
        given.append(
            dominant_colour(load_image(requests / f"references/{name}.png").resize(image.size))
        )
    return agreement(drawn, given)


def _prompts(args: argparse.Namespace) -> str:
    folder = Path(args.output)
    count = write_requests(
        open_dataset(args.data),
        folder,
        reference=args.reference,
        limit=args.limit,
        seed_base=args.seed_base,
    )
    return f"{folder / 'prompts.jsonl'}: {count} prompts with references"


def _judge(args: argparse.Namespace) -> str:
    result = judge_pictures(args.pictures, Path(args.requests))
    if args.json:
        return json.dumps(result.as_dict(), indent=1)
    return (
        f"{result.count} pictures\n"
        f"colour named as the reference's   {result.same:6.1%}  "
        f"by chance {result.same_by_chance:.1%}, p = {result.p_value:.3g}\n"
        f"nearer to its own reference       {result.nearer:6.1%}  by chance 50.0%"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m estimators.metrics.references",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prompts = commands.add_parser("prompts", help="write captions without colour, and references")
    prompts.add_argument("data", help="shards or ImageFolder with text, type and colour")
    prompts.add_argument("-o", "--output", required=True, help="the folder to write")
    prompts.add_argument(
        "--reference",
        choices=REFERENCES,
        default="other",
        help="another product's picture (default), or the caption's own",
    )
    prompts.add_argument("--limit", type=int, help="only the first N samples")
    prompts.add_argument("--seed-base", type=int, default=0, help="seed of the first row")
    prompts.set_defaults(run=_prompts)
    judge = commands.add_parser("judge", help="how often the reference's colour was taken up")
    judge.add_argument("pictures", help="folder of {id}-{seed}-{index}.png")
    judge.add_argument("--requests", required=True, help="the folder that `prompts` wrote")
    judge.add_argument("--json", action="store_true", help="print JSON")
    judge.set_defaults(run=_judge)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `prompts` or `judge`; returns 0, or 2 after one line on standard error for bad input."""
    return entry_point(_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
