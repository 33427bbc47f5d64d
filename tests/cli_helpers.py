"""What tests of the command line share: the tiny model's sizes, and files written and read."""

import json
from pathlib import Path

SIDE, BLOCKS = 16, 16  # of the tiny model


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def pictures(folder: str | Path = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*-*.png"))}


def manifest(folder: str | Path = "out") -> list[dict]:
    lines = Path(folder, "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and "Traceback" not in text


def prompts(tmp_path: Path, **more: object) -> Path:
    return write(
        tmp_path / "p.jsonl",
        {"id": "a", "prompt": "red bag", "num_images_per_prompt": 3},
        {"id": "b", "prompt": "blue shirt", "seed": 9, **more},
        {"id": "c", "prompt": "黑色手表", "order": "pnag", "num_candidates": 2, "best_of": 2},
    )
