"""Second-stage recipe: train transformer and estimators on a tokenizer's codes."""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ufc.bank import PictureBank, draw_canvases
from ufc.data import Batches, CodeCache, ControlOdds, TrainBatch, training_texts
from ufc.gallery import contact_sheet
from ufc.guidance import alike_codes
from ufc.objectives import CodeLoss, code_loss, estimator_batch, estimator_loss, text_loss
from ufc.pipeline import DEFAULTS, UFCPipeline
from ufc.recipe import TrainConfig
from ufc.store import resolve_model
from ufc.text import TextTokenizer
from ufc.transformer import UFCConfig, UFCTransformer
from vqgan.data import DataError, Pixels, Samples, open_dataset
from vqgan.loop import Checkpoints, Clock, MetricsLog, WeightAverage, learning_rate_scale
from vqgan.model import VQGAN
from vqgan.quantizer import code_neighbours
from vqgan.train import pick_device

BANK_PICTURES = 512
STATEFUL = ("model", "optimizer", "average", "bank")


class Trainer:
    """The state of a run: model, averages, optimiser."""

    def __init__(self, config: TrainConfig, tokenizer: VQGAN, text: TextTokenizer) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = pick_device(config.device)
        self.model = start_model(config, tokenizer, text).to(self.device).train()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay),
            config.learning_rate,
            betas=(0.9, 0.96),
            fused=True,
        )
        self.average = WeightAverage(self.model, config.ema_decay)
        codebook_VD = tokenizer.quantize.codebook().detach().to(self.device)
        self.neighbours = code_neighbours(codebook_VD, max(1, config.alike_codes))
        self.alike = alike_codes(codebook_VD)
        self.bank = PictureBank(BANK_PICTURES)
        self.precision = mixed_precision(config.mixed_precision, self.device)
        self.step = 0

    def train_step(self, batch: TrainBatch, progress: float) -> dict[str, Any]:
        """One optimiser step; returns values for the log."""
        config = self.config
        scale = learning_rate_scale(self.step, config.lr_warmup_steps, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * scale
        with self.precision():
            found = code_loss(self.model, batch, config.label_smoothing, self.neighbours)
            loss = found.loss
            values: dict[str, Any] = {"code_loss": found.loss.detach()}
            told = text_loss(self.model, found.prefix, batch.text_labels)
            if told is not None:
                loss = loss + config.text_weight * told
                values["text_loss"] = told.detach()
            if progress >= config.estimator_start and self.step % config.estimator_steps == 0:
                estimated, log = self.estimate(batch, found)
                loss = loss + config.estimator_weight * estimated
                values |= log
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        values["grad_norm"] = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        return values | accuracy_by_ratio(batch, found) | {"lr": config.learning_rate * scale}

    def estimate(self, batch: TrainBatch, found: CodeLoss) -> tuple[Tensor, dict[str, float]]:
        """Loss of the two estimators on a part of the batch and on pictures drawn of late."""
        config, model = self.config, self.model
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        count = min(config.estimator_samples, len(batch.items))
        asked = batch.items[-config.estimator_pictures :]
        self.bank.add(draw_canvases(model, asked, self.alike, generator), asked)
        drawn_BT, drawn_items = self.bank.sample(count, generator)
        canvases = estimator_batch(
            batch, found.logits_NV, drawn_BT, drawn_items, model.config.codes, generator, count
        )
        compliance, fidelity, log = estimator_loss(self.model, canvases)
        return compliance + fidelity, log

    def averaged_model(self) -> UFCTransformer:
        """A copy of the model with the averaged weights."""
        model = UFCTransformer(self.model.config)
        model.load_state_dict(self.average.shadow)
        return model.to(self.device).eval()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in STATEFUL} | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]


def start_model(config: TrainConfig, tokenizer: VQGAN, text: TextTokenizer) -> UFCTransformer:
    """A fresh transformer, or the one to go on from."""
    if config.init_from:
        return UFCTransformer.from_pretrained(resolve_model(config.init_from) / "transformer")
    model = UFCTransformer(
        UFCConfig(
            codes=tokenizer.config.n_embed,
            code_width=tokenizer.config.embed_dim,
            text_vocabulary=text.size,
            grid=tokenizer.config.grid,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
            control_attention=config.control_attention,
        )
    )
    model.know_codebook(tokenizer.quantize.codebook().detach())
    return model


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def mixed_precision(name: str, device: torch.device) -> Any:
    """A context to run a step in; `auto` is bf16 where the machine multiplies it natively."""
    if name == "auto":
        native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        name = "bf16" if native else "no"
    if name == "no":
        return contextlib.nullcontext
    if name != "bf16":
        raise ValueError(f"mixed_precision is {name!r}; choose auto, bf16 or no")
    return lambda: torch.autocast(device.type, torch.bfloat16)


def accuracy_by_ratio(batch: TrainBatch, found: CodeLoss) -> dict[str, Tensor]:
    """Share of masked cells told right, by how much of the picture was masked.

    A healthy model on a few thousand codes is right on 5 to 15 % of the cells when all are
    masked and on 20 to 40 % when few are.
    """
    sizes_B = batch.masks_BT.sum(1)
    ratio_B = sizes_B / batch.masks_BT.shape[1]
    right_B = torch.stack([part.float().mean() for part in found.correct_N.split(sizes_B.tolist())])
    out: dict[str, Tensor] = {}
    for low, high in ((0.0, 0.35), (0.35, 0.7), (0.7, 1.01)):
        inside = (ratio_B >= low) & (ratio_B < high)
        if inside.any():
            out[f"accuracy_{low:.2f}"] = right_B[inside].mean()
    return out


class Averages:
    """Means of logged values between two lines of the log."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self.values[name].append(float(value))

    def take(self) -> dict[str, float]:
        means = {name: sum(found) / len(found) for name, found in self.values.items()}
        self.values.clear()
        return means


def load_text(config: TrainConfig, samples: Samples) -> TextTokenizer:
    """The vocabulary of the model to go on from, that of the run, or a new one."""
    if config.init_from:
        return TextTokenizer.load(resolve_model(config.init_from) / "tokenizer.json")
    stored = Path(config.output_dir) / "tokenizer.json"
    if stored.is_file() and config.resume_from_checkpoint:
        return TextTokenizer.load(stored)
    texts = training_texts(samples)
    if not texts:
        raise DataError(
            f"{config.train_data_dir} has no texts: give `text` (and `text_zh`) in metadata.jsonl "
            "or in the shards' JSON"
        )
    text = TextTokenizer.train(texts, config.text_vocabulary)
    stored.parent.mkdir(parents=True, exist_ok=True)
    text.save(stored)
    return text


def load_tokenizer(config: TrainConfig) -> VQGAN:
    """The first stage: a folder of `ufc train-tokenizer`, or a whole model by name or folder."""
    path = config.tokenizer or config.init_from
    if path is None:
        raise DataError("no tokenizer: give --tokenizer, the output folder of train-tokenizer")
    folder = Path(path)
    if not (folder / "config.json").is_file():
        folder = resolve_model(path) / "tokenizer"
    return VQGAN.from_pretrained(folder)


def main(config: TrainConfig) -> Path:
    """Train, and write a whole model folder to `output_dir`. Returns that folder.

    Raises `DataError` for unusable data and `CheckpointError` for an unusable checkpoint.
    """
    output = Path(config.output_dir)
    tokenizer = load_tokenizer(config)
    samples = open_dataset(config.train_data_dir)
    text = load_text(config, samples)
    trainer = Trainer(config, tokenizer, text)
    batches = make_batches(config, tokenizer, samples, text, output / "codes.safetensors", trainer)
    val = None
    if config.val_data_dir:
        held_out = open_dataset(config.val_data_dir)
        file = output / "codes-val.safetensors"
        val = make_batches(config, tokenizer, held_out, text, file, trainer)
    checkpoints = Checkpoints(output, config.checkpoints_total_limit)
    spent = 0.0
    if config.resume_from_checkpoint:
        state = checkpoints.load(config.resume_from_checkpoint)
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            spent = state["seconds"]
    log, averages = MetricsLog(output, sys.stderr), Averages()
    clock = Clock(config.max_train_steps, config.max_train_minutes, spent)
    while (progress := clock.progress(trainer.step)) < 1:
        averages.add(trainer.train_step(to_device(batches(trainer.step), trainer.device), progress))
        if trainer.step % config.logging_steps == 0:
            rate = trainer.step * config.train_batch_size / clock.seconds
            log.write(
                trainer.step,
                **averages.take(),
                samples_per_second=rate,
                minutes=clock.seconds / 60,
            )
        if trainer.step % config.checkpointing_steps == 0:
            checkpoints.save(
                trainer.step, {"trainer": trainer.state_dict(), "seconds": clock.seconds}
            )
        if trainer.step % config.validation_steps == 0:
            validate(trainer, tokenizer, text, val, log, output)
    checkpoints.save(trainer.step, {"trainer": trainer.state_dict(), "seconds": clock.seconds})
    validate(trainer, tokenizer, text, val, log, output)
    export(trainer, tokenizer, text).save_pretrained(output)
    return output


def make_batches(
    config: TrainConfig,
    tokenizer: VQGAN,
    samples: Samples,
    text: TextTokenizer,
    file: Path,
    trainer: Trainer,
) -> Batches:
    """Encode a set (once) and draw batches from it."""
    cache = CodeCache.build(
        tokenizer.to(trainer.device),
        Pixels(samples, tokenizer.config.resolution),
        file,
        augmentations=config.augmentations,
        seed=config.seed,
    )
    return Batches(
        cache,
        samples,
        text,
        batch_size=config.train_batch_size,
        seed=config.seed,
        odds=ControlOdds(),
        neighbour_keys=config.neighbour_keys,
    )


def to_device(batch: TrainBatch, device: torch.device) -> TrainBatch:
    return TrainBatch(
        batch.codes_BT.to(device), batch.masks_BT.to(device), batch.items, batch.text_labels
    )


def export(trainer: Trainer, tokenizer: VQGAN, text: TextTokenizer) -> UFCPipeline:
    """The averaged model as a pipeline."""
    return UFCPipeline(tokenizer, trainer.averaged_model(), text, DEFAULTS)


@torch.no_grad()
def validate(
    trainer: Trainer,
    tokenizer: VQGAN,
    text: TextTokenizer,
    val: Batches | None,
    log: MetricsLog,
    output: Path,
) -> None:
    """Loss and accuracy on held-out batches, and a sheet of the fixed prompts."""
    pipeline = export(trainer, tokenizer, text)
    if val is not None:
        averages = Averages()
        for step in range(8):
            batch = to_device(val(step), trainer.device)
            found = code_loss(pipeline.transformer, batch, 0.0)
            generator = torch.Generator().manual_seed(step)
            count = len(batch.items)
            asked = batch.items[: min(8, count)]
            drawn_BT = draw_canvases(pipeline.transformer, asked, pipeline.alike, generator)
            codes = pipeline.transformer.config.codes
            canvases = estimator_batch(
                batch, found.logits_NV, drawn_BT, asked, codes, generator, count
            )
            compliance, fidelity, values = estimator_loss(pipeline.transformer, canvases)
            values |= {"code_loss": float(found.loss)}
            values |= {"compliance_loss": float(compliance), "fidelity_loss": float(fidelity)}
            averages.add(values | accuracy_by_ratio(batch, found))
        log.write(trainer.step, **{f"val_{name}": v for name, v in averages.take().items()})
    prompts = list(trainer.config.validation_prompts)
    if prompts:
        pictures = pipeline(prompts, seed=list(range(len(prompts)))).images
        contact_sheet(pictures, columns=len(pictures)).save(
            output / f"preview-{trainer.step:06d}.png"
        )
