"""`--lora`: adapters of the command line, added into the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline
from toy_adapters import learnt

from ufc import adapters
from ufc.cli.main import main
from ufc.io.validation import RequestError
from ufc.requests.loading import ModelSettings, load
from ufc.requests.lora import WeighedAdapter

try:
    adapters.import_peft()
except ImportError as error:
    pytest.skip(f"PEFT cannot be imported: {error!s:.100}", allow_module_level=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(1, tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize(
    ("text", "where", "weight"),
    [
        ("a/b.safetensors", "a/b.safetensors", 1.0),
        ("a/b=0.5", "a/b", 0.5),
        ("name=with/b", "name=with/b", 1.0),
        ("name=with/b=-2", "name=with/b", -2.0),
    ],
)
def test_reading_a_flag(text: str, where: str, weight: float) -> None:
    assert WeighedAdapter.parse(text) == WeighedAdapter(where, weight)


@pytest.mark.parametrize("text", ["", "=1", "a=nan", "a=inf"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(RequestError, match="wanted FILE or FILE=WEIGHT"):
        WeighedAdapter.parse(text)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_adapters_are_in_the_weights_and_none_is_left(
    model: Path, adapter: Path, dtype: str
) -> None:
    without = load(ModelSettings(str(model), dtype=dtype))
    half = load(ModelSettings(str(model), dtype=dtype, lora=(f"{adapter}=0.5",)))
    there_and_back = load(
        ModelSettings(str(model), dtype=dtype, lora=(f"{adapter}", f"{adapter}=-1"))
    )

    def state(loaded: object) -> torch.Tensor:
        codes = torch.zeros(1, 16, dtype=torch.int64)
        with torch.no_grad():
            found: torch.Tensor = loaded.pipe.transformer(codes, None).target.float()  # type: ignore[attr-defined]
        return found

    assert not half.pipe.get_list_adapters()
    assert (state(half) - state(without)).abs().max() > 0.01
    assert torch.allclose(state(there_and_back), state(without), atol=0.05)
    assert str(adapter.parent) not in half.backend["lora"] and "*0.5" in half.backend["lora"]
    assert "lora" not in without.backend


def test_pictures_say_their_adapters_and_what_differs_is_told(
    model: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", str(model), "--dtype", "fp32"]
    first = tmp_path / "first"
    asked = ["generate", "--prompt", "a", "--seed", "1", "--lora", f"{adapter.parent}=0.5", *common]
    assert main([*asked, "--output-dir", str(first)]) == 0
    row = json.loads((first / "manifest.jsonl").read_text().splitlines()[0])
    assert row["backend"]["lora"].endswith("*0.5")
    capsys.readouterr()
    again = ["generate", "--prompts-file", str(first / "manifest.jsonl"), *common]
    assert main([*again, "--output-dir", str(tmp_path / "second")]) == 0
    assert "other lora" in capsys.readouterr().err
    assert main([*again, "--lora", f"{adapter}=0.5", "--output-dir", str(tmp_path / "third")]) == 0
    assert "other lora" not in capsys.readouterr().err
    (picture,) = first.glob("*.png")
    assert picture.read_bytes() == (tmp_path / "third" / picture.name).read_bytes()


def test_no_adapter_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["generate", "--prompt", "a", "--model", str(model), "--lora", str(tmp_path / "none")]
    assert main([*asked, "--output-dir", str(tmp_path / "out")]) == 2
    assert "there is no" in capsys.readouterr().err
