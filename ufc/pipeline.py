"""`UFCPipeline`: words, reference images and kept blocks in; scored pictures out.

The only place where tokenizer, transformer, controls and sampler meet. The CLI, the editor and
the scripts all come through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from ufc.call_arguments import (
    count_rows,
    make_generators,
    per_picture,
    plain,
    prepare_edits,
    sampler_config,
    sort_arguments,
    spread_seeds,
)
from ufc.captioning.known_tasks import KnownTasks
from ufc.conditioning.conditioning import OF_AN_IMAGE, Conditioning
from ufc.conditioning.controls import encode_controls
from ufc.conditioning.encoding import EncodedPictures, known_codes
from ufc.conditioning.expansion import ExpandPrompt, expand_all
from ufc.conditioning.frame import Frame, Frames
from ufc.conditioning.known_tokens import as_pictures, blank_edit, paste_back
from ufc.conditioning.text import TextTokenizer
from ufc.contrastive_scorer import ContrastiveEstimator, Reranker, make_reranker, rerank
from ufc.io.hub import DEFAULT_MODEL, resolve_model
from ufc.io.serialisation import (
    UPSCALER,
    checkpoint_defaults,
    known_tasks,
    push,
    read_parts,
    read_upscaler,
    write_parts,
)
from ufc.io.validation import RequestError
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
from ufc.model.transformer import UFCTransformer
from ufc.pipeline_output import (
    PipelineOutput,
    at_original_size,
    check_output_type,
    finished,
    measured,
    present,
    step_state,
)
from ufc.sampling.canvas import Canvas
from ufc.sampling.generate import generate_tokens
from ufc.sampling.generation_config import DEFAULTS, GenerationConfig
from ufc.sampling.guidance import alike_codes
from ufc.sampling.loop import Problem
from ufc.sampling.stopping import Call, own_call, running
from ufc_base.checkpoint import CheckpointError
from ufc_base.images import to_pil, to_tensor
from ufc_base.inference import WeightWatch
from ufc_base.profiles import to_srgb
from ufc_base.training.processes import pick_device
from vqgan.model import VQGAN
from vqgan.quantizer import name_codes
from vqgan.upscaling.model import SCALE, Upscaler

if TYPE_CHECKING:
    from ufc.captioning.tell import ToldText

# Arguments of a call that are neither controls nor settings of `GenerationConfig`.
NO_SETTINGS = (
    "self", "further", "seed", "generator", "output_type", "callback_on_step_end", "expand_prompt",
)  # fmt: skip
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
        tasks: KnownTasks | None = None,
        upscaler: Upscaler | None = None,
    ) -> None:
        prepare_process()
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
        self.calls: list[Call] = []

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

    def to(
        self,
        device: str | torch.device | None = None,
        dtype: str | None = None,
        attention_backend: str | None = None,
        compile: bool | None = None,
        low_mem: bool | None = None,
        cpu_offload: bool | None = None,
        deterministic: bool | None = None,
    ) -> UFCPipeline:
        """Move to a device and precision; see `ufc.model.quantisation` for the names and `auto`.

        What is left out stays as it is. `compile` writes code for the transformer's pass when it
        is first run. `low_mem` encodes and decodes picture by picture. `cpu_offload` keeps
        tokenizer and transformer in main memory and takes each to the device only while it works.
        `deterministic` gives every picture forward passes of its own, so that it is the same alone
        or in a batch in every precision; torch's own switch of that name is left as it is.

        Raises:
            ValueError: a name that is unknown or not for this device, a device that is not here,
                or no compiler where one is needed. The pipeline is then as it was, as after any
                other error.
        """
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
        precision = pick_precision(dtype or self.precision, place, bool(requested["compile"]))
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

    def generate(
        self,
        given: Sequence[Conditioning],
        config: GenerationConfig,
        seeds: Sequence[int | None],
        *,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        expand_prompt: ExpandPrompt | None = None,
    ) -> PipelineOutput:
        """Make a picture of each conditioning, with its own seed, all with the same settings.

        What `__call__` comes to, and raises, once its arguments are sorted. Pictures are opened
        already: upright and 8-bit, the image to edit by `load_original`, others by `load_image`.
        """
        started = time.monotonic()
        prepare_process()
        for watch in self.watches:
            watch.look()
        check_output_type(output_type)
        self.check_upscale(config.upscale)
        codebook = self.transformer.config.codes
        with running(self.calls) as call:
            told: list[list[str]] = [[] for _ in given]
            if expand_prompt is not None:
                prompts, told = expand_all([one.prompt for one in given], expand_prompt)
                given = [
                    one.model_copy(update={"prompt": prompt})
                    for one, prompt in zip(given, prompts, strict=True)
                ]
            if any(OF_AN_IMAGE & one.model_fields_set for one in given):
                frame, edits = prepare_edits(given, self.frames, config, codebook)
            else:
                frame = self.frames.choose(None, config.height, config.width)
                edits = [blank_edit(frame.grid, frame.size)] * len(given)
            sampler = sampler_config(config)
            if sampler.rule.causal:
                self.transformer.check_autoregressive()
            generators = make_generators(seeds, generator)
            tokens = [
                encode_controls(one, self.encode_text, self.encode_reference) for one in given
            ]
            items, negatives, notices = map(list, zip(*tokens, strict=True))
            codes_BT, locked_BT = known_codes(edits, self.encode_once)

            def decoded(codes_BT: Tensor) -> Tensor:
                return paste_back(self.decode(codes_BT, frame.grid), edits, config.feather)

            def on_step(step: int, canvas: Canvas) -> bool:
                if callback_on_step_end is not None:
                    state = step_state(
                        canvas, lambda codes: as_pictures(decoded(codes), edits), sampler.watched
                    ) | {"stop": call.stop}
                    callback_on_step_end(self, step, step, state)
                return call.stopped

            prompts = [one.prompt for one in given]
            reranker = self.reranker(prompts, config.contrastive_weight, frame.grid)
            with self.at_work(self.transformer):
                refined = generate_tokens(
                    self.transformer,
                    items,
                    negatives,
                    Problem(
                        codes_BT.to(self.device),
                        locked_BT.to(self.device),
                        codebook,
                        generators,
                        frame.grid,
                        self.alike,
                    ),
                    sampler,
                    guidance_scale=config.guidance_scale,
                    best_of=config.best_of,
                    apart=self.deterministic,
                    rescore=lambda score: rerank(score, reranker),
                    on_step=on_step,
                )
            codes_BT = refined.canvas.codes
            pixels_BCHW = self.decode(codes_BT, frame.grid)
            larger = self.enlarge if config.upscale > 1 else None
            finished_BCHW = finished(edits, pixels_BCHW, config.feather, larger)
            if config.original_size and output_type == "pil":
                images: Any = at_original_size(
                    edits, pixels_BCHW, finished_BCHW, frame.stretch, config.feather,
                    None if self.upscaler is None else self.enlarge,
                )  # fmt: skip
            else:
                images = present(finished_BCHW, codes_BT, edits, output_type)
        return PipelineOutput(
            images=images,
            seeds=list(seeds),
            seconds=time.monotonic() - started,
            notices=[[*first, *then] for first, then in zip(told, notices, strict=True)],
            prompts=prompts,
            **measured(refined, items, edits, frame.grid),
        )

    def reranker(
        self,
        prompts: Sequence[str | None],
        weight: float,
        grid: tuple[int, int] | None = None,
    ) -> Reranker | None:
        """The contrastive estimator on these prompts, or None at weight 0; it is loaded once."""
        if weight == 0:
            return None
        if self.contrastive is None:
            self.contrastive = ContrastiveEstimator.from_pretrained()
        return make_reranker(
            self.contrastive, lambda codes_BT: self.decode(codes_BT, grid), prompts, weight
        )

    def caption(self, pictures: Sequence[Image.Image], lang: str = "en") -> list[ToldText]:
        """What pictures show, in English (`en`) or Chinese (`zh`), with how sure each word is.

        Raises:
            RequestError: the model has not learnt it.
        """
        from ufc.captioning.tell import caption_plan, carry_out

        return cast("list[ToldText]", carry_out(self, caption_plan(self, lang), {}, pictures))

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
    def encode(self, pictures: Sequence[Image.Image], frame: Frame | None = None) -> Tensor:
        """Codes of pictures, each fitted into a frame, the trained one if none is given.

        Returns (B, rows, columns) on the CPU.
        """
        fit = (frame or self.frames.default).fit
        return self.encode_pixels(to_tensor([to_srgb(fit(picture)) for picture in pictures]))

    def encode_reference(self, picture: Image.Image) -> Tensor:
        """Codes of a picture in the grid that suits its proportions, (rows, columns)."""
        fitted = to_srgb(self.frames.choose(picture.size).fit(picture))
        return self.encode_once(to_tensor(fitted))[0]

    def encode_once(self, pixels_BCHW: Tensor) -> Tensor:
        """`encode_pixels`, or what came of it for the same pixels before."""
        return self.encoded.get(pixels_BCHW, self.encode_pixels)

    @torch.no_grad()
    def encode_pixels(self, pixels_BCHW: Tensor) -> Tensor:
        """Codes of pixels in -1..1, (B, 3, H, W) in whole blocks: (B, rows, columns) on the CPU."""
        with self.at_work(self.tokenizer):
            parts = [self.tokenizer.encode(x.to(self.device)) for x in self.portions(pixels_BCHW)]
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def decode(self, codes_BT: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Pixels of codes, (B, 3, H, W) in -1..1 on the CPU; masked cells are decoded as code 0.

        The codes are of a `grid` of (rows, columns), the trained one if none is given.
        """
        codes = codes_BT.masked_fill(codes_BT >= self.tokenizer.config.codes, 0)
        grids = self.portions(codes.view(-1, *(grid or self.grid_size)))
        with self.at_work(self.tokenizer):
            parts = [self.tokenizer.decode(x.to(self.device)).float().cpu() for x in grids]
        return torch.cat(parts)

    def check_upscale(self, upscale: int | None) -> None:
        """Raise `RequestError` where pictures are to be enlarged and nothing here can."""
        if (upscale or 1) > 1 and self.upscaler is None:
            raise RequestError(
                f"upscale: got {upscale}, and the model {self.name} has no upscaler; leave it out, "
                f"or put what `ufc train-upscaler` wrote (config.json and model.safetensors) into "
                f"{UPSCALER}/ of the model's folder"
            )

    @torch.no_grad()
    def enlarge(self, pixels_BCHW: Tensor) -> Tensor:
        """Pixels in -1..1 on the CPU, (B, 3, H, W), at twice the size by the upscaler.

        Raises:
            RequestError: the model has none.
        """
        self.check_upscale(SCALE)
        upscaler = cast("Upscaler", self.upscaler)
        with self.at_work(upscaler):
            parts = [
                upscaler.enlarge(x.to(self.device)).float().cpu()
                for x in self.portions(pixels_BCHW)
            ]
        return torch.cat(parts)

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
            yield
        finally:
            if self.cpu_offload:
                part.to("cpu")

    def decode_pil(self, codes: Any, grid: tuple[int, int] | None = None) -> list[Image.Image]:
        """Pictures of codes as a call returns them, (B, T) as a tensor or lists; see `decode`."""
        return to_pil(self.decode(torch.as_tensor(codes), grid))
