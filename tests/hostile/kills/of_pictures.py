"""Batches of pictures."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from ufc.cli.main import main as ufc

from .base import Job, Work, whole_files
from .models import Models

SPEED = ("seconds", "group")  # what differs between equal runs


def generate(models: Models, folder: Path) -> None:
    shared = ["--model", str(models.model), "--output-dir", str(folder / "out"), "--resume",
              "--num-inference-steps", "3", "--batch-size", "2"]  # fmt: skip
    ended(ufc(["generate", "--prompts-file", str(models.prompts), *shared]))


def edit(models: Models, folder: Path) -> None:
    ended(
        ufc(
            ["edit", "--image", str(models.photo), "--prompt", "red bag",
             "--preserve-blocks", "0-7", "--num-images-per-prompt", "8", "--seed", "3",
             "--batch-size", "2", "--resume",
             "--num-inference-steps", "3", "--model", str(models.model),
             "--output-dir", str(folder / "out")]
        )
    )  # fmt: skip


def ended(code: int) -> None:
    if code:
        raise SystemExit(code)


def output(folder: Path) -> Any:
    """Pictures as bytes, and the manifest but for what is of the clock; each once."""
    out = folder / "out"
    lines = (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["file_name"] for row in rows}) == len(rows), "a picture is there twice"
    pictures = {path.name: path.read_bytes() for path in sorted(out.glob("*.png"))}
    told = [{name: value for name, value in row.items() if name not in SPEED} for row in rows]
    return pictures, told


def jobs(models: Models) -> dict[str, Job]:
    return {
        "generate": Work(partial(generate, models), output, whole_files),
        "edit": Work(partial(edit, models), output, whole_files),
    }
