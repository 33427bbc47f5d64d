"""Loading time, time a picture and peak memory: `python -m benchmarks.latency [--model M]`.

Each setting is timed `--repeats` times after one warm-up and the median is printed, as JSON. Run
it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of `run`, after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--model", default="fashion-64", help="a bundled name, folder or hub id")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    started = time.perf_counter()
    from ufc.pipeline import UFCPipeline

    imported = time.perf_counter()
    pipeline = UFCPipeline.from_pretrained(options.model)
    loaded = time.perf_counter()
    import torch

    def draw(**settings: object) -> Callable[[], object]:
        given = {"num_inference_steps": 12, "guidance_scale": 3.0, "seed": 0} | settings
        return lambda: pipeline("men's navy blue striped polo t-shirt", **given)  # type: ignore[arg-type]

    one = draw(order="maskgit")()
    picture = one.images[0]  # type: ignore[attr-defined]
    cases = {
        "maskgit, 1 candidate": draw(order="maskgit"),
        "pnag, 1 candidate": draw(order="pnag"),
        "pnag, 4 candidates": draw(order="pnag", num_candidates=4),
        "maskgit, no guidance": draw(order="maskgit", guidance_scale=1.0),
        "maskgit, 1 reference": draw(order="maskgit", reference_images=[picture]),
        "maskgit, 4 references": draw(order="maskgit", reference_images=[picture] * 4),
        "maskgit, batch of 8": draw(order="maskgit", num_images_per_prompt=8),
    }
    report = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "model": pipeline.name,
        "import_seconds": round(imported - started, 3),
        "load_seconds": round(loaded - imported, 3),
        "seconds": {name: median_seconds(run, options.repeats) for name, run in cases.items()},
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
