"""How the trainers end: by a signal, by losses that are not finite, and what is then exported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toy_data import write_folder, write_shards
from toy_trainers import COMMANDS, Kind, toy_trainer
from toy_training import tokenizer_config

import vqgan.training.trainer as first_stage
from estimators.contradiction.verdicts import contradiction
from ufc.cli import main as cli
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.pipeline import UFCPipeline
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.stopping import Diverged, Stopped
from vqgan.model import VQGAN
from vqgan.upscaling.model import Upscaler

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "folder", 12)


@pytest.fixture(params=COMMANDS)
def kind(request: pytest.FixtureRequest, data: Path, model: Path) -> Kind:
    return toy_trainer(request.param, data, model)


@pytest.fixture
def at_step(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Any], None]:
    """Have something done to the trainer before a step."""

    def arrange(number: int, do: Callable[[Any], None]) -> None:
        step = kind.trainer.train_step  # type: ignore[attr-defined]

        def train_step(self: Any, *arguments: Any) -> Any:
            if self.step == number:
                do(self)
            return step(self, *arguments)

        monkeypatch.setattr(kind.trainer, "train_step", train_step)

    return arrange


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    inner = folder / "transformer" if (folder / "transformer").is_dir() else folder
    return load_file(inner / "model.safetensors")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def flags(config: Any) -> list[str]:
    """A configuration as it would be typed."""
    said = []
    for name, value in vars(config).items():
        for one in value if isinstance(value, tuple) else [value]:
            if one is not None and not isinstance(one, bool):
                said += ["--" + name.replace("_", "-"), str(one)]
    return said


def test_a_signal_is_a_checkpoint_a_line_an_exit_code_and_an_export(
    kind: Kind, at_step: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = kind.config(tmp_path / "run")

    def interrupt(trainer: Any) -> None:
        if trainer.config.output_dir == config.output_dir:
            os.kill(os.getpid(), signal.SIGTERM)

    at_step(4, interrupt)
    assert cli.main([kind.command, *flags(config)]) == 143
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("ufc: SIGTERM after step 5 of 8: ")
    assert (
        "checkpoint-5 is written; the same command with --resume-from-checkpoint latest"
        in (said[-1])
    )
    assert Checkpoints(tmp_path / "run").numbers() == [4, 5]

    exported = ["--export-from", str(tmp_path / "run"), "--output-dir", str(tmp_path / "half")]
    assert cli.main([kind.command, *exported, "--export-dtype", "fp16"]) == 0
    state = torch.load(tmp_path / "run" / "checkpoint-5" / "trainer.pt", weights_only=True)
    shadow = state["trainer"]["average"]["shadow"]
    found = weights_of(tmp_path / "half")
    for name, value in found.items():
        if value.is_floating_point() and name != "calibration":
            assert value.dtype == torch.float16
            torch.testing.assert_close(value, shadow[name].half(), msg=name)
    assert cli.main([kind.command, *exported]) == 2  # a model is there
    assert "holds a model already" in capsys.readouterr().err

    resumed = [*flags(config), "--resume-from-checkpoint", "latest"]
    assert cli.main([kind.command, *resumed]) == 0
    unbroken = kind.config(tmp_path / "unbroken")
    kind.main(unbroken)
    for name, value in weights_of(tmp_path / "unbroken").items():
        torch.testing.assert_close(weights_of(tmp_path / "run")[name], value, msg=name)


def test_what_is_exported_can_be_used(kind: Kind, at_step: Any, tmp_path: Path) -> None:
    at_step(5, lambda trainer: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped):
        kind.main(kind.config(tmp_path))
    checkpoint = tmp_path / "checkpoint-4"
    assert cli.main([kind.command, "--export-from", str(checkpoint)]) == 0  # into the run's folder
    if kind.command == "train":
        assert UFCPipeline.from_pretrained(tmp_path)("red bag", seed=0, num_inference_steps=2)
    elif kind.command == "train-tokenizer":
        assert VQGAN.from_pretrained(tmp_path).config.n_embed == 16
    elif kind.command == "train-upscaler":
        assert Upscaler.from_pretrained(tmp_path).config.width == 4
    elif kind.command == "train-contradiction":
        assert contradiction("red bag", "blue bag", tmp_path).overall.probability > 0
    else:
        estimator = ContrastiveEstimator.from_pretrained(tmp_path)
        assert estimator.embed_texts(["red bag"]).isfinite().all()
    wrong = "train" if kind.command != "train" else "train-tokenizer"
    assert cli.main([wrong, "--export-from", str(checkpoint), *needed(wrong, tmp_path)]) == 2
    assert cli.main([kind.command, "--export-from", str(tmp_path / "nothing")]) == 2


def needed(command: str, folder: Path) -> list[str]:
    return ["--train-data-dir", str(folder), "--output-dir", str(folder)]


def spoil_gradient(trainer: Any) -> None:
    """NaN in one weight's gradient, once."""
    weight = next(p for p in trainer.model.parameters() if p.requires_grad)
    handles: list[Any] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        handles.pop().remove()
        return gradient * torch.nan

    handles.append(weight.register_hook(spoil))


def test_a_loss_that_is_not_finite_skips_its_step(
    kind: Kind, at_step: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def note(trainer: Any) -> None:
        seen[trainer.step] = {n: p.clone() for n, p in trainer.model.state_dict().items()}

    at_step(4, spoil_gradient)
    at_step(4, note)
    at_step(5, note)
    kind.main(kind.config(tmp_path))
    assert "step 5 is skipped" in capsys.readouterr().err
    assert all(torch.equal(seen[5][name], value) for name, value in seen[4].items())
    assert rows(tmp_path)[4]["step"] == 5 and rows(tmp_path)[4]["skipped_steps"] == 1
    assert all(value.isfinite().all() for value in weights_of(tmp_path).values())


def test_a_run_that_diverges_keeps_the_last_good_checkpoint(
    kind: Kind, at_step: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(trainer: Any) -> None:
        with torch.no_grad():
            for weight in trainer.model.parameters():
                if weight.requires_grad:
                    weight.fill_(torch.nan)

    at_step(5, spoil)
    config = replace(kind.config(tmp_path / "a"), max_skipped_steps=1)
    with pytest.raises(Diverged, match=r"2 steps in a row, to step 7|not finite after step 6"):
        kind.main(config)
    assert Checkpoints(tmp_path / "a").numbers() == [2, 4]
    config = replace(kind.config(tmp_path / "b"), max_skipped_steps=1)
    assert cli.main([kind.command, *flags(config)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "checkpoint-4: go on from it with a lower learning rate" in last


def test_a_discriminator_whose_loss_is_not_finite_waits(data: Path, tmp_path: Path) -> None:
    config = tokenizer_config(
        data, tmp_path, max_train_steps=6, codebook_start=1, discriminator_start=0.0,
        logging_steps=1, mixed_precision="no",
    )  # fmt: skip
    trainer = first_stage.TokenizerTrainer(config)
    x = torch.rand(4, 3, 16, 16)
    values = trainer.discriminator_step([x], [x * torch.nan])
    assert values == {"skipped": True}
    assert "discriminator" in first_stage.TokenizerTrainer(config).discriminator_step([x], [-x])


@pytest.fixture
def process(data: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`ufc train-tokenizer` without end, in a process group of its own, past its first step."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
        config = tokenizer_config(
            folder, out, max_train_steps=100_000, logging_steps=1, checkpointing_steps=100_000,
            validation_steps=100_000, mixed_precision="no",
        )  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        one = subprocess.Popen(
            [sys.executable, "-m", "ufc", "train-tokenizer", *flags(config), *more],
            env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(one)
        log = out / "metrics.jsonl"
        end = time.monotonic() + 60
        while not (log.is_file() and log.stat().st_size) and time.monotonic() < end:
            assert one.poll() is None
            time.sleep(0.05)
        return one

    yield start
    for one in started:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)


def test_ctrl_c_for_the_whole_process_group_with_data_workers(process: Any, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 12)
    streamed = ("--streaming", "--stream-lanes", "2", "--stream-shuffle", "2")
    one = process(shards, tmp_path / "out", *streamed, "--data-workers", "2")
    os.killpg(one.pid, signal.SIGINT)
    said = one.communicate(timeout=60)[1]
    assert one.returncode == 130, said
    (step,) = Checkpoints(tmp_path / "out").numbers()
    assert f"ufc: SIGINT after step {step} of 100000" in said.splitlines()[-1]
    assert "Traceback" not in said
