"""How far an image is changed, from flags and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli_helpers import manifest

from ufc.io.png.metadata import read_metadata

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


def test_what_does_not_fit(ufc: Ufc, photo: Path) -> None:
    code, _, said = ufc("generate", "--prompt", "bag", "--strength", "0.5")
    assert code == 2 and "strength: needs the image that it changes" in said
    code, _, said = ufc("edit", "--prompt", "bag", "--image", photo)
    assert code == 2 and "or --strength to change all of it" in said
    code, _, said = ufc("edit", "--prompt", "bag", "--image", photo, "--strength", "2")
    assert code == 2 and "strength" in said
