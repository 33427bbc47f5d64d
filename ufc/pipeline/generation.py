"""Pictures of ready conditionings: what a call comes to once its arguments are sorted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ufc.call_arguments import (
    make_generators,
    of_strength,
    prepare_edits,
    sampler_config,
    with_strength,
)
from ufc.conditioning.conditioning import OF_AN_IMAGE, Conditioning
from ufc.conditioning.edits.strength import stay_by_strength
from ufc.conditioning.encoding import known_codes
from ufc.conditioning.expansion import ExpandPrompt, expand_all
from ufc.conditioning.frame import Frame
from ufc.conditioning.known_tokens import EditCanvas, as_pictures, blank_edit, paste_back
from ufc.io.validation import RequestError
from ufc.model.forking import prepare_process
from ufc.pipeline.callbacks import StepCallback, step_tensors, take_over, tensor_inputs
from ufc.pipeline.judging import Judging, bar_of, below_bar
from ufc.pipeline_output import (
    PipelineOutput,
    at_original_size,
    check_output_type,
    finished,
    measured,
    present,
)
from ufc.sampling.canvas import Canvas
from ufc.sampling.generate import generate_tokens
from ufc.sampling.generation_config import GenerationConfig
from ufc.sampling.loop import Problem
from ufc.sampling.selection.rerankers import Scorer, judge_finished, rerank
from ufc.sampling.stopping import running
from ufc_base.computing.thread_pool import temporary_thread_pool


class Generation(Judging):
    """Parts that generate together."""

    @temporary_thread_pool()
    def generate(
        self,
        given: Sequence[Conditioning],
        config: GenerationConfig,
        seeds: Sequence[int | None],
        *,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] | None = None,
        show_progress: bool = False,
        expand_prompt: ExpandPrompt | None = None,
        scorer: Scorer | None = None,
        scorer_weight: float = 1.0,
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
        config = with_strength(config, given)
        self.check_upscale(config.upscale)
        self.check_scores(config, [one.prompt for one in given], scorer, scorer_weight)
        names = tensor_inputs(callback_on_step_end, callback_on_step_end_tensor_inputs)
        with running(self.calls) as call, ExitStack() as stack:
            told: list[list[str]] = [[] for _ in given]
            if expand_prompt is not None:
                given, told = with_captions(given, expand_prompt)
            frame, edits = self.prepare(given, config)
            sampler = sampler_config(config)
            if sampler.rule.causal:
                self.transformer.check_autoregressive()
            problem = self.problem(edits, frame, make_generators(seeds, generator), config)
            items, negatives, notices = self.controls(given)
            prompts = [one.prompt for one in given]
            wanted = bar_of(config, items)
            rerankers = self.rerankers(prompts, config, scorer, scorer_weight)
            bar = None
            if show_progress:
                free = int((~problem.locked_BT).any(0).sum())
                total = free if sampler.rule.causal else sampler.steps
                bar = stack.enter_context(self.progress_bar(total=total))

            def decode(codes_MT: Tensor) -> Tensor:
                return self.decode(codes_MT, frame.grid)

            def seen(codes_BT: Tensor, rows: Sequence[int] | None = None) -> list[Image.Image]:
                """What a step has come to, of some pictures of the batch alone or of all."""
                shown = range(len(edits)) if rows is None else rows
                pixels_BCHW = self.decode(codes_BT[list(shown)], frame.grid)
                own = [edits[row] for row in shown]
                return as_pictures(paste_back(pixels_BCHW, own, config.feather), own)

            def on_step(step: int, canvas: Canvas) -> bool:
                if bar is not None:
                    bar.update()
                if callback_on_step_end is not None:
                    tensors = step_tensors(canvas, frame.grid, sampler.watched)
                    state: dict[str, Any] = {name: tensors[name] for name in names}
                    state["image"] = lambda rows=None: seen(canvas.codes, rows)
                    state["stop"] = call.stop
                    returned = callback_on_step_end(self, step, step, state)
                    take_over(canvas, returned, problem.locked_BT, problem.codes)
                return call.stopped

            with self.at_work(self.transformer):
                refined = generate_tokens(
                    self.transformer,
                    items,
                    negatives,
                    problem,
                    sampler,
                    guidance_scale=config.guidance_scale,
                    best_of=config.best_of,
                    bar=wanted,
                    apart=self.deterministic,
                    rescore=lambda score: rerank(score, rerankers, decode),
                    judge_finished=judge_finished(rerankers, decode),
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
                images = present(finished_BCHW, codes_BT, edits, output_type, frame.grid)
        return PipelineOutput(
            images=images,
            seeds=list(seeds),
            seconds=time.monotonic() - started,
            notices=[
                [*first, *then, *below_bar(wanted, config, refined.canvas.scores, row)]
                for row, (first, then) in enumerate(zip(told, notices, strict=True))
            ],
            prompts=prompts,
            decoded=pixels_BCHW,
            **measured(refined, items, edits, frame.grid),
        )

    def prepare(
        self, given: Sequence[Conditioning], config: GenerationConfig
    ) -> tuple[Frame, list[EditCanvas]]:
        """The size of a call's pictures, and what is kept in each."""
        if any(OF_AN_IMAGE & one.model_fields_set for one in given):
            return prepare_edits(given, self.frames, config, self.transformer.config.codes)
        if config.strength is not None:
            raise RequestError("strength: needs the image that it changes; give an image too")
        frame = self.frames.choose(None, config.height, config.width)
        return frame, [blank_edit(frame.grid, frame.size)] * len(given)

    def problem(
        self,
        edits: Sequence[EditCanvas],
        frame: Frame,
        generators: Sequence[torch.Generator],
        config: GenerationConfig,
    ) -> Problem:
        """What is to be filled, on the device: known codes, and which cells they lock."""
        codes_BT, locked_BT = known_codes(edits, self.encode_once)
        if of_strength(config) < 1:
            stay_by_strength(
                codes_BT, locked_BT, edits, of_strength(config), generators, self.encode_once
            )
        return Problem(
            codes_BT.to(self.device),
            locked_BT.to(self.device),
            self.transformer.config.codes,
            generators,
            frame.grid,
            self.alike,
        )


def with_captions(
    given: Sequence[Conditioning], expand_prompt: ExpandPrompt
) -> tuple[list[Conditioning], list[list[str]]]:
    """The same with prompts rewritten as captions, and what there is to tell of each."""
    prompts, told = expand_all([one.prompt for one in given], expand_prompt)
    pairs = zip(given, prompts, strict=True)
    return [one.model_copy(update={"prompt": prompt}) for one, prompt in pairs], told
