"""Makes the golden model, and records what comes of the golden requests.

    PYTHONPATH=OLD_TREE python tests/golden/make.py model expected

The code on PYTHONPATH is the one whose pictures are recorded: record only what is known to be
right, or before a change that may change nothing. `--entry` names the module that has the
command's `main` there. Seeds are chosen such that weights changed by one part in 100,000 give the
same codes, so that another processor gives them too.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_cases import (
    EDIT_FLAGS,
    EXPECTED,
    KEPT,
    MODEL,
    OLD_FLAGS,
    OLD_PNG,
    PIXELS,
    SIDE,
    command_flags,
    logged_losses,
    old_codes,
    requests,
    training_flags,
    write_prompts,
    write_toy_data,
    written_codes,
)
from PIL import Image

from ufc.pipeline import UFCPipeline

NOISE = (1e-6, 1e-6, 1e-5, 1e-5)  # relative, of the weights
MORE_NOISE = (3e-5, 1e-4, 3e-4, 1e-3)

TOKENIZER = {
    "resolution": SIDE, "ch": 16, "ch-mult": "1,2", "z-channels": 24, "embed-dim": 6,
    "n-embed": 32, "norm-groups": 4, "patch-size": 2, "perceptual-net": "none",
    "codebook-start": 60, "learning-rate": 2e-3, "max-train-steps": 400, "ema-decay": 0.98,
    "train-batch-size": 8, "discriminator-weight": 0,
}  # fmt: skip
TRANSFORMER = {
    "width": 64, "depth": 2, "heads": 2, "feed-forward": 128, "text-vocabulary": 320,
    "learning-rate": 3e-3, "max-train-steps": 600, "ema-decay": 0.98, "train-batch-size": 16,
    "neighbour-keys": "type", "alike-codes": 1, "validation-prompts": "red bag",
}  # fmt: skip
BOTH = {
    "mixed-precision": "no", "device": "cpu", "data-workers": 0, "logging-steps": 50,
    "lr-warmup-steps": 20, "seed": 1,
}  # fmt: skip

Command = Callable[[list[str]], int]


def flags(values: dict[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def run(command: Command, arguments: list[str]) -> None:
    if command(arguments) != 0:
        sys.exit(f"make.py: {' '.join(arguments[:2])} failed; its message is above")


def make_model(command: Command, folder: Path) -> None:
    """Train both stages for a minute and write the model in half precision."""
    data = write_toy_data(folder / "toys")
    own = BOTH | {"train-data-dir": data}
    first = own | TOKENIZER | {"output-dir": folder / "tokenizer"}
    run(command, ["train-tokenizer", *flags(first)])
    second = own | TRANSFORMER | {
        "tokenizer": folder / "tokenizer", "output-dir": folder / "model"
    }  # fmt: skip
    run(command, ["train", *flags(second)])
    shutil.rmtree(MODEL, ignore_errors=True)
    UFCPipeline.from_pretrained(folder / "model", dtype="fp32").save_pretrained(
        MODEL, torch.float16
    )


def load(noise: float = 0.0, seed: int = 0) -> UFCPipeline:
    """The golden model, its weights changed by a relative noise."""
    pipeline = UFCPipeline.from_pretrained(MODEL, dtype="fp32", device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (pipeline.tokenizer, pipeline.transformer):
            for weight in part.parameters():
                weight.mul_(1 + noise * torch.randn(weight.shape, generator=generator))
    return UFCPipeline(pipeline.tokenizer, pipeline.transformer, pipeline.text, pipeline.defaults)


def make_old_picture(command: Command, folder: Path) -> int:
    """A picture whose codes are not what its pixels would be encoded to. Returns its seed."""
    pipeline = load()
    for seed in range(1, 200):
        output = folder / f"old-{seed}"
        where = command_flags(output)
        run(command, ["generate", *OLD_FLAGS, "--seed", str(seed), *where])
        (path,) = output.glob("*-*-*.png")
        shutil.copy(path, OLD_PNG)
        codes = torch.tensor(old_codes())
        again = pipeline.encode([Image.open(OLD_PNG).convert("RGB")]).flatten()
        changed = int((codes != again)[KEPT].sum())
        if changed:
            print(f"old.png: seed {seed}, {changed} kept blocks would be encoded otherwise")
            return seed
    sys.exit("make.py: no picture has codes that its pixels do not give back")


def record(name: str, asked: dict[str, Any], pipelines: list[UFCPipeline]) -> dict[str, Any]:
    """What comes of a request, with the first seed at which noise changes nothing."""
    exact, *noisy = pipelines
    for seed in itertools.count(1):
        out = exact(**asked, seed=seed, output_type="uint8")
        if all(
            torch.equal(one(**asked, seed=seed).codes, out.codes) for one in noisy[: len(NOISE)]
        ):
            break
    held = [
        noise
        for noise, one in zip(MORE_NOISE, noisy[len(NOISE) :], strict=True)
        if torch.equal(one(**asked, seed=seed).codes, out.codes)
    ]
    print(f"{name}: seed {seed}; codes hold under 1e-05 and {held}; scores {out.fidelity}")
    return {
        "seed": seed,
        "codes": out.codes.tolist(),
        "compliance": [None if value is None else round(value, 3) for value in out.compliance],
        "fidelity": [round(value, 3) for value in out.fidelity],
        "steps": out.steps,
        "curves": [[{k: round(v, 3) for k, v in p.items()} for p in c] for c in out.curves],
        "kept": [[n for n, b in enumerate(blocks) if b["kept"]] for blocks in out.provenance],
        "pixels": out.images,
    }


def record_losses(command: Command, folder: Path) -> dict[str, list[dict[str, float]]]:
    data = write_toy_data(folder / "few", 16)
    losses = {}
    for name in ("train-tokenizer", "train"):
        run(command, training_flags(name, data, folder / f"run-{name}"))
        losses[name] = logged_losses(folder / f"run-{name}")
    return losses


def record_commands(command: Command, folder: Path, seed: int) -> dict[str, dict[str, list[int]]]:
    """Codes that `ufc generate` and `ufc edit` write."""
    prompts = write_prompts(folder, seed)
    for name, arguments in (
        ("generate", ["--prompts-file", str(prompts)]),
        ("edit", [*EDIT_FLAGS, "--seed", str(seed)]),
    ):
        run(command, [name, *arguments, *command_flags(folder / f"out-{name}")])
    return {name: written_codes(folder / f"out-{name}") for name in ("generate", "edit")}


def expected(command: Command, folder: Path) -> None:
    old_seed = make_old_picture(command, folder)
    pipelines = [load(noise, seed) for seed, noise in enumerate((0.0, *NOISE, *MORE_NOISE))]
    cases = {name: record(name, asked, pipelines) for name, asked in requests().items()}
    pixels = [case.pop("pixels") for case in cases.values()]
    Image.fromarray(np.concatenate([p.reshape(-1, SIDE, 3) for p in pixels])).save(PIXELS)
    value = {
        "old_seed": old_seed,
        "requests": cases,
        "command_seed": 5,
        "commands": record_commands(command, folder, 5),
        "losses": record_losses(command, folder),
    }
    lines = json.dumps(value, indent=1, ensure_ascii=False)
    EXPECTED.write_text(compact(lines) + "\n", encoding="utf-8")


def compact(text: str) -> str:
    """JSON whose lists of numbers are each on a line."""
    out: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if out and bare.rstrip(",").lstrip("-").replace(".", "").replace("e-", "").isdigit():
            out[-1] += bare + " " * bare.endswith(",")
        elif out and bare.startswith("]") and out[-1][-1].isdigit():
            out[-1] += bare
        else:
            out.append(line)
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=("model", "expected"))
    parser.add_argument("--entry", default="ufc.cli.main", help="module of the command's main")
    arguments = parser.parse_args()
    command: Command = importlib.import_module(arguments.entry).main
    with tempfile.TemporaryDirectory() as folder:
        if "model" in arguments.what:
            make_model(command, Path(folder))
        if "expected" in arguments.what:
            expected(command, Path(folder))


if __name__ == "__main__":
    main()
