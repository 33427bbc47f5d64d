"""Networks that tell real pictures from decoded ones, and their losses.

`patch` is taming's PatchGAN on pixels. `features` is a projected discriminator (Sauer et al. 2021,
*Projected GANs Converge Faster*): small heads on every level of a frozen, pretrained network, here
LPIPS's backbone. It knows what things look like from its first step on, so that it has something
to say in a run of half an hour. `both` has them side by side: what a backbone whose first layer
looks at every fourth pixel does not see, such as a weave of that period, pixels show.

Shapes: B pictures, C channels of a level, h w its map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Features = Callable[[Tensor], Sequence[Tensor]]


def patch_discriminator(width: int, layers: int = 2) -> nn.Module:
    """taming's PatchGAN; taming-transformers is imported only here and in tests."""
    from taming.modules.discriminator.model import NLayerDiscriminator, weights_init

    return NLayerDiscriminator(input_nc=3, ndf=width, n_layers=layers).apply(weights_init)


def backbone_features(lpips: nn.Module) -> Features:
    """Pictures (B, 3, H, W) in -1..1 to the (B, C, h, w) of each level of LPIPS's backbone."""
    parts: Any = lpips

    def features(x_BCHW: Tensor) -> Sequence[Tensor]:
        levels: Sequence[Tensor] = parts.net(parts.scaling_layer(x_BCHW))
        return levels

    return features


def identity(x: Tensor) -> Tensor:
    return x


class FeatureDiscriminator(nn.Module):
    """Heads on the levels of a frozen network, which is no part of its state.

    Returns every level's logits side by side, (B, N, levels): the mean over N and levels counts
    each level alike, however large its map is.
    """

    def __init__(
        self, features: Features, width: int, look: Callable[[Tensor], Tensor] = identity
    ) -> None:
        super().__init__()
        self.features = features
        self.look = look  # what is done to pictures before
        with torch.no_grad():
            levels = features(torch.zeros(1, 3, 64, 64))
        self.heads = nn.ModuleList(feature_head(level.shape[1], width) for level in levels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        levels = self.features(self.look(x_BCHW))
        logits = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        largest = logits[0].shape[-2:]
        return torch.stack([F.interpolate(one, largest).flatten(1) for one in logits], dim=-1)


def feature_head(channels: int, width: int) -> nn.Module:
    """Logits (B, 1, h, w) of a level."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 1, 1),
    )


class BothDiscriminators(nn.Module):
    """Features and pixels, each of which counts half; logits as those of the features."""

    def __init__(self, features: FeatureDiscriminator, patch: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.patch = patch

    def forward(self, x_BCHW: Tensor) -> Tensor:
        of_features_BNL = self.features(x_BCHW)
        _, count, levels = of_features_BNL.shape
        of_patches_BN = F.interpolate(self.patch(x_BCHW).flatten(2), count).squeeze(1)
        return torch.cat([of_features_BNL, of_patches_BN[..., None].expand(-1, -1, levels)], dim=-1)


class DiscriminatorLoss(nn.Module):
    """The discriminator's loss as one forward pass, which processes share."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return discriminator_loss(self.discriminator(real), self.discriminator(fake))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss, 1/2 E[relu(1 - D(x)) + relu(1 + D(y))]."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())
