"""Where a pipeline computes, and in which numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from ufc.model.attention import resolve_backend
from ufc.model.forking import prepare_process
from ufc.model.placing import as_they_were, probe_device
from ufc.model.quantisation import (
    DTYPES,
    check_compiler,
    compile_forward,
    pick_precision,
    quantise_linears,
    restore_linears,
)
from ufc.pipeline.loading import one_of_two, precision_name
from ufc.pipeline.parts import Parts
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.training.processes import pick_device


class Placement(Parts):
    """Parts that are moved together, and work where they are."""

    @temporary_thread_pool()
    def to(
        self,
        device: str | torch.device | torch.dtype | None = None,
        dtype: str | torch.dtype | None = None,
        attention_backend: str | None = None,
        compile: bool | None = None,
        low_mem: bool | None = None,
        cpu_offload: bool | None = None,
        deterministic: bool | None = None,
    ) -> Self:
        """Move to a device and precision; see `ufc.model.quantisation` for the names and `auto`.

        What is left out stays as it is. `compile` writes code for the transformer's pass when it
        is first run. `low_mem` encodes and decodes picture by picture. `cpu_offload` keeps
        tokenizer and transformer in main memory and takes each to the device only while it works.
        `deterministic` gives every picture forward passes of its own, so that it is the same alone
        or in a batch in every precision; torch's own switch of that name is left as it is.

        As of diffusers' pipelines the dtype may stand alone: `to(torch.bfloat16)`.

        Raises:
            ValueError: a name that is unknown or not for this device, a device that is not here,
                or no compiler where one is needed. The pipeline is then as it was, as after any
                other error.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, one_of_two(("device", device), ("dtype", dtype))
        place = self.device if device is None else pick_device(str(device))
        probe_device(place)
        requested = self.requested | {
            name: value
            for name, value in (
                ("attention_backend", attention_backend),
                ("compile", compile),
                ("low_mem", low_mem),
                ("cpu_offload", cpu_offload),
                ("deterministic", deterministic),
            )
            if value is not None
        }
        wanted = self.precision if dtype is None else precision_name(dtype)
        precision = pick_precision(wanted, place, bool(requested["compile"]))
        backend = resolve_backend(requested["attention_backend"], place.type)
        if requested["compile"]:
            check_compiler(place)
        offload = bool(requested["cpu_offload"]) and place.type != "cpu"
        home = torch.device("cpu") if offload else place
        upscaler = [] if self.upscaler is None else [self.upscaler]
        with as_they_were(self.tokenizer, self.transformer, *upscaler):
            for part in (self.tokenizer, *upscaler):
                part.to(home)
            self.transformer.to(home, DTYPES.get(precision, torch.float32))
            alike = self.alike[0].to(place), self.alike[1].to(place)
        exchange = quantise_linears if precision == "int8" else restore_linears
        exchange(self.transformer.blocks)
        self.device, self.precision, self.alike, self.requested = place, precision, alike, requested
        self.low_mem, self.cpu_offload = bool(requested["low_mem"]), offload
        self.deterministic = bool(requested["deterministic"])
        self.compiled = bool(requested["compile"])
        self.encoded.clear()
        self.transformer.backend = backend
        compile_forward(self.transformer, self.compiled)
        return self

    def portions(self, batch: Tensor) -> Sequence[Tensor]:
        """What the tokenizer takes at a time: all, or picture by picture."""
        apart = self.low_mem or self.deterministic
        return batch.split(1 if apart else max(1, len(batch)))

    @contextmanager
    def at_work(self, part: nn.Module) -> Iterator[None]:
        """With `cpu_offload` a part is on the device only while it is at work."""
        prepare_process()
        if self.cpu_offload:
            part.to(self.device)
        try:
            with temporary_thread_pool():
                yield
        finally:
            if self.cpu_offload:
                part.to("cpu")
