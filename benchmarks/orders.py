"""Every order of filling against each other: `python -m benchmarks.orders`.

Seconds for the codes of 1 and of 16 pictures, on random weights, which take as long as others. The
orders that mask again take the same number of steps; autoregressive takes one for each cell, of one
cell each, with cached keys and values. `ratio` is to maskgit at the same batch. Decoding is left
out: it is the same for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.reports import read_report, write_report
from ufc.benchmark import machine, rounded, time_it
from ufc.conditioning.sequence import ControlItem
from ufc.model.attention import resolve_backend
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.sampling.config import SamplerConfig
from ufc.sampling.generate import generate_tokens
from ufc.sampling.loop import Problem
from ufc.sampling.orders import ORDERS

WORDS = 12  # tokens of every prompt
BASE = "maskgit"


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description=__doc__)
    parser.add_argument("--output", default="benchmarks/results/orders.json")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--feed-forward", type=int, default=704)
    parser.add_argument("--codes", type=int, default=4096)
    parser.add_argument("--grid", type=int, nargs=2, default=[16, 12], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance-scale", type=float, default=3.0)
    parser.add_argument("--orders", nargs="+", default=list(ORDERS), choices=list(ORDERS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    path = Path(options.output)
    model, sizes = random_model(options)
    asked = {"steps": options.steps, "guidance_scale": options.guidance_scale} | sizes
    report = read_report(path) | {"machine": machine(), "settings": asked, "rows": []}
    for batch in options.batches:
        base = None
        for order in sorted({BASE, *options.orders}, key=lambda name: name != BASE):
            config = SamplerConfig(order=order, steps=options.steps)
            run = generation(model, batch, config, options.guidance_scale)
            seconds = time_it(run, options.repeats, 10.0).median
            base = base or seconds
            row = {"order": order, "batch": batch, "seconds": rounded(seconds),
                   "ratio": round(seconds / base, 2)}  # fmt: skip
            report["rows"].append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            write_report(path, report)
    return 0


def random_model(options: argparse.Namespace) -> tuple[UFCTransformer, dict[str, object]]:
    """A model of random weights that knows all orders, and its sizes for the report."""
    torch.manual_seed(0)
    names = ("width", "depth", "heads", "feed_forward", "codes")
    sizes = {name: getattr(options, name) for name in names} | {"grid": tuple(options.grid)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = UFCTransformer(UFCConfig(**sizes, autoregressive=True)).to(device).eval()
    model.backend = resolve_backend("auto", device.type)
    if device.type == "cuda":
        model.to(torch.bfloat16)
    return model, sizes


def generation(
    model: UFCTransformer, batch: int, config: SamplerConfig, guidance_scale: float
) -> Callable[[], object]:
    """A function that generates the codes of a batch."""
    rows, columns = model.config.grid_size
    device = model.embedding.weight.device
    start_BT = torch.zeros(batch, rows * columns, dtype=torch.int64, device=device)
    problem = Problem(
        start_BT,
        torch.zeros_like(start_BT, dtype=torch.bool),
        model.config.codes,
        [torch.Generator().manual_seed(seed) for seed in range(batch)],
        (rows, columns),
    )
    items = [ControlItem(range(WORDS))] * batch
    return partial(
        generate_tokens, model, items, None, problem, config, guidance_scale=guidance_scale
    )


if __name__ == "__main__":
    sys.exit(main())
