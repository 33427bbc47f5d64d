"""What the golden tests ask for: toy pictures, requests, and two short trainings.

`make.py` records what comes of them in `expected.json`, and `test_golden.py` demands the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

HERE = Path(__file__).parent
MODEL, EXPECTED, PIXELS, OLD_PNG = (
    HERE / name for name in ("model", "expected.json", "expected.png", "old.png")
)
SIDE, GRID = 32, 8
COLOURS = {
    "red": ("红色", (220, 30, 30)),
    "blue": ("蓝色", (30, 40, 220)),
    "green": ("绿色", (20, 150, 40)),
    "black": ("黑色", (20, 20, 20)),
}
KINDS = {"bag": "包", "shirt": "衬衫", "watch": "手表"}


def toy_picture(colour: str, kind: str, number: int = 0) -> Image.Image:
    """A coloured thing on white; `number` moves it a little."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw, rgb = ImageDraw.Draw(image), COLOURS[colour][1]
    x, y = number % 4, number // 4 % 3
    if kind == "bag":
        draw.rectangle((4 + x, 12 + y, 23 + x, 27 + y), fill=rgb)
        draw.rectangle((10 + x, 5 + y, 17 + x, 12 + y), outline=rgb, width=2)
    elif kind == "shirt":
        draw.rectangle((8 + x, 4 + y, 19 + x, 26 + y), fill=rgb)
        draw.rectangle((2 + x, 5 + y, 25 + x, 11 + y), fill=rgb)
    else:
        draw.rectangle((11 + x, 1 + y, 16 + x, 28 + y), fill=(150, 110, 70))
        draw.rectangle((7 + x, 9 + y, 20 + x, 20 + y), fill=rgb)
    return image


def write_toy_data(folder: Path, count: int = 96) -> Path:
    """An ImageFolder with metadata.jsonl, captions in English and Chinese."""
    folder.mkdir(parents=True)
    things = [(colour, kind) for colour in COLOURS for kind in KINDS]
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(count):
            colour, kind = things[number % len(things)]
            name = f"p{number:03d}.png"
            toy_picture(colour, kind, number // len(things)).save(folder / name)
            record = {"text": f"{colour} {kind}", "text_zh": COLOURS[colour][0] + KINDS[kind]}
            record |= {"type": kind, "colour": colour, "file_name": name}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return folder


def upper_half_kept(size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE), 255)
    mask.paste(0, (0, 0, SIDE, SIDE // 2))
    return mask.resize(size, Image.Resampling.NEAREST)


def old_codes() -> list[int]:
    """The codes that the old picture says it is made of."""
    with Image.open(OLD_PNG) as image:
        image.load()
        return list(json.loads(image.info["ufc_blocks"])["codes"])


def requests() -> dict[str, dict[str, Any]]:
    """Keyword arguments of a pipeline call each, but for the seed."""
    bag, shirt = toy_picture("red", "bag", 5), toy_picture("blue", "shirt", 2)
    wide = toy_picture("green", "shirt").crop((0, 2, SIDE, SIDE - 4)).resize((48, 39))
    old = Image.open(OLD_PNG).convert("RGB")
    steps = {"num_inference_steps": 8}
    return {
        "pnag": steps | {"prompt": "red bag", "order": "pnag", "num_candidates": 4},
        "maskgit": steps | {"prompt": "blue shirt", "order": "maskgit", "score_steps": True},
        "mask-predict": steps | {"prompt": "green watch", "order": "mask-predict"},
        "halton": steps | {"prompt": "black bag", "order": "halton"},
        "no guidance": steps | {"prompt": "red shirt", "guidance_scale": 1.0},
        "negative prompt": steps | {"prompt": "bag", "negative_prompt": "red bag"},
        "one reference": steps | {"prompt": "bag", "reference_images": shirt},
        "two references": steps
        | {"prompt": "watch", "reference_images": [bag, wide], "reference_weights": [0.5, 2.0]},
        "reference alone": steps
        | {"reference_images": [bag], "order": "pnag", "num_candidates": 2},
        "kept blocks": steps
        | {"prompt": "red bag", "image": bag, "preserve_blocks": list(range(24))},
        "kept blocks, pnag": steps
        | {
            "prompt": "blue shirt",
            "image": shirt,
            "preserve_blocks": [9, 10, 18, 27, 36, 45],
            "order": "pnag",
            "num_candidates": 3,
        },
        "mask image": steps
        | {
            "prompt": "green shirt",
            "image": wide,
            "mask_image": upper_half_kept((48, 39)),
            "feather": 3,
        },
        "edit by a reference": steps
        | {
            "prompt": "shirt",
            "image": shirt,
            "mask_image": upper_half_kept(),
            "reference_images": bag,
        },
        "best of 3": steps | {"prompt": "black watch", "num_drafts": 3},
        "temperature": steps | {"prompt": "green bag", "temperature": 0.5},
        "likeliest": steps | {"prompt": "black shirt", "temperature": 0.0},
        "Chinese": steps | {"prompt": "红色包", "negative_prompt": "蓝色衬衫"},
        "unconditional": steps | {"contrastive_weight": 0.0},
        "batch": steps
        | {
            "prompt": ["red bag", "绿色手表", None],
            "reference_images": [None, [bag], [shirt]],
            "num_images_per_prompt": 2,
            "order": "pnag",
            "num_candidates": 2,
            "patience": 3,
        },
        "kept codes of a generated picture": steps
        | {"prompt": "blue bag", "image": old, "codes": old_codes(), "preserve_blocks": KEPT},
    }


KEPT = list(range(20, 48))  # of the old picture, where it is edited
OLD_FLAGS = ("--prompt", "red bag", "--num-inference-steps", "6", "--num-candidates", "2",
             "--order", "pnag")  # fmt: skip
EDIT_FLAGS = ("--prompt", "blue bag", "--num-inference-steps", "6", "--image", str(OLD_PNG),
              "--preserve-blocks", f"{KEPT[0]}-{KEPT[-1]}")  # fmt: skip


def write_prompts(folder: Path, seed: int) -> Path:
    """A prompts file of three requests, with the pictures that it names."""
    toy_picture("red", "bag", 5).save(folder / "bag.png")
    toy_picture("blue", "shirt", 2).save(folder / "shirt.png")
    upper_half_kept().save(folder / "mask.png")
    lines: tuple[dict[str, Any], ...] = (
        {"id": "words", "prompt": "绿色手表", "num_images_per_prompt": 2, "num_drafts": 2},
        {
            "id": "reference",
            "prompt": "watch",
            "reference_images": [{"path": "bag.png", "weight": 2.0}, "shirt.png"],
            "order": "pnag",
            "num_candidates": 3,
        },
        {"id": "mask", "prompt": "red shirt", "image": "shirt.png", "mask_image": "mask.png"},
    )
    path = folder / "prompts.jsonl"
    same = {"seed": seed, "num_inference_steps": 6}
    path.write_text("".join(json.dumps(line | same) + "\n" for line in lines), encoding="utf-8")
    return path


def command_flags(output: Path) -> list[str]:
    """Flags of `ufc generate` and `edit`."""
    return ["--model", str(MODEL), "--dtype", "fp32", "--device", "cpu", "--output-dir",
            str(output)]  # fmt: skip


def written_codes(output: Path) -> dict[str, list[int]]:
    """Codes of the pictures in a folder, by file name."""
    found = {}
    for path in sorted(output.glob("*-*-*.png")):
        with Image.open(path) as image:
            image.load()
            found[path.name] = json.loads(image.info["ufc_blocks"])["codes"]
    return found


def training_flags(command: str, data: Path, output: Path) -> list[str]:
    """A training of eight steps: every loss sets in within them."""
    both = {
        "train-data-dir": data, "output-dir": output, "max-train-steps": 8, "logging-steps": 1,
        "train-batch-size": 4, "lr-warmup-steps": 2, "mixed-precision": "no", "device": "cpu",
        "data-workers": 0, "seed": 3,
    }  # fmt: skip
    own = {
        "train-tokenizer": {
            "resolution": SIDE, "ch": 8, "ch-mult": "1,2", "z-channels": 8, "embed-dim": 4,
            "n-embed": 16, "norm-groups": 2, "patch-size": 2, "perceptual-net": "none",
            "codebook-start": 2, "discriminator-start": 0.5, "learning-rate": 1e-3,
        },
        "train": {
            "tokenizer": MODEL / "tokenizer", "width": 32, "depth": 2, "heads": 2,
            "feed-forward": 48, "text-vocabulary": 300, "dropout": 0.1, "estimator-start": 0,
            "estimator-steps": 3, "estimator-samples": 4, "neighbour-keys": "type",
            "validation-prompts": "red bag", "gradient-accumulation-steps": 2,
        },
    }[command]  # fmt: skip
    flags = both | own
    return [command, *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]


def logged_losses(output: Path) -> list[dict[str, float]]:
    """Step, losses and gradient norms of a run's log."""
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {name: v for name, v in row.items() if name in ("step", "grad_norm") or "loss" in name}
        for row in rows
        if not any(name.startswith("val_") for name in row)
    ]
