"""One step of latent diffusion in SD-Turbo's shape, beside this program as it comes.

Each runs in a process of its own (`python -m benchmarks.peers.latent_diffusion NAME HEIGHT WIDTH`),
so that its peak memory is its own. Diffusers' classes with untrained weights: the U-Net of Stable
Diffusion 2.1, which SD-Turbo (Sauer et al. 2023) has, one step of Euler's scheduler, and the tiny
autoencoder that is used where speed counts. Its text encoder, another 340 M parameters, is left
out.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.peers import contenders as make
from benchmarks.peers.timing import take_turns
from ufc.benchmark import peak_memory, rounded
from vqgan.perceptual import import_torchvision

TEXT_TOKENS, TEXT_WIDTH = 77, 1024
SIZES = ((256, 192), (512, 512))  # height, width in pixels; multiples of 64 for the U-Net


def sd_turbo(height: int, width: int, dtype: torch.dtype) -> make.Contender:
    """A U-Net of 866 M parameters, run once, and a tiny decoder."""
    import_torchvision()
    diffusers: Any = importlib.import_module("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    with torch.device(make.device()):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        unet = diffusers.UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=TEXT_WIDTH,
            use_linear_projection=True,
        ).eval()
        decoder = diffusers.AutoencoderTiny().eval()
        torch.set_default_dtype(before)
    scheduler = diffusers.EulerDiscreteScheduler(timestep_spacing="trailing")
    words = torch.zeros(1, TEXT_TOKENS, TEXT_WIDTH, dtype=dtype, device=make.device())

    @torch.inference_mode()
    def generate(batch: int) -> object:
        scheduler.set_timesteps(1)
        latents = torch.randn(batch, 4, height // 8, width // 8, dtype=dtype, device=make.device())
        latents = latents * scheduler.init_noise_sigma
        (when,) = scheduler.timesteps
        noise = unet(
            scheduler.scale_model_input(latents, when).to(dtype), when, words.expand(batch, -1, -1)
        ).sample
        clean = scheduler.step(noise, when, latents).prev_sample.to(dtype)
        return decoder.decode(clean).sample

    precision = "bf16" if dtype is torch.bfloat16 else "fp32"
    parameters = make.count(unet) + make.count(decoder.decoder)
    return make.Contender(f"SD-Turbo's shape, 1 step ({precision})", parameters, generate)


def bundled(height: int, width: int) -> make.Contender:
    """The bundled model as `ufc generate` uses it."""
    from ufc.pipeline import UFCPipeline

    pipe = UFCPipeline.from_pretrained()
    pipe.set_progress_bar_config(disable=True)
    parameters = make.count(pipe.transformer) + make.count(pipe.tokenizer)
    prompt = "men's navy blue striped polo t-shirt"

    def generate(batch: int) -> object:
        return pipe([prompt] * batch, seed=1, height=height, width=width, output_type="uint8")

    return make.Contender(f"ours, as it comes ({pipe.precision})", parameters, generate)


BUILDS: dict[str, Callable[[int, int], make.Contender]] = {
    "ours": bundled,
    "sd-turbo-fp32": lambda h, w: sd_turbo(h, w, torch.float32),
    "sd-turbo-bf16": lambda h, w: sd_turbo(h, w, torch.bfloat16),
}


def measure(name: str, height: int, width: int, rounds: int) -> dict[str, Any]:
    """Seconds a picture after a warm-up, and the process's peak memory, by one contender."""
    make.quiet()
    contender = BUILDS[name](height, width)
    (seconds,) = take_turns([lambda: contender.generate(1)], rounds)
    return {
        "name": contender.name,
        "size": f"{width} × {height}",
        "parameters": contender.parameters,
        "batch": 1,
        "seconds": rounded(seconds),
        "peak_memory_mib": round(peak_memory(make.device())),
    }


def one_step_diffusion(rounds: int, bf16: bool) -> Iterator[dict[str, Any]]:
    """Rows of all contenders at all sizes; whoever fails says why."""
    names = ["ours", "sd-turbo-fp32", *(["sd-turbo-bf16"] if bf16 else [])]
    for height, width in SIZES:
        for name in names:
            asked = [name, str(height), str(width), str(rounds)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.peers.latent_diffusion", *asked],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                yield {"name": name, "error": (lines or [f"exit code {done.returncode}"])[-1][:300]}
            else:
                yield json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(measure(name, *map(int, numbers))))
