"""Every recipe in `configs/` fits the trainer it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ufc.cli.training import read_recipe
from ufc.tasks.mixture import read_mixture
from ufc.training.conditioning_dropout import ControlOdds
from ufc.training.config import TrainConfig
from ufc.training.tasks.mixture import control_odds
from vqgan.training.config import TokenizerTrainConfig
from vqgan.upscaling.config import UpscalerTrainConfig

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("fashion-*.yaml")), ids=lambda path: path.name)
def test_recipe_fits_its_trainer(path: Path) -> None:
    first_stage = "tokenizer" in path.name or "decoder" in path.name
    kind: type = TokenizerTrainConfig if first_stage else TrainConfig
    kind = UpscalerTrainConfig if "upscaler" in path.name else kind
    values = read_recipe(str(path), kind)
    kind(**values)
    assert "#   ufc train" in path.read_text(), "a recipe states its command"


@pytest.mark.parametrize("kind", [TokenizerTrainConfig, TrainConfig, UpscalerTrainConfig])
def test_every_setting_has_a_help_text(kind: type) -> None:
    for name, field in kind.__dataclass_fields__.items():
        assert field.metadata.get("help", "").endswith("."), name


@pytest.mark.parametrize("mixture", sorted(CONFIGS.glob("tasks-*.yaml")))
def test_mixture_is_one_that_training_follows(mixture: Path) -> None:
    tasks = read_mixture(mixture)
    control_odds(tasks, ControlOdds())
    assert {task.plan.task for task in tasks} >= {"image", "captioning", "question", "grounding"}
