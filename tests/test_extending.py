"""What a newcomer adds, added here as a toy in one class and used from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli_helpers import manifest
from conftest import make_pipeline
from torch import Tensor
from toy_data import write_folder
from toy_training import model_config

import ufc.training.trainer
from estimators.base import ESTIMATORS, REAL, Estimator, Examples, label_where, register_estimator
from ufc.evaluation.ablation import variants
from ufc.pipeline import UFCPipeline
from ufc.sampling.orders import ORDERS, Order, StepView, register_order
from ufc.training.objectives import OBJECTIVES, Context, Objective, register_objective


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    before = [dict(registry) for registry in (ORDERS, ESTIMATORS, OBJECTIVES)]
    yield
    for registry, kept in zip((ORDERS, ESTIMATORS, OBJECTIVES), before, strict=True):
        registry.clear()
        registry.update(kept)


def test_an_order_is_one_class(ufc, pipeline: UFCPipeline) -> None:  # type: ignore[no-untyped-def]
    @register_order
    class Raster(Order):
        name = "raster"
        summary = "row by row"

        def ratio(self, step: int, steps: int) -> float:
            return 1 - step / steps

        def keys(self, view: StepView) -> Tensor:
            return -torch.arange(view.locked_AT.shape[1]).float()[None, None]

        def eligible(self, view: StepView) -> Tensor:
            return view.pending_AT

    found = pipeline("red bag", order="raster", num_inference_steps=4, seed=0)
    steps = [block["step"] for block in found.provenance[0]]
    assert steps == sorted(steps) and set(steps) == {0, 1, 2, 3}  # kept from the top downwards
    code, _, _ = ufc("generate", "--prompt", "red bag", "--order", "raster")
    assert code == 0 and manifest()[0]["order"] == "raster"
    assert "raster" in {row.name for row in variants(24, 2, 2.0)}


def test_an_estimator_is_one_class_and_a_name_in_the_config(tmp_path: Path) -> None:
    @register_estimator
    class Finished(Estimator):
        name = "finished"
        sees_conditioning = False

        def labels(self, examples: Examples) -> Tensor:
            real = examples.of(REAL)
            return label_where(real & examples.complete, real & ~examples.complete)

    old = make_pipeline()
    old.save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    names = ("compliance", "fidelity", "finished")
    config = model_config(
        data, tmp_path / "old", tmp_path / "new", init_from=str(tmp_path / "old"),
        estimators=names, max_train_steps=4, estimator_steps=1,
    )  # fmt: skip
    pipeline = UFCPipeline.from_pretrained(ufc.training.trainer.main(config), dtype="fp32")
    assert pipeline.transformer.config.estimators == names
    curve = pipeline("red bag", order="pnag", num_inference_steps=2, seed=0).curves[0]
    assert {"step", *names} == set(curve[0])
    assert UFCPipeline.from_pretrained(tmp_path / "old").transformer.config.estimators == names[:2]


def test_an_objective_is_one_class_and_a_weight(tmp_path: Path) -> None:
    seen: list[int] = []

    @register_objective
    class Small(Objective):
        name = "small-bias"

        def loss(self, context: Context) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append(len(context.batch.items))
            loss = (context.model.code_bias - 1).square().mean()
            return loss, {"small_bias": loss.detach()}

    make_pipeline().save_pretrained(tmp_path / "old")
    data = write_folder(tmp_path / "data")
    config = model_config(data, tmp_path / "old", tmp_path / "new", max_train_steps=3)
    folder = ufc.training.trainer.main(replace(config, objectives=("small-bias=0.5",)))
    assert seen == [4, 4, 4]
    bias = UFCPipeline.from_pretrained(folder, dtype="fp32").transformer.code_bias
    assert bias.mean() > 0
    with pytest.raises(ValueError, match=r"no objective \['nothing'\]; choose from .*masked-words"):
        ufc.training.trainer.main(
            replace(config, objectives=("nothing=1",), output_dir=str(tmp_path / "other"))
        )
