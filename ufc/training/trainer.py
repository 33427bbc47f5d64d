"""Second-stage recipe: train transformer and estimators on a tokenizer's codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ufc.adapters import add_adapter
from ufc.conditioning.text import TextTokenizer
from ufc.io.contact_sheet import contact_sheet
from ufc.model.attention import resolve_backend
from ufc.model.blocks.block import Block
from ufc.model.blocks.experts import take_routing
from ufc.model.quantisation import check_compiler
from ufc.model.transformer import UFCTransformer
from ufc.pipeline import UFCPipeline
from ufc.tasks.attributes import BOX, TEXT
from ufc.tasks.mixture import Task
from ufc.training.batches import Batches, TrainBatch
from ufc.training.config import TrainConfig
from ufc.training.objectives import OBJECTIVES, Context, Objective
from ufc.training.objectives.autoregressive import next_codes
from ufc.training.objectives.base import AuxiliaryStep, Shares
from ufc.training.objectives.estimators import estimator_batch, estimator_losses
from ufc.training.objectives.grounded_blocks import grounded_blocks
from ufc.training.objectives.masked_codes import accuracy_by_ratio, code_loss
from ufc.training.objectives.text_targets import told_words
from ufc.training.outcome import publish, write_result
from ufc.training.replay_buffer import generate_canvases
from ufc.training.setup import (
    load_tokenizer,
    open_training,
    read_tasks,
    run_defaults,
    start_model,
    stored_batches,
    tasks_of_run,
    upscaler_of_run,
)
from ufc.training.tasks.mixture import autoregressive_share
from ufc_base.data.opening import open_validation_set
from ufc_base.files import write_atomically
from ufc_base.publishing.upload import make_repository
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import WeightAverage, learning_rate_scale, train
from ufc_base.training.metrics_log import Averages, MetricsLog
from ufc_base.training.processes import Engine, load_optimizer, load_weights, save_memory, whole
from ufc_base.training.trackers import preview_name
from vqgan.model import VQGAN
from vqgan.quantizer import neighbours_by_book


class StepLoss(nn.Module):
    """A step's losses as one forward pass, so that processes can share its gradients."""

    def __init__(self, model: UFCTransformer, config: TrainConfig, books_KVD: Tensor) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.neighbours = neighbours_by_book(books_KVD, max(1, config.alike_codes))
        self.weights = config.objective_weights()
        self.objectives = make_objectives(config, books_KVD)

    def forward(
        self,
        batch: TrainBatch,
        shares: Shares,
        auxiliary: AuxiliaryStep | None,
        progress: float = 0.0,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Loss of a part of a step, and values for the log; see `objectives.base.Context`."""
        take_routing(self.model)  # of passes that were run again for their gradient
        weight = self.config.code_weight
        found = code_loss(
            self.model, batch, self.config.label_smoothing, self.neighbours, learn=weight > 0
        )
        context = Context(self.model, batch, found, shares, auxiliary, progress)
        codes = shares.codes * found.loss
        values: dict[str, Any] = {"code_loss": codes.detach()}
        # Where codes are not learnt, a part that asks for nothing else has a gradient, too.
        loss = weight * codes if weight else 0 * self.model.embedding.weight.sum()
        for name, objective in self.objectives.items():
            learnt = objective.loss(context)
            if learnt is not None:
                loss = loss + self.weights[name] * learnt[0]
                values |= learnt[1]
        return loss, values | accuracy_by_ratio(batch, found)


def make_objectives(config: TrainConfig, books_KVD: Tensor) -> dict[str, Objective]:
    """The objectives that have a weight, by name.

    Raises:
        ValueError: there is none of a name.
    """
    names = [name for name, weight in config.objective_weights().items() if weight]
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise ValueError(f"there is no objective {unknown}; choose from {', '.join(OBJECTIVES)}")
    return {name: OBJECTIVES[name](config, books_KVD) for name in names}


class Trainer:
    """The state of a run: model, averages, optimiser."""

    def __init__(
        self,
        config: TrainConfig,
        tokenizer: VQGAN,
        text: TextTokenizer,
        engine: Engine | None = None,
    ) -> None:
        self.config = config
        self.engine = engine = engine or make_engine(config)
        self.device = engine.device
        torch.manual_seed(config.seed)
        self.model = adapted(start_model(config, tokenizer, text), config).to(self.device).train()
        self.model.lockstep = engine.sharded
        self.model.backend = resolve_backend(config.attention_backend, self.device.type)
        if config.compile:
            check_compiler(self.device)
        self.model.compiled_training = config.compile
        if config.gradient_checkpointing:
            save_memory(self.model, (Block,))
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay),
            config.learning_rate,
            betas=(0.9, 0.96),
            fused=True,
        )
        books_KVD = tokenizer.quantize.books().detach().to(self.device)
        core = StepLoss(self.model, config, books_KVD)
        self.objectives = core.objectives
        self.objective = engine.prepare(core, self.optimizer)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.step = 0

    def train_step(self, batch: TrainBatch, progress: float) -> dict[str, Any]:
        """One optimiser step on this process's samples; returns values for the log."""
        config = self.config
        scale = learning_rate_scale(self.step, config.lr_warmup_steps, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * scale
        # Dropout draws from torch's own stream: begun anew, a resumed run drops the same.
        torch.manual_seed(
            config.seed * 1_000_003 + self.step * self.engine.ranks.count + self.engine.ranks.rank
        )
        parts = batch.to(self.device).split(config.gradient_accumulation_steps)
        shares = self.shares(parts)
        self.optimizer.zero_grad(set_to_none=True)
        logs, total = [], torch.zeros((), device=self.device)
        for number, (part, own) in enumerate(zip(parts, shares, strict=True), 1):
            more = number < len(parts)
            with self.engine.accumulating(self.objective, more):
                auxiliary = None if more else self.auxiliary_step(progress)
                loss, log = self.objective(part, own, auxiliary, progress)
                self.engine.backward(loss)
            total = total + loss.detach()
            logs.append(log)
        values = merge(logs)
        values["grad_norm"] = self.engine.clip(self.model.parameters())
        if not self.engine.finite(total, values["grad_norm"]):
            self.step += 1
            return {"skipped": True}
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        return values | {"lr": config.learning_rate * scale}

    def shares(self, parts: list[TrainBatch]) -> list[Shares]:
        """Each part's shares of what the step asks for, times the processes.

        Gradients are means over the processes, hence the factor.
        """
        asked = [
            [float(part.masks_BT.sum()), part.masked_words, part.words_to_tell, len(part.box_tasks)]
            for part in parts
        ]
        own = torch.tensor(asked, dtype=torch.float64)
        total = self.engine.sum(own.sum(0).to(self.device)).cpu()
        there = (total > 0).tolist()
        shares = (own * self.engine.ranks.count / total.clamp_min(1)).tolist()
        return [
            Shares(
                row[0], *(x if some else None for x, some in zip(row[1:], there[1:], strict=True))
            )
            for row in shares
        ]

    def auxiliary_step(self, progress: float) -> AuxiliaryStep | None:
        """What the estimators learn in this step, if they do."""
        config, count = self.config, self.engine.ranks.count
        if progress < config.estimator_start or self.step % config.estimator_steps:
            return None
        return AuxiliaryStep(
            seed=config.seed * 1_000_003 + self.step,
            samples=max(min(4, config.estimator_samples), -(-config.estimator_samples // count)),
            pictures=-(-config.estimator_pictures // count),
        )

    def averaged_model(self) -> UFCTransformer:
        """A copy of the model with the averaged weights."""
        model = adapted(UFCTransformer(self.model.config), self.config)
        model.load_state_dict(whole(self.average.shadow))
        return model.to(self.device).eval()

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer")}
        return whole(parts) | {
            "average": self.average.state_dict(),
            "config": self.model.config.to_dict(),
            "objectives": self.engine.gather_objects(
                {name: one.state_dict() for name, one in self.objectives.items()}
            ),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_weights(self.model, state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.average.load_state_dict(state["average"])
        kept = state.get("objectives")  # by process
        if kept is None:  # of a run before objectives had names
            kept = [{"estimators": bank} for bank in state["banks"]]
        for name, values in kept[self.engine.ranks.rank % len(kept)].items():
            if name in self.objectives:
                self.objectives[name].load_state_dict(values)
        self.step = state["step"]


SUMMED = ("code_loss", "next_code_loss", "text_loss", "text_target_loss", "grounding_loss")


def merge(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """Values of a step from those of its parts: losses are shares and add up, others are means."""
    values: dict[str, Any] = {}
    for name in dict.fromkeys(name for log in logs for name in log):
        found = [log[name] for log in logs if name in log]
        summed = name in SUMMED
        values[name] = sum(found) if summed else sum(found) / len(found)
    return values


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only; what does not learn is left out."""
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def adapted(model: UFCTransformer, config: TrainConfig) -> UFCTransformer:
    """The model, with the adapter that alone is to learn, if one is."""
    if config.lora_rank:
        add_adapter(model, config.lora_rank, config.lora_alpha, config.lora_layers)
    return model


def make_engine(config: TrainConfig) -> Engine:
    """Raises `ValueError` for settings that there are not."""
    return Engine(
        config.device,
        config.mixed_precision,
        config.sharding,
        blocks=(Block.__name__,),
        partial=True,
    )


def main(config: TrainConfig) -> Path:
    """Train, and write a whole model folder to `output_dir`. Returns that folder.

    Raises `DataError` for unusable data and `CheckpointError` for an unusable checkpoint.
    """
    output = Path(config.output_dir)
    tokenizer = load_tokenizer(config)
    tasks = read_tasks(config)
    check_learns(config, tasks)
    share = autoregressive_share(tasks)
    if share:
        config = replace(config, autoregressive_share=share)
    engine = make_engine(config)
    Checkpoints(output).begin(config.resume_from_checkpoint, config if engine.first else None)
    tokenizer.to(engine.device)
    text, source = open_training(config, tokenizer, engine)
    val = None
    if config.held_out_data and engine.first:
        val = stored_batches(
            config, tokenizer, open_validation_set(config), text,
            output / "codes-val.safetensors", range(config.train_batch_size),
        )  # fmt: skip
    trainer = Trainer(config, tokenizer, text, engine)

    def validate_now(log: MetricsLog) -> None:
        pipeline = export(trainer, tokenizer, text)
        if engine.first:
            validate(trainer, pipeline, val, log, output)

    if engine.first:
        make_repository(config)
    train(trainer, source, config, engine, validate_now)
    pipeline = export(trainer, tokenizer, text)
    if engine.first:
        write_result(pipeline, config)
        publish(pipeline, config)
    engine.wait()
    return output


def check_learns(config: TrainConfig, tasks: Sequence[Task]) -> None:
    """Raise `ValueError` where neither codes nor anything else would be learnt."""
    kinds = {task.plan.target.kind for task in tasks}
    idle = {"estimators", "experts"}  # what is scored or routed is learnt elsewhere
    idle |= set() if TEXT in kinds else {"text-targets"}
    idle |= set() if BOX in kinds else {"grounded-blocks"}
    weights = config.objective_weights()
    if not (config.code_weight or any(weights[name] for name in weights.keys() - idle)):
        raise ValueError(
            "code_weight: got 0, and nothing else that is learnt has a weight; give --objectives "
            "autoregressive=1, or --tasks that ask for words or blocks"
        )


def export(trainer: Trainer, tokenizer: VQGAN, text: TextTokenizer) -> UFCPipeline:
    """The averaged model as a pipeline, with the sampling defaults of what it started from."""
    defaults = run_defaults(trainer.config)
    tasks = tasks_of_run(trainer.config, Path(trainer.config.output_dir))
    upscaler, model = upscaler_of_run(trainer.config), trainer.averaged_model()
    pipeline = UFCPipeline(tokenizer, model, text, defaults, tasks=tasks, upscaler=upscaler)
    pipeline.set_progress_bar_config(disable=True)  # the run has one
    return pipeline


def task_values(model: UFCTransformer, batch: TrainBatch) -> dict[str, Any]:
    """What validation says of tasks beside images."""
    told, found = told_words(model, batch.text_tasks), grounded_blocks(model, batch.box_tasks)
    values: dict[str, Any] = {}
    if told is not None:
        values |= {"text_target_loss": told.loss, "text_target_accuracy": told.accuracy}
    if found is not None:
        values |= {"grounding_loss": found.loss, "grounding_iou": found.iou}
    return {name: value for name, value in values.items() if value is not None}


@torch.no_grad()
def validate(
    trainer: Trainer, pipeline: UFCPipeline, val: Batches | None, log: MetricsLog, output: Path
) -> None:
    """Loss and accuracy on held-out batches, and a sheet of the fixed prompts."""
    if val is not None:
        averages = Averages()
        for step in range(8):
            batch = val(step).to(trainer.device)
            found = code_loss(pipeline.transformer, batch, 0.0)
            generator = torch.Generator().manual_seed(step)
            count = len(batch.items)
            asked = batch.items[: min(8, count)]
            drawn_BT = generate_canvases(pipeline.transformer, asked, pipeline.alike, generator)
            canvases = estimator_batch(
                batch,
                found.prediction,
                drawn_BT,
                asked,
                pipeline.transformer.config,
                generator,
                count,
            )
            losses, values = estimator_losses(pipeline.transformer, canvases)
            if pipeline.transformer.config.autoregressive:
                values |= next_codes(pipeline.transformer, batch.codes_BT, found.prefix, 0.0).log
            values |= {"code_loss": float(found.loss)}
            values |= task_values(pipeline.transformer, batch)
            values |= {f"{name}_loss": float(loss) for name, loss in losses.items()}
            averages.add(values | accuracy_by_ratio(batch, found))
        log.write(trainer.step, **{f"val_{name}": v for name, v in averages.take().items()})
    prompts = list(trainer.config.validation_prompts)
    if prompts:
        pictures = pipeline(prompts, seed=list(range(len(prompts)))).images
        named = {preview_name(i, prompt): pictures[i] for i, prompt in enumerate(prompts)}
        log.pictures(trainer.step, named)
        sheet = contact_sheet(pictures, columns=len(pictures))
        path = output / f"preview-{trainer.step:06d}.png"
        write_atomically(path, lambda file: sheet.save(file, "PNG"))
