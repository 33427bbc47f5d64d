"""Attention backends against each other: `python -m benchmarks.attention`.

On a GPU: xformers, torch's own (sdpa) and the plain formula (math) at 256, 1,024 and 4,096 tokens
in bf16; and eight requests whose controls differ in length, packed end to end against padded to
the longest. On a CPU the same without xformers, in fp32, and packing is one sequence after another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.reports import read_report, write_report
from ufc.benchmark import machine, rounded, time_it
from ufc.model.attention import Piece, attend, attend_pieces, resolve_backend

TOKENS = (256, 1024, 4096)
CONTROLS = (0, 12, 24, 280, 24, 536, 18, 1048)


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=__doc__)
    parser.add_argument("--output", default="benchmarks/results/attention.json")
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--head-width", type=int, default=64)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    backends = [
        name for name in ("xformers", "sdpa", "math") if resolve_backend(name, device.type) == name
    ]
    path = Path(options.output)
    report = read_report(path) | {"machine": machine(), "rows": []}

    def random(batch: int, tokens: int) -> Tensor:
        shape = batch, tokens, options.heads, options.head_width
        return torch.randn(shape, device=device).to(dtype)

    def measure(name: str, run: Callable[[], object], **facts: Any) -> None:
        with torch.inference_mode():
            seconds = time_it(run, options.repeats, 5.0).median
        row = {"name": name, "dtype": str(dtype)[6:], **facts, "seconds": rounded(seconds)}
        report["rows"].append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        write_report(path, report)

    for tokens in options.tokens:
        batch = max(1, 4096 // tokens) if device.type == "cuda" else 1
        q, k, v = (random(batch, tokens) for _ in range(3))
        for name in backends:
            measure(
                name,
                partial(attend, q, k, v, None, name),
                tokens=tokens,
                batch=batch,
            )
    cells = 256
    pieces = [
        Piece(random(1, cells), random(1, length + cells), random(1, length + cells))
        for length in CONTROLS
    ]
    most = max(CONTROLS) + cells
    q, k, v = (random(len(CONTROLS), tokens) for tokens in (cells, most, most))
    keys = torch.tensor(CONTROLS, device=device)[:, None] + cells
    seen = (torch.arange(most, device=device) < keys)[:, None, None]
    for name in backends:
        measure(f"{name}, padded", partial(attend, q, k, v, seen, name), requests=8)
        measure(f"{name}, packed", partial(attend_pieces, pieces, name), requests=8)
    return 0


if __name__ == "__main__":
    sys.exit(main())
