"""Everything in examples/ runs: scripts by `--smoke`, notebooks cell by cell, with a tiny model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import make_pipeline
from example_files import FOLDER, example_files, load_example, run_notebook
from PIL import Image

# What an example needs beyond what generating does, where it needs something.
NEEDS = {
    "dreambooth.py": ("peft",),
    "own_look.ipynb": ("peft",),
    "ray_batch.py": ("ray",),
    "replicas.py": ("fastapi", "uvicorn", "prometheus_client", "httpx"),
}


@contextmanager
def in_threads(ports: Sequence[int], flags: Sequence[str]) -> Iterator[list[str]]:
    """Servers of the tiny model, as `replicas.started` has them as processes (the nightly run)."""
    from toy_server import running

    with ExitStack() as stack:
        yield [stack.enter_context(running(make_pipeline())).url for _ in ports]


@pytest.mark.parametrize("file", example_files(), ids=lambda file: file.name)
def test_an_example_runs(
    file: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NEEDS.get(file.name, ()):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))  # a kernel finds what lies beside its notebook
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if file.suffix == ".ipynb":
        monkeypatch.setenv("UFC_SMOKE", "1")
        monkeypatch.setenv("UFC_MODEL", str(model))
        shown = run_notebook(file)
        assert sum(isinstance(one, Image.Image) for one in shown) >= 4
    else:
        assert file.suffix == ".py", f"examples are scripts and notebooks; what is {file.name}?"
        example = load_example(file.stem)
        if file.name == "replicas.py":
            monkeypatch.setattr(example, "started", in_threads)
        assert example.main(["--smoke", "--model", str(model)]) == 0
