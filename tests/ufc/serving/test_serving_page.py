"""The Python of docs/serving.md runs, and what it says of flags and fields is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import make_pipeline, picture
from PIL import Image
from readme_commands import blocks

openai = pytest.importorskip("openai")
for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

from toy_server import running  # noqa: E402

from ufc.cli.serve import ServeFlags  # noqa: E402
from ufc.serving.bodies import json_body  # noqa: E402

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(1, (40, 40)).save("shirt.png")
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save("mask.png")
    pipe = make_pipeline()
    pipe.defaults["num_inference_steps"] = 4
    with running(pipe, keys=("one",)) as server:
        for code in blocks(PAGE, "python"):
            exec(code.replace("http://127.0.0.1:8000", server.url), {})
    assert Image.open("bag.png").size == (16, 16) and Image.open("edited.png").size == (40, 40)
    assert "image_generation.partial_image 0" in capsys.readouterr().out


def test_flags_and_fields_exist() -> None:
    flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z][a-z-]+)", PAGE)}
    # docker's, everybody's, the benchmark's, the example's
    others = {"target", "profile", "help", "soak", "requests", "rounds", "flags", "replicas"}
    assert flags - others <= set(ServeFlags.__dataclass_fields__)
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE.partition("## Edit")[0], re.MULTILINE)
    fields = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert len(fields) > 20 and fields <= set(json_body().model_fields)
