"""`UFCPipeline`: words, reference images and kept blocks in; scored pictures out.

The only place where tokenizer, transformer, controls and sampler meet. The CLI, the editor and
the scripts all come through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from PIL import Image
from torch import Tensor

from ufc.call_arguments import (
    count_rows,
    latent_controls,
    per_picture,
    plain,
    refuse_pair,
    sort_arguments,
    spread_seeds,
)
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.expansion import ExpandPrompt
from ufc.pipeline.adapting import Adapting
from ufc.pipeline.callbacks import PlainCallback, StepCallback, every
from ufc.pipeline.generation import Generation
from ufc.pipeline.memory_saving import MemorySaving
from ufc.pipeline.storage import Storage
from ufc.sampling.generation_config import GenerationConfig
from ufc.sampling.selection.rerankers import Scorer

if TYPE_CHECKING:
    from ufc.captioning.tell import ToldText

# Arguments of a call that are neither controls nor settings of `GenerationConfig`.
NO_SETTINGS = (
    "self", "further", "seed", "generator", "latents", "output_type", "return_dict", "callback",
    "callback_steps", "callback_on_step_end", "callback_on_step_end_tensor_inputs", "expand_prompt",
    "scorer", "scorer_weight",
)  # fmt: skip


class UFCPipeline(Storage, Adapting, MemorySaving, Generation):
    """Everything needed to make pictures from a folder of weights."""

    def __call__(
        self,
        prompt: str | Sequence[str | None] | None = None,
        image: Any = None,
        mask_image: Any = None,
        *,
        negative_prompt: str | Sequence[str | None] | None = None,
        reference_images: Any = None,
        reference_weights: Any = None,
        preserve_blocks: Any = None,
        outpaint: Any = None,
        codes: Any = None,
        latents: Tensor | None = None,
        prompt_embeds: Any = None,
        negative_prompt_embeds: Any = None,
        strength: float | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        choice_temperature: float | None = None,
        num_images_per_prompt: int | None = 1,
        num_candidates: int | None = None,
        best_of: int | None = None,
        min_compliance: float | None = None,
        min_score: str | Mapping[str, float] | None = None,
        max_attempts: int = 8,
        patience: int | None = None,
        time_budget: float | None = None,
        order: str | None = None,
        compliance_weight: float | None = None,
        contrastive_weight: float | None = None,
        clip_weight: float | None = None,
        feather: int = 0,
        original_size: bool = False,
        upscale: int = 1,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        score_steps: bool = False,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] | None = None,
        callback: PlainCallback | None = None,
        callback_steps: int = 1,
        expand_prompt: ExpandPrompt | None = None,
        scorer: Scorer | None = None,
        scorer_weight: float = 1.0,
        conditioning: Conditioning | Sequence[Conditioning] | None = None,
        invert_mask: bool | Sequence[bool] = False,
        **further: Any,
    ) -> Any:
        """Make pictures under any subset of controls.

        One value makes one picture (or `num_images_per_prompt` of them); a list makes one picture
        an entry, as one batch. A missing setting takes the model's own default.

        Args:
            prompt: words, English or Chinese.
            image: the picture that `mask_image` or `preserve_blocks` keep something of, or that
                `strength` changes. All pictures may be PIL images, arrays (H, W, 3) or tensors
                (3, H, W), uint8 or float 0..1; what an alpha channel leaves open is white.
            mask_image: white where the image is regenerated, black where it is kept; of the
                image's size or proportions.
            negative_prompt: words to steer away from; takes the place of the empty branch.
            reference_images: pictures to take after; a list for one picture, or a list of lists.
            reference_weights: how much each reference counts, 0..10; 1 is as trained.
            preserve_blocks: blocks of the grid to keep, row by row; instead of a mask.
            outpaint: blocks to add to `image` at top, right, bottom and left, four numbers; they
                are generated, and all of the image is kept.
            codes: codes of `image`, as an earlier call returned them: kept blocks take theirs
                from here and nothing is encoded again. Without an image, pixels are not put back.
            latents: codes (B, rows, columns) that are known, as `output_type="latent"` returns
                them; what is no code (the codebook's size, say) is masked and generated.
            prompt_embeds: words as vectors instead of a prompt, (B, T, D) or a list of (T, D), as
                `encode_prompt` gives them.
            negative_prompt_embeds: the same instead of a negative prompt.
            strength: how far an image is changed where nothing keeps it, 0..1: below 1 a share of
                its blocks keep their codes, sampled by the seed, and there are as many fewer
                steps. An image with neither mask, blocks nor outpaint is changed all over so, by
                0.5 if left out; with one of them it is 1.
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
            min_compliance: generate a picture again until its compliance is this at least, 0..1.
            min_score: the same by other scores, by their names: `compliance`, `fidelity`,
                `contrastive`, `clip`, `scorer`; as {"clip": 0.6} or as text, "clip=0.6".
            max_attempts: so many times in all; then the best is kept, and a notice says so.
            patience: stop after so many steps without a better score.
            time_budget: stop after so many seconds, of all pictures and attempts together.
            order: the name of one of `ufc.sampling.orders`: `pnag`, `maskgit` and others.
                `autoregressive` is for models that have learnt it; its steps are the free cells,
                row by row, and known cells are not seen before their turn.
            compliance_weight: share of compliance in the score, 0..1; the rest is fidelity.
            contrastive_weight: share of the bundled contrastive estimator in the compliance that
                candidates are chosen by, 0..1; a reranker that was not trained with the model.
            clip_weight: the same share of CLIP, which is `pipe.clip`: what
                `estimators.metrics.clip_score.load_english` or `load_chinese` gives; it is
                taken to the pipeline's device. Its score is 2.5 times the cosine, 1 at most.
            feather: width in pixels of a blended band outside the kept pixels.
            original_size: an edit comes back at its image's own size (PIL only): the model works on
                the part around what changes, and no other pixel is touched. `codes` and the rest
                of the output are of that part. A model's upscaler enlarges first.
            upscale: 2 gives pictures of twice the size by the model's upscaler. An edit's kept
                pixels are then those of its image at that size, where that has as many; else they
                are enlarged with the rest.
            seed: picture i of a prompt uses seed + i, of every prompt alike; a list gives each
                picture, or each prompt, its own; random where none is given.
            generator: one generator, or one a picture, instead of a seed.
            score_steps: score every step, for `curves`, where the order would score the end only.
            output_type: `pil`, `np` (B H W 3, float 0..1), `pt` (B 3 H W, 0..1), `uint8` (B H W 3
                in an array), `latent` (codes, B rows columns) or `codes` (B T).
            return_dict: False returns the images alone, in a tuple.
            callback_on_step_end: called as f(pipeline, step, step, state) after each step with
                `latents`, `codes`, `confidence`, `compliance`, `fidelity` (None where steps are not
                scored), `filled_step`, `filled_candidate`, and `image()` to decode a preview with
                the kept pixels in it; may call `state["stop"]()` to stop this call (or set
                `pipeline._interrupt = True`): the canvas is kept as it is. A dict that it
                returns may have new `codes` (or `latents`) and `confidence`, which are gone on
                with; known cells stay as they are.
            callback_on_step_end_tensor_inputs: which of these tensors it is given; all if left out.
            callback: the older form, called as f(step, step, latents) every `callback_steps` steps.
            expand_prompt: rewrites prompts as captions: a `PromptExpander`, or any function of a
                wish that returns words. What cannot be used leaves the prompt as it is; a notice
                says so, and `prompts` of the output are those that were used.
            scorer: any function of pictures and their prompts (two lists of one length, "" where
                there are no words) that returns a score from 0 to 1 for each, by which canvases
                are chosen: the best of N, candidates, attempts.
            scorer_weight: its share of the compliance that is chosen by, 0..1; with
                `contrastive_weight` and `clip_weight` 1 at most.
            conditioning: all controls of a picture in one, or a list of such; instead of those by
                name.
            invert_mask: black is regenerated, white is kept.
            further: other controls by their names; see `ufc.conditioning.controls`.

        Returns:
            A `PipelineOutput`, whose `images` are also `output[0]`.

        Raises:
            ValueError: controls that contradict each other or do not fit the model, or a setting
                out of its range.
            CheckpointError: the contrastive estimator is asked for, and is not here.
        """
        given = locals() | further  # spelled out for who calls it; a test holds it to the models
        controls, settings = sort_arguments(
            {name: value for name, value in given.items() if name not in NO_SETTINGS}
        )
        refuse_pair(temperature)
        if latents is not None:
            controls |= latent_controls(latents, controls, self.transformer.config.codes)
            if latents.ndim == 3 and height is None and width is None:
                grid = latents.shape[1], latents.shape[2]
                settings["height"], settings["width"] = self.frames.of(grid).size
        config = GenerationConfig.over(self.defaults, settings)
        copies, seed = config.num_images_per_prompt, plain(seed)
        rows = count_rows(copies, controls, (seed, generator))
        if callback is not None:
            names = callback_on_step_end_tensor_inputs
            if names is not None and "latents" not in names:
                raise ValueError("callback needs latents: name them among the tensor inputs")
            callback_on_step_end = every(callback, callback_steps, callback_on_step_end)
        output = self.generate(
            per_picture(controls, rows, copies),
            config,
            spread_seeds(seed, rows, copies, generator),
            generator=generator,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            show_progress=True,
            expand_prompt=expand_prompt,
            scorer=scorer,
            scorer_weight=scorer_weight,
        )
        return output if return_dict else (output.images,)

    def caption(self, pictures: Sequence[Image.Image], lang: str = "en") -> list[ToldText]:
        """What pictures show, in English (`en`) or Chinese (`zh`), with how sure each word is.

        Raises:
            RequestError: the model has not learnt it.
        """
        from ufc.captioning.tell import caption_plan, carry_out

        return cast("list[ToldText]", carry_out(self, caption_plan(self, lang), {}, pictures))
