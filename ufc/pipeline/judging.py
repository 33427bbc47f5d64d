"""Who judges a pipeline's pictures beside its own scores, and what scores they have to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ufc.call_arguments import per_picture, sort_arguments
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem
from ufc.conditioning.controls import encode_controls
from ufc.conditioning.text import normalise
from ufc.contrastive_scorer import ContrastiveEstimator, make_contrastive_reranker
from ufc.io.validation import RequestError, listed
from ufc.pipeline.coding import Coding
from ufc.sampling.generation_config import GenerationConfig, read_min_score
from ufc.sampling.selection.attempts import Bar
from ufc.sampling.selection.rerankers import Reranker, Scorer, make_reranker
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.images import load_image

if TYPE_CHECKING:
    from estimators.metrics.clip_score import ClipScorer
    from ufc.control_shares import ControlShares

OF_WORDS = ("contrastive", "clip")  # scores that pictures without words have not
CLIP_SCALE = 2.5  # of the cosine, as CLIPScore has it (Hessel et al. 2021)


class Judging(Coding):
    """Parts whose pictures may be judged by others, too."""

    def controls(
        self, given: Sequence[Conditioning]
    ) -> tuple[list[ControlItem], list[ControlItem], list[list[str]]]:
        """Control tokens of each picture, those of its negative branch, and its notices."""
        for one in given:
            for name in ("prompt_embeds", "negative_prompt_embeds"):
                self.check_embeds(name, getattr(one, name))
        tokens = [encode_controls(one, self.encode_text, self.encode_reference) for one in given]
        items, negatives, notices = map(list, zip(*tokens, strict=True))
        return items, negatives, notices

    def check_scores(
        self,
        config: GenerationConfig,
        prompts: Sequence[str | None],
        scorer: Scorer | None = None,
        scorer_weight: float = 1.0,
    ) -> None:
        """Find scores that cannot be had of these prompts, before anything is generated.

        Raises:
            RequestError: nobody here gives them, judges of words are asked about pictures without,
                or together the judges have more than all of compliance.
        """
        least = least_scores(config)
        if self.clip is None and (config.clip_weight or "clip" in least):
            name = "clip_weight" if config.clip_weight else "min_score"
            raise RequestError(
                f"{name}: no CLIP is here; give its weights by --clip-checkpoint, and its name by "
                "--clip-model, or in Python as pipe.clip (estimators.metrics.clip_score)"
            )
        judges = {"contrastive": True, "clip": self.clip, "scorer": scorer}
        known = (
            *self.transformer.config.estimators,
            *(name for name, judge in judges.items() if judge is not None),
        )
        unknown = [name for name in least if name not in known]
        if unknown:
            raise RequestError(
                f"min_score: there is no score {unknown[0]!r} here; wanted one of {listed(known)}"
            )
        worded = [name for name in OF_WORDS if name in least]
        if worded and not all(normalise(prompt or "") for prompt in prompts):
            raise RequestError(
                f"min_score: {worded[0]} judges pictures by their words, and one has none; give "
                "some, or leave it out"
            )
        weights = judge_weights(config, scorer, scorer_weight)
        if sum(weights.values()) > 1 + 1e-9 and len([w for w in weights.values() if w]) > 1:
            said = ", ".join(f"{name}_weight {weight:g}" for name, weight in weights.items())
            raise RequestError(f"got {said}: together they are shares of one, wanted 1 at most")

    def rerankers(
        self,
        prompts: Sequence[str | None],
        config: GenerationConfig,
        scorer: Scorer | None = None,
        scorer_weight: float = 1.0,
    ) -> list[Reranker]:
        """Those that the settings ask for, on these prompts; see `check_scores`.

        The contrastive estimator is loaded once.
        """
        weights = judge_weights(config, scorer, scorer_weight)
        least, worded = least_scores(config), [bool(normalise(one or "")) for one in prompts]
        found = []
        if weights["contrastive"] or "contrastive" in least:
            if self.contrastive is None:
                self.contrastive = ContrastiveEstimator.from_pretrained()
            found.append(
                make_contrastive_reranker(self.contrastive, prompts, weights["contrastive"])
            )
        if weights["clip"] or "clip" in least:
            assert self.clip is not None
            judge = clip_scorer(self.clip.to(self.device))
            found.append(make_reranker("clip", judge, prompts, weights["clip"], worded))
        if scorer is not None:
            found.append(make_reranker("scorer", scorer, prompts, scorer_weight))
        return found

    @temporary_thread_pool()
    def control_shares(self, picture: Any, **controls: Any) -> ControlShares:
        """What each control adds to a picture's compliance: the score with it left out.

        Args:
            picture: the picture, as a call returned it or any other.
            controls: those that it was generated under, as of a call for one picture: `prompt`,
                `reference_images`, `reference_weights` and others, or `conditioning`.

        Returns:
            Compliance with all of them, and a share for each control and each reference by name;
            none where a single control is all there is.

        Raises:
            ValueError: controls that a call would refuse, or too many of them.
        """
        from ufc.control_shares import control_shares

        given, settings = sort_arguments(controls)
        if settings:
            raise TypeError(f"control_shares takes controls alone, got {', '.join(settings)}")
        return control_shares(self, load_image(picture), *per_picture(given, 1, 1))


def clip_scorer(clip: ClipScorer) -> Scorer:
    """CLIPScore as a share, min(1, 2.5 max(cosine, 0)); its own figure is 100 times the cosine."""
    return lambda pictures, texts: [
        min(1.0, CLIP_SCALE * value / 100) for value in clip.scores(pictures, texts)
    ]


def judge_weights(
    config: GenerationConfig, scorer: Scorer | None, scorer_weight: float
) -> dict[str, float]:
    """The shares of compliance that judges have, by name."""
    weights = {"contrastive": config.contrastive_weight, "clip": config.clip_weight}
    return weights if scorer is None else weights | {"scorer": scorer_weight}


def least_scores(config: GenerationConfig) -> dict[str, float]:
    """The scores that pictures have to reach, by name."""
    least = {} if config.min_score is None else read_min_score(config.min_score)
    if config.min_compliance is not None:
        least["compliance"] = max(config.min_compliance, least.get("compliance", 0.0))
    return least


def bar_of(config: GenerationConfig, items: Sequence[ControlItem]) -> Bar | None:
    """The scores that pictures have to reach, if any.

    Raises:
        RequestError: one of them has nothing to comply with.
    """
    least = least_scores(config)
    if "compliance" in least and any(item.empty for item in items):
        raise RequestError(
            f"{named('compliance', config)}: a picture without words and references has nothing "
            "to comply with; give some, or leave it out"
        )
    return Bar(least, config.max_attempts) if least else None


def below_bar(
    bar: Bar | None, config: GenerationConfig, scores: Mapping[str, Tensor], row: int
) -> list[str]:
    """What there is to tell of a picture that did not reach the scores asked for."""
    if bar is None:
        return []
    return [
        f"{name} is {float(scores[name][row]):.2f} at best after {bar.attempts} attempts, "
        f"{named(name, config)} {least:g} was wanted; try other words or more attempts"
        for name, least in bar.least.items()
        if bool(scores[name][row] < least)
    ]


def named(score: str, config: GenerationConfig) -> str:
    """The setting that a least score comes from: of two for compliance the higher one."""
    if score == "compliance" and config.min_compliance == least_scores(config)[score]:
        return "min_compliance"
    return f"min_score {score}"
