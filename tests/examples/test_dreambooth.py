"""The recipe for twenty pictures, from end to end on a tiny model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from example_files import load_example
from PIL import Image

from ufc import UFCPipeline, adapters

try:
    adapters.import_peft()
except ImportError as error:
    pytest.skip(f"PEFT cannot be imported: {error!s:.100}", allow_module_level=True)


@pytest.fixture(scope="module")
def example() -> Any:
    return load_example("dreambooth")


def test_smoke(
    example: Any, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--smoke", "--model", str(model), "--output-dir", str(tmp_path / "look"), "--merge"]
    assert example.main([*flags, "--device", "cpu"]) == 0
    out = tmp_path / "look"
    assert "pytorch_lora_weights.safetensors: 0." in capsys.readouterr().out
    assert Image.open(out / "before-after.png").width > 8 * 16
    records = [json.loads(line) for line in (out / "data" / "metadata.jsonl").open()]
    assert [record["file_name"][:5] for record in records] == ["own-0"] * 4 + ["prior"] * 4
    pipe = UFCPipeline.from_pretrained(model)
    pipe.load_lora_weights(out)
    assert pipe.get_active_adapters() == ["default_0"]
    assert UFCPipeline.from_pretrained(out / "model").grid == pipe.grid


def test_the_tutorials_flags_are_known(example: Any) -> None:
    page = Path(example.__file__).parents[1] / "docs" / "tutorial-own-look.md"
    (command,) = re.findall(r"^python examples/dreambooth.py (.*)$", page.read_text(), re.M)
    flags = example.read_flags(shlex.split(command))
    assert (flags.pictures, flags.output_dir) == ("kestrel", "runs/kestrel")
    assert (flags.steps, flags.minutes) == (300, 8.0)
    for name in ("--steps", "--minutes", "--prior", "--merge"):
        assert f"`{name}" in page.read_text() and hasattr(flags, name[2:])


def test_captions(example: Any, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert list(example.captions_of(tmp_path, "bag by kestrel").values()) == ["bag by kestrel"] * 2
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "one"}\n')
    with pytest.raises(ValueError, match="2 pictures, of which 1 have no caption: give --caption"):
        example.captions_of(tmp_path, None)
    with pytest.raises(ValueError, match="0 pictures"):
        example.captions_of(tmp_path / "..", None)
