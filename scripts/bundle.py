"""Put a trained model into `weights/`: half precision, and every file's sha256 in the manifest.

    python scripts/bundle.py runs/model --name fashion-192x256

The model card (`README.md` in its folder) is kept if there is one. `--default NAME=VALUE` changes
a sampling default that is stored with the model; `--shard-size 15MB` splits the weights into files
of at most that size; `--output-dir` puts the model elsewhere; `--blend` takes a tokenizer, and
`--blend-transformer` a transformer, between two of which one was trained from the other.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ufc.io.hub import MANIFEST, bundled_folder, manifest
from ufc.pipeline import UFCPipeline
from ufc.sampling.generation_config import DEFAULTS
from ufc_base.checkpoint import split_weights
from ufc_base.entry import exit_code
from vqgan.model import VQGAN
from vqgan.upscaling.model import Upscaler

Part = TypeVar("Part", bound=nn.Module)


def blend(first: Part, second: Part, share: float) -> Part:
    """The first with weights (1 - share) of its own and `share` of the second's.

    Where one was trained from the other there is no hill between them. A decoder trained against a
    discriminator is crisper and further from the pixels; between the two lies a choice.
    """
    other = second.state_dict()
    first.load_state_dict(
        {name: torch.lerp(value, other[name], share) for name, value in first.state_dict().items()}
    )
    return first


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="output folder of `ufc train`")
    parser.add_argument("--name", required=True, help="name under weights/")
    parser.add_argument("--tokenizer", help="take the first stage from here instead")
    parser.add_argument(
        "--blend",
        nargs=2,
        metavar=("FOLDER", "SHARE"),
        help="mix this share of another tokenizer's weights, of the same encoder, into the first",
    )
    parser.add_argument(
        "--blend-transformer",
        nargs=2,
        metavar=("MODEL", "SHARE"),
        help="mix this share of another model's transformer in, of the same codes and words",
    )
    parser.add_argument("--upscaler", help="output folder of `ufc train-upscaler` to take in")
    parser.add_argument("--output-dir", help="folder of models to write to, instead of weights/")
    parser.add_argument("--shard-size", help="size of a weight file at most, such as 15MB")
    parser.add_argument("--default", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    return exit_code(lambda: bundle(options))


def bundle(options: argparse.Namespace) -> None:
    """Write the model that the flags ask for, and the manifest of all.

    Raises:
        ValueError: a model that cannot be read, or a flag that cannot be.
    """
    pipeline = UFCPipeline.from_pretrained(options.model, device="cpu", dtype="fp32")
    tokenizer = pipeline.tokenizer
    if options.tokenizer:
        tokenizer = VQGAN.from_pretrained(options.tokenizer)
    if options.blend:
        folder, share = options.blend
        tokenizer = blend(tokenizer, VQGAN.from_pretrained(folder), float(share))
    transformer = pipeline.transformer
    if options.blend_transformer:
        model, share = options.blend_transformer
        other = UFCPipeline.from_pretrained(model, device="cpu", dtype="fp32")
        transformer = blend(transformer, other.transformer, float(share))
    defaults = pipeline.defaults | dict(map(read_default, options.default))
    upscaler = pipeline.upscaler
    if options.upscaler:
        upscaler = Upscaler.from_pretrained(options.upscaler)
    pipeline = UFCPipeline(
        tokenizer, transformer, pipeline.text, defaults, tasks=pipeline.tasks, upscaler=upscaler
    )
    root = Path(options.output_dir) if options.output_dir else bundled_folder()
    pipeline.save_pretrained(root / options.name, torch.float16)
    if options.shard_size:
        parts = ("tokenizer", "transformer", "upscaler")
        for part in parts if pipeline.upscaler else parts[:2]:
            split_weights(root / options.name / part, options.shard_size)
    (root / MANIFEST).write_text(json.dumps(manifest(root), indent=2) + "\n")
    size = sum(p.stat().st_size for p in root.rglob("*.safetensors")) / 2**20
    print(f"{root / options.name} written; {Path(root).name}/ holds {size:.1f} MiB of weights")


def read_default(pair: str) -> tuple[str, Any]:
    """`NAME=VALUE`, the value as JSON; words such as `pnag` need no quotation marks."""
    name, _, text = pair.partition("=")
    if name not in DEFAULTS or not text:
        raise ValueError(f"--default {pair}: wanted NAME=VALUE, NAME one of {', '.join(DEFAULTS)}")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


if __name__ == "__main__":
    sys.exit(main())
