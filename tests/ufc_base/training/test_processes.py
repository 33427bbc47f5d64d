"""Two processes train as one does: the same losses with the same global batch."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_data import write_shards
from toy_training import model_config, tokenizer_config

import ufc.training.trainer
import vqgan.training.trainer
from ufc.pipeline import UFCPipeline
from ufc_base.training.processes import Engine

ROOT = Path(__file__).parents[3]
PROCESSES = 2
OF_TOKENIZER = ("loss", "grad_norm", "discriminator", "adaptive_weight", "val_psnr")
OF_MODEL = ("code_loss", "text_loss", "grad_norm")
OF_TASKS = ("text_target_loss", "grounding_loss", "grad_norm")
MIXTURE = "text-to-image: 1\ncaptioning: 0.4\nquestion-colour: 0.3\ngrounding: 0.4\n"

# Runs trainings one after another: a JSON list of [stage, settings] on the command line.
TRAIN = """
import json, sys
import ufc.training.trainer, vqgan.training.trainer
from ufc.training.config import TrainConfig
from vqgan.training.config import TokenizerTrainConfig

for stage, settings in json.loads(sys.argv[1]):
    if stage == "tokenizer":
        vqgan.training.trainer.main(TokenizerTrainConfig(**settings))
    else:
        ufc.training.trainer.main(TrainConfig(**settings))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(*runs: tuple[str, Any]) -> None:
    """Train with two processes, as `torchrun --nproc-per-node 2` would start them."""
    port = str(free_port())
    wanted = json.dumps([(stage, vars(config)) for stage, config in runs])
    processes = []
    for rank in range(PROCESSES):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES),
            "LOCAL_WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", TRAIN, wanted], env=environment, stderr=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
    told = [process.communicate(timeout=300)[1] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(told)[-4000:]


def logged(folder: Path, name: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("data") / "shards", 24, shards=4)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of this file: `one` process, `two`, and `parts` of a batch one after another."""
    out = tmp_path_factory.mktemp("runs")

    def first(name: str, **changes: object) -> Any:
        settings = {"max_train_steps": 7, "codebook_start": 2, "logging_steps": 1,
                    "mixed_precision": "no"} | changes  # fmt: skip
        return tokenizer_config(data, out / name, **settings)

    def second(name: str, **changes: object) -> Any:
        settings = {"estimator_start": 1.0, "max_train_steps": 6, "logging_steps": 1, "seed": 126,
                    "validation_prompts": (), "checkpointing_steps": 4, "mixed_precision": "no",
                    } | changes  # fmt: skip
        return model_config(data, out / "tokenizer-one", out / name, **settings)

    (out / "mixture.yaml").write_text(MIXTURE)  # a part of a step may have no task of a kind
    tasks = {"tasks": str(out / "mixture.yaml"), "train_batch_size": 8}
    vqgan.training.trainer.main(first("tokenizer-one"))
    # Batch normalisation and the adaptive weight are of a part of a batch: without them here.
    plain = {"discriminator_weight": 0.0, "discriminator_start": 2.0}
    parts = {"gradient_accumulation_steps": 2, "gradient_checkpointing": True}
    fsdp = {"sharding": "fsdp"}
    vqgan.training.trainer.main(first("plain-one", **plain))
    vqgan.training.trainer.main(first("plain-parts", **plain, **parts))
    ufc.training.trainer.main(second("model-one"))
    ufc.training.trainer.main(second("model-parts", **parts))
    ufc.training.trainer.main(second("tasks-one", **tasks))
    ufc.training.trainer.main(second("tasks-parts", **tasks, gradient_accumulation_steps=4))
    launch(
        ("tokenizer", first("tokenizer-two")),
        ("tokenizer", first("tokenizer-fsdp", **fsdp)),
        ("model", second("model-two-parts", **parts)),
        ("model", second("model-fsdp-parts", **parts, **fsdp)),
        ("model", second("tasks-two", **tasks)),
        ("model", second("tasks-fsdp", **tasks, **fsdp)),
        ("model", second("estimators-two", estimator_start=0.0, max_train_steps=4)),
        ("model", second("estimators-fsdp", estimator_start=0.0, max_train_steps=4, **fsdp)),
    )
    shutil.copytree(out / "model-fsdp-parts" / "checkpoint-4", out / "model-resumed/checkpoint-4")
    shutil.copy(out / "model-one" / "tokenizer.json", out / "model-resumed")
    ufc.training.trainer.main(second("model-resumed", resume_from_checkpoint="latest"))
    return out


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("tokenizer-one", "tokenizer-two", OF_TOKENIZER),
        ("tokenizer-one", "tokenizer-fsdp", OF_TOKENIZER),
        ("plain-one", "plain-parts", ("loss", "grad_norm", "restarted")),
        ("model-one", "model-parts", OF_MODEL),
        ("model-one", "model-two-parts", OF_MODEL),
        ("model-one", "model-fsdp-parts", OF_MODEL),
        ("tasks-one", "tasks-parts", OF_TASKS),
        ("tasks-one", "tasks-two", OF_TASKS),
        ("tasks-one", "tasks-fsdp", OF_TASKS),
    ],
)
def test_losses_are_those_of_one_process_and_one_batch(
    runs: Path, one: str, other: str, names: tuple[str, ...]
) -> None:
    for name in names:
        expected = logged(runs / one, name)
        assert expected, name
        assert logged(runs / other, name) == pytest.approx(expected, abs=1e-4, rel=1e-4), name


def test_one_process_goes_on_with_what_two_began(runs: Path) -> None:
    expected = logged(runs / "model-one", "code_loss")[4:]
    found = logged(runs / "model-resumed", "code_loss")
    assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("kind", ["two", "fsdp"])
def test_estimators_learn_on_two_processes(runs: Path, kind: str) -> None:
    assert logged(runs / f"estimators-{kind}", "fidelity_accuracy")
    pipeline = UFCPipeline.from_pretrained(runs / f"estimators-{kind}")
    assert pipeline("red bag", seed=0, num_inference_steps=2).images


def test_a_batch_that_cannot_be_shared_is_named() -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        Engine("cpu").slice(8, parts=3)


@pytest.mark.parametrize("wrong", [{"sharding": "both"}, {"mixed_precision": "fp8"}])
def test_unknown_names_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="choose one of"):
        Engine("cpu", **wrong)
