"""diffusers itself, where it is installed: its parameters, and that it loads what is saved here."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import parity
import pytest
import torch
from conftest import make_pipeline

from ufc import UFCPipeline
from ufc.captioning.known_tasks import KnownTasks

try:
    parity.import_diffusers().AmusedPipeline  # noqa: B018  # needs transformers too
except (ImportError, RuntimeError, AttributeError) as error:
    pytest.skip(f"diffusers cannot be imported: {error!s:.100}", allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent.parent
OURS = {
    "constructor": UFCPipeline.__init__,
    "from_pretrained": UFCPipeline.from_pretrained,
    "call": UFCPipeline.__call__,
}


@pytest.fixture(scope="module")
def diffusers() -> Any:
    return parity.import_diffusers()


@pytest.fixture(scope="module")
def found(diffusers: Any) -> list[parity.Row]:
    return parity.rows()


def test_every_parameter_is_judged() -> None:
    """Other versions may lack some; in the page's own, no judgement is of what is not there."""
    judged = {(place, name) for place, names in parity.JUDGED.items() for name in names}
    there = {(place, name) for place in parity.PLACES for name in parity.parameters(place)}
    assert not there - judged
    if parity.writes_the_page():
        assert there == judged - parity.OF_OLDER_VERSIONS


def test_what_is_the_same_is_there_and_what_is_not_is_explained(found: list[parity.Row]) -> None:
    for row in found:
        taken = inspect.signature(OURS[row.place]).parameters
        if row.verdict == parity.SAME:
            assert row.name in taken, f"{row.place}: {row.name}"
        else:
            assert row.remark, f"{row.place}: {row.name} wants a reason"
        if row.verdict == parity.NOT_HERE:
            assert row.name not in taken, f"{row.place}: {row.name} is taken, so it applies"


def test_every_method_is_judged_and_taken_as_there(diffusers: Any) -> None:
    assert set(parity.methods()) == set(parity.METHODS)
    left_out = {name for name, (verdict, _) in parity.JUDGED["from_pretrained"].items()
                if verdict == parity.NOT_HERE}  # fmt: skip
    for name, (verdict, _) in parity.METHODS.items():
        theirs = getattr(diffusers.DiffusionPipeline, name, None)
        if verdict != parity.SAME or not inspect.isroutine(theirs):
            continue
        named = {
            one.name
            for one in inspect.signature(theirs).parameters.values()
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        }
        taken = inspect.signature(getattr(UFCPipeline, name)).parameters
        assert named - left_out <= taken.keys(), name


def test_nine_in_ten_are_the_same(found: list[parity.Row]) -> None:
    assert parity.share_of_same(found) >= 0.9


def test_the_page_is_what_the_script_writes(found: list[parity.Row]) -> None:
    if not parity.writes_the_page():
        pytest.skip(f"the page is that of diffusers {parity.VERSION}")
    written = (ROOT / "docs" / "diffusers.md").read_text(encoding="utf-8")
    assert written == parity.page(found, parity.method_rows()), (
        "run python scripts/parity.py docs/diffusers.md"
    )


class TestLoading:
    @pytest.fixture(autouse=True)
    def modules(self, diffusers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Code of model folders is kept for the test alone."""
        kept = "diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE"
        monkeypatch.setattr(kept, str(tmp_path / "modules"))
        monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    @pytest.mark.parametrize("by", ["trust_remote_code", "custom_pipeline"])
    def test_a_saved_folder(self, diffusers: Any, tmp_path: Path, by: str) -> None:
        own = make_pipeline()
        own.tasks = KnownTasks(domain={"en": ["bag"]})
        own.save_pretrained(tmp_path / "bags")
        how = {"custom_pipeline": str(tmp_path / "bags")} if by == "custom_pipeline" else {}
        loaded = diffusers.DiffusionPipeline.from_pretrained(
            str(tmp_path / "bags"), trust_remote_code=True, **how
        )
        assert isinstance(loaded, UFCPipeline) and isinstance(loaded, diffusers.DiffusionPipeline)
        assert loaded.name == "bags" and loaded.defaults == own.defaults
        assert loaded.tasks == own.tasks
        given = {"num_inference_steps": 2, "seed": 1}
        assert torch.equal(loaded("bag", **given).codes, own("bag", **given).codes)
        shared = type(loaded).from_pipe(loaded)
        assert type(shared) is type(loaded) and shared.transformer is loaded.transformer
        assert shared.name_or_path == "bags" and shared.defaults == loaded.defaults
        loaded.enable_vae_slicing()
        assert loaded.low_mem and loaded("bag", **given).steps == [2]
        assert loaded.to(torch.bfloat16).dtype == torch.bfloat16
        loaded.save_pretrained(tmp_path / "again")
        assert UFCPipeline.from_pretrained(tmp_path / "again").grid == own.grid

    def test_in_another_precision(self, diffusers: Any, tmp_path: Path) -> None:
        make_pipeline().save_pretrained(tmp_path / "half")
        there = parity.parameters("from_pretrained")
        half = {"dtype" if "dtype" in there else "torch_dtype": torch.float16}
        loaded = diffusers.DiffusionPipeline.from_pretrained(
            str(tmp_path / "half"), trust_remote_code=True, **half
        )
        assert loaded.precision == "fp16" and loaded.dtype == torch.float16
        assert next(loaded.tokenizer.parameters()).dtype == torch.float32
