"""First-stage recipe: train a tokenizer on a folder of pictures or shards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from vqgan.data import Pixels, batch_indices, open_dataset
from vqgan.images import to_uint8
from vqgan.loop import (
    Checkpoints,
    Clock,
    MetricsLog,
    WeightAverage,
    learning_rate_scale,
)
from vqgan.losses import (
    adaptive_weight,
    discriminator_loss,
    discriminator_ramp,
    patch_discriminator,
    reconstruction_loss,
)
from vqgan.metrics import reconstruction_report
from vqgan.model import VQGAN
from vqgan.perceptual import lpips_model
from vqgan.quantizer import CodebookUpdater
from vqgan.recipe import TokenizerTrainConfig


class TokenizerTrainer:
    """The state of a run: model, averages, codebook counts, discriminator, optimisers."""

    def __init__(self, config: TokenizerTrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = pick_device(config.device)
        self.model = start_model(config).to(self.device).train()
        if config.freeze_encoder:
            for part in (self.model.encoder, self.model.quant_conv, self.model.quantize):
                part.requires_grad_(False)
        self.perceptual = perceptual_distance(config.perceptual_net, self.device)
        self.discriminator = patch_discriminator().to(self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, config.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), config.discriminator_learning_rate, betas=(0.5, 0.9)
        )
        self.updater = CodebookUpdater(self.model.quantize)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.quantised = config.freeze_encoder or config.init_from is not None
        self.step = 0

    def train_step(self, x: Tensor, progress: float) -> dict[str, Any]:
        """One step on pictures (B, 3, H, W) in -1..1; returns values for the log."""
        config = self.config
        scale = learning_rate_scale(self.step, config.lr_warmup_steps, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * scale
        ramp = discriminator_ramp_at(config, progress)
        y, codebook_loss, values = self.reconstruct(x, progress)
        loss, parts = reconstruction_loss(x, y, self.perceptual, config.loss_weights())
        total = loss + codebook_loss
        if ramp > 0:
            self.discriminator.requires_grad_(False)
            adversarial = -self.discriminator(y).mean()
            last_layer = self.model.decoder.conv_out.weight
            weight = adaptive_weight(loss, adversarial, last_layer)
            total = total + config.discriminator_weight * ramp * weight * adversarial
            values["adaptive_weight"] = weight
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        values["grad_norm"] = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        # The discriminator learns a little ahead of the ramp, so that its first word is not noise.
        if progress >= config.discriminator_start - config.discriminator_ramp:
            values["discriminator"] = self.discriminator_step(x, y.detach())
        self.average.update(self.model)
        self.step += 1
        return values | parts | {"loss": total.detach(), "lr": config.learning_rate * scale}

    def reconstruct(self, x: Tensor, progress: float) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Forward pass, unquantised until the codebook has been placed by k-means."""
        config, model = self.config, self.model
        if config.freeze_encoder:
            with torch.no_grad():
                codes = model.encode(x)
            vectors = model.quantize.vectors(codes).detach()
            return model.decode_vectors(vectors), x.new_zeros(()), {}
        z = model.features(x)
        if not self.quantised:
            return model.decode_vectors(z), 1e-3 * z.square().mean(), {}
        quantised, commitment, codes = model.quantize(z)
        if progress > config.codebook_restart_until:
            self.updater.restart_below = 0.0
        generator = torch.Generator().manual_seed(self.step)
        restarted = self.updater.update(z.detach(), codes, generator)
        y = model.decode_vectors(quantised)
        return y, config.commitment * commitment, {"restarted": restarted}

    def discriminator_step(self, real: Tensor, fake: Tensor) -> Tensor:
        self.discriminator.requires_grad_(True)
        loss = discriminator_loss(self.discriminator(real), self.discriminator(fake))
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def place_codebook(self, pixels: Pixels) -> None:
        """k-means start, once the encoder has learnt something worth clustering."""
        generator = torch.Generator().manual_seed(self.config.seed)
        cells = self.model.config.grid**2
        wanted = min(len(pixels), max(64, 16 * self.config.n_embed // cells))
        picks = torch.randperm(len(pixels), generator=generator)[:wanted].tolist()
        vectors = [
            self.model.features(pixels.batch(picks[i : i + 32]).to(self.device))
            for i in range(0, wanted, 32)
        ]
        z_ND = torch.cat(vectors).permute(0, 2, 3, 1).reshape(-1, self.config.embed_dim)
        if (
            len(z_ND) < self.config.n_embed
        ):  # a small set: the same vectors again, set apart a little
            z_ND = z_ND.repeat(-(-self.config.n_embed // len(z_ND)), 1)
            z_ND = z_ND + 1e-2 * z_ND.std() * torch.randn(z_ND.shape, generator=generator)
        self.updater.initialise(z_ND, generator)
        self.average.shadow["quantize.embedding.weight"].copy_(self.model.quantize.codebook())
        self.quantised = True

    def averaged_model(self) -> VQGAN:
        """A copy of the model with the averaged weights, for validation and export."""
        model = VQGAN(self.model.config)
        model.load_state_dict(self.average.shadow)
        return model.to(self.device).eval()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in STATEFUL} | {
            "step": self.step,
            "quantised": self.quantised,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        self.quantised = state["quantised"]


STATEFUL = (
    "model",
    "discriminator",
    "optimizer",
    "discriminator_optimizer",
    "updater",
    "average",
)


def start_model(config: TokenizerTrainConfig) -> VQGAN:
    """A fresh model, or the one to go on from."""
    return (
        VQGAN.from_pretrained(config.init_from)
        if config.init_from
        else VQGAN(config.model_config())
    )


def discriminator_ramp_at(config: TokenizerTrainConfig, progress: float) -> float:
    """Weight of the adversarial loss at a share of the run, 0..1."""
    if config.discriminator_weight == 0:
        return 0.0
    start, length = config.discriminator_start, max(config.discriminator_ramp, 1e-6)
    return discriminator_ramp(round(progress * 1e6), round(start * 1e6), round(length * 1e6))


def perceptual_distance(net: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS with the given backbone, or for `none` a distance that is always 0."""
    if net == "none":
        return lambda x, y: x.new_zeros(len(x))
    model: nn.Module = lpips_model(net).to(device)
    return model


def pick_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def save_grid(model: VQGAN, pixels: Pixels, path: Path, count: int = 16) -> None:
    """Originals above their reconstructions, as one PNG."""
    x = pixels.batch(range(min(count, len(pixels))))
    with torch.no_grad():
        y = model.decode(model.encode(x.to(next(model.parameters()).device))).cpu()
    rows = [torch.cat(list(part), dim=-1) for part in (x, y)]
    Image.fromarray(to_uint8(torch.cat(rows, dim=-2)[None])[0]).save(path)


def main(config: TokenizerTrainConfig) -> Path:
    """Train, and write the averaged tokenizer to `output_dir`. Returns that folder.

    Raises `DataError` for unusable data and `CheckpointError` for an unusable checkpoint.
    """
    output = Path(config.output_dir)
    pixels = Pixels(open_dataset(config.train_data_dir), config.resolution)
    val = (
        Pixels(open_dataset(config.val_data_dir), config.resolution)
        if config.val_data_dir
        else None
    )
    trainer = TokenizerTrainer(config)
    checkpoints = Checkpoints(output, config.checkpoints_total_limit)
    spent = 0.0
    if config.resume_from_checkpoint:
        state = checkpoints.load(config.resume_from_checkpoint)
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            spent = state["seconds"]
    log = MetricsLog(output, sys.stderr)
    clock = Clock(config.max_train_steps, config.max_train_minutes, spent)
    while (progress := clock.progress(trainer.step)) < 1:
        if not trainer.quantised and (trainer.step >= config.codebook_start or progress >= 0.2):
            trainer.place_codebook(pixels)
        indices = batch_indices(len(pixels), config.train_batch_size, trainer.step, config.seed)
        x = pixels.batch(indices).to(trainer.device)
        flip_B = torch.rand(len(x), generator=torch.Generator().manual_seed(trainer.step)) < 0.5
        x = torch.where(flip_B.to(x.device)[:, None, None, None], x.flip(-1), x)
        values = trainer.train_step(x, progress)
        if trainer.step % config.logging_steps == 0:
            rate = trainer.step * config.train_batch_size / clock.seconds
            log.write(trainer.step, **values, images_per_second=rate, minutes=clock.seconds / 60)
        if trainer.step % config.validation_steps == 0 and trainer.quantised:
            validate(trainer, val or pixels, log, output)
        if trainer.step % config.checkpointing_steps == 0:
            save(trainer, checkpoints, clock)
    save(trainer, checkpoints, clock)
    validate(trainer, val or pixels, log, output)
    trainer.averaged_model().save_pretrained(output)
    return output


def save(trainer: TokenizerTrainer, checkpoints: Checkpoints, clock: Clock) -> None:
    state = {"trainer": trainer.state_dict(), "seconds": clock.seconds}
    checkpoints.save(trainer.step, state)


def validate(trainer: TokenizerTrainer, pixels: Pixels, log: MetricsLog, output: Path) -> None:
    model = trainer.averaged_model()
    count = min(len(pixels), trainer.config.validation_pictures)
    report = reconstruction_report(model, pixels, trainer.perceptual, range(count))
    log.write(trainer.step, **{f"val_{name}": value for name, value in report.items()})
    save_grid(model, pixels, output / f"grid-{trainer.step:06d}.png")
