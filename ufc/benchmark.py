"""How fast this machine generates: what `ufc bench` measures.

Each setting is run once to warm up and then timed; the median counts. Beside it stand the memory
it took at most and how near the transformer comes to the machine's own matrix products. Run it
on an otherwise idle machine.
"""

from __future__ import annotations

import math
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ufc.conditioning.sequence import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.model.quantisation import DTYPES, Int8Linear
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_prefix
from ufc.sampling.token_sampling import sample_codes
from vqgan.model import VQGAN, VQGANConfig

PROMPT = "men's navy blue striped polo t-shirt"


@dataclass(frozen=True)
class Shape:
    """Sizes of a model with random weights. Pictures have 8 pixels a cell."""

    width: int = 384
    depth: int = 8
    heads: int = 6
    grid: int = 16
    codes: int = 2048

    @property
    def feed_forward(self) -> int:
        """8/3 of the width: as many weights as a plain layer of four times the width has."""
        return self.width * 8 // 3 // 8 * 8


@dataclass(frozen=True)
class Case:
    """One setting; what it does not say is as the model's own default."""

    name: str
    steps: int | None = None
    batch: int = 1
    candidates: int = 1
    best_of: int | None = 1
    references: int = 0
    guidance_scale: float | None = None
    order: str | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds of the repetitions of one thing."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, float | int]:
        spread = max(self.seconds) - min(self.seconds)
        return {
            "seconds": rounded(self.median),
            "spread": rounded(spread),
            "repeats": len(self.seconds),
        }


BASE = Case("base")
AS_IT_COMES = Case("as it comes", best_of=None)

# One thing changes at a time.
QUICK = (BASE, replace(BASE, name="4 pictures at once", batch=4))
CASES = (
    AS_IT_COMES,
    *QUICK,
    replace(BASE, name="8 pictures at once", batch=8),
    replace(BASE, name="4 steps", steps=4),
    replace(BASE, name="12 steps", steps=12),
    replace(BASE, name="best of 4", best_of=4),
    replace(BASE, name="no guidance", guidance_scale=1.0),
    replace(BASE, name="pnag", order="pnag"),
    replace(BASE, name="pnag, 4 candidates", order="pnag", candidates=4),
    replace(BASE, name="1 reference", references=1),
    replace(BASE, name="4 references", references=4),
)


def time_it(run: Callable[[], object], repeats: int, seconds: float = 60.0) -> Timing:
    """Time `run` after one warm-up, `repeats` times or until `seconds` have passed."""
    run()
    times: list[float] = []
    while len(times) < repeats and (not times or sum(times) < seconds):
        synchronise()
        started = time.perf_counter()
        run()
        synchronise()
        times.append(time.perf_counter() - started)
    return Timing(times)


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rounded(value: float, digits: int = 4) -> float:
    """To so many significant digits."""
    return float(f"{value:.{digits}g}")


def machine() -> dict[str, Any]:
    """What the figures are of: processor, threads, GPU, versions, and the day."""
    return {
        "date": date.today().isoformat(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@torch.no_grad()
def matmul_rate(precision: str, device: torch.device, size: int | None = None) -> float:
    """Operations a second in a product of two square matrices; in int8 as its layers multiply."""
    size = size or (2048 if device.type == "cpu" else 8192)
    a = torch.randn(size, size, device=device)
    if precision == "int8":
        multiply: Callable[[], object] = partial(Int8Linear(torch.nn.Linear(size, size, False)), a)
    else:
        a = a.to(DTYPES[precision])
        multiply = partial(torch.matmul, a, a)
    return 2 * size**3 / min(time_it(multiply, 5, 10.0).seconds)


def forward_operations(config: UFCConfig, cells: int, controls: int) -> int:
    """Multiplications and additions of a forward pass over one grid, its output layer left out."""
    fed = config.feed_forward * (config.prototypes if config.ffn == "moe" else 1)
    of_a_cell = 4 * config.width**2 + 3 * config.width * fed
    attention = 2 * config.width * (cells + controls)
    return 2 * config.depth * cells * (of_a_cell + attention)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to watch the memory anew (Linux; elsewhere the peak is that of the whole run)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """MiB at most since the reset: of the GPU's, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_pipeline(shape: Shape) -> UFCPipeline:
    """A whole pipeline of a shape with untrained weights: noise, at a model's speed."""
    torch.manual_seed(0)
    text = TextTokenizer.train([PROMPT, "women's red handbag", "男士黑色手表"] * 4, 300)
    tokenizer = VQGAN(
        VQGANConfig(
            resolution=8 * shape.grid,
            ch=96,
            ch_mult=(1, 2),
            num_res_blocks=1,
            attn_resolutions=(),
            z_channels=192,
            embed_dim=8,
            n_embed=shape.codes,
            norm_groups=8,
            patch_size=4,
        )
    )
    transformer = UFCTransformer(
        UFCConfig(
            codes=shape.codes,
            text_vocabulary=text.size,
            grid=shape.grid,
            width=shape.width,
            depth=shape.depth,
            heads=shape.heads,
            feed_forward=shape.feed_forward,
        )
    )
    transformer.know_codebook(torch.randn(shape.codes, 8))
    return UFCPipeline(tokenizer, transformer, text, name="random weights")


def measure_case(pipeline: UFCPipeline, case: Case, repeats: int) -> dict[str, Any]:
    """Time, memory and rates of one setting."""
    picture = blank_picture(pipeline)

    def generate() -> None:
        pipeline(
            [PROMPT] * case.batch,
            reference_images=[[picture] * case.references] * case.batch
            if case.references
            else None,
            num_inference_steps=case.steps,
            num_candidates=case.candidates,
            best_of=case.best_of,
            guidance_scale=case.guidance_scale,
            order=case.order,
            seed=list(range(case.batch)),
        )

    reset_peak_memory(pipeline.device)
    timing = time_it(generate, repeats)
    cells = math.prod(pipeline.grid_size)
    return {
        "kind": "picture",
        "name": case.name,
        **about(pipeline),
        "resolution": size_of(pipeline),
        "batch": case.batch,
        "steps": case.steps or pipeline.defaults["num_inference_steps"],
        "candidates": case.candidates,
        "best_of": case.best_of or pipeline.defaults["best_of"],
        "references": case.references,
        "guidance_scale": case.guidance_scale or pipeline.defaults["guidance_scale"],
        "order": case.order or pipeline.defaults["order"],
        **timing.to_json(),
        "pictures_per_second": rounded(case.batch / timing.median),
        "tokens_per_second": rounded(case.batch * cells / timing.median),
        "peak_memory_mib": round(peak_memory(pipeline.device)),
    }


def measure_forward(
    pipeline: UFCPipeline, batch: int, references: int, rate: float, repeats: int
) -> dict[str, Any]:
    """The transformer's forward pass over grids whose controls are cached, against `rate`."""
    model, (rows, columns) = pipeline.transformer, pipeline.grid_size
    reference = torch.zeros(rows, columns, dtype=torch.int64)
    item = ControlItem(pipeline.text.encode_all(PROMPT), [reference] * references)
    codes_BT = torch.full((batch, rows * columns), model.config.codes, device=pipeline.device)
    with torch.no_grad():
        prefix = make_prefix(model, [item] * batch)
        timing = time_it(lambda: model(codes_BT, prefix), 3 * repeats, 20.0)
    controls = prefix.lengths[0]
    done = batch * forward_operations(model.config, rows * columns, controls) / timing.median
    return {
        "kind": "forward",
        "name": forward_name(batch, pipeline.grid_size),
        **about(pipeline),
        "batch": batch,
        "references": references,
        "control_tokens": controls,
        **timing.to_json(),
        "tokens_per_second": rounded(batch * rows * columns / timing.median),
        "gflops": rounded(done / 1e9),
        "matmul_share": rounded(done / rate, 3),
    }


def blank_picture(pipeline: UFCPipeline) -> Image.Image:
    """A picture of the model's size."""
    height, width = pipeline.tokenizer.config.size
    return Image.new("RGB", (width, height), (180, 40, 60))


def size_of(pipeline: UFCPipeline) -> int | str:
    """Pixels of a picture: its side, or WIDTH x HEIGHT where it is not square."""
    height, width = pipeline.tokenizer.config.size
    return height if height == width else f"{width} x {height}"


def forward_name(batch: int, grid_size: tuple[int, int]) -> str:
    """What a forward pass over grids is called in tables."""
    rows, columns = grid_size
    return f"forward pass over {batch} grid{'s' if batch > 1 else ''} of {rows} x {columns}"


def about(pipeline: UFCPipeline) -> dict[str, Any]:
    return {
        "model": pipeline.name,
        "device": pipeline.device.type,
        "dtype": pipeline.precision,
        "attention_backend": pipeline.backend,
        "compile": pipeline.compiled,
    }


def measure_parts(pipeline: UFCPipeline, repeats: int) -> Iterator[dict[str, Any]]:
    """Encoding and decoding pictures."""
    cells = math.prod(pipeline.grid_size)
    for batch in (1, 8):
        pictures = [blank_picture(pipeline)] * batch
        codes_BT = torch.zeros(batch, cells, dtype=torch.int64)
        for name, run in (
            ("encode", lambda p=pictures: pipeline.encode(p)),
            ("decode", lambda c=codes_BT: pipeline.decode(c)),
        ):
            timing = time_it(run, 3 * repeats, 10.0)
            yield {
                "kind": "tokenizer",
                "name": f"{name} {batch}",
                "resolution": size_of(pipeline),
                "batch": batch,
                **timing.to_json(),
                "pictures_per_second": rounded(batch / timing.median),
            }


def effect_of_precision(
    make: Callable[[str], UFCPipeline], names: Sequence[str], repeats: int, pictures: int = 8
) -> Iterator[dict[str, Any]]:
    """Speed of other precisions and what they change: logits' first choices, codes and pixels.

    First choices are compared on the same half-masked grids; codes and pixels (mean absolute
    difference, 0 to 255) are those of whole pictures, where one other choice leads to others.
    """
    reference = make("fp32")
    settings: dict[str, Any] = {"seed": 0, "output_type": "codes"}
    several = settings | {"num_images_per_prompt": pictures}
    with torch.no_grad():
        codes_of_reference = reference(PROMPT, **several).codes
        masked = codes_of_reference.view(pictures, -1).clone()
        masked[:, ::2] = reference.transformer.config.codes
        choices = first_choices(reference, masked)
        pixels = reference.decode(codes_of_reference.view(pictures, -1))
    for name in names:
        pipeline = reference if name == "fp32" else make(name)
        timing = time_it(lambda p=pipeline: p(PROMPT, **settings), repeats)  # type: ignore[misc]
        codes = pipeline(PROMPT, **several).codes
        apart = (pipeline.decode(codes.view(pictures, -1)) - pixels).abs().mean()
        same = first_choices(pipeline, masked) == choices
        yield {
            "kind": "precision",
            "name": name,
            **about(pipeline),
            **timing.to_json(),
            "same_first_choice": rounded(float(same.float().mean())),
            "same_codes": rounded(float((codes == codes_of_reference).float().mean())),
            "pixel_difference": rounded(float(apart) * 127.5),
        }


@torch.no_grad()
def first_choices(pipeline: UFCPipeline, codes_BT: torch.Tensor) -> torch.Tensor:
    """The likeliest code of each masked cell, (N,)."""
    model = pipeline.transformer
    codes_BT = codes_BT.to(pipeline.device)
    item = ControlItem(pipeline.text.encode_all(PROMPT))
    hidden = model(codes_BT, make_prefix(model, [item] * len(codes_BT))).target
    states = model.code_states(hidden[codes_BT == model.config.codes])
    codes_N, _ = sample_codes(states, torch.zeros(len(states.hidden_ND)), temperature=0)
    return codes_N.cpu()
