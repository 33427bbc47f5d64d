"""The precisions of a CPU against each other: `python -m benchmarks.precision`.

Speed: the transformer's passes with guidance, over half-masked grids of two shapes of model, in
turns, so that whatever else the machine does meets all of them. torchao's 8-bit layers take part
where torchao is installed. One thread each; on a machine that is busy elsewhere give it a core of
its own, as `taskset -c 1 env OMP_NUM_THREADS=1 python -m benchmarks.precision` does.

Quality: the bundled model in each precision, on captions that it was not trained on: those of the
first pictures of `--data`, or of our list of unseen prompts. How many first choices are those of
fp32, how unlikely the pictures' own codes are to it, and what two judges that stay in fp32 say of
what is drawn: the model's own estimators and the contrastive one. fp32 with other seeds tells how
far apart two runs of one precision are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.append(str(Path(sys.prefix) / "peers"))  # where `make bench-peers` puts torchao

import torch
from torch import Tensor

from benchmarks.overhead import timed
from benchmarks.reports import read_report, write_report
from estimators.metrics.r_precision import own_first, r_precision
from ufc.benchmark import Shape, machine, rounded
from ufc.conditioning.sequence import ControlItem
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.model.quantisation import quantise_linears
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.sampling.guidance import make_predict, make_prefix, make_score
from ufc.sampling.token_sampling import Prediction, as_cells, logits_along
from ufc_base.computing.processor import processor_features
from ufc_base.data.datasets import open_dataset
from vqgan.quantizer import split_codes

Row = dict[str, Any]
Make = Callable[[UFCTransformer], UFCTransformer]

SHAPES = (Shape(width=256, depth=6, heads=4), Shape(width=384, depth=8, heads=6))
GRIDS = ((8, 8), (16, 12))
TEXT = list(range(1, 13))
CANDIDATES: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("fp32", 0, {}),
    ("fp32, other seeds", 1000, {}),
    ("bf16", 0, {}),
    ("int8, with VNNI", 0, {"UFC_CPU_VNNI": "1"}),
    ("int8, without VNNI", 0, {"UFC_CPU_VNNI": "0"}),
)
PROMPTS = Path(__file__).parents[1] / "ufc/evaluation/unseen_prompts.jsonl"


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/precision.json"))
    parser.add_argument("--only", choices=("speed", "quality"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--data", help="pictures that the bundled model was not trained on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = read_report(options.output)
    report["machine"] = machine() | {"features": processor_features()}
    groups: dict[str, Callable[[], Iterator[Row]]] = {
        "speed": lambda: speed(options.rounds),
        "quality": lambda: quality(options.captions, options.data),
    }
    for group in [options.only] if options.only else list(groups):
        report["rows"] = [row for row in report["rows"] if row["kind"] != group]
        for row in groups[group]():
            report["rows"].append({"kind": group, **row})
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            write_report(options.output, report)
    return 0


def precisions() -> dict[str, Make]:
    """What each makes of a transformer in fp32, in place."""

    def rounded_blocks(model: UFCTransformer) -> UFCTransformer:
        quantise_linears(model.blocks)
        return model

    makers: dict[str, Make] = {
        "fp32": lambda model: model,
        "bf16": lambda model: model.bfloat16(),
        "int8": rounded_blocks,
    }
    try:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ImportError:
        return makers

    def by_torchao(model: UFCTransformer) -> UFCTransformer:
        quantize_(model.blocks, Int8DynamicActivationInt8WeightConfig())
        return model

    return makers | {"int8, torchao": by_torchao}


def speed(rounds: int) -> Iterator[Row]:
    """A guided prediction for half-masked grids, controls cached: seconds, times fp32's."""
    for shape in SHAPES:
        for grid in GRIDS:
            torch.manual_seed(0)
            base = UFCTransformer(
                UFCConfig(
                    codes=shape.codes,
                    grid=grid,
                    width=shape.width,
                    depth=shape.depth,
                    heads=shape.heads,
                    feed_forward=shape.feed_forward,
                )
            )
            base = base.eval().requires_grad_(False)
            models = {name: make(deepcopy(base)) for name, make in precisions().items()}
            for batch in (1, 4):
                runs = {name: guided_pass(model, grid, batch) for name, model in models.items()}
                medians = take_turns(runs, rounds)
                for name, seconds in medians.items():
                    yield {
                        "name": name,
                        "width": shape.width,
                        "depth": shape.depth,
                        "grid": f"{grid[0]} x {grid[1]}",
                        "batch": batch,
                        "seconds": rounded(seconds),
                        "ratio": rounded(medians["fp32"] / seconds, 3),
                    }


def guided_pass(
    model: UFCTransformer, grid: tuple[int, int], batch: int
) -> Callable[[], Prediction]:
    """A prediction by a prompt of 12 tokens against none, over grids of which half is masked."""
    chance = torch.Generator().manual_seed(0)
    shape = batch, grid[0] * grid[1]
    ask_BT = torch.rand(shape, generator=chance) < 0.5
    codes_BT = torch.randint(model.config.codes, shape, generator=chance)
    codes_BT = codes_BT.masked_fill(ask_BT, model.config.codes)
    with torch.no_grad():
        prefix, empty = (make_prefix(model, [ControlItem(ids)] * batch) for ids in (TEXT, []))
        predict = make_predict(model, prefix, empty, 3.0, grid)

    @torch.no_grad()
    def run() -> Prediction:
        return predict(codes_BT, torch.arange(batch), ask_BT)

    return run


def take_turns(runs: dict[str, Callable[[], Prediction]], rounds: int) -> dict[str, float]:
    """Median seconds of each, after two passes to warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 2):
        for name, run in runs.items():
            seconds = timed(run)
            if number >= 2:
                times[name].append(seconds)
    return {name: statistics.median(found) for name, found in times.items()}


def quality(captions: int, data: str | None) -> Iterator[Row]:
    """What a precision does to the bundled model, and to the pictures that it draws."""
    exact = UFCPipeline.from_pretrained(device="cpu", dtype="fp32")
    judge = ContrastiveEstimator.from_pretrained()
    held_out: Tensor | None = None
    if data:
        prompts, held_out = held_out_codes(exact, data, captions)
    else:
        lines = PROMPTS.read_text("utf-8").splitlines()[:captions]
        prompts = [json.loads(line)["prompt"] for line in lines]
    drawn = draw(exact, prompts, 0)
    choices = choices_on(exact, prompts, drawn).argmax(-1)
    for name, seed, variable in CANDIDATES:
        with patch.dict(os.environ, variable):
            dtype = name.partition(",")[0]
            pipeline = UFCPipeline.from_pretrained(device="cpu", dtype=dtype)
        logits = choices_on(pipeline, prompts, drawn)
        codes = draw(pipeline, prompts, seed)
        row: Row = {"name": name, "captions": len(prompts)}
        if seed == 0:
            row["same_first_choice"] = rounded(float((logits.argmax(-1) == choices).float().mean()))
            row["same_codes"] = rounded(float((codes == drawn).float().mean()))
        if held_out is not None:
            found = choices_on(pipeline, prompts, held_out).log_softmax(-1)
            own_NK = digits(pipeline, held_out[:, ::2].flatten())
            likely_N = found.gather(-1, own_NK[..., None]).sum((1, 2))
            row["held_out_nats"] = rounded(-float(likely_N.mean()))
        yield row | judged(exact, judge, prompts, codes)


def draw(pipeline: UFCPipeline, prompts: list[str], seed: int) -> Tensor:
    """Codes of a picture a prompt, (B, T), four at once."""
    parts = [
        pipeline(
            prompts[at : at + 4],
            seed=list(range(seed + at, seed + at + len(prompts[at : at + 4]))),
            output_type="codes",
        ).codes
        for at in range(0, len(prompts), 4)
    ]
    return torch.cat(parts).flatten(1)


@torch.no_grad()
def choices_on(pipeline: UFCPipeline, prompts: list[str], codes_BT: Tensor) -> Tensor:
    """Logits of every other cell of these grids, the others known, without guidance: (N, K, V),
    of each codebook after the cell's codes of those before it."""
    model = pipeline.transformer
    ask_BT = torch.zeros_like(codes_BT, dtype=torch.bool)
    ask_BT[:, ::2] = True
    items = [ControlItem(pipeline.encode_text(prompt, [])) for prompt in prompts]
    predict = make_predict(model, make_prefix(model, items), None, 1.0, pipeline.grid_size)
    masked_BT = codes_BT.masked_fill(ask_BT, model.config.codes)
    cells = as_cells(predict(masked_BT, torch.arange(len(codes_BT)), ask_BT))
    own_NK = split_codes(codes_BT[ask_BT], cells.size, cells.codebooks)
    return torch.stack(list(logits_along(cells, own_NK)), dim=1).float()


def digits(pipeline: UFCPipeline, codes_N: Tensor) -> Tensor:
    """The code of each codebook, 0..V-1, of joint codes: (N, K)."""
    config = pipeline.tokenizer.config
    own_NK = split_codes(codes_N, config.n_embed, config.codebooks)
    return own_NK - torch.arange(config.codebooks) * config.n_embed


def held_out_codes(pipeline: UFCPipeline, data: str, count: int) -> tuple[list[str], Tensor]:
    """Captions and codes of the first pictures of a set."""
    samples = open_dataset(data)
    found = [samples[index] for index in range(min(count, len(samples)))]
    codes = pipeline.encode([sample.image for sample in found])
    return [sample.record["text"] for sample in found], codes.flatten(1)


@torch.no_grad()
def judged(
    exact: UFCPipeline, judge: ContrastiveEstimator, prompts: list[str], codes_BT: Tensor
) -> Row:
    """Means over the pictures, with half widths of 95 % intervals of the means."""
    model = exact.transformer
    items = [ControlItem(exact.encode_text(prompt, [])) for prompt in prompts]
    score = make_score(model, make_prefix(model, items), exact.grid_size)
    scores = score(codes_BT, torch.arange(len(codes_BT)))
    images = judge.embed_pixels(exact.decode(codes_BT))
    texts = judge.embed_texts(prompts)
    figures = {
        "compliance": scores["compliance"],
        "fidelity": scores["fidelity"],
        "contrastive": judge.probability(images, texts),
    }
    row: Row = {}
    for name, value_N in figures.items():
        row[name] = rounded(float(value_N.mean()))
        row[f"{name}_interval"] = rounded(1.96 * float(value_N.std()) / len(value_N) ** 0.5, 2)
    own, width = r_precision(own_first(images @ texts.T, prompts))
    return row | {
        "own_caption_first": rounded(own),
        "own_caption_first_interval": rounded(width, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
