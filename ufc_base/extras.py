"""What belongs to an extra of `pyproject.toml`, and what to do where it is not installed."""

from __future__ import annotations

# By the names that they are imported under.
EXTRA_OF = {
    "accelerate": "train",
    "cn_clip": "clip",
    "datasets": "data",
    "diffusers": "diffusers",
    "fastapi": "serve",
    "kornia": "train",
    "lpips": "train",
    "matplotlib": "eval",
    "open_clip": "clip",
    "peft": "lora",
    "prometheus_client": "serve",
    "pyarrow": "train",
    "python_multipart": "serve",
    "scipy": "eval",
    "streamlit": "app",
    "taming": "train",
    "tensorboard": "track",
    "torch_fidelity": "eval",
    "torchmetrics": "eval",
    "torchvision": "train",
    "transformers": "expand",
    "uvicorn": "serve",
    "webdataset": "train",
    "xformers": "gpu",
}


class UnavailableError(RuntimeError):
    """An extra or downloaded weights that this machine lacks; the message says how to get them."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra; the project is not on PyPI, so it is run in a clone."""
    return f"run pip install -e '.[{extra}]' in a clone of the project"


def extra_missing(error: ImportError) -> UnavailableError | None:
    """What to say of a module that cannot be imported; None where no extra brings it."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return None
    return UnavailableError(f"{module} is not installed: {how_to_install(EXTRA_OF[module])}")
