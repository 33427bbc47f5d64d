"""Pictures of ready conditionings: what a call comes to once its arguments are sorted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ufc.call_arguments import make_generators, prepare_edits, sampler_config
from ufc.conditioning.conditioning import OF_AN_IMAGE, Conditioning
from ufc.conditioning.controls import encode_controls
from ufc.conditioning.encoding import known_codes
from ufc.conditioning.expansion import ExpandPrompt, expand_all
from ufc.conditioning.known_tokens import as_pictures, blank_edit, paste_back
from ufc.contrastive_scorer import ContrastiveEstimator, Reranker, make_reranker, rerank
from ufc.model.forking import prepare_process
from ufc.pipeline.coding import Coding
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
from ufc.sampling.generation_config import GenerationConfig
from ufc.sampling.loop import Problem
from ufc.sampling.stopping import running

StepCallback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any] | None]


class Generation(Coding):
    """Parts that generate together."""

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
