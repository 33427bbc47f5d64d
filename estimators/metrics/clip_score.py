"""CLIPScore: open_clip for English, Chinese-CLIP for Chinese (Hessel et al. 2021).

Both are optional. Weights come from local checkpoints or, where there is a network, by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from estimators.metrics.base import MeasuredSet, Metric, Need, Options, register_metric
from ufc_base.extras import UnavailableError, how_to_install
from ufc_base.training.processes import pick_device
from vqgan.perceptual import import_torchvision

ENGLISH, CHINESE = "ViT-B-32", "ViT-B-16"
BATCH = 32


@register_metric
class ClipScore(Metric):
    name = "clip_score"
    help = "100 times the cosine of picture and caption, 0 at least."
    source = "open_clip; Chinese-CLIP for `--caption-column text_zh`"
    needs: ClassVar[frozenset[Need]] = frozenset({"pictures", "captions"})
    in_reports = False

    def load(self, options: Options) -> ClipScorer:
        load = load_chinese if options.caption_column == "text_zh" else load_english
        named = {} if options.clip_model is None else {"model": options.clip_model}
        device = pick_device(options.device)
        return load(**named, checkpoint=options.clip_checkpoint).to(device)

    def measure(self, given: MeasuredSet, judge: ClipScorer) -> dict[str, Any]:
        assert given.captions is not None
        scores = judge.scores(given.pictures, given.captions)
        return {
            "clip_score": float(np.mean(scores)),
            "clip_score_interval_95": 1.96 * float(np.std(scores)) / len(scores) ** 0.5,
            "clip": judge.name,
        }


@dataclass(frozen=True)
class ClipScorer:
    """A CLIP with what turns pictures and texts into its inputs; it works where it is.

    Attributes:
        name: model and checkpoint, for reports.
        network: has `encode_image` and `encode_text`, batches to embeddings of any length.
        images: one picture to the tensor that the network wants.
        tokenize: texts to their ids, (B, T).
    """

    name: str
    network: nn.Module
    images: Callable[[Image.Image], Tensor]
    tokenize: Callable[[Sequence[str]], Tensor]

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""
        self.network.to(device)
        return self

    @torch.inference_mode()
    def scores(self, pictures: Iterable[Image.Image], texts: Sequence[str]) -> list[float]:
        """100 max(cos, 0) of picture i and text i.

        Raises:
            ValueError: different numbers of pictures and texts.
        """
        network: Any = self.network
        device = next(network.parameters()).device
        found: list[float] = []
        stream = iter(pictures)
        while batch := list(islice(stream, BATCH)):
            own = texts[len(found) : len(found) + len(batch)]
            if len(own) < len(batch):
                raise ValueError(f"got more pictures than the {len(texts)} texts, wanted as many")
            pixels = torch.stack([self.images(picture) for picture in batch])
            a = F.normalize(network.encode_image(pixels.to(device)).float(), dim=-1)
            b = F.normalize(network.encode_text(self.tokenize(own).to(device)).float(), dim=-1)
            found += (100 * (a * b).sum(-1).clamp_min(0)).tolist()
        if len(found) < len(texts):
            raise ValueError(f"got {len(found)} pictures for {len(texts)} texts, wanted as many")
        return found


def load_english(model: str = ENGLISH, checkpoint: str | None = None) -> ClipScorer:
    """open_clip's `model` with a checkpoint: a file, or a tag such as `laion2b_s34b_b79k`.

    Texts beyond the context are shortened with their end mark kept.

    Raises:
        UnavailableError: open_clip is not installed.
        ValueError: no such model, or weights that cannot be had.
    """
    if checkpoint is None and ":" not in model:
        raise ValueError(_no_weights("English", model, None, "no checkpoint given"))
    open_clip = _import("open_clip", "open_clip_torch", "English")
    try:
        network, _, images = open_clip.create_model_and_transforms(model, pretrained=checkpoint)
        tokenize = open_clip.get_tokenizer(model)
    except Exception as error:  # the library raises many unrelated types
        raise ValueError(_no_weights("English", model, checkpoint, error)) from error
    network.eval().requires_grad_(False)
    return ClipScorer(
        f"open_clip {model} {checkpoint or ''}".strip(),
        network,
        images,
        lambda texts: tokenize(list(texts)),
    )


def load_chinese(model: str = CHINESE, checkpoint: str | None = None) -> ClipScorer:
    """Chinese-CLIP's `model`, downloaded by name or from a checkpoint file.

    With a file, `model` is `VISION@TEXT@PIXELS`, such as
    `ViT-B-16@RoBERTa-wwm-ext-base-chinese@224`, or one of the names of its releases.

    Raises:
        UnavailableError: cn_clip is not installed.
        ValueError: no such model, or weights that cannot be had.
    """
    clip = _import("cn_clip.clip", "cn_clip", "Chinese")
    try:
        if checkpoint is None:
            network, images = clip.load_from_name(model, device="cpu")
        else:
            vision, text, side = _structure(clip, model)
            network, images = clip.load_from_name(
                checkpoint,
                device="cpu",
                vision_model_name=vision,
                text_model_name=text,
                input_resolution=side,
            )
    except Exception as error:  # the library raises many unrelated types
        raise ValueError(_no_weights("Chinese", model, checkpoint, error)) from error
    network.eval().requires_grad_(False)
    return ClipScorer(
        f"cn_clip {model} {checkpoint or ''}".strip(),
        network,
        images,
        lambda texts: clip.tokenize(list(texts), context_length=52),
    )


def _structure(clip: Any, model: str) -> tuple[str, str, int]:
    if model.count("@") == 2:
        vision, text, side = model.split("@")
        return vision, text, int(side)
    about = importlib.import_module(f"{clip.__name__}.utils")._MODEL_INFO[model]
    vision, text = about["struct"].split("@")
    return vision, text, int(about["input_resolution"])


def _import(module: str, package: str, language: str) -> Any:
    try:
        import_torchvision()
        return importlib.import_module(module)
    except ImportError as error:
        raise UnavailableError(
            f"CLIPScore of {language} captions needs {package} ({error}): {how_to_install('clip')}"
        ) from error


def _no_weights(language: str, model: str, checkpoint: str | None, error: object) -> str:
    tried = f"{model} from {checkpoint}" if checkpoint else model
    return (
        f"no weights for CLIPScore of {language} captions: {tried} ({error}); "
        "give a local checkpoint with --clip-checkpoint"
    )
