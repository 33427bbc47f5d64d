"""The contrastive estimator as one object: pictures and texts in, cosines and probabilities out.

It is a judge of its own, trained beside the generator and not with it: retrieval figures come from
it, and candidates may be chosen by it too (`make_contrastive_reranker`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from estimators.contrastive import ContrastiveModel
from ufc.conditioning.text import TextTokenizer, normalise
from ufc.io.hub import resolve_estimator
from ufc.sampling.selection.rerankers import Reranker
from ufc_base.checkpoint import CheckpointError
from ufc_base.computing.thread_pool import temporary_thread_pool
from ufc_base.images import fit_picture, to_tensor

BUNDLED = "fashion-64-contrastive"
BATCH = 64


class ContrastiveEstimator:
    """Both towers with the text tokenizer they were trained with."""

    def __init__(self, model: ContrastiveModel, text: TextTokenizer, name: str = "unnamed") -> None:
        if text.size != model.config.text_vocabulary:
            raise CheckpointError(
                f"tokenizer.json has {text.size} ids, the text tower was made for "
                f"{model.config.text_vocabulary}: they are not of one model"
            )
        self.model = model.eval().requires_grad_(False)
        self.text = text
        self.name = name

    @classmethod
    def from_pretrained(cls, model: str | PathLike[str] = BUNDLED) -> ContrastiveEstimator:
        """Load a folder that `ufc train-contrastive` wrote, or a bundled one by name.

        Raises:
            CheckpointError: there is none, or its files are damaged or changed.
        """
        made_by = "ufc train-contrastive"
        folder = resolve_estimator(model, "contrastive estimator", made_by, BUNDLED)
        text = TextTokenizer.load(folder / "tokenizer.json")
        return cls(ContrastiveModel.from_pretrained(folder), text, folder.name)

    def save_pretrained(
        self, folder: str | PathLike[str], dtype: torch.dtype | None = None
    ) -> None:
        """Write both towers and `tokenizer.json`."""
        self.model.save_pretrained(folder, dtype)
        self.text.save(Path(folder) / "tokenizer.json")

    @temporary_thread_pool()
    @torch.no_grad()
    def embed_images(self, images: Iterable[Image.Image]) -> Tensor:
        """Embeddings of pictures of any size, of length 1, (N, E)."""
        size, chunks, pictures = self.model.config.image.size, [], iter(images)
        while batch := list(islice(pictures, BATCH)):
            pixels = to_tensor([fit_picture(image, size) for image in batch])
            chunks.append(self.model.image(pixels))
        return torch.cat(chunks)

    @temporary_thread_pool()
    @torch.no_grad()
    def embed_pixels(self, x_BCHW: Tensor) -> Tensor:
        """Embeddings of pixels in -1..1 of any size, (B, E); white beside other proportions."""
        (rows, columns), (height, width) = self.model.config.image.size, x_BCHW.shape[-2:]
        beside = max(0, math.ceil(height * columns / rows) - width)
        below = max(0, math.ceil(width * rows / columns) - height)
        if beside or below:
            left, top = beside // 2, below // 2
            x_BCHW = F.pad(x_BCHW, (left, beside - left, top, below - top), value=1.0)
        if x_BCHW.shape[-2:] != (rows, columns):
            x_BCHW = F.interpolate(x_BCHW, size=(rows, columns), mode="bicubic", antialias=True)
        embedded: Tensor = self.model.image(x_BCHW)
        return embedded

    @temporary_thread_pool()
    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, of length 1, (N, E)."""
        ids = [self.text.encode(text) for text in texts]
        return torch.cat(
            [self.model.text(ids[at : at + BATCH]) for at in range(0, len(ids), BATCH)]
        )

    def probability(self, images_NE: Tensor, texts_NE: Tensor) -> Tensor:
        """The chance that text i is picture i's own and not another's, (N,)."""
        return self.model.probability((images_NE * texts_NE).sum(-1))


def make_contrastive_reranker(
    estimator: ContrastiveEstimator, prompts: Sequence[str | None], weight: float
) -> Reranker:
    """The estimator as a reranker: its score is the chance that it gives the words.

    An image without words keeps the model's own compliance.

    Args:
        estimator: the judge.
        prompts: of each image.
        weight: its share of compliance, 0..1.

    Raises:
        ValueError: another weight.
    """
    texts = estimator.embed_texts([prompt or "" for prompt in prompts])
    worded = torch.tensor([bool(normalise(prompt or "")) for prompt in prompts])

    def score(pixels_MCHW: Tensor, owner_M: Tensor) -> Tensor:
        return estimator.probability(estimator.embed_pixels(pixels_MCHW), texts[owner_M])

    return Reranker("contrastive", weight, score, worded)
