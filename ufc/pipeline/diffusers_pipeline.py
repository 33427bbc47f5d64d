"""The pipeline as diffusers loads it: `DiffusionPipeline.from_pretrained(folder, …)`.

A model folder's code names the classes of this module: components that diffusers asks for, and
`UFCPipeline`, a `ufc.UFCPipeline` that is a `DiffusionPipeline` too. That one is made when it is
asked for, since nothing else here needs diffusers.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

import ufc.conditioning.text
import ufc.model.transformer
import vqgan.model
import vqgan.upscaling.model
from ufc.captioning.known_tasks import KnownTasks, read_tasks
from ufc.pipeline.loading import precision_name
from ufc.pipeline.pipeline import UFCPipeline as OwnPipeline
from vqgan.perceptual import import_torchvision


class VQGAN(vqgan.model.VQGAN):
    """Tokenizers, as diffusers asks for them; they stay in float32."""

    @classmethod
    def from_pretrained(cls, folder: str, torch_dtype: Any = None) -> Any:  # type: ignore[override]
        return vqgan.model.VQGAN.from_pretrained(folder)


class Upscaler(vqgan.upscaling.model.Upscaler):
    """Upscalers, as diffusers asks for them; they stay in float32."""

    @classmethod
    def from_pretrained(cls, folder: str, torch_dtype: Any = None) -> Any:  # type: ignore[override]
        return vqgan.upscaling.model.Upscaler.from_pretrained(folder)


class UFCTransformer(ufc.model.transformer.UFCTransformer):
    """Transformers, as diffusers asks for them."""

    @classmethod
    def from_pretrained(cls, folder: str, torch_dtype: Any = None) -> Any:  # type: ignore[override]
        model = ufc.model.transformer.UFCTransformer.from_pretrained(folder)
        return model if torch_dtype is None else model.to(torch_dtype)


class TextTokenizer(ufc.conditioning.text.TextTokenizer):
    """Words' tokenizers, as diffusers asks for them: `tokenizer.json` of the model's folder."""

    @classmethod
    def from_pretrained(cls, folder: str) -> Any:
        return cls.load(Path(folder).parent / "tokenizer.json")


def __getattr__(name: str) -> Any:
    if name == "UFCPipeline":
        return pipeline_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def pipeline_class() -> type[OwnPipeline]:
    """`ufc.UFCPipeline` as a `DiffusionPipeline`.

    Raises:
        ImportError: diffusers is not installed.
    """
    with suppress(ImportError):  # diffusers imports it, and may need its operators declared
        import_torchvision()
    from diffusers import DiffusionPipeline

    class UFCPipeline(OwnPipeline, DiffusionPipeline):
        """`ufc.UFCPipeline`, as a `DiffusionPipeline`."""

        device: Any = None  # in the place of diffusers' property
        _optional_components = ["upscaler"]  # noqa: RUF012  # as diffusers has it

        # Without types: diffusers would read them, and these are strings.
        def __init__(  # type: ignore[no-untyped-def]
            self,
            tokenizer,
            transformer,
            text,
            upscaler=None,
            defaults=None,
            tasks=None,
            domain=None,
        ) -> None:
            if not isinstance(tasks, KnownTasks):
                tasks = read_tasks({"tasks": tasks, "domain": domain})
            parts = {"tokenizer": tokenizer, "transformer": transformer, "text": text}
            OwnPipeline.__init__(
                self, **parts, defaults=dict(defaults or {}), tasks=tasks, upscaler=upscaler
            )
            dtype = transformer.embedding.weight.dtype
            if dtype != torch.float32:
                self.to(dtype=precision_name(dtype))

        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)  # diffusers keeps a config; here it is derived

        def register_to_config(self, **told: Any) -> None:
            """Where it came from: the name that pictures record."""
            if "_name_or_path" in told:
                self.name = Path(str(told["_name_or_path"])).name

    return UFCPipeline
