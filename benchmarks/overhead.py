"""What is won around the products: `python -m benchmarks.overhead`.

The shipped way of generating against the same modules with lean blocks
(`ufc.model.blocks.fused_block`) and packed convolutions (`vqgan.packed_convolution`) switched off,
in turns, on one thread and on all; and a picture in the thread that has loaded the model and in
another one, with pools of threads that stay and with such that are let go
(`ufc_base.computing.thread_pool`). A CPU only.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.reports import write_report
from ufc.benchmark import PROMPT, Shape, forward_name, machine, random_pipeline, rounded
from ufc.conditioning.sequence import ControlItem
from ufc.model.transformer import UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix
from ufc_base.computing import thread_pool
from vqgan import packed_convolution
from vqgan.model import VQGAN, VQGANConfig

Run = Callable[[], object]


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/overhead.json"))
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "rows": []}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for name, run in cases():
            with torch.inference_mode():
                plain, ours = compare(run, options.rounds)
            row = {
                "name": name,
                "threads": threads,
                "plain_seconds": rounded(plain),
                "seconds": rounded(ours),
                "ratio": rounded(plain / ours, 3),
            }
            report["rows"].append(row | {"kind": "saved"})
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            write_report(options.output, report)
    for row in pictures(max(1, options.rounds // 2)):
        report["rows"].append(row | {"kind": "pools"})
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write_report(options.output, report)
    return 0


def pictures(rounds: int) -> Iterator[dict[str, Any]]:
    """A picture by the bundled model, as it comes: where it is generated, and how long it takes."""
    pipeline = UFCPipeline.from_pretrained(device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    run = partial(pipeline, PROMPT, seed=0)
    times: dict[tuple[bool, bool], list[float]] = defaultdict(list)

    def measure(elsewhere: bool, let_go: bool) -> None:
        run()
        times[elsewhere, let_go].append(timed(run))

    for _ in range(rounds):
        for let_go in (False, True):
            with nullcontext() if let_go else patch.object(thread_pool, "_pauses", list):
                measure(False, let_go)
                thread = threading.Thread(target=measure, args=(True, let_go))
                thread.start()
                thread.join()
    for elsewhere in (False, True):
        stay, ours = (statistics.median(times[elsewhere, let_go]) for let_go in (False, True))
        yield {
            "name": "in another thread" if elsewhere else "in the thread that loaded the model",
            "plain_seconds": rounded(stay),
            "seconds": rounded(ours),
            "ratio": rounded(stay / ours, 3),
        }


def cases() -> Iterator[tuple[str, Run]]:
    """Forward passes of the bundled transformer and a larger one; both sizes of tokenizers.

    The bundled tokenizer runs on its own grid.
    """
    pipeline = UFCPipeline.from_pretrained(device="cpu", dtype="fp32")
    for batch in (1, 2, 4):
        yield from forward_passes(pipeline, batch)
    yield from forward_passes(random_pipeline(Shape()).to("cpu", "fp32"), 1)
    for batch in (1, 8):
        yield from tokenizer("bundled", pipeline.tokenizer, batch)
    torch.manual_seed(0)
    large = VQGAN(VQGANConfig(resolution=256, ch=64)).eval().requires_grad_(False)
    yield from tokenizer("256 px, f16, ch 64", large, 1)


def forward_passes(pipeline: UFCPipeline, batch: int) -> Iterator[tuple[str, Run]]:
    model = pipeline.transformer
    codes_BT = torch.full((batch, math.prod(pipeline.grid_size)), model.config.codes)
    with torch.no_grad():
        prefix = make_prefix(model, [ControlItem(pipeline.text.encode_all(PROMPT))] * batch)
    yield forward_name(batch, pipeline.grid_size), lambda: model(codes_BT, prefix)


def tokenizer(name: str, model: VQGAN, batch: int) -> Iterator[tuple[str, Run]]:
    x_BCHW = torch.rand(batch, 3, *model.config.size) * 2 - 1
    codes_BHW = torch.zeros(batch, *model.config.grid_size, dtype=torch.int64)
    yield f"decode {batch}, {name}", lambda: model.decode(codes_BHW)
    yield f"encode {batch}, {name}", lambda: model.encode(x_BCHW)


def compare(run: Run, rounds: int, seconds: float = 10.0) -> tuple[float, float]:
    """Median seconds without and with; at most so many rounds, or so many seconds of them."""
    times: tuple[list[float], list[float]] = ([], [])
    with plain():
        run()
    run()
    while len(times[0]) < rounds and sum(map(sum, times)) < seconds:
        with plain():
            times[0].append(timed(run))
        times[1].append(timed(run))
    return statistics.median(times[0]), statistics.median(times[1])


def timed(run: Run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@contextmanager
def plain() -> Iterator[None]:
    """Blocks and convolutions as they are with a gradient."""

    def no_lean(model: UFCTransformer) -> list[None]:
        return [None] * model.config.depth

    with (
        patch.object(UFCTransformer, "lean_layers", no_lean),
        patch.object(packed_convolution, "has_operators", lambda: False),
    ):
        yield


if __name__ == "__main__":
    sys.exit(main())
