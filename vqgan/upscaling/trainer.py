"""The upscaler's recipe: reconstructions of photographs learn to look like the photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ufc_base.checkpoint import CheckpointError
from ufc_base.data.datasets import DataError
from ufc_base.data.opening import open_training_set, open_validation_set, streamed, tell
from ufc_base.files import write_atomically
from ufc_base.images import to_uint8
from ufc_base.publishing.upload import make_repository, push_result
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import Source, WeightAverage, held_rate_scale, train
from ufc_base.training.metrics_log import MetricsLog
from ufc_base.training.processes import Engine, load_optimizer, load_weights, save_memory, whole
from ufc_base.training.run_settings import kept
from vqgan.cards import upscaler_card
from vqgan.model import VQGAN, tokenizer_folder
from vqgan.training.data import Ahead
from vqgan.training.export import load_averages, read_averages
from vqgan.training.losses import perceived, reconstruction_loss
from vqgan.training.trainer import perceptual_distance
from vqgan.upscaling.config import UpscalerTrainConfig
from vqgan.upscaling.data import Crops, Pair, Pairs
from vqgan.upscaling.metrics import enlargement_report, plain_reports
from vqgan.upscaling.model import ResidualBlock, Upscaler, UpscalerConfig, bicubic

SHOWN = 6  # pictures on a sheet


class UpscalerTrainer:
    """The state of a run: model, averages, optimiser."""

    def __init__(self, config: UpscalerTrainConfig, engine: Engine | None = None) -> None:
        self.config = config
        self.engine = engine = engine or make_engine(config)
        self.device = engine.device
        torch.manual_seed(config.seed)
        self.model = start_model(config).to(self.device).train()
        if engine.sharded:  # FSDP takes no weights in channels-last order
            self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if config.gradient_checkpointing:
            save_memory(self.model, (ResidualBlock,))
        self.perceptual = perceptual_distance(config.perceptual_net, self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0,
            fused=True,
        )  # fmt: skip
        self.upscaler = engine.prepare(self.model, self.optimizer)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.step = 0

    def train_step(self, pair: Pair, progress: float) -> dict[str, Any]:
        """One step on this process's crops; returns values for the log."""
        config, count = self.config, self.config.gradient_accumulation_steps
        rate = config.learning_rate * held_rate_scale(
            self.step, config.lr_warmup_steps, progress, config.lr_decay_start
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        logs: list[dict[str, Tensor]] = []
        parts = [one.to(self.device).chunk(count) for one in pair]
        for number, (x, target) in enumerate(zip(*parts, strict=True), 1):
            with self.engine.accumulating(self.upscaler, more=number < count):
                loss, log = self.loss(self.upscaler(x), target)
                self.engine.backward(loss / count)
            logs.append(log | {"loss": loss.detach()})
        values: dict[str, Any] = {n: torch.stack([log[n] for log in logs]).mean() for n in logs[0]}
        values["grad_norm"] = self.engine.clip(self.model.parameters())
        self.step += 1
        if not self.engine.finite(values["loss"], values["grad_norm"]):
            return {"skipped": True}
        self.optimizer.step()
        self.average.update(self.model)
        return values | {"lr": rate}

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of what is wrong with crops, and its parts that count."""
        weights = self.config.loss_weights()
        perceive = self.perceive if self.perceptual is not None and weights.perceptual else None
        loss, parts = reconstruction_loss(
            target.contiguous(), y.float().contiguous(), perceive, weights
        )
        return loss, {name: value for name, value in parts.items() if getattr(weights, name)}

    def perceive(self, y: Tensor, x: Tensor) -> Tensor:
        """LPIPS of two batches in the run's precision, at the step's size."""
        assert self.perceptual is not None
        smallest, seed = self.config.perceptual_scale, self.config.seed
        return perceived(self.perceptual, self.engine, y, x, smallest, seed, self.step)

    def averaged_model(self) -> Upscaler:
        """A copy of the model with the averaged weights, for validation and export."""
        model = Upscaler(self.model.config)
        model.load_state_dict(whole(self.average.shadow))
        return model.to(self.device).eval()

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in STATEFUL}
        return whole(parts) | {
            "config": self.model.config.to_dict(),
            "step": self.step,
            "upscaler": True,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_weights(self.model, state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.step = state["step"]


STATEFUL = ("model", "optimizer", "average")


def start_model(config: UpscalerTrainConfig) -> Upscaler:
    """A fresh model, or the one to go on from, which brings its own sizes."""
    if config.init_from:
        return Upscaler.from_pretrained(config.init_from)
    return Upscaler(config.model_config())


def make_engine(config: UpscalerTrainConfig) -> Engine:
    """Raises `ValueError` for settings that there are not."""
    return Engine(config.device, config.mixed_precision, config.sharding, (ResidualBlock.__name__,))


def load_tokenizer(name: str) -> VQGAN:
    """The tokenizer of its own folder, or of a model's, frozen.

    Raises:
        CheckpointError: there is none, or it is unsound.
    """
    return VQGAN.from_pretrained(tokenizer_folder(name)).requires_grad_(False)


def open_pairs(
    config: UpscalerTrainConfig, engine: Engine, tokenizer: VQGAN
) -> tuple[Pairs, Pairs]:
    """The pairs to learn from, and those to measure by: the same, where none are held out.

    Raises:
        DataError: they cannot be used.
    """
    if streamed(config) is not None:
        raise DataError(
            f"{config.training_data}: an upscaler's photographs are not read in passing, since "
            "their reconstructions are made first: give local shards and --no-streaming"
        )
    output, quiet = Path(config.output_dir), not engine.first
    fit = config.fit or tokenizer.config.fit

    def pairs_of(samples: Any, file: str) -> Pairs:
        def say(line: str) -> None:
            if not quiet:
                tell(config, [line])

        return Pairs.build(tokenizer, samples, output / file, fit, say)

    training = open_training_set(config, engine)
    with engine.first_alone():
        pairs = pairs_of(training, "reconstructions.safetensors")
        held_out = pairs
        if config.held_out_data:
            held_out = pairs_of(open_validation_set(config), "reconstructions-val.safetensors")
    return pairs, held_out


def check_crops(config: UpscalerTrainConfig, tokenizer: VQGAN) -> None:
    """Raise `ValueError` where the crops are larger than the pictures."""
    if config.crop_pixels > min(tokenizer.config.size):
        height, width = tokenizer.config.size
        raise ValueError(
            f"crop_pixels is {config.crop_pixels}, but the tokenizer's pictures have "
            f"{width} x {height} pixels: wanted {min(height, width)} or less"
        )


def main(config: UpscalerTrainConfig) -> Path:
    """Train, and write the averaged upscaler in half precision to `output_dir`, which it returns.

    Raises:
        DataError: unusable data, or without a photograph of twice the tokenizer's size.
        CheckpointError: an unusable tokenizer or checkpoint.
        Stopped: by SIGINT or SIGTERM, after a checkpoint has been written.
        Diverged: losses or weights are not finite.
    """
    output = Path(config.output_dir)
    engine = make_engine(config)
    Checkpoints(output).begin(config.resume_from_checkpoint, config if engine.first else None)
    tokenizer = load_tokenizer(config.tokenizer).to(engine.device)
    check_crops(config, tokenizer)
    pairs, held_out = open_pairs(config, engine, tokenizer)
    trainer = UpscalerTrainer(config, engine)
    places = engine.slice(config.train_batch_size, config.gradient_accumulation_steps)
    source: Source = Crops(pairs, config, places)
    if engine.device.type == "cuda" and config.data_workers:
        source = Ahead(source, config.data_workers)
    validation = Validation(trainer, held_out, output)

    def validate_now(log: MetricsLog) -> None:
        model = trainer.averaged_model()
        if engine.first:
            validation.run(model, log)

    if engine.first:
        make_repository(config)
    train(trainer, source, config, engine, validate_now)
    model = trainer.averaged_model()
    if engine.first:
        model.save_pretrained(output, torch.float16)
        push_result(
            config,
            lambda folder: model.save_pretrained(folder, torch.float16),
            lambda name: upscaler_card(model, name, kept(config)),
        )
    engine.wait()
    return output


class Validation:
    """Measures on held-out pictures, and a sheet of some of them; plain enlargements once."""

    def __init__(self, trainer: UpscalerTrainer, pairs: Pairs, output: Path) -> None:
        self.trainer, self.pairs, self.output = trainer, pairs, output
        self.indices = range(min(len(pairs), trainer.config.validation_pictures))
        self.plain: dict[str, float] = {}

    def run(self, model: Upscaler, log: MetricsLog) -> None:
        trainer, device = self.trainer, self.trainer.device
        given = self.pairs, trainer.perceptual, self.indices, device
        self.plain = self.plain or plain_reports(*given)
        values = enlargement_report(model.enlarge, *given) | self.plain
        log.write(trainer.step, **{f"val_{name}": value for name, value in values.items()})
        sheet = self.sheet(model)
        log.pictures(trainer.step, {"previews/enlargements": sheet})
        path = self.output / f"grid-{trainer.step:06d}.png"
        write_atomically(path, lambda file: sheet.save(file, "PNG"))

    def sheet(self, model: Upscaler) -> Image.Image:
        """Bicubic enlargements, the upscaler's, and the photographs, in rows."""
        small, large = self.pairs.batch(self.indices[:SHOWN], self.trainer.device)
        rows = [torch.cat(list(x), -1) for x in (bicubic(small), model.enlarge(small), large)]
        return Image.fromarray(to_uint8(torch.cat(rows, -2)[None])[0])


def export_upscaler(
    config: UpscalerTrainConfig, checkpoint: Path, dtype: torch.dtype | None = None
) -> Path:
    """Write a checkpoint's averaged upscaler to `config.output_dir`, and return that folder.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    state = read_averages(checkpoint, config.output_dir, "an upscaler", "upscaler")
    try:
        sizes = UpscalerConfig.from_dict(state.get("config", {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: its sizes are damaged ({error})") from error
    model = Upscaler(sizes)
    load_averages(model, state)
    model.save_pretrained(config.output_dir, dtype)
    return Path(config.output_dir)
