"""`ufc env`: what a bug report should say about the machine."""

from __future__ import annotations

import os
import platform
from typing import Annotated, Any

from ufc.cli.terminal import DONE, Terminal
from ufc.versions import ufc_version, version
from ufc_base.program import switch

PACKAGES = (
    "torch",
    "torchvision",
    "xformers",
    "numpy",
    "pillow",
    "safetensors",
    "tokenizers",
    "huggingface_hub",
    "kornia",
    "lpips",
    "typer",
    "streamlit",
)
# Never a token, never the whole environment.
VARIABLES = (
    "UFC_MODEL",
    "UFC_MODEL_DIR",
    "UFC_DEVICE",
    "UFC_DTYPE",
    "UFC_ATTENTION_BACKEND",
    "UFC_OUTPUT_DIR",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)


def env(
    json: Annotated[bool, switch("--json", "As one line of JSON.")] = False,
) -> int:
    """Show versions, processor and settings, for bug reports."""
    facts = describe()
    lines = [f"{name}: {_text(value)}" for name, value in facts.items()]
    with Terminal(as_json=json) as terminal:
        terminal.result("\n".join(lines), facts)
    return DONE


def describe() -> dict[str, Any]:
    """Versions, processor, accelerators and the environment variables that matter."""
    import torch

    return {
        "ufc": ufc_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "cpus": os.cpu_count(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item or 'not installed'}" for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
