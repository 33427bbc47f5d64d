"""`UFCPipeline`: words, reference images and kept blocks in; scored pictures out.

The only place where tokenizer, transformer, controls and sampler meet. The CLI, the editor and
the scripts all come through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ufc.call_arguments import (
    as_rows,
    count_rows,
    make_generators,
    per_picture,
    said_over,
    sampler_config,
)
from ufc.conditioning.encoding import control_items, kept_codes
from ufc.conditioning.known_tokens import blank_edit, paste_back
from ufc.conditioning.sequence import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator, Voice, join_voice, make_voice
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.io.serialisation import push, read_parts, write_parts
from ufc.model.attention import resolve_backend
from ufc.model.quantisation import (
    DTYPES,
    compile_forward,
    has_int8,
    pick_precision,
    quantise_linears,
)
from ufc.model.transformer import UFCTransformer
from ufc.pipeline_output import PipelineOutput, check_output_type, make_output, present, step_state
from ufc.sampling.best_of import refine_drafts
from ufc.sampling.guidance import alike_codes, make_predict, make_prefix, make_score
from ufc.sampling.loop import Canvas, Refined, SamplerConfig
from ufc_base.checkpoint import CheckpointError
from ufc_base.images import fit_square, to_pil, to_tensor
from ufc_base.inference import WeightWatch
from ufc_base.training.processes import pick_device
from vqgan.model import VQGAN

DEFAULTS: dict[str, Any] = {
    "num_inference_steps": 12,
    "guidance_scale": 3.0,
    "temperature": 1.0,
    "choice_temperature": 4.5,
    "num_candidates": 1,
    "num_drafts": 1,
    "order": "maskgit",
    "compliance_weight": 0.5,
}

StepCallback = Callable[["UFCPipeline", int, int, dict[str, Any]], dict[str, Any] | None]


class UFCPipeline:
    """Everything needed to make pictures from a folder of weights."""

    def __init__(
        self,
        tokenizer: VQGAN,
        transformer: UFCTransformer,
        text: TextTokenizer,
        defaults: dict[str, Any] | None = None,
        name: str = "unnamed",
    ) -> None:
        if tokenizer.config.n_embed != transformer.config.codes:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.config.n_embed} codes, the transformer was made "
                f"for {transformer.config.codes}: they are not of one model"
            )
        if text.size != transformer.config.text_vocabulary:
            raise CheckpointError(
                f"tokenizer.json has {text.size} ids, the transformer was made for "
                f"{transformer.config.text_vocabulary}: they are not of one model"
            )
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.transformer = transformer.eval().requires_grad_(False)
        self.watches = WeightWatch(self.tokenizer), WeightWatch(self.transformer)
        self.text = text
        self.defaults = DEFAULTS | (defaults or {})
        self.name = name
        self.alike = alike_codes(tokenizer.quantize.codebook())
        self.device = transformer.embedding.weight.device
        self.precision = "fp32"
        self.compiled = self.low_mem = self.cpu_offload = False
        self.contrastive: ContrastiveEstimator | None = None
        self._interrupt = False

    @property
    def resolution(self) -> int:
        """Side of a picture in pixels."""
        return self.tokenizer.config.resolution

    @property
    def grid(self) -> int:
        """Blocks along one side of a picture."""
        return self.tokenizer.config.grid

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights; float32 beside int8 layers."""
        return self.transformer.embedding.weight.dtype

    @property
    def backend(self) -> str:
        """The attention backend in use."""
        return self.transformer.backend

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
    ) -> UFCPipeline:
        """Load a bundled model by name, a folder, or a repository of the Hugging Face hub.

        With a `variant`, such as fp16, parts that have them take `model.fp16.safetensors`.

        Raises:
            CheckpointError: no such model, or files that are damaged, changed or do not fit.
            ValueError: a device, dtype or backend that is not to be had; see `to`.
        """
        folder = resolve_model(model, revision, cache_dir, local_files_only)
        pipeline = cls(*read_parts(folder, variant), name=folder.name)
        return pipeline.to(device, dtype, attention_backend, compile, low_mem, cpu_offload)

    def to(
        self,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        attention_backend: str = "auto",
        compile: bool = False,
        low_mem: bool = False,
        cpu_offload: bool = False,
    ) -> UFCPipeline:
        """Move to a device and precision; see `ufc.model.quantisation` for the names and `auto`.

        `compile` writes code for the transformer's pass when it is first run. `low_mem` encodes
        and decodes picture by picture. `cpu_offload` keeps tokenizer and transformer in main
        memory and takes each to the device only while it works.

        Raises:
            ValueError: a name that is unknown or not for this device, a pipeline whose weights
                are int8 already, or no compiler where one is needed.
        """
        device = pick_device(str(device))
        precision = pick_precision(dtype, device)
        if has_int8(self.transformer) and precision != "int8":
            raise ValueError(f"weights rounded to int8 do not go back to {precision}: load again")
        self.device, self.low_mem = device, low_mem
        self.cpu_offload = cpu_offload and device.type != "cpu"
        home = torch.device("cpu") if self.cpu_offload else device
        self.tokenizer.to(home)
        self.alike = self.alike[0].to(device), self.alike[1].to(device)
        self.transformer.to(home, DTYPES.get(precision, torch.float32))
        self.transformer.backend = resolve_backend(attention_backend, device.type)
        if precision == "int8":
            quantise_linears(self.transformer.blocks)
        if compile:
            compile_forward(self.transformer, device)
        self.precision, self.compiled = precision, compile
        return self

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
        codes: Any = None,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        num_images_per_prompt: int = 1,
        num_candidates: int | None = None,
        num_drafts: int | None = None,
        patience: int | None = None,
        time_budget: float | None = None,
        order: str | None = None,
        compliance_weight: float | None = None,
        contrastive_weight: float | None = None,
        feather: int = 0,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        score_steps: bool = False,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> PipelineOutput:
        """Make pictures under any subset of controls.

        One value makes one picture (or `num_images_per_prompt` of them); a list makes one picture
        an entry, as one batch. A missing setting takes the model's own default.

        Args:
            prompt: words, English or Chinese.
            negative_prompt: words to steer away from; takes the place of the empty branch.
            reference_images: pictures to take after; a list for one picture, or a list of lists.
            reference_weights: how strongly to look at each (1 is as trained, 0 leaves it out).
            image: the picture to edit; fitted into the model's square.
            mask_image: white is drawn anew, black is kept (grey is cut at 127).
            preserve_blocks: blocks of the grid to keep, row-major; instead of a mask.
            codes: codes of `image`, as an earlier call returned them: kept blocks take theirs
                from here and nothing is encoded again. Without an image, pixels are not put back.
            num_inference_steps: the most refinement steps, 1 or more.
            guidance_scale: g in l_u + g (l_c - l_u); 1 is without.
            temperature: of the codes' distribution; 0 takes the likeliest.
            num_candidates: canvases tried each step, 1 or more.
            num_drafts: whole drafts of each picture, the best of them by score is returned.
            patience: stop after so many steps without a better score.
            time_budget: stop after so many seconds.
            order: `pnag`, `maskgit`, `mask-predict` or `halton`.
            compliance_weight: share of compliance in the score, 0..1; the rest is fidelity.
            contrastive_weight: share of the bundled contrastive estimator in the compliance that
                candidates are chosen by, 0..1; a third voice that was not trained with the model.
            feather: width in pixels of a blended band outside the kept pixels.
            seed: picture i of a prompt uses seed + i; a list gives each picture, or each prompt,
                its own; drawn at random where none is given.
            generator: one CPU generator, or one a picture, instead of a seed.
            score_steps: score every step, for `curves`, where the order would score the end only.
            output_type: `pil`, `np` (B H W 3 uint8), `pt` (B 3 H W in -1..1) or `codes`.
            callback_on_step_end: called as f(pipeline, step, step, state) after each step with
                `codes`, `confidence`, `compliance`, `fidelity` (None where steps are not scored),
                `filled_step`, `filled_candidate`, and `image()` to draw a preview with the kept
                pixels in it; may set `pipeline._interrupt = True` to stop: the best canvas is kept
                where steps choose by score, else the last. What it returns is not used.

        Raises:
            ValueError: controls that contradict each other or do not fit the model, or a setting
                out of its range.
            CheckpointError: a `contrastive_weight`, and no such estimator is here.
        """
        started = time.monotonic()
        for watch in self.watches:
            watch.look()
        check_output_type(output_type)
        codes = as_rows(codes)
        rows = count_rows(
            num_images_per_prompt,
            entries=(prompt, negative_prompt, image, mask_image),
            lists=(reference_images, reference_weights, preserve_blocks, codes),
            chance=(seed, generator),
        )
        asked = per_picture(
            rows,
            num_images_per_prompt,
            self.grid,
            self.resolution,
            prompt=prompt,
            negative_prompt=negative_prompt,
            reference_images=reference_images,
            reference_weights=reference_weights,
            image=image,
            mask_image=mask_image,
            preserve_blocks=preserve_blocks,
            codes=codes,
            codebook=self.transformer.config.codes,
            seed=seed,
            generator=generator,
        )
        said = said_over(
            self.defaults,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            temperature=temperature,
            num_candidates=num_candidates,
            num_drafts=num_drafts,
            order=order,
            compliance_weight=compliance_weight,
        )
        settings = sampler_config(said, patience, time_budget, score_steps)
        seeds = [one.seed for one in asked]
        generators = make_generators(seeds, generator)
        items, negatives, notices = control_items(asked, self.encode_text, self.encode)
        edits = [one.edit or blank_edit(self.grid, self.resolution) for one in asked]
        codes_BT, locked_BT = kept_codes(edits, self.encode_pixels)

        def draw(codes_BT: Tensor) -> Tensor:
            return paste_back(self.decode(codes_BT), edits, feather)

        def tell(step: int, canvas: Canvas) -> None:
            if callback_on_step_end is not None:
                state = step_state(canvas, draw, settings.watched)
                callback_on_step_end(self, step, step, state)

        refined = self.refine(
            items,
            negatives,
            codes_BT.to(self.device),
            locked_BT.to(self.device),
            said["guidance_scale"],
            settings,
            generators,
            tell,
            self.third_voice([one.prompt for one in asked], contrastive_weight or 0.0),
            said["num_drafts"],
        )
        return make_output(
            refined,
            present(draw(refined.canvas.codes), refined.canvas.codes, output_type),
            seeds,
            items,
            edits,
            time.monotonic() - started,
            notices,
        )

    def third_voice(self, prompts: Sequence[str | None], weight: float) -> Voice | None:
        """The contrastive estimator on these prompts, or None at weight 0; it is loaded once."""
        if weight == 0:
            return None
        if self.contrastive is None:
            self.contrastive = ContrastiveEstimator.from_pretrained()
        return make_voice(self.contrastive, self.decode, prompts, weight)

    def encode_text(
        self, prompt: str | None, notices: list[str], what: str = "prompt"
    ) -> list[int]:
        """Ids of a prompt; too long a one is shortened, and the notices say `what` was."""
        if not prompt:
            return []
        ids, most = self.text.encode_all(prompt), self.text.max_tokens
        if len(ids) > most:
            kept = self.text.decode(ids[:most])
            notices.append(f"{what} has {len(ids)} tokens, used the first {most}: {kept!r}")
        return ids[:most]

    @torch.no_grad()
    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Codes of pictures, each fitted into the model's square: (B, grid, grid)."""
        return self.encode_pixels(
            to_tensor([fit_square(picture, self.resolution) for picture in pictures])
        )

    @torch.no_grad()
    def encode_pixels(self, pixels_BCHW: Tensor) -> Tensor:
        """Codes of squares of the model's size in -1..1: (B, grid, grid) on the CPU."""
        with self.at_work(self.tokenizer):
            parts = [self.tokenizer.encode(x.to(self.device)) for x in self.portions(pixels_BCHW)]
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def decode(self, codes_BT: Tensor) -> Tensor:
        """Pixels of codes, (B, 3, H, W) in -1..1 on the CPU; masked cells are drawn as code 0."""
        codes = codes_BT.masked_fill(codes_BT >= self.tokenizer.config.n_embed, 0)
        grids = self.portions(codes.view(-1, self.grid, self.grid))
        with self.at_work(self.tokenizer):
            parts = [self.tokenizer.decode(x.to(self.device)).float().cpu() for x in grids]
        return torch.cat(parts)

    def portions(self, batch: Tensor) -> Sequence[Tensor]:
        """What the tokenizer takes at a time: all, or with `low_mem` picture by picture."""
        return batch.split(1 if self.low_mem else max(1, len(batch)))

    @contextmanager
    def at_work(self, part: nn.Module) -> Iterator[None]:
        """With `cpu_offload` a part is on the device only while it is at work."""
        if self.cpu_offload:
            part.to(self.device)
        try:
            yield
        finally:
            if self.cpu_offload:
                part.to("cpu")

    def draw(self, codes: Any) -> list[Image.Image]:
        """Pictures of codes as a call returns them, (B, T) as a tensor or lists."""
        return to_pil(self.decode(torch.as_tensor(codes)))

    @torch.no_grad()
    def refine(
        self,
        items: list[ControlItem],
        negatives: list[ControlItem],
        codes_BT: Tensor,
        locked_BT: Tensor,
        guidance_scale: float,
        settings: SamplerConfig,
        generators: Sequence[torch.Generator],
        tell: Callable[[int, Canvas], None],
        voice: Voice | None = None,
        drafts: int = 1,
    ) -> Refined:
        """Run the sampler under the controls."""
        guided = guidance_scale != 1 and not all(
            item.empty and negative.empty for item, negative in zip(items, negatives, strict=True)
        )
        self._interrupt = False

        def on_step(step: int, canvas: Canvas) -> bool:
            tell(step, canvas)
            return self._interrupt

        with self.at_work(self.transformer):
            prefix = make_prefix(self.transformer, items)
            negative = make_prefix(self.transformer, negatives) if guided else None
            return refine_drafts(
                make_predict(self.transformer, prefix, negative, guidance_scale),
                join_voice(make_score(self.transformer, prefix), voice),
                codes_BT,
                locked_BT,
                self.transformer.config.codes,
                settings,
                generators,
                on_step,
                self.alike,
                drafts=drafts,
            )
