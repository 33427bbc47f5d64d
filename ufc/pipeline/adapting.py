"""Adapters of a pipeline's transformer, under the names that diffusers has for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from ufc import adapters
from ufc.io.hub import fetch_file
from ufc.pipeline.placement import Placement


class Adapting(Placement):
    """Parts whose transformer takes low-rank adapters; needs the extra `lora` (PEFT)."""

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | PathLike[str] | Mapping[str, Tensor],
        adapter_name: str | None = None,
        *,
        weight_name: str = adapters.WEIGHTS,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> None:
        """Load an adapter, at work beside those that are; what was fused is taken out.

        Args:
            pretrained_model_name_or_path_or_dict: a file, the folder that it is in (the output of
                `ufc train --lora-rank`), a repository of the hub, or its weights by name.
            adapter_name: what to call it; `default_0` and so on if left out.
            weight_name: the file in the folder; the rest is as of `from_pretrained`.

        Raises:
            CheckpointError: there is none, it is damaged, or of another model.
            ValueError: the name is taken.
        """
        given, said = pretrained_model_name_or_path_or_dict, dict[str, Any]()
        where = "the adapter"
        if isinstance(given, Mapping):
            state = dict(given)
        else:
            path = fetch_file(
                given,
                weight_name,
                subfolder,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                force_download=force_download,
                local_files_only=local_files_only,
            )
            state, said = adapters.read_adapter(path)
            where = str(path)
        name = adapter_name or self._free_name()
        adapters.load_adapter(self.transformer, state, said, name, where)
        self._moved()

    def save_lora_weights(
        self, save_directory: str | PathLike[str], adapter_name: str | None = None
    ) -> None:
        """Write an adapter, the one that is at work if none is named, as a file of its own.

        Raises:
            ValueError: there is none, or several are at work.
        """
        working = [adapter_name] if adapter_name else self.get_active_adapters()
        if len(working) != 1:
            raise ValueError(f"adapters at work are {working}: say which by adapter_name")
        adapters.save_adapter(self.transformer, Path(save_directory), working[0])

    def set_adapters(
        self,
        adapter_names: str | Sequence[str],
        adapter_weights: float | Sequence[float] | None = None,
    ) -> None:
        """Have these adapters at work and no others, each with its weight; 1 is as it learnt.

        What was fused is taken out.

        Raises:
            ValueError: one that there is not, or weights for others.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        if adapter_weights is None:
            weights = [1.0] * len(names)
        elif isinstance(adapter_weights, int | float):
            weights = [float(adapter_weights)] * len(names)
        else:
            weights = [1.0 if weight is None else float(weight) for weight in adapter_weights]
        adapters.set_active(self.transformer, names, weights)
        self._moved()

    def get_active_adapters(self) -> list[str]:
        """Names of the adapters that are at work."""
        return adapters.active_adapters(self.transformer)

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Names of all adapters, of each component that has some."""
        names = adapters.adapter_names(self.transformer)
        return {"transformer": names} if names else {}

    def enable_lora(self) -> None:
        """Have the adapters at work again. What was fused is taken out."""
        adapters.enable(self.transformer, True)
        self._moved()

    def disable_lora(self) -> None:
        """Leave the adapters aside. What was fused is taken out."""
        adapters.enable(self.transformer, False)
        self._moved()

    def fuse_lora(
        self, lora_scale: float = 1.0, adapter_names: Sequence[str] | None = None
    ) -> None:
        """Add the adapters that are at work, or these, to the weights, `lora_scale` times.

        What an earlier call added is taken out first. With `unload_lora_weights` behind it the
        model is as fast as without adapters.

        Raises:
            CheckpointError: the sum is not finite.
            ValueError: an adapter that there is not.
        """
        adapters.fuse(self.transformer, lora_scale, adapter_names)
        self._moved()

    def unfuse_lora(self) -> None:
        """Take out again what `fuse_lora` has added, to rounding."""
        adapters.unfuse(self.transformer)
        self._moved()

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Take these adapters off. What was fused is taken out.

        Raises:
            ValueError: one that there is not.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        adapters.delete(self.transformer, names)
        self._moved()

    def unload_lora_weights(self) -> None:
        """Take all adapters off; what was fused stays."""
        adapters.unload(self.transformer)
        self._moved()

    def _free_name(self) -> str:
        taken = adapters.adapter_names(self.transformer)
        return next(
            name for number in range(len(taken) + 1) if (name := f"default_{number}") not in taken
        )

    def _moved(self) -> None:
        """Layers have changed: bring them to where the others are, and forget what was made."""
        self.transformer.eval().requires_grad_(False)
        self.to()
        for watch in self.watches:
            watch.look()
