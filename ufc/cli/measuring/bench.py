"""`ufc bench`: how fast this machine generates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ufc.cli.flags import MODEL, Attention, Device, DType
from ufc.cli.terminal import DONE, Terminal
from ufc.io.manifest import write_json
from ufc.io.validation import RequestError
from ufc_base.program import option, switch

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline

HELP = """Measure how fast this machine generates: seconds a picture by number of pictures, steps,
candidates and references; the transformer against the machine's matrix products; the tokenizer;
other precisions and backends, with what they change.

For other resolutions give --random-weights with --grid: pictures have 8 pixels a cell.

Takes two to three minutes on two cores, or some twenty seconds with --quick."""

SHAPE = "Random weights"


@dataclass(kw_only=True)
class BenchFlags:
    """Flags of `ufc bench`."""

    quick: Annotated[bool, switch("--quick", "Two settings, few repetitions.")] = False
    only: Annotated[
        str | None, option("Only what has this in its name or kind, such as forward.")
    ] = None
    repeats: Annotated[int | None, option("Repetitions of each setting (5).", min=1)] = None
    output: Annotated[str | None, option("A JSON file, written after every setting.")] = None
    json: Annotated[bool, switch("--json", "Results as JSON lines.")] = False
    quiet: Annotated[bool, switch("--quiet", "No notices.")] = False

    model: Annotated[
        str | None, option("A bundled name, a folder, or a hub id.", MODEL, envvar="UFC_MODEL")
    ] = None
    device: Annotated[Device | None, option("auto, cpu or cuda.", MODEL, envvar="UFC_DEVICE")] = (
        None
    )
    dtype: Annotated[
        DType | None, option("auto, fp32, bf16, fp16 or int8.", MODEL, envvar="UFC_DTYPE")
    ] = None
    attention_backend: Annotated[
        Attention | None,
        option("auto, sdpa, xformers or math.", MODEL, envvar="UFC_ATTENTION_BACKEND"),
    ] = None
    compile: Annotated[bool, switch("--compile", "Compile the transformer first.", MODEL)] = False

    random_weights: Annotated[
        bool, switch("--random-weights", "No model: untrained weights of this shape.", SHAPE)
    ] = False
    width: Annotated[int, option("Width of the transformer (384).", SHAPE, min=8)] = 384
    depth: Annotated[int, option("Its blocks (8).", SHAPE, min=1)] = 8
    heads: Annotated[int, option("Its heads (6).", SHAPE, min=1)] = 6
    grid: Annotated[int, option("Cells along a side of the grid (16).", SHAPE, min=2)] = 16


def run(flags: BenchFlags) -> int:
    """Carry out the command; returns the exit code."""
    if flags.random_weights and flags.model:
        raise RequestError("got both --model and --random-weights; give one of them")
    from ufc.benchmark import machine

    report: dict[str, Any] = {"machine": machine(), "rows": []}
    with Terminal(as_json=flags.json, quiet=flags.quiet) as terminal:
        terminal.notice("on an idle machine only are these figures worth anything")
        for row in measure(flags):
            report["rows"].append(row)
            terminal.result(describe(row), row)
            if flags.output:
                write_json(Path(flags.output), report)
    if flags.only and all(row["kind"] in ("load", "matmul") for row in report["rows"]):
        raise RequestError(
            f"--only {flags.only}: nothing has this in its name; try forward, picture, tokenizer, "
            "backend or precision"
        )
    return DONE


def measure(flags: BenchFlags) -> Iterator[dict[str, Any]]:
    """One row after the other, as they are measured."""
    import torch

    from ufc import benchmark
    from ufc_base.training.processes import cpu_has_bf16

    pipeline = open_pipeline(flags)  # once to have everything imported
    loading = benchmark.time_it(lambda: open_pipeline(flags), 1)
    yield {"kind": "load", "name": f"open {pipeline.name}", **loading.to_json()}
    repeats = flags.repeats or (2 if flags.quick else 5)

    def wanted(*names: str) -> bool:
        return flags.only is None or any(flags.only in name for name in names)

    name = pipeline.precision
    rate = benchmark.matmul_rate(name, pipeline.device)
    yield {"kind": "matmul", "name": f"matrix products in {name}", "gflops": round(rate / 1e9, 1)}
    if wanted("forward"):
        for batch, references in ((1, 0), (4, 0)) + (() if flags.quick else ((1, 1), (1, 4))):
            yield benchmark.measure_forward(pipeline, batch, references, rate, repeats)
    for case in benchmark.QUICK if flags.quick else benchmark.CASES:
        if wanted("picture", case.name):
            yield benchmark.measure_case(pipeline, case, repeats)
    if wanted("tokenizer"):
        yield from benchmark.measure_parts(pipeline, repeats)
    if flags.quick or flags.dtype or flags.attention_backend or flags.compile:
        return  # the settings to compare were given: this run is one side of the comparison
    if wanted("backend"):
        pipeline.to(pipeline.device, pipeline.precision, "math")
        yield benchmark.measure_case(pipeline, benchmark.Case("math attention"), repeats)
    if wanted("precision"):
        on_cpu = pipeline.device.type == "cpu"
        names = ["fp32", "int8"] if on_cpu else ["fp32", "bf16", "fp16"]
        if on_cpu and cpu_has_bf16():
            names.append("bf16")

        def make(name: str) -> UFCPipeline:
            torch.manual_seed(0)
            return open_pipeline(flags, name)

        yield from benchmark.effect_of_precision(make, names, repeats)


def open_pipeline(flags: BenchFlags, dtype: str | None = None) -> UFCPipeline:
    """The model that is asked for, or one of the shape that is.

    Raises:
        ValueError: no such model, or sizes that do not fit each other.
    """
    from ufc.benchmark import Shape, random_pipeline
    from ufc.requests.loading import ModelSettings, load

    device, dtype = flags.device or "auto", dtype or flags.dtype or "auto"
    backend = flags.attention_backend or "auto"
    if not flags.random_weights:
        settings = ModelSettings(
            flags.model,
            device=device,
            dtype=dtype,
            attention_backend=backend,
            compile=flags.compile,
        )
        return load(settings).pipe
    shape = Shape(flags.width, flags.depth, flags.heads, flags.grid)
    return random_pipeline(shape).to(device, dtype, backend, flags.compile)


def describe(row: dict[str, Any]) -> str:
    """A row as a line of text."""
    facts = [f"{row['kind']:<10}{row['name']:<36}"]
    if "seconds" in row:
        facts.append(f"{row['seconds']:>8.4g} s")
    if "pictures_per_second" in row:
        facts.append(f"{row['pictures_per_second']:>8.3g} pictures/s")
    if "gflops" in row:
        facts.append(f"{row['gflops']:>8.4g} GFLOP/s")
    if "matmul_share" in row:
        facts.append(f"{row['matmul_share']:>6.0%} of matrix products")
    if "peak_memory_mib" in row:
        facts.append(f"{row['peak_memory_mib']:>6} MiB")
    if "same_first_choice" in row:
        facts.append(
            f"{row['same_first_choice']:.1%} equal first choices, "
            f"{row['pixel_difference']:.2g} of 255 apart"
        )
    return "  ".join(facts)
