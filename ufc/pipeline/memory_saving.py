"""What diffusers' pipelines are told to do with less memory, in this pipeline's terms."""

from __future__ import annotations

from typing import Any

import torch

from ufc.pipeline.placement import Placement


class MemorySaving(Placement):
    """Other names of what `to` and `from_pretrained` take.

    Where there is nothing to save, a method changes nothing, so that a script that calls it runs.
    """

    def enable_model_cpu_offload(
        self, gpu_id: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Keep the components in main memory, each on the GPU only while it works.

        `to(cpu_offload=True)`; `to(cpu_offload=False)` ends it. On a machine without a GPU there is
        nothing to take them from, and nothing changes.

        Args:
            gpu_id: number of the GPU; the one in use, else the best one, if left out.
            device: the kind of device, or the device itself.

        Raises:
            ValueError: no such device, or one with a number beside `gpu_id`.
        """
        kind = "cuda" if device is None else str(device)
        if gpu_id is not None and ":" in kind:
            raise ValueError(f"got both gpu_id={gpu_id} and device={kind!r}; give one of them")
        if gpu_id is not None:
            place = f"{kind}:{gpu_id}"
        elif device is None:
            place = "auto" if self.device.type == "cpu" else str(self.device)
        else:
            place = kind
        self.to(place, cpu_offload=True)

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """The same as `enable_model_cpu_offload`: a component is small enough to be moved whole."""
        self.enable_model_cpu_offload(gpu_id, device)

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """Nothing: the scores of a few hundred blocks are small.

        xformers and torch's own attention take larger ones in slices by themselves.
        """

    def disable_attention_slicing(self) -> None:
        """Nothing, as `enable_attention_slicing`."""

    def enable_vae_slicing(self) -> None:
        """Encode and decode picture by picture: `to(low_mem=True)`."""
        self.to(low_mem=True)

    def disable_vae_slicing(self) -> None:
        """Encode and decode a batch at a time, unless `deterministic` forbids it."""
        self.to(low_mem=False)

    def enable_vae_tiling(self) -> None:
        """Nothing: a picture is as small as a tile, and is decoded whole."""

    def disable_vae_tiling(self) -> None:
        """Nothing, as `enable_vae_tiling`."""

    def enable_xformers_memory_efficient_attention(self, attention_op: Any = None) -> None:
        """Attention by xformers: `to(attention_backend="xformers")`.

        Where xformers cannot run, one warning is logged and torch's own attention is used.

        Raises:
            ValueError: an `attention_op`; xformers chooses its own.
        """
        if attention_op is not None:
            raise ValueError(
                f"attention_op is {attention_op!r:.80}, and xformers chooses its own here: "
                "leave it out"
            )
        self.to(attention_backend="xformers")

    def disable_xformers_memory_efficient_attention(self) -> None:
        """Attention by torch's own function: `to(attention_backend="sdpa")`."""
        self.to(attention_backend="sdpa")
