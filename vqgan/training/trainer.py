"""First-stage recipe: train a tokenizer on a folder of pictures or shards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from ufc_base.data.datasets import Pixels
from ufc_base.data.opening import open_validation_set
from ufc_base.files import write_atomically
from ufc_base.images import to_uint8
from ufc_base.publishing.upload import make_repository, push_result
from ufc_base.training.batch_norm import share_batch_norm
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import WeightAverage, held_rate_scale, train
from ufc_base.training.metrics_log import MetricsLog
from ufc_base.training.processes import Engine, load_optimizer, load_weights, save_memory, whole
from ufc_base.training.run_settings import kept
from vqgan.cards import tokenizer_card
from vqgan.metrics import reconstruction_report
from vqgan.model import (
    VQGAN,
    AttnBlock,
    Downsample,
    ResnetBlock,
    Upsample,
)
from vqgan.perceptual import lpips_model
from vqgan.quantizer import CodebookUpdater
from vqgan.training.code_noise import CodeNoise
from vqgan.training.config import TokenizerTrainConfig
from vqgan.training.data import PictureSource, open_pictures
from vqgan.training.discriminators import (
    BothDiscriminators,
    DiscriminatorLoss,
    FeatureDiscriminator,
    backbone_features,
    patch_discriminator,
)
from vqgan.training.generated_codes import GeneratedCodes
from vqgan.training.losses import (
    adaptive_weight,
    discriminator_ramp,
    perceived,
    random_scale,
    reconstruction_loss,
    shrink,
)
from vqgan.training.starting import start_model, with_fit

MOST_VECTORS = 2**17  # for k-means
BLOCKS = (ResnetBlock, AttnBlock, Downsample, Upsample)


class Autoencoder(nn.Module):
    """A tokenizer as it is trained: one forward pass, so that processes can share its gradients."""

    def __init__(self, model: VQGAN, frozen: bool, noise: CodeNoise | None = None) -> None:
        super().__init__()
        self.model = model
        self.frozen = frozen
        self.noise = noise
        self.before_last = torch.empty(0)
        model.decoder.conv_out.register_forward_pre_hook(self.keep)

    def keep(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.before_last = inputs[0].detach()

    def forward(
        self,
        x: Tensor,
        quantised: bool,
        decode: bool = True,
        seed: int = 0,
        generated: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Features `z` without gradient and, unless `decode` is off, pictures `y`.

        Of `generated` codes, which only a frozen encoder goes with, `y` has pictures after those
        of `x`.

        With `quantised` there are `codes` too; `commitment` is what pulls features and codes
        together, or keeps features small until there are codes.
        """
        model = self.model
        if self.frozen:
            # In float32: the decoder is to learn the codes that the finished encoder gives.
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                codes = model.quantize.codes(model.features(x))
                if self.noise is not None:
                    codes = self.noise(codes, seed)
                if generated is not None:
                    codes = torch.cat([codes, generated.to(codes.device)])
                vectors = model.quantize.vectors(codes).detach()
            return {"y": model.decode_vectors(vectors), "commitment": x.new_zeros(())}
        z = model.features(x)
        if not decode:
            return {"z": z.detach()}
        if not quantised:
            y = model.decode_vectors(z)
            return {"y": y, "z": z.detach(), "commitment": 1e-3 * z.square().mean()}
        with torch.autocast(x.device.type, enabled=False):  # distances want all their digits
            vectors, commitment, codes = model.quantize(z.float())
        y = model.decode_vectors(vectors)
        return {"y": y, "z": z.detach(), "codes": codes, "commitment": commitment}


class TokenizerTrainer:
    """The state of a run: model, averages, codebook counts, discriminator, optimisers."""

    def __init__(self, config: TokenizerTrainConfig, engine: Engine | None = None) -> None:
        self.config = config
        self.engine = engine = engine or make_engine(config)
        self.device = engine.device
        torch.manual_seed(config.seed)
        self.model = start_model(config).to(self.device).train()
        if engine.sharded:  # FSDP takes no weights in channels-last order
            self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if config.freeze_encoder:
            for part in (self.model.encoder, self.model.quant_conv, self.model.quantize):
                part.requires_grad_(False)
        if config.gradient_checkpointing:
            save_memory(self.model, BLOCKS)
        self.perceptual = perceptual_distance(config.perceptual_net, self.device)
        self.discriminator = self.make_discriminator().to(self.device)
        if not engine.ranks.alone:
            share_batch_norm(self.discriminator)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, config.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), config.discriminator_learning_rate, betas=(0.5, 0.9)
        )
        self.model.quantize.requires_grad_(False)  # averages move it, no gradient does
        self.updater = CodebookUpdater(self.model.quantize, engine=engine)
        noise = None
        if config.code_noise:
            books_KVD = self.model.quantize.books().detach()
            noise = CodeNoise(books_KVD, config.code_noise, config.code_noise_neighbours)
        self.generated = None
        if config.generated_codes:
            count = config.generated_pictures
            self.generated = GeneratedCodes(config.generated_codes, self.model, count)
        self.core = Autoencoder(self.model, config.freeze_encoder, noise)
        self.autoencoder = engine.prepare(self.core, self.optimizer)
        self.judge = engine.share(DiscriminatorLoss(self.discriminator))
        self.average = WeightAverage(self.model, config.ema_decay)
        self.quantised = config.freeze_encoder or config.init_from is not None
        self.step = 0

    def train_step(self, x: Tensor, progress: float) -> dict[str, Any]:
        """One step on this process's pictures (B, 3, H, W) in -1..1; returns values for the log."""
        config = self.config
        scale = held_rate_scale(self.step, config.lr_warmup_steps, progress, config.lr_decay_start)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * scale
        # In step with each other, or a decoder that slows down is left behind by its judge.
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = config.discriminator_learning_rate * scale
        adversarial = config.discriminator_weight > 0
        start, length = config.discriminator_start, config.discriminator_ramp
        ramp = discriminator_ramp(progress, start, length) if adversarial else 0.0
        # The discriminator learns a little ahead of the ramp, so that its first word is not noise.
        judged = adversarial and progress >= start - length
        parts = x.chunk(config.gradient_accumulation_steps)
        all_parts = len(parts) * self.engine.ranks.count
        self.optimizer.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(False)
        found: list[dict[str, Tensor]] = []
        logs: list[dict[str, Any]] = []
        for number, part in enumerate(parts, 1):
            with self.engine.accumulating(self.autoencoder, more=number < len(parts)):
                place = self.engine.ranks.rank * len(parts) + number - 1
                seed = config.seed * 1_000_003 + self.step * all_parts + place
                generated = self.generated_codes(place, all_parts) if judged else None
                out = self.autoencoder(part, self.quantised, seed=seed, generated=generated)
                gradient, log = self.judge_picture(part, out["y"].detach(), ramp)
                commitment = config.commitment if self.quantised else 1.0
                loss = (out["y"] * gradient).sum() + commitment * out["commitment"]
                self.engine.backward(loss / len(parts))
            log["loss"] = log["loss"] + commitment * out["commitment"].detach()
            logs.append(log)
            found.append({name: value.detach() for name, value in out.items()})
        values: dict[str, Any] = {
            name: sum(log[name] for log in logs) / len(logs) for name in logs[0]
        }
        values["grad_norm"] = self.engine.clip(self.model.parameters())
        if not self.engine.finite(values["loss"], values["grad_norm"]):
            self.step += 1
            return {"skipped": True}
        self.optimizer.step()
        if self.quantised and not config.freeze_encoder:
            values["restarted"] = self.move_codebook(found, progress)
        if judged:
            fakes = [out["y"] for out in found]
            values |= self.discriminator_step(parts, fakes)
        self.average.update(self.model)
        self.step += 1
        return values | {"lr": config.learning_rate * scale}

    def judge_picture(self, x: Tensor, y: Tensor, ramp: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses' gradient at the reconstruction `y`, and the losses.

        Taken there, each loss is gone through once, and the adaptive weight needs of the decoder
        no more than its last layer.
        """
        config = self.config
        # Pictures and reconstructions lie alike in memory: the pixel losses take half the time.
        x, y = x.contiguous(), y.float().contiguous().requires_grad_()
        perceive = None if self.perceptual is None else self.perceive
        loss, log = reconstruction_loss(x, y[: len(x)], perceive, config.loss_weights())
        (gradient,) = torch.autograd.grad(loss, y)
        total = loss.detach()
        # What is not finite would stay in the judge's batch statistics.
        if ramp > 0 and self.engine.finite(total):
            with self.engine.autocast():
                adversarial = -self.discriminator(y).float().mean()
            (pull,) = torch.autograd.grad(adversarial, y)
            weight = adaptive_weight(*self.at_last_layer(torch.stack([gradient, pull])))
            share = config.discriminator_weight * ramp * weight
            gradient = gradient + share * pull
            total = total + share * adversarial.detach()
            log["adaptive_weight"] = weight
        return gradient, log | {"loss": total}

    def generated_codes(self, place: int, of: int) -> Tensor | None:
        """Those of one of all parts of this step, if the run has any."""
        if self.generated is None:
            return None
        return self.generated.some(self.config.seed * 1_000_003 + self.step, place, of)

    def make_discriminator(self) -> nn.Module:
        kind, width = self.config.discriminator, self.config.discriminator_channels
        if kind == "patch":
            return patch_discriminator(width)
        lpips = lpips_model(self.config.perceptual_net)
        features = FeatureDiscriminator(backbone_features(lpips), width, self.seen)
        lpips.to(self.device)
        if kind == "features":
            return features
        return BothDiscriminators(features, patch_discriminator(width))

    def seen(self, x: Tensor) -> Tensor:
        """Pictures as a backbone sees them in this step: moved against it, whose first layer looks
        at every fourth pixel, and in every other step at LPIPS's size."""
        down, right = divmod(self.step * 7 % 16, 4)
        x = x[..., down:, right:]
        if self.step % 2:
            return x
        return shrink(x, random_scale(self.config.perceptual_scale, self.config.seed, self.step))

    def perceive(self, y: Tensor, x: Tensor) -> Tensor:
        """LPIPS of two batches in the run's precision, at the step's size."""
        assert self.perceptual is not None
        smallest, seed = self.config.perceptual_scale, self.config.seed
        return perceived(self.perceptual, self.engine, y, x, smallest, seed, self.step)

    def at_last_layer(self, gradients: Tensor) -> Tensor:
        """Gradients at the last layer's weight, of all processes, from such at the pictures.

        What `Smoothing` adds behind that layer is left out: it is small beside what it passes on.
        """
        decoder = self.model.decoder
        features = self.core.before_last.float()
        shape = decoder.conv_out.weight.shape
        found = [
            conv2d_weight(
                features,
                shape,
                F.pixel_unshuffle(one, decoder.patch_size) if decoder.patch_size > 1 else one,
                padding=1,
            )
            for one in gradients
        ]
        return self.engine.mean(torch.stack(found))

    def move_codebook(self, found: list[dict[str, Tensor]], progress: float) -> int:
        """Move the codes towards what this step's cells were; returns how many were restarted."""
        if progress > self.config.codebook_restart_until:
            self.updater.restart_below = 0.0
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        z = torch.cat([out["z"] for out in found]).float()
        return self.updater.update(z, torch.cat([out["codes"] for out in found]), generator)

    def discriminator_step(
        self, reals: Sequence[Tensor], fakes: Sequence[Tensor]
    ) -> dict[str, Any]:
        """One step of the discriminator, unless its loss is not finite; for the log."""
        self.discriminator.requires_grad_(True)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        losses = []
        for number, (real, fake) in enumerate(zip(reals, fakes, strict=True), 1):
            with self.engine.accumulating(self.judge, more=number < len(reals)):
                with self.engine.autocast():
                    loss = self.judge(real, fake)
                self.engine.backward(loss / len(reals))
            losses.append(loss.detach())
        loss = torch.stack(losses).mean()
        norm = self.engine.clip(self.discriminator.parameters(), math.inf)
        if not self.engine.finite(loss, norm):
            return {"skipped": True}
        self.discriminator_optimizer.step()
        return {"discriminator": loss}

    @torch.no_grad()
    def place_codebook(self, source: PictureSource) -> None:
        """k-means start, once the encoder has learnt something worth clustering."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed)
        rows, columns = self.model.config.grid_size
        vectors = min(16 * config.n_embed, MOST_VECTORS)
        parts = [
            self.autoencoder(x, False, decode=False)["z"].float()
            for x in source.some(max(64, vectors // (rows * columns)), generator)
        ]
        z_BDHW = torch.cat(parts)
        cells = len(z_BDHW) * rows * columns
        if cells < config.n_embed:  # a small set: the same vectors again, set apart a little
            z_BDHW = z_BDHW.repeat(-(-config.n_embed // cells), 1, 1, 1)
            noise = torch.randn(z_BDHW.shape, generator=generator).to(z_BDHW.device)
            z_BDHW = z_BDHW + 1e-2 * z_BDHW.std() * noise
        self.engine.settle(self.autoencoder)
        self.updater.initialise(z_BDHW, generator)
        shadow = self.average.shadow["quantize.embedding.weight"]
        shadow.copy_(self.model.quantize.embedding.weight)
        self.quantised = True

    def averaged_model(self) -> VQGAN:
        """A copy of the model with the averaged weights, for validation and export."""
        model = VQGAN(self.model.config)
        model.load_state_dict(whole(self.average.shadow))
        return model.to(self.device).eval()

    def state_dict(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in STATEFUL}
        return whole(parts) | {
            "config": self.model.config.to_dict(),
            "step": self.step,
            "quantised": self.quantised,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_weights(self.model, state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        for name in ("discriminator", "discriminator_optimizer", "updater", "average"):
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


def perceptual_distance(
    net: str, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """LPIPS with the given backbone; None for `none`, and then nothing is said of it."""
    if net == "none":
        return None
    model: nn.Module = lpips_model(net).to(device)
    return model


def grid_of(model: VQGAN, pixels: Pixels, count: int = 16) -> Image.Image:
    """Originals above their reconstructions, as one picture."""
    x = pixels.batch(range(min(count, len(pixels))))
    with torch.no_grad():
        y = model.decode(model.encode(x.to(next(model.parameters()).device))).cpu()
    rows = [torch.cat(list(part), dim=-1) for part in (x, y)]
    return Image.fromarray(to_uint8(torch.cat(rows, dim=-2)[None])[0])


def make_engine(config: TokenizerTrainConfig) -> Engine:
    """Raises `ValueError` for settings that there are not."""
    names = tuple(block.__name__ for block in BLOCKS)
    return Engine(config.device, config.mixed_precision, config.sharding, names)


def main(config: TokenizerTrainConfig) -> Path:
    """Train, and write the averaged tokenizer to `output_dir`. Returns that folder.

    Raises `DataError` for unusable data and `CheckpointError` for an unusable checkpoint.
    """
    output = Path(config.output_dir)
    engine, config = make_engine(config), with_fit(config)
    Checkpoints(output).begin(config.resume_from_checkpoint, config if engine.first else None)
    source = open_pictures(config, engine)
    held_out = source.pixels
    if config.held_out_data:
        held_out = Pixels(open_validation_set(config), config.size, config.fit or "pad")
    trainer = TokenizerTrainer(config, engine)

    def before_step(progress: float) -> None:
        if not trainer.quantised and (trainer.step >= config.codebook_start or progress >= 0.2):
            trainer.place_codebook(source)

    def validate_now(log: MetricsLog) -> None:
        if trainer.quantised:
            model = trainer.averaged_model()
            if held_out is not None and engine.first:
                validate(trainer, model, held_out, log, output)

    if engine.first:
        make_repository(config)
    train(trainer, source, config, engine, validate_now, before_step)
    model = trainer.averaged_model()
    if engine.first:
        model.save_pretrained(output)
        push_result(
            config, model.save_pretrained, lambda name: tokenizer_card(model, name, kept(config))
        )
    engine.wait()
    return output


def validate(
    trainer: TokenizerTrainer, model: VQGAN, pixels: Pixels, log: MetricsLog, output: Path
) -> None:
    """Measures on held-out pictures, and a sheet of some of them."""
    count = min(len(pixels), trainer.config.validation_pictures)
    report = reconstruction_report(model, pixels, trainer.perceptual, range(count))
    log.write(trainer.step, **{f"val_{name}": value for name, value in report.items()})
    sheet = grid_of(model, pixels)
    log.pictures(trainer.step, {"previews/reconstructions": sheet})
    path = output / f"grid-{trainer.step:06d}.png"
    write_atomically(path, lambda file: sheet.save(file, "PNG"))
