"""Other programs beside ours in one run: `make bench-peers`, or `python -m benchmarks.peers`.

Contenders take turns, so that whatever else the machine does meets all of them; after one warm-up
each the median of the rounds counts. Every figure is written as soon as it is there, and a group
measured alone (`--only training`) replaces its own rows in an older file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(sys.prefix) / "peers"))  # where `make bench-peers` puts them

import torch

from benchmarks.peers import contenders as make
from benchmarks.peers.latent_diffusion import one_step_diffusion
from benchmarks.peers.timing import take_turns
from benchmarks.peers.tokenizers import CONFIGS, pair
from benchmarks.reports import read_report, write_report
from ufc.benchmark import Shape, machine, random_pipeline, rounded
from ufc.conditioning.sequence import ControlItem
from ufc.sampling.guidance import make_prefix
from ufc_base.training.processes import cpu_has_bf16

Row = dict[str, Any]
Build = Callable[[], make.Contender]


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--output", default="benchmarks/results/peers.json")
    parser.add_argument("--only", choices=sorted(GROUPS), help="one group of figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    for name in ("width", "depth", "heads", "grid"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape(), name))
    options = parser.parse_args()
    make.quiet()
    shape = Shape(options.width, options.depth, options.heads, options.grid)
    path = Path(options.output)
    report = read_report(path)
    for group in [options.only] if options.only else list(GROUPS):
        started = time.monotonic()
        print(f"{group} …", file=sys.stderr, flush=True)
        rows: list[Row] = []
        for row in GROUPS[group](shape, options.steps, options.rounds):
            rows.append({"group": group, **row})
            print("  " + "  ".join(f"{k} {v}" for k, v in row.items()), file=sys.stderr, flush=True)
            report["rows"] = [r for r in report["rows"] if r["group"] != group] + rows
            report["machine"] = machine()
            report["shape"] = vars(shape) | {"steps": options.steps}
            write_report(path, report)
        print(f"{group}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return 0


def pictures(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """Seconds a picture at equal shape, one and four at once; the faster of ours also decode."""
    builds: list[Build] = [
        lambda: make.ours(shape, steps),
        lambda: named(make.ours(shape, steps, decode=True), "ours, with decoding"),
        lambda: named(make.ours(shape, steps, "int8", decode=True), "ours, int8, with decoding"),
        lambda: make.amused(shape, steps),
        lambda: make.muse(shape, steps),
    ]
    if torch.cuda.is_available() or cpu_has_bf16():
        builds.append(
            lambda: named(make.ours(shape, steps, "bf16", decode=True), "ours, bf16, with decoding")
        )
    for batch in (1, 4):
        yield from compare(builds, batch, rounds)


def equal_parameters(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """Ours made deeper until it has as many parameters as each of the others."""
    for build, decode in ((make.amused, True), (make.muse, False)):
        try:
            depth = make.depth_for(build(shape, steps).parameters, shape)
        except Exception as error:  # another program's, of any kind
            yield {"name": build.__name__, "error": f"{error!r:.300}"}
            continue
        deep = replace(shape, depth=depth)
        name = f"ours, depth {depth}{', with decoding' if decode else ''}"
        yield from compare(
            [
                lambda d=deep, with_decoder=decode, n=name: named(  # type: ignore[misc]
                    make.ours(d, steps, decode=with_decoder), n
                ),
                lambda b=build: b(shape, steps),  # type: ignore[misc]
            ],
            1,
            rounds,
        )


def autoregressive(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """Samplers that take one token at a time, on the same grid."""
    builds: list[Build] = [
        lambda: make.ours(shape, steps),
        lambda: make.taming(shape, steps),
        lambda: make.min_dalle(shape, steps),
    ]
    for batch in (1, 4):
        yield from compare(builds, batch, max(1, rounds - 1))


def training(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """A step of training on masked codes: forward, backward, AdamW; batch 16."""
    builds: list[Build] = [
        lambda: make.our_training(shape, "fp32"),
        lambda: named(make.muse(shape, steps, train=True), "muse-maskgit-pytorch, fp32"),
    ]
    if torch.cuda.is_available() or cpu_has_bf16():  # where muse's stops: its mask overflows
        builds += [
            lambda: make.our_training(shape, "bf16"),
            lambda: make.our_training(shape, "bf16", compiled=True),
        ]
    for row in compare(builds, 16, rounds, learn=True):
        yield row | {"samples_per_second": rounded(1 / row["seconds"])} if "seconds" in row else row


def references(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """A forward pass with cached controls: four references against none, both ways to attend."""
    for grid in sorted({8, shape.grid}):
        for attention in ("prefix", "full"):
            yield reference_cost(replace(shape, grid=grid), attention, 3 * rounds)


def reference_cost(shape: Shape, attention: str, rounds: int) -> Row:
    pipeline = random_pipeline(shape)
    model = pipeline.transformer
    object.__setattr__(model.config, "control_attention", attention)
    pipeline.to("auto", "fp32")
    grid = torch.zeros(shape.grid, shape.grid, dtype=torch.int64)
    codes = torch.full((1, shape.grid**2), shape.codes, device=pipeline.device)
    words = list(range(make.TEXT_TOKENS))
    with torch.inference_mode():
        none, four = (
            make_prefix(model, [ControlItem(words, [grid] * number)]) for number in (0, 4)
        )
        seconds = take_turns([lambda: model(codes, none), lambda: model(codes, four)], rounds)
    return {
        "name": f"{attention}, grid {shape.grid}",
        "without_seconds": rounded(seconds[0]),
        "seconds": rounded(seconds[1]),
        "ratio": rounded(seconds[1] / seconds[0], 3),
    }


def tokenizers(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """Encoding and decoding one picture against taming's modules with the same weights."""
    for name, config in CONFIGS.items():
        theirs, mine = (model.to(make.device()) for model in pair(config))
        x = torch.rand(1, 3, *config.size, device=make.device()) * 2 - 1
        with torch.inference_mode():
            z = mine.features(x)
            for part, value in (("decode_vectors", z), ("features", x)):
                a, b = (getattr(model, part) for model in (theirs, mine))
                apart = float((a(value) - b(value)).abs().max())
                seconds = take_turns([lambda: a(value), lambda: b(value)], 2 * rounds)  # noqa: B023
                yield {
                    "name": f"{'decode' if part == 'decode_vectors' else 'encode'}, {name}",
                    "taming_seconds": rounded(seconds[0]),
                    "seconds": rounded(seconds[1]),
                    "ratio": rounded(seconds[0] / seconds[1], 3),
                    "largest_difference": rounded(apart, 2),
                }


def one_step(shape: Shape, steps: int, rounds: int) -> Iterator[Row]:
    """What a user would pick today: one step of latent diffusion, beside the bundled model."""
    yield from one_step_diffusion(rounds, torch.cuda.is_available() or cpu_has_bf16())


GROUPS: dict[str, Callable[[Shape, int, int], Iterator[Row]]] = {
    "pictures": pictures,
    "training": training,
    "tokenizers": tokenizers,
    "references": references,
    "equal-parameters": equal_parameters,
    "autoregressive": autoregressive,
    "one-step-diffusion": one_step,
}


def compare(builds: list[Build], batch: int, rounds: int, learn: bool = False) -> Iterator[Row]:
    """Seconds a picture (or sample) of each; whoever fails says why and leaves the others."""
    ready: list[make.Contender] = []
    for build in builds:
        try:
            contender = build()
            run_of(contender, batch, learn)()
        except Exception as error:  # another program's, of any kind
            yield {"name": f"contender {builds.index(build)}", "error": f"{error!r:.300}"}
            continue
        ready.append(contender)
    seconds = take_turns([run_of(each, batch, learn) for each in ready], rounds, warm=True)
    for contender, median in zip(ready, seconds, strict=True):
        yield {
            "name": contender.name,
            "parameters": contender.parameters,
            "batch": batch,
            "seconds": rounded(median / batch),
        }


def run_of(contender: make.Contender, batch: int, learn: bool) -> Callable[[], object]:
    do = contender.learn if learn else contender.generate
    assert do is not None
    return lambda: do(batch)


def named(contender: make.Contender, name: str) -> make.Contender:
    return replace(contender, name=name)


if __name__ == "__main__":
    sys.exit(main())
