"""The Python of the tutorials and of the page of tasks runs, and does what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_pipeline, picture
from PIL import Image
from readme_commands import blocks

from ufc import adapters
from ufc.captioning.known_tasks import KnownTasks
from ufc.pipeline import UFCPipeline
from ufc.tasks.mixture import builtin_tasks

DOCS = Path(__file__).parent.parent / "docs"
ADDRESSES = ("http://127.0.0.1:8000", "http://ADDRESS:8000")


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UFCPipeline:
    """The tiny pipeline, which says of itself that it knows what the bundled one does; its folder
    has the pictures that the pages name."""
    made = make_pipeline()
    made.defaults["num_inference_steps"] = 2
    names = ("captioning", "question-colour")
    made.tasks = KnownTasks(
        {name: str(builtin_tasks()[name].instruction) for name in names},
        {"colour": ["Red", "Blue"]},
    )
    monkeypatch.setattr(UFCPipeline, "from_pretrained", lambda *_, **__: made)
    monkeypatch.chdir(tmp_path)
    picture(1).save("shirt.png")
    picture(2, (24, 24)).save("bag.png")
    picture(3, (48, 64)).save("photo.jpg")
    return made


def run(page: str, url: str = "") -> None:
    """Run a page's Python from top to bottom, with the server at this address."""
    names: dict[str, Any] = {}
    for code in blocks((DOCS / f"{page}.md").read_text(encoding="utf-8"), "python"):
        for address in ADDRESSES:
            code = code.replace(address, url)
        exec(code, names)


def pixels(name: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(name).convert("RGB"))


def needs_a_server() -> Any:
    for needed in ("fastapi", "uvicorn", "prometheus_client", "httpx", "openai"):
        pytest.importorskip(needed)
    from toy_server import running

    return running


def test_every_task(pipe: UFCPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    with needs_a_server()(pipe, keys=("one",)) as server:
        run("tasks", server.url)
    assert np.array_equal(pixels("inpainted.png")[:8], pixels("shirt.png")[:8])
    assert not np.array_equal(pixels("inpainted.png"), pixels("shirt.png"))
    assert pixels("wider.png").shape == (16, 32, 3)
    assert np.array_equal(pixels("wider.png")[:, 8:24], pixels("shirt.png"))
    assert re.search(r"^(Red|Blue) 0\.\d+$", capsys.readouterr().out, re.MULTILINE)
    for made in ("shirt-1", "green", "like-the-bag", "look-2", "served"):
        assert Path(f"{made}.png").is_file()


def test_the_first_picture(pipe: UFCPipeline) -> None:
    with needs_a_server()(pipe, keys=("a-long-secret",)) as server:
        run("tutorial-first-picture", server.url)
    assert np.array_equal(pixels("changed.png")[8:], pixels("bag.png")[8:])
    assert not np.array_equal(pixels("changed.png"), pixels("bag.png"))
    assert pixels("top.png").shape == pixels("served-1.png").shape == (16, 16, 3)


def test_a_look_of_ones_own(pipe: UFCPipeline) -> None:
    try:
        adapters.import_peft()
    except ImportError as error:
        pytest.skip(f"PEFT cannot be imported: {error!s:.100}")
    from toy_adapters import learnt

    learnt(1, Path("runs/kestrel"))
    run("tutorial-own-look")
    assert not np.array_equal(pixels("kestrel.png"), pixels("weaker.png"))
    assert pipe.get_list_adapters() == {}
    merged = pipe("handbag by kestrel", seed=1).images[0]
    assert np.array_equal(np.asarray(merged), pixels("kestrel.png"))
    assert Path("kestrel-model/model_index.json").is_file()
