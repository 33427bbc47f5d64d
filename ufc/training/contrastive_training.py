"""Recipe of the contrastive estimator: two stages after Chinese-CLIP.

Stage 1 freezes the image tower's encoder, whose features are then computed once; stage 2 trains
everything on pixels. Captions of both languages are drawn for every picture at every step.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimators.contrastive import (
    MAX_LOGIT_SCALE,
    ContrastiveConfig,
    ContrastiveModel,
    contrastive_loss,
    fit_calibration,
)
from estimators.metrics.r_precision import own_first, r_precision, recall_at
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.io.model_card import contrastive_card
from ufc.training.conditioning_dropout import captions
from ufc.training.lexicon.mixture import (
    LEXICON,
    PARAPHRASES,
    Mixture,
    mixture,
    refuse_share,
)
from ufc.training.trainer import parameter_groups
from ufc_base.data.datasets import DataError, Pixels, Samples, batch_indices, fitted
from ufc_base.data.opening import no_captions, open_training_set, open_validation_set, tell
from ufc_base.publishing.upload import make_repository, push_result
from ufc_base.settings import SharedSettings, setting
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import Run, WeightAverage, learning_rate_scale
from ufc_base.training.processes import Engine
from ufc_base.training.run_settings import kept
from vqgan.model import VQGAN

BATCH = 128  # pictures a pass where nothing is learnt


@dataclass
class ContrastiveTrainConfig(SharedSettings):
    """Flags of `ufc train-contrastive`; the sizes default to the bundled estimator's."""

    train_data_dir: str = setting(
        "", "ImageFolder (metadata.jsonl, .csv or .parquet), or WebDataset shards."
    )
    model: str = setting(
        DEFAULT_MODEL, "Model whose encoder the image tower starts from, and whose words it reads."
    )
    output_dir: str = setting("runs/contrastive", "Where towers, checkpoints and log go.")
    val_data_dir: str | None = setting(None, "Held-out data for recall in both languages.")
    paraphrase_share: float = setting(0.0, PARAPHRASES)
    lexicon: str | None = setting(None, LEXICON)
    image_width: int = setting(160, "Width of the blocks over the encoder's cells.")
    image_depth: int = setting(1, "Such blocks.", 0)
    text_width: int = setting(160, "Width of the text tower.")
    text_depth: int = setting(2, "Blocks of the text tower.")
    embedding: int = setting(128, "Length of an embedding.")
    train_batch_size: int = setting(128, "Pictures a step.")
    frozen_steps: int = setting(250, "Steps of stage 1, the encoder frozen.", 0)
    max_train_steps: int = setting(600, "Steps of both stages.")
    max_train_minutes: float | None = setting(
        None, "Minutes at work in stage 2, pauses not counted, if they are over sooner."
    )
    frozen_learning_rate: float = setting(1e-3, "Peak learning rate of stage 1.")
    learning_rate: float = setting(4e-4, "Peak learning rate of stage 2.")
    lr_warmup_steps: int = setting(20, "Steps of linear warm-up of each stage.", 0)
    weight_decay: float = setting(0.05, "Weight decay of the matrices.")
    ema_decay: float = setting(0.98, "Decay of the averaged weights, which are what is written.")
    checkpointing_steps: int = setting(50, "Steps between checkpoints.")
    checkpoints_total_limit: int = setting(2, "Checkpoints kept.")
    max_skipped_steps: int = setting(
        20, "Steps in a row that may be skipped for a loss that is not finite; more end the run.", 0
    )
    logging_steps: int = setting(10, "Steps between lines of the log.")
    resume_from_checkpoint: str | None = setting(
        None, "latest, or a checkpoint-N folder: newer ones of the run are then removed."
    )
    seed: int = setting(0, "Seed of the run.", 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_share(self.paraphrase_share, self.lexicon)


class Minibatches:
    """What a step shows: pictures, a caption of each, and which captions say the same."""

    def __init__(
        self,
        samples: Samples,
        pixels: Pixels,
        text: TextTokenizer,
        seed: int,
        mixture: Mixture | None = None,
    ) -> None:
        self.pixels, self.seed, self.text, self.mixture = pixels, seed, text, mixture
        self.records = records = [samples.record(index) for index in range(len(samples))]
        bare = sum(not captions(record) for record in records)
        if bare:
            raise DataError(
                f"{bare} of {len(records)} samples have no caption, and the two towers need one "
                "for each: add them, or name their field with --caption-column"
            )
        self.ids = [[text.encode(caption) for caption in captions(record)] for record in records]
        names: dict[str, int] = {}
        self.meaning = torch.tensor([names.setdefault(captions(r)[0], len(names)) for r in records])

    def sample(self, batch: int, step: int) -> tuple[list[int], list[list[int]], Tensor]:
        """Indices, the ids of a caption of each, and which pairs are alike (B, B)."""
        indices = batch_indices(len(self.ids), batch, step, self.seed)
        rng = random.Random(self.seed * 1_000_003 + step)
        texts = [rng.choice(self.ids[index]) for index in indices]
        for place, index in enumerate(indices if self.mixture else ()):
            texts[place] = self.paraphrase(index, step, place) or texts[place]
        meaning_B = self.meaning[indices]
        return indices, texts, meaning_B[:, None] == meaning_B

    def paraphrase(self, index: int, step: int, place: int) -> list[int]:
        """Ids of a sample in other words, where this place of a step gets them; else none."""
        phrase = self.mixture.phrase(step, place) if self.mixture else None
        return self.text.encode(phrase(self.records[index])) if phrase else []

    def pictures(self, indices: list[int], step: int) -> Tensor:
        """Pixels (B, 3, H, W), half of them mirrored, half of them softened.

        Generated pictures are softer than photographs; a judge of both must not mind.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        x = self.pixels.batch(indices)
        mirror, soft = torch.rand(2, len(indices), generator=generator) < 0.5
        x = torch.where(mirror[:, None, None, None], x.flip(-1), x)
        height, width = x.shape[-2:]
        side = int(torch.randint(width * 3 // 8, width, (1,), generator=generator))
        smaller = (max(1, round(height * side / width)), side)
        small = F.interpolate(x, size=smaller, mode="bicubic", antialias=True)
        softened = F.interpolate(small, size=(height, width), mode="bicubic").clamp(-1, 1)
        return torch.where(soft[:, None, None, None], softened, x)


class Trainer:
    """The state of a run: model, averages, optimiser of the present stage."""

    def __init__(self, config: ContrastiveTrainConfig, tokenizer: VQGAN, words: int) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = ContrastiveModel(
            ContrastiveConfig(
                encoder=tokenizer.config.to_dict(),
                text_vocabulary=words,
                image_width=config.image_width,
                image_depth=config.image_depth,
                text_width=config.text_width,
                text_depth=config.text_depth,
                embedding=config.embedding,
            )
        )
        self.model.start_from(tokenizer)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.step = 0
        self.begin_stage(1)

    def begin_stage(self, stage: int) -> None:
        """Freeze or free the encoder, and start with a fresh optimiser."""
        self.stage = stage
        self.model.train()
        self.model.image.encoder.requires_grad_(stage == 2)
        learning = nn.ModuleList(m for m in self.model.children())
        groups = parameter_groups(learning, self.config.weight_decay)
        groups[1]["params"].append(self.model.logit_scale)
        self.optimizer = torch.optim.AdamW(groups, self.peak, betas=(0.9, 0.98), fused=True)

    @property
    def peak(self) -> float:
        config = self.config
        return config.frozen_learning_rate if self.stage == 1 else config.learning_rate

    def train_step(
        self, images: Tensor, texts: list[list[int]], alike_BB: Tensor, progress: float, lived: int
    ) -> dict[str, Any]:
        """One step; `images` are the encoder's features in stage 1 and pixels in stage 2."""
        scale = learning_rate_scale(lived, self.config.lr_warmup_steps, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * scale
        # Dropout draws from torch's own stream: begun anew, a resumed run drops the same.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        tower = self.model.image
        embedded = tower.head(images) if self.stage == 1 else tower(images)
        loss = contrastive_loss(embedded, self.model.text(texts), self.model.logit_scale, alike_BB)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if not math.isfinite(float(norm) + float(loss.detach())):
            self.step += 1
            return {"skipped": True}
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        self.average.update(self.model)
        self.step += 1
        return {"loss": loss.detach(), "lr": self.peak * scale}

    def state_dict(self) -> dict[str, Any]:
        return {
            "config": self.model.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            "stage": self.stage,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.begin_stage(state["stage"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.step = state["step"]


def main(config: ContrastiveTrainConfig) -> ContrastiveEstimator:
    """Train both stages, write the towers, and report held-out recall.

    Raises:
        ValueError: fewer steps in all than frozen ones.
        DataError: unusable data.
        CheckpointError: an unusable model or checkpoint.
        Stopped: by SIGINT or SIGTERM, after a checkpoint has been written.
        Diverged: losses or weights are not finite.
    """
    if config.frozen_steps > config.max_train_steps:
        raise ValueError(
            f"max_train_steps is {config.max_train_steps}, wanted the {config.frozen_steps} "
            "frozen_steps or more: they count among them"
        )
    engine = Engine("cpu")
    Checkpoints(config.output_dir).begin(
        config.resume_from_checkpoint, config if engine.first else None
    )
    samples = open_training_set(config)
    if not samples.captioned:
        raise no_captions(config, samples.fields)
    trainer, minibatches, text = start(config, samples)
    if engine.first:
        make_repository(config)
    with Run(trainer, config, engine) as run:
        first_stage(trainer, minibatches, run)
        second_stage(trainer, minibatches, run)
    estimator = finish(trainer, minibatches, text)
    if engine.first:
        estimator.save_pretrained(config.output_dir)
    if config.held_out_data:
        run.log.write(trainer.step, **recall_report(estimator, open_validation_set(config)))
    if engine.first:
        push_result(
            config, estimator.save_pretrained, lambda name: contrastive_card(name, kept(config))
        )
    return estimator


def start(
    config: ContrastiveTrainConfig, samples: Samples
) -> tuple[Trainer, Minibatches, TextTokenizer]:
    """A fresh trainer, what it is to learn from, and its words."""
    folder = resolve_model(config.model)
    tokenizer = VQGAN.from_pretrained(folder / "tokenizer")
    text = TextTokenizer.load(folder / "tokenizer.json")
    pixels = Pixels(samples, tokenizer.config.size, tokenizer.config.fit)
    words = mixture(config.paraphrase_share, config.seed, config.lexicon)
    if words:
        tell(config, words.told(map(samples.record, range(len(samples)))))
    minibatches = Minibatches(samples, pixels, text, config.seed, words)
    return Trainer(config, tokenizer, text.size), minibatches, text


def first_stage(trainer: Trainer, minibatches: Minibatches, run: Run) -> None:
    """The encoder frozen: its features are computed once, in half precision."""
    config = trainer.config
    if trainer.step >= config.frozen_steps:
        return
    cells = encoder_cells(trainer.model, minibatches.pixels)
    while (progress := run.progress(trainer.step, config.frozen_steps, timed=False)) < 1:
        step = trainer.step
        indices, texts, alike_BB = minibatches.sample(config.train_batch_size, step)
        values = trainer.train_step(cells[indices].float(), texts, alike_BB, progress, step)
        record(run, values, stage=1)


def second_stage(trainer: Trainer, minibatches: Minibatches, run: Run) -> None:
    """Everything learns, from pixels."""
    config = trainer.config
    steps = config.max_train_steps - config.frozen_steps
    if not steps:
        return
    if trainer.stage == 1:
        trainer.begin_stage(2)
        run.clock.seconds = 0.0  # the minutes are this stage's
    while (progress := run.progress(trainer.step - config.frozen_steps, steps)) < 1:
        step = trainer.step
        indices, texts, alike_BB = minibatches.sample(config.train_batch_size, step)
        pixels = minibatches.pictures(indices, step)
        lived = step - config.frozen_steps
        record(run, trainer.train_step(pixels, texts, alike_BB, progress, lived), stage=2)


def record(run: Run, values: dict[str, Any], stage: int) -> None:
    """A line of the log and a checkpoint, where they are due."""
    run.took(values, stage=stage)
    if run.due(run.settings.checkpointing_steps):
        run.save()


@torch.no_grad()
def encoder_cells(model: ContrastiveModel, pixels: Pixels) -> Tensor:
    """The frozen encoder's features of every picture, (N, C, h, w) float16."""
    model.eval()
    chunks = [
        model.image.cells(pixels.batch(range(at, min(at + BATCH, len(pixels))))).half()
        for at in range(0, len(pixels), BATCH)
    ]
    model.train()
    return torch.cat(chunks)


def finish(trainer: Trainer, minibatches: Minibatches, text: TextTokenizer) -> ContrastiveEstimator:
    """The averaged towers, calibrated on training pairs: own captions against the next sample's."""
    model = ContrastiveModel(trainer.model.config)
    model.load_state_dict(trainer.average.shadow)
    estimator = ContrastiveEstimator(model, text)
    count = len(minibatches.ids)
    indices = batch_indices(count, min(1024, count), 0, trainer.config.seed)
    images = torch.cat(
        [
            estimator.embed_pixels(minibatches.pixels.batch(indices[at : at + BATCH]))
            for at in range(0, len(indices), BATCH)
        ]
    )
    with torch.no_grad():
        texts = model.text([minibatches.ids[index][0] for index in indices])
    different = minibatches.meaning[indices] != minibatches.meaning[indices].roll(1)
    own, other = (images * texts).sum(-1), (images * texts.roll(1, 0)).sum(-1)[different]
    model.calibration.copy_(fit_calibration(own, other))
    return estimator


def recall_report(estimator: ContrastiveEstimator, samples: Samples) -> dict[str, float]:
    """Held-out R-precision and recall at 1, 5 and 10, text to image and back, in both languages."""
    records = [samples.record(index) for index in range(len(samples))]
    encoder = estimator.model.config.image  # pictures get its shape as those of training did
    images = estimator.embed_images(
        fitted(samples[index].image, encoder.size, encoder.fit) for index in range(len(samples))
    )
    report: dict[str, float] = {"pictures": len(samples)}
    for language, column in (("en", "text"), ("zh", "text_zh")):
        texts = [str(record.get(column) or "") for record in records]
        if not all(texts):
            continue
        found = images @ estimator.embed_texts(texts).T
        right = torch.tensor([[a == b for b in texts] for a in texts])
        report[f"r_precision_{language}"] = r_precision(own_first(found, texts))[0]
        for k in (1, 5, 10):
            report[f"image_to_text_{language}@{k}"] = recall_at(found, right, k)
            report[f"text_to_image_{language}@{k}"] = recall_at(found.T, right, k)
    return report
