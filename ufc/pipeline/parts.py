"""What a pipeline is made of: tokenizer, transformer and words, checked to be of one model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from ufc.captioning.known_tasks import KnownTasks
from ufc.conditioning.encoding import EncodedPictures
from ufc.conditioning.frame import Frames
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator
from ufc.io.serialisation import checkpoint_defaults, model_index
from ufc.model.forking import prepare_process
from ufc.model.transformer import UFCTransformer
from ufc.pipeline.callbacks import Progress
from ufc.sampling.generation_config import DEFAULTS
from ufc.sampling.guidance import alike_codes
from ufc.sampling.stopping import Call, own_call
from ufc_base.checkpoint import CheckpointError
from ufc_base.computing.inference import WeightWatch
from vqgan.model import VQGAN
from vqgan.quantizer import name_codes
from vqgan.upscaling.model import Upscaler

if TYPE_CHECKING:
    from estimators.metrics.clip_score import ClipScorer


class Parts(Progress):
    """The components, what follows from them, and the calls that are running."""

    def __init__(
        self,
        tokenizer: VQGAN | None = None,
        transformer: UFCTransformer | None = None,
        text: TextTokenizer | None = None,
        defaults: dict[str, Any] | None = None,
        name: str = "unnamed",
        tasks: KnownTasks | None = None,
        upscaler: Upscaler | None = None,
        *,
        vqvae: VQGAN | None = None,
    ) -> None:
        """`vqvae` is another name of `tokenizer`, which makes codes of pictures.

        Raises:
            TypeError: a part is missing, or given twice.
            CheckpointError: parts that are not of one model.
        """
        prepare_process()
        if tokenizer is not None and vqvae is not None:
            raise TypeError("got both tokenizer and vqvae, which are one part; give one of them")
        tokenizer = vqvae if tokenizer is None else tokenizer
        if tokenizer is None or transformer is None or text is None:
            raise TypeError("UFCPipeline needs tokenizer, transformer and text")
        known = transformer.config
        codes = tokenizer.config.codebooks, tokenizer.config.n_embed
        if codes != (known.codebooks, known.codebook_size):
            raise CheckpointError(
                f"the tokenizer has {name_codes(*codes)} codes, the transformer was made for "
                f"{name_codes(known.codebooks, known.codebook_size)}: they are not of one model"
            )
        if text.size != transformer.config.text_vocabulary:
            raise CheckpointError(
                f"tokenizer.json has {text.size} ids, the transformer was made for "
                f"{transformer.config.text_vocabulary}: they are not of one model"
            )
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.transformer = transformer.eval().requires_grad_(False)
        self.upscaler = None if upscaler is None else upscaler.eval().requires_grad_(False)
        self.watches = WeightWatch(self.tokenizer), WeightWatch(self.transformer)
        self.encoded = EncodedPictures(self.watches[0])
        self.text = text
        self.defaults = DEFAULTS | checkpoint_defaults(defaults or {})
        self.name = name
        self.tasks = tasks or KnownTasks()
        self.alike = alike_codes(tokenizer.quantize.books())
        self.device = transformer.embedding.weight.device
        self.precision = "fp32"
        self.compiled = self.low_mem = self.cpu_offload = self.deterministic = False
        self.requested: dict[str, Any] = {"attention_backend": "auto"} | dict.fromkeys(
            ("compile", "low_mem", "cpu_offload", "deterministic"), False
        )
        self.contrastive: ContrastiveEstimator | None = None
        self.clip: ClipScorer | None = None  # whoever gives a `clip_weight` sets it
        self.calls: list[Call] = []
        self.set_progress_bar_config()

    def interrupt(self) -> None:
        """Stop all calls that are running now; each returns what it has after its step."""
        for call in self.calls.copy():
            call.stop()

    @property
    def _interrupt(self) -> bool:
        """Whether this thread's call is stopped. Setting it stops that one alone, and outside of
        a call those that are running."""
        own = own_call(self.calls)
        return own is not None and own.stopped

    @_interrupt.setter
    def _interrupt(self, stopped: bool) -> None:
        own = own_call(self.calls)
        for call in [own] if own else self.calls.copy():
            call.stopped = stopped

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name, so that `UFCPipeline(**pipe.components)` shares them."""
        parts = {"tokenizer": self.tokenizer, "transformer": self.transformer, "text": self.text}
        return parts if self.upscaler is None else parts | {"upscaler": self.upscaler}

    @property
    def config(self) -> Mapping[str, Any]:
        """What the model folder's `model_index.json` says, read-only."""
        return MappingProxyType({**model_index(self), "_name_or_path": self.name})

    @property
    def vqvae(self) -> VQGAN:
        """The tokenizer, under the name that diffusers has for it."""
        return self.tokenizer

    @property
    def resolution(self) -> int:
        """Side of a square picture in pixels.

        Raises:
            ValueError: the model's pictures are not square.
        """
        return self.grid * self.frames.cell

    @property
    def grid(self) -> int:
        """Blocks along one side of a square picture; `resolution` says what it raises."""
        return self.tokenizer.config.grid

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of a picture's blocks, where nothing asks for another shape."""
        return self.tokenizer.config.grid_size

    @property
    def frames(self) -> Frames:
        """The sizes that pictures may have, and the choice among them."""
        return Frames(self.grid_size, self.tokenizer.config.downsampling)

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights; float32 beside int8 layers."""
        return self.transformer.embedding.weight.dtype

    @property
    def backend(self) -> str:
        """The attention backend in use."""
        return self.transformer.backend
