"""Two towers that put a picture and its caption in one space, after Chinese-CLIP (Yang 2022).

The image tower starts from a VQGAN's encoder, which keeps its own weights here: another tokenizer
changes nothing. Stage 1 trains with that encoder frozen, stage 2 trains everything.

Shapes: B batch, C channels, H W image, h w cells of the encoder, L tokens of a text, E embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ufc_base.checkpoint import CheckpointError, load_module, refuse_sizes, save_module
from vqgan.model import VQGAN, Encoder, VQGANConfig

MAX_LOGIT_SCALE = 4.6052  # ln 100, where CLIP stops it too


@dataclass(frozen=True)
class ContrastiveConfig:
    """Sizes of both towers; `encoder` is the configuration of the VQGAN that it starts from."""

    encoder: dict[str, Any] = field(default_factory=dict)
    text_vocabulary: int = 2000
    max_tokens: int = 48
    image_width: int = 160
    image_depth: int = 1
    text_width: int = 160
    text_depth: int = 2
    heads: int = 4
    embedding: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        refuse_sizes(self, image_depth=4096, text_depth=4096)
        for name in ("image_width", "text_width"):
            width = getattr(self, name)
            if min(width, self.heads) < 1 or width % self.heads:
                raise CheckpointError(
                    f"{name}: got {width} for {self.heads} heads, wanted a multiple of the heads"
                )

    @property
    def image(self) -> VQGANConfig:
        return VQGANConfig.from_dict(self.encoder)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContrastiveConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(
                f"contrastive config has unknown keys {unknown}; known are {sorted(known)}"
            )
        return cls(**values)


class ImageTower(nn.Module):
    """A convolution encoder, then attention among its cells, then their mean."""

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.image)
        channels = self.encoder.conv_out.in_channels
        self.encoder.conv_out = nn.Identity()  # type: ignore[assignment]
        self.enter = nn.Linear(channels, config.image_width)
        self.place = nn.Parameter(
            torch.zeros(math.prod(config.image.grid_size), config.image_width)
        )
        self.blocks = blocks(config.image_width, config.image_depth, config)
        self.norm = nn.LayerNorm(config.image_width)
        self.out = nn.Linear(config.image_width, config.embedding, bias=False)

    def cells(self, x_BCHW: Tensor) -> Tensor:
        """Pixels in -1..1 to the encoder's features, (B, C, h, w); what stage 1 keeps frozen."""
        features: Tensor = self.encoder(x_BCHW.contiguous(memory_format=torch.channels_last))
        return features

    def head(self, cells_BCHW: Tensor) -> Tensor:
        """The encoder's features to embeddings of length 1, (B, E)."""
        x = self.enter(cells_BCHW.flatten(2).transpose(1, 2)) + self.place
        x = self.norm(self.blocks(x)).mean(1)
        return F.normalize(self.out(x), dim=-1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.cells(x_BCHW))


class TextTower(nn.Module):
    """A small transformer over the ids of a text, then the mean of their states."""

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.max_tokens = config.max_tokens
        self.embedding = nn.Embedding(config.text_vocabulary + 1, config.text_width)
        self.padding = config.text_vocabulary
        self.place = nn.Parameter(torch.zeros(config.max_tokens, config.text_width))
        self.blocks = blocks(config.text_width, config.text_depth, config)
        self.norm = nn.LayerNorm(config.text_width)
        self.out = nn.Linear(config.text_width, config.embedding, bias=False)

    def forward(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Ids of B texts, shortened to `max_tokens`, to embeddings of length 1, (B, E).

        A text without tokens is one padding token.
        """
        ids_BL, there_BL = self.assemble(texts)
        x = self.embedding(ids_BL) + self.place[: ids_BL.shape[1]]
        x = self.norm(self.blocks(x, src_key_padding_mask=~there_BL))
        weight = there_BL.unsqueeze(-1).to(x.dtype)
        mean = (x * weight).sum(1) / weight.sum(1)
        return F.normalize(self.out(mean), dim=-1)

    def assemble(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Padded ids and where there is a token, (B, L) each."""
        rows = [list(ids)[: self.max_tokens] or [self.padding] for ids in texts]
        length = max(map(len, rows))
        ids = torch.tensor([row + [self.padding] * (length - len(row)) for row in rows])
        counts = torch.tensor([len(row) for row in rows])
        device = self.place.device
        return ids.to(device), (torch.arange(length) < counts[:, None]).to(device)


class ContrastiveModel(nn.Module):
    """Both towers, the temperature of their logits, and what makes a probability of a cosine.

    `calibration` holds a and b of sigmoid(a cos + b), the chance that a caption is a picture's own
    and not another's, fitted after training.
    """

    calibration: Tensor

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config)
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))  # ln(1 / 0.07)
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        for table in (self.text.embedding.weight, self.text.place, self.image.place):
            nn.init.normal_(table, std=0.02)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def start_from(self, tokenizer: VQGAN) -> None:
        """Copy a VQGAN's encoder, but for its last convolution, into the image tower."""
        own = self.image.encoder.state_dict()
        given = tokenizer.encoder.state_dict()
        self.image.encoder.load_state_dict({name: given[name].clone() for name in own})

    def probability(self, cosine: Tensor) -> Tensor:
        """The chance that a caption is the picture's own, 0..1, from their cosine."""
        return torch.sigmoid(self.calibration[0] * cosine + self.calibration[1])

    def save_pretrained(
        self, folder: str | PathLike[str], dtype: torch.dtype | None = None
    ) -> None:
        """Write `config.json` and `model.safetensors` (cast to `dtype` if given)."""
        save_module(self, self.config.to_dict(), folder, dtype=dtype)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str]) -> ContrastiveModel:
        """Read a folder written by `save_pretrained`. Raises `CheckpointError` if it is unsound."""
        return load_module(folder, lambda values: cls(ContrastiveConfig.from_dict(values))).eval()


def blocks(width: int, depth: int, config: ContrastiveConfig) -> nn.TransformerEncoder:
    """Pre-norm transformer blocks, torch's own."""
    layer = nn.TransformerEncoderLayer(
        width,
        config.heads,
        4 * width,
        config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def contrastive_loss(
    images_BE: Tensor, texts_BE: Tensor, scale: Tensor, alike_BB: Tensor | None = None
) -> Tensor:
    """Symmetric cross-entropy over the batch (InfoNCE), as in CLIP.

    `alike_BB` is true where a text describes a picture just as well as its own (the same caption):
    such pairs share the label instead of being told apart.
    """
    logits_BB = scale.clamp(max=MAX_LOGIT_SCALE).exp() * images_BE @ texts_BE.T
    if alike_BB is None:
        alike_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
    labels = alike_BB.to(logits_BB.dtype)
    of_images = F.cross_entropy(logits_BB, labels / labels.sum(1, keepdim=True))
    of_texts = F.cross_entropy(logits_BB.T, labels.T / labels.T.sum(1, keepdim=True))
    return (of_images + of_texts) / 2


def fit_calibration(own_N: Tensor, other_M: Tensor) -> Tensor:
    """a and b of sigmoid(a cos + b) that best tells own from other pairs, both sides equal: (2,).

    Logistic regression by Newton's method, with a trace of ridge so that separable sets end too.
    """
    x = torch.cat([own_N, other_M]).double()
    y = torch.cat([torch.ones_like(own_N), torch.zeros_like(other_M)]).double()
    weight = torch.where(y > 0, 0.5 / len(own_N), 0.5 / len(other_M))
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    ab = torch.zeros(2, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(design @ ab)
        gradient = design.T @ (weight * (p - y)) + 1e-6 * ab
        curvature = (design.T * (weight * p * (1 - p))) @ design + 1e-6 * torch.eye(2).double()
        step = torch.linalg.solve(curvature, gradient)
        ab = ab - step.clamp(-10, 10)
        if float(step.abs().max()) < 1e-9:
            break
    return ab.float()
