"""Pipelines from model folders and into them, and to the Hugging Face hub."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch

from ufc.conditioning.text import TextTokenizer
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.io.model_card import write_card
from ufc.io.serialisation import known_tasks, push, read_parts, read_upscaler, write_parts
from ufc.model.transformer import UFCTransformer
from ufc.pipeline.loading import check_safetensors, mapped_device, one_of_two, precision_name
from ufc.pipeline.placement import Placement
from ufc_base.publishing.cards import DEFAULT_LICENCE
from ufc_base.publishing.upload import upload
from vqgan.model import VQGAN
from vqgan.upscaling.model import Upscaler


class Storage(Placement):
    """Parts that are loaded and saved together."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str] = DEFAULT_MODEL,
        *,
        torch_dtype: Any = None,
        dtype: Any = None,
        device: str | torch.device | None = None,
        device_map: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        subfolder: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        disable_mmap: bool = False,
        attention_backend: str = "auto",
        compile: bool = False,
        low_mem: bool = False,
        cpu_offload: bool = False,
        deterministic: bool = False,
        tokenizer: VQGAN | None = None,
        vqvae: VQGAN | None = None,
        transformer: UFCTransformer | None = None,
        text: TextTokenizer | None = None,
        upscaler: Upscaler | None = None,
    ) -> Self:
        """Load a bundled model by name, a folder, or a repository of the Hugging Face hub.

        Args:
            pretrained_model_name_or_path: the model.
            torch_dtype: of the transformer: a torch dtype, its name, `int8` or `auto`, the fastest
                here that keeps quality; the tokenizer stays in float32.
            dtype: the same.
            device: `auto` (the best one), `cpu`, `cuda`, `cuda:1` or `mps`.
            device_map: the same; `balanced` is `auto`, as a model is never split.
            revision: branch, tag or commit of the hub.
            variant: parts that have it take `model.fp16.safetensors`, say.
            subfolder: where in the folder or repository the model is.
            cache_dir: the hub's cache.
            token: the hub's; True takes the one that is stored.
            force_download: fetch again what the cache has.
            local_files_only: look into the cache alone.
            use_safetensors: False is refused, as other weights are not read.
            low_cpu_mem_usage: makes no difference: a model is never held twice as a whole.
            disable_mmap: read files as a whole.
            attention_backend: see `to`, for all that follow.
            tokenizer: takes the place of the model's own, as the other components do.
            vqvae: the same as `tokenizer`.

        Raises:
            CheckpointError: no such model, or files that are damaged, changed or do not fit.
            ValueError: a device, dtype or backend that is not to be had; see `to`.
        """
        wanted = one_of_two(("torch_dtype", torch_dtype), ("dtype", dtype))
        precision = precision_name("auto" if wanted is None else wanted)
        place = mapped_device(device, device_map)
        check_safetensors(use_safetensors)
        folder = resolve_model(
            pretrained_model_name_or_path,
            revision,
            cache_dir,
            local_files_only,
            token=token,
            force_download=force_download,
            subfolder=subfolder,
        )
        given = {
            "tokenizer": one_of_two(("tokenizer", tokenizer), ("vqvae", vqvae)),
            "transformer": transformer,
            "text": text,
        }
        mmap = not disable_mmap
        parts = read_parts(folder, variant, given, mmap)
        if upscaler is None:
            upscaler = read_upscaler(folder, variant, mmap)
        pipeline = cls(**parts, name=folder.name, tasks=known_tasks(folder), upscaler=upscaler)
        return pipeline.to(
            place, precision, attention_backend, compile, low_mem, cpu_offload, deterministic
        )

    @classmethod
    def from_pipe(
        cls,
        pipeline: Placement,
        *,
        torch_dtype: Any = None,
        dtype: Any = None,
        tokenizer: VQGAN | None = None,
        vqvae: VQGAN | None = None,
        transformer: UFCTransformer | None = None,
        text: TextTokenizer | None = None,
        upscaler: Upscaler | None = None,
    ) -> Self:
        """Another pipeline with the components of one, which both then share.

        What is adapted or put into another precision is so in both; to move them, move each. The
        default settings, the tasks, judges that were loaded, the progress bar's settings and what
        `to` was told are taken over.

        Args:
            pipeline: whose components they are.
            torch_dtype: of the transformer, as of `from_pretrained`; as it is if left out.
            dtype: the same.
            tokenizer: takes the place of the pipeline's own, as the other components do.
            vqvae: the same as `tokenizer`.

        Raises:
            TypeError: what is given is no pipeline of this class's kind.
            CheckpointError: components that are not of one model.
            ValueError: a dtype that is not to be had.
        """
        if not isinstance(pipeline, Placement):
            raise TypeError(f"from_pipe got a {type(pipeline).__name__}, wanted a UFCPipeline")
        wanted = one_of_two(("torch_dtype", torch_dtype), ("dtype", dtype))
        given = {
            "tokenizer": one_of_two(("tokenizer", tokenizer), ("vqvae", vqvae)),
            "transformer": transformer,
            "text": text,
            "upscaler": upscaler,
        }
        parts = pipeline.components | {name: one for name, one in given.items() if one is not None}
        made = cls(**parts, defaults=dict(pipeline.defaults), tasks=pipeline.tasks)
        made.name = pipeline.name
        made.clip, made.contrastive = pipeline.clip, pipeline.contrastive
        made.set_progress_bar_config(**pipeline._progress_bar_config)
        precision = pipeline.precision if wanted is None else precision_name(wanted)
        if made.transformer is pipeline.transformer:
            pipeline.to(dtype=precision)
        return made.to(pipeline.device, precision, **pipeline.requested)

    @property
    def name_or_path(self) -> str:
        """The name that pictures record."""
        return self.name

    def save_pretrained(
        self,
        save_directory: str | PathLike[str],
        dtype: torch.dtype | None = None,
        *,
        variant: str | None = None,
        safe_serialization: bool = True,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        licence: str = DEFAULT_LICENCE,
    ) -> None:
        """Write the model folder: `model_index.json`, one folder a component, `tokenizer.json`.

        Args:
            save_directory: the folder.
            dtype: of the weights that are written; else that of the `variant`, if it names one.
            variant: weights are `model.VARIANT.safetensors`, beside those that are there.
            safe_serialization: False is refused, as pickles are not written.
            max_shard_size: split weights into files of at most this size, such as "16MB".
            push_to_hub: upload the folder then, with a card; the rest says how.
            repo_id: where to; the folder's name in one's own namespace if left out.

        Raises:
            HubError: the hub refuses it or cannot be reached.
        """
        check_safetensors(safe_serialization)
        write_parts(self, save_directory, dtype, variant, max_shard_size)
        if push_to_hub:
            repository = repo_id or Path(save_directory).resolve().name
            write_card(self, Path(save_directory), repository, licence)
            upload(
                save_directory,
                repository,
                private,
                token,
                commit_message=commit_message,
                create_pr=create_pr,
            )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        variant: str | None = None,
        dtype: torch.dtype | None = None,
        licence: str = DEFAULT_LICENCE,
    ) -> str:
        """Upload the model with a card to the Hugging Face hub; returns the commit's address.

        Raises:
            HubError: the hub refuses it or cannot be reached.
        """
        return push(
            self,
            repo_id,
            private,
            token,
            licence=licence,
            commit_message=commit_message,
            create_pr=create_pr,
            variant=variant,
            dtype=dtype,
        )
