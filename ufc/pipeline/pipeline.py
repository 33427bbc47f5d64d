"""`UFCPipeline`: words, reference images and kept blocks in; scored pictures out.

The only place where tokenizer, transformer, controls and sampler meet. The CLI, the editor and
the scripts all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import torch
from PIL import Image

from ufc.call_arguments import count_rows, per_picture, plain, sort_arguments, spread_seeds
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.expansion import ExpandPrompt
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.io.serialisation import known_tasks, push, read_parts, read_upscaler, write_parts
from ufc.pipeline.generation import Generation, StepCallback
from ufc.pipeline_output import PipelineOutput
from ufc.sampling.generation_config import GenerationConfig

if TYPE_CHECKING:
    from ufc.captioning.tell import ToldText

# Arguments of a call that are neither controls nor settings of `GenerationConfig`.
NO_SETTINGS = (
    "self", "further", "seed", "generator", "output_type", "callback_on_step_end", "expand_prompt",
)  # fmt: skip


class UFCPipeline(Generation):
    """Everything needed to make pictures from a folder of weights."""

    @classmethod
    def from_pretrained(
        cls,
        model: str | PathLike[str] = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        variant: str | None = None,
        cache_dir: str | PathLike[str] | None = None,
        local_files_only: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        attention_backend: str = "auto",
        compile: bool = False,
        low_mem: bool = False,
        cpu_offload: bool = False,
        deterministic: bool = False,
    ) -> UFCPipeline:
        """Load a bundled model by name, a folder, or a repository of the Hugging Face hub.

        With a `variant`, such as fp16, parts that have them take `model.fp16.safetensors`.

        Raises:
            CheckpointError: no such model, or files that are damaged, changed or do not fit.
            ValueError: a device, dtype or backend that is not to be had; see `to`.
        """
        folder = resolve_model(model, revision, cache_dir, local_files_only)
        parts = read_parts(folder, variant)
        tasks, upscaler = known_tasks(folder), read_upscaler(folder, variant)
        pipeline = cls(*parts, name=folder.name, tasks=tasks, upscaler=upscaler)
        return pipeline.to(
            device, dtype, attention_backend, compile, low_mem, cpu_offload, deterministic
        )

    def save_pretrained(
        self, folder: str | PathLike[str], dtype: torch.dtype | None = None
    ) -> None:
        """Write the model folder: `model_index.json`, one folder a component, `tokenizer.json`."""
        write_parts(self, folder, dtype)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model folder to the Hugging Face hub; returns the address of the commit."""
        return push(self, repo_id, private, token)

    def __call__(
        self,
        prompt: str | Sequence[str | None] | None = None,
        negative_prompt: str | Sequence[str | None] | None = None,
        reference_images: Any = None,
        reference_weights: Any = None,
        image: Any = None,
        mask_image: Any = None,
        preserve_blocks: Any = None,
        outpaint: Any = None,
        codes: Any = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        choice_temperature: float | None = None,
        num_images_per_prompt: int = 1,
        num_candidates: int | None = None,
        best_of: int | None = None,
        patience: int | None = None,
        time_budget: float | None = None,
        order: str | None = None,
        compliance_weight: float | None = None,
        contrastive_weight: float | None = None,
        feather: int = 0,
        original_size: bool = False,
        upscale: int = 1,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        score_steps: bool = False,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        expand_prompt: ExpandPrompt | None = None,
        conditioning: Conditioning | Sequence[Conditioning] | None = None,
        invert_mask: bool | Sequence[bool] = False,
        **further: Any,
    ) -> PipelineOutput:
        """Make pictures under any subset of controls.

        One value makes one picture (or `num_images_per_prompt` of them); a list makes one picture
        an entry, as one batch. A missing setting takes the model's own default.

        Args:
            prompt: words, English or Chinese.
            negative_prompt: words to steer away from; takes the place of the empty branch.
            reference_images: pictures to take after; a list for one picture, or a list of lists.
                All pictures may be PIL images, arrays (H, W, 3) or tensors (3, H, W), uint8 or
                float 0..1.
            reference_weights: how strongly to look at each (1 is as trained, 0 leaves it out).
            image: the picture to edit; fitted into the grid that is nearest to its proportions
                (`Frames.choose`), or the square of a model of squares. The result has its colour
                profile.
            mask_image: white is regenerated, black is kept (grey is cut in the middle); also an
                array or tensor of bool, or of 0 and 1, (H, W).
            preserve_blocks: blocks of the grid to keep, row by row; instead of a mask.
            outpaint: blocks to add to `image` at top, right, bottom and left, four numbers; they
                are generated, and all of the image is kept.
            codes: codes of `image`, as an earlier call returned them: kept blocks take theirs
                from here and nothing is encoded again. Without an image, pixels are not put back.
            height: of the pictures in pixels, a multiple of the block size; the trained one, or
                what suits `image`, where it is left out.
            width: as `height`.
            num_inference_steps: the most refinement steps, 1 or more.
            guidance_scale: g in l_u + g (l_c - l_u); 1 is without.
            temperature: of the codes' distribution; 0 takes the likeliest.
            top_k: sample only this many of the likeliest codes of a cell.
            top_p: sample only the likeliest codes that have this probability together.
            choice_temperature: of the noise by which maskgit chooses places, falling to 0.
            num_candidates: canvases tried each step, 1 or more.
            best_of: whole pictures generated for each, the best of them by score is returned.
            patience: stop after so many steps without a better score.
            time_budget: stop after so many seconds.
            order: the name of one of `ufc.sampling.orders`: `pnag`, `maskgit` and others.
                `autoregressive` is for models that have learnt it; its steps are the free cells,
                row by row, and known cells are not seen before their turn.
            compliance_weight: share of compliance in the score, 0..1; the rest is fidelity.
            contrastive_weight: share of the bundled contrastive estimator in the compliance that
                candidates are chosen by, 0..1; a reranker that was not trained with the model.
            feather: width in pixels of a blended band outside the kept pixels.
            original_size: an edit comes back at its image's own size (PIL only): the model works on
                the part around what changes, and no other pixel is touched. `codes` and the rest
                of the output are of that part. A model's upscaler enlarges first.
            upscale: 2 gives pictures of twice the size by the model's upscaler. An edit's kept
                pixels are then those of its image at that size, where that has as many; else they
                are enlarged with the rest.
            seed: picture i of a prompt uses seed + i, of every prompt alike; a list gives each
                picture, or each prompt, its own; random where none is given.
            generator: one CPU generator, or one a picture, instead of a seed.
            score_steps: score every step, for `curves`, where the order would score the end only.
            output_type: `pil`, `np` (B H W 3 uint8), `pt` (B 3 H W in -1..1) or `codes`.
            callback_on_step_end: called as f(pipeline, step, step, state) after each step with
                `codes`, `confidence`, `compliance`, `fidelity` (None where steps are not scored),
                `filled_step`, `filled_candidate`, and `image()` to decode a preview with the kept
                pixels in it; may call `state["stop"]()` to stop this call (or set
                `pipeline._interrupt = True`): the best canvas is kept where steps choose by score,
                else the last. What it returns is not used.
            expand_prompt: rewrites prompts as captions: a `PromptExpander`, or any function of a
                wish that returns words. What cannot be used leaves the prompt as it is; a notice
                says so, and `prompts` of the output are those that were used.
            conditioning: all controls of a picture in one, or a list of such; instead of those by
                name.
            invert_mask: black is regenerated, white is kept.
            further: other controls by their names; see `ufc.conditioning.controls`.

        Raises:
            ValueError: controls that contradict each other or do not fit the model, or a setting
                out of its range.
            CheckpointError: a `contrastive_weight`, and no such estimator is here.
        """
        given = locals() | further  # spelled out for who calls it; a test holds it to the models
        controls, settings = sort_arguments(
            {name: value for name, value in given.items() if name not in NO_SETTINGS}
        )
        config = GenerationConfig.over(self.defaults, settings)
        copies, seed = config.num_images_per_prompt, plain(seed)
        rows = count_rows(copies, controls, (seed, generator))
        return self.generate(
            per_picture(controls, rows, copies),
            config,
            spread_seeds(seed, rows, copies, generator),
            generator=generator,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            expand_prompt=expand_prompt,
        )

    def caption(self, pictures: Sequence[Image.Image], lang: str = "en") -> list[ToldText]:
        """What pictures show, in English (`en`) or Chinese (`zh`), with how sure each word is.

        Raises:
            RequestError: the model has not learnt it.
        """
        from ufc.captioning.tell import caption_plan, carry_out

        return cast("list[ToldText]", carry_out(self, caption_plan(self, lang), {}, pictures))
