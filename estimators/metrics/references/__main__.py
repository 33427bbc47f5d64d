"""Does a picture take its reference's colour when the caption names none?

    python -m estimators.metrics.references prompts VAL_DATA -o requests
    ufc generate --prompts-file requests/prompts.jsonl --output-dir pictures
    python -m estimators.metrics.references judge pictures --requests requests

Each caption loses its colour words and is given the picture of another product as its reference,
of the same type where there is one. Only through the reference can the colour be known.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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
from ufc_base.program import argument, option, program, switch


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


@dataclass(kw_only=True)
class PromptsFlags:
    data: Annotated[str, argument("Shards or ImageFolder with text, type and colour.")]
    output: Annotated[str, option("The folder to write.", None, "--output", "-o")]
    reference: Annotated[
        Literal["other", "own"], option("Another product's picture (other), or the caption's own.")
    ] = "other"
    limit: Annotated[int | None, option("Only the first N samples.", min=1)] = None
    seed_base: Annotated[int, option("Seed of the first row (0).")] = 0


@dataclass(kw_only=True)
class JudgeFlags:
    pictures: Annotated[str, argument("Folder of {id}-{seed}-{index}.png.")]
    requests: Annotated[str, option("The folder that `prompts` wrote.")]
    json: Annotated[bool, switch("--json", "Print JSON.")] = False


def _prompts(args: PromptsFlags) -> str:
    folder = Path(args.output)
    count = write_requests(
        open_dataset(args.data),
        folder,
        reference=args.reference,
        limit=args.limit,
        seed_base=args.seed_base,
    )
    return f"{folder / 'prompts.jsonl'}: {count} prompts with references"


def _judge(args: JudgeFlags) -> str:
    result = judge_pictures(args.pictures, Path(args.requests))
    if args.json:
        return json.dumps(result.as_dict(), indent=1)
    return (
        f"{result.count} pictures\n"
        f"colour named as the reference's   {result.same:6.1%}  "
        f"by chance {result.same_by_chance:.1%}, p = {result.p_value:.3g}\n"
        f"nearer to its own reference       {result.nearer:6.1%}  by chance 50.0%"
    )


main = program(
    "python -m estimators.metrics.references",
    __doc__,
    {
        "prompts": (PromptsFlags, _prompts, "Write captions without colour, and references."),
        "judge": (JudgeFlags, _judge, "How often the reference's colour was taken up."),
    },
)

if __name__ == "__main__":
    sys.exit(main())
