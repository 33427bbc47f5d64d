"""Which model to draw with, and how: from flags, or from the manifest that is fed back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ufc.cli.env import versions
from ufc.cli.flags import GenerationFlags
from ufc.cli.generating.replay import agreed, differences
from ufc.cli.terminal import Terminal
from ufc.io.prompts_file import Row
from ufc.io.validation import RequestError

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline


@dataclass(frozen=True)
class ModelSettings:
    """What `UFCPipeline.from_pretrained` is asked for."""

    model: str | None = None
    revision: str | None = None
    variant: str | None = None
    model_dir: str | None = None
    cache_dir: str | None = None
    local_files_only: bool = False
    device: str = "auto"
    dtype: str = "auto"
    attention_backend: str = "auto"
    compile: bool = False
    low_mem: bool = False
    cpu_offload: bool = False
    deterministic: bool = False


@dataclass(frozen=True)
class Loaded:
    """A pipeline and how a manifest names it."""

    pipe: UFCPipeline
    name: str
    backend: dict[str, Any]
    versions: dict[str, str]


def choose_settings(flags: GenerationFlags, rows: Iterable[Row]) -> ModelSettings:
    """Flags first; what they leave open is taken from the manifest lines among `rows`.

    Raises:
        RequestError: the lines were drawn by different models and no --model says which.
    """
    results = [row.result for row in rows if row.result is not None]
    models = sorted({result.model for result in results if result.model})
    if flags.model is None and len(models) > 1:
        raise RequestError(
            f"the manifest has pictures of {len(models)} models ({', '.join(models)}); "
            "say with --model which is to draw them"
        )
    attention = flags.attention_backend or agreed(results, "attention_backend") or "auto"
    return ModelSettings(
        model=flags.model or (models[0] if models else None),
        revision=flags.revision or agreed(results, "revision"),
        variant=flags.variant or agreed(results, "variant"),
        model_dir=flags.model_dir,
        cache_dir=flags.cache_dir,
        local_files_only=flags.local_files_only,
        device=flags.device or agreed(results, "device") or "auto",
        dtype=flags.dtype or agreed(results, "dtype") or "auto",
        attention_backend="math" if flags.deterministic else attention,
        compile=flags.compile,
        low_mem=flags.low_mem,
        cpu_offload=flags.cpu_offload,
        deterministic=flags.deterministic or agreed(results, "deterministic") == "True",
    )


def load(settings: ModelSettings) -> Loaded:
    """Find and load the model.

    Raises:
        ValueError: no such model, damaged or changed files, or a device that is not there.
    """
    import torch

    from ufc.io.hub import DEFAULT_MODEL, resolve_model
    from ufc.pipeline import UFCPipeline
    from ufc_base.processor import processor_features

    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS is not repeatable
        torch.use_deterministic_algorithms(True)
    name = settings.model or DEFAULT_MODEL
    try:
        folder = resolve_model(
            _in_model_dir(name, settings.model_dir),
            settings.revision,
            settings.cache_dir,
            settings.local_files_only,
        )
        pipe = UFCPipeline.from_pretrained(
            folder,
            variant=settings.variant,
            device=settings.device,
            dtype=settings.dtype,
            attention_backend=settings.attention_backend,
            compile=settings.compile,
            low_mem=settings.low_mem,
            cpu_offload=settings.cpu_offload,
            deterministic=settings.deterministic,
        )
    except OSError as error:
        raise RequestError(f"the model {name} cannot be read: {error}") from None
    backend: dict[str, Any] = {
        "device": pipe.device.type,
        "dtype": pipe.precision,
        "attention_backend": pipe.backend,
        "threads": torch.get_num_threads(),
    }
    if pipe.device.type == "cpu":
        backend["processor"] = " ".join(processor_features())
    for switch in ("compile", "deterministic"):
        if getattr(settings, switch):
            backend[switch] = True
    if settings.revision:
        backend["revision"] = settings.revision
    if settings.variant:
        backend["variant"] = settings.variant
    if Path(name).is_dir():
        name = str(Path(name).resolve())
    return Loaded(pipe, name, backend, {**versions(), "weights": weights_digest(folder)})


def weights_digest(folder: Path) -> str:
    """Twelve hex digits that change with any weight or setting of a model folder."""
    from ufc_base.checkpoint import sha256

    files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors"))
    listing = [[path.relative_to(folder).as_posix(), sha256(path)] for path in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:12]


def tell_differences(loaded: Loaded, rows: Sequence[Row], terminal: Terminal) -> None:
    """Say where a manifest fed back was drawn by something else than what draws now."""
    now = {**loaded.backend, **loaded.versions}
    different: dict[str, Any] = {}
    for row in rows:
        if row.result is not None:
            different |= differences(row.result, now)
    if different:
        listing = ", ".join(f"{name} {was} (now {now[name]})" for name, was in different.items())
        terminal.notice(f"the manifest was drawn with other {listing}: pictures may differ")


def _in_model_dir(name: str, model_dir: str | None) -> str | Path:
    """A name's folder within `model_dir`, where it is there."""
    folder = Path(model_dir or ".") / name
    return folder if (folder / "model_index.json").is_file() else name
