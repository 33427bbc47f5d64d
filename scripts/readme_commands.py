"""Run every `ufc` command and the Python of the README, in a scratch folder with what they name.

    python scripts/readme_commands.py

Trainings get a few steps only. Stops at the first command that fails, with its exit code. Needs the
bundled model, and the weights of LPIPS and AlexNet (fetched, or found under TORCH_HOME).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent
# What makes a training short, whatever the README says.
SHORT = {
    "train-tokenizer": "--max-train-steps 2 --train-batch-size 2 --data-workers 0",
    "train": "--max-train-steps 2 --train-batch-size 2 --data-workers 0 --width 32 --depth 1 "
    "--heads 2 --feed-forward 48",
}
COLOURS = {"red": (210, 40, 40), "blue": (40, 60, 200), "green": (40, 150, 70)}


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a Markdown text in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    """The `ufc` commands of a Markdown text, a line each, without their comments."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("ufc ")]


def main() -> int:
    """Run them; returns 0, or the exit code of the first that failed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, text)
        for command in commands(text):
            words = shlex.split(command)
            code = run(folder, "-m", *words, *shlex.split(SHORT.get(words[1], "")))
            if code:
                return code
            keep(folder)
        return max(run(folder, "-c", code) for code in blocks(text, "python"))


def run(folder: Path, *arguments: str) -> int:
    """Run this Python with the arguments; its exit code."""
    print("$ python", shlex.join(arguments).replace("\n", "; "), flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment).returncode


def prepare(folder: Path, text: str) -> None:
    """Make the pictures, the prompts and the data that the README's commands name."""
    for name, colour in (
        ("red-bag", "red"),
        ("bag", "red"),
        ("shirt", "blue"),
        ("stripes", "green"),
    ):
        box(colour).save(folder / f"{name}.png")
    hole = Image.new("L", (64, 64))
    ImageDraw.Draw(hole).rectangle((16, 16, 47, 47), fill=255)
    hole.save(folder / "hole.png")
    prompts, *_ = blocks(text, "json")
    (folder / "prompts.jsonl").write_text(prompts, encoding="utf-8")
    sets = {"DATA": 16, "my-pictures": 40, "real-pictures": 40, "held-out": 16, "training": 24}
    for name, count in sets.items():
        write_data(folder / name, count)


def write_data(folder: Path, count: int) -> None:
    """Boxes of three colours with captions in two languages."""
    folder.mkdir()
    lines = []
    for number in range(count):
        colour = list(COLOURS)[number % len(COLOURS)]
        box(colour, number).save(folder / f"{number:03d}.png")
        lines.append(
            f'{{"file_name": "{number:03d}.png", "text": "{colour} box", "text_zh": "盒子"}}'
        )
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def box(colour: str, number: int = 0) -> Image.Image:
    """A box on white; its place depends on the number."""
    image = Image.new("RGB", (64, 64), "white")
    left, top = 8 + number % 7, 8 + number % 5
    ImageDraw.Draw(image).rectangle((left, top, left + 40, top + 36), fill=COLOURS[colour])
    return image


def keep(folder: Path) -> None:
    """Put what was made where the README names it: any picture as `out/some-picture.png`, the
    tokenizer as `my-tokenizer`."""
    made = sorted(folder.glob("out/*-*.png"))
    if made:
        shutil.copyfile(made[0], folder / "out" / "some-picture.png")
    if (folder / "runs" / "tokenizer" / "model.safetensors").is_file():
        shutil.copytree(folder / "runs/tokenizer", folder / "my-tokenizer", dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
