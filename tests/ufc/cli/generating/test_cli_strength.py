"""How far an image is changed, from flags and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli_helpers import manifest, write
from conftest import picture
from PIL import Image

from ufc.cli.generating.batch_runner import BatchRunner
from ufc.cli.terminal import Terminal
from ufc.io.png.metadata import read_metadata
from ufc.pipeline import UFCPipeline
from ufc.requests.loading import Loaded
from ufc.sampling.generation_config import GenerationConfig

Ufc = Any  # the fixture that runs commands


def test_all_of_an_image_is_changed_and_generated_again(ufc: Ufc, photo: Path) -> None:
    flags = ["--prompt", "bag", "--image", photo, "--strength", "0.5", "--seed", "3"]
    code, _, said = ufc("edit", *flags)
    assert code == 0, said
    row = manifest()[0]
    assert row["strength"] == 0.5
    found = read_metadata(Path("out") / row["file_name"])
    assert found is not None and found.request["request"]["strength"] == 0.5
    assert found.blocks is not None and found.blocks.provenance is not None
    steps = [origin.step for origin in found.blocks.provenance]
    assert steps.count(None) == len(steps) // 2
    assert ufc("generate", "--prompts-file", "out/manifest.jsonl", output_dir="again")[0] == 0
    again = Path("again") / manifest("again")[0]["file_name"]
    codes = read_metadata(again).blocks.codes  # type: ignore[union-attr]
    assert codes == found.blocks.codes


def test_a_strength_fills_in_what_lines_and_instructions_leave_open(
    ufc: Ufc, photo: Path, tmp_path: Path
) -> None:
    flags = ["--prompt", "bag", "--image", photo, "--strength", "0.5", "--seed", "3"]
    assert ufc("edit", *flags)[0] == 0
    lines = write(tmp_path / "p.jsonl", {"id": "bag", "prompt": "bag", "image": "photo.png"})
    fill = ["--strength", "0.5", "--seed", "3"]
    code, _, said = ufc("generate", "--prompts-file", lines, *fill, output_dir="lines")
    assert code == 0, said
    slots = ["--slot", "caption=bag", "--slot", f"base={photo}"]
    code, _, said = ufc("run", "inpainting", *slots, *fill, output_dir="run")
    assert code == 0, said
    pixels = [Image.open(f"{name}/bag-3-0.png").tobytes() for name in ("out", "lines", "run")]
    assert pixels[0] == pixels[1] == pixels[2]
    code, _, said = ufc("generate", "--prompts-file", lines)
    assert code == 2 and "p.jsonl, line 1: image: nothing says what to keep of it" in said


def test_the_progress_bar_counts_the_steps_that_there_are(pipeline: UFCPipeline) -> None:
    loaded = Loaded(pipeline, "tiny", {}, {})
    runner = BatchRunner(loaded, Path("out"), Terminal())
    moved: list[float] = []
    runner.terminal.advance = moved.append  # type: ignore[method-assign]
    config = GenerationConfig(strength=0.5, num_inference_steps=8)
    pipeline(
        "bag", picture(1), strength=0.5, num_inference_steps=8,
        callback_on_step_end=runner.on_step(config, 1),
    )  # fmt: skip
    assert sum(moved) == 1


def test_what_does_not_fit(ufc: Ufc, photo: Path) -> None:
    code, _, said = ufc("generate", "--prompt", "bag", "--strength", "0.5")
    assert code == 2 and "strength: needs the image that it changes" in said
    code, _, said = ufc("edit", "--prompt", "bag", "--image", photo)
    assert code == 2 and "or --strength to change all of it" in said
    code, _, said = ufc("edit", "--prompt", "bag", "--image", photo, "--strength", "2")
    assert code == 2 and "strength" in said
