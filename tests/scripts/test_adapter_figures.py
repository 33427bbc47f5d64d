"""Figures of an adapter, of a tiny model's by a toy judge."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline
from readme_commands import blocks
from toy_data import write_folder

from ufc import adapters

try:
    adapters.import_peft()
except ImportError as error:
    pytest.skip(f"PEFT cannot be imported: {error!s:.100}", allow_module_level=True)

import adapter_figures


def test_what_is_taken_up_and_what_is_kept(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, transformer = write_folder(tmp_path / "data", 8), make_pipeline().transformer
    adapters.add_adapter(transformer, 2)
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if ".lora_" in name:
                weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    file = adapters.save_adapter(transformer, tmp_path / "look")
    flags = ["--own", str(data), "--caption", "red bag", "--real", str(data), "--pictures", "6"]
    more = ["--batches", "1", "--extractor", "toy_extractor:tiny_extractor"]
    assert adapter_figures.main([str(model), str(tmp_path / "look"), *flags, *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["auc"] <= 1 and 0 <= found["auc_elsewhere"] <= 1
    assert found["loss"] != pytest.approx(found["loss_with_adapter"])
    assert found["bytes"] == file.stat().st_size and found["own"] == 8


def test_the_tutorials_flags_are_known() -> None:
    page = Path(adapter_figures.__file__).parents[1] / "docs" / "tutorial-own-look.md"
    (command,) = (code for code in blocks(page.read_text(), "sh") if "adapter_figures" in code)
    flags = adapter_figures.read_flags(shlex.split(command.replace("\\\n", " "))[2:])
    assert (flags.model, flags.adapter) == ("fashion-192x256", "runs/kestrel")
