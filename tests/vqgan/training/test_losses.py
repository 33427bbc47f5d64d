"""The reconstruction terms that see what LPIPS cannot, and the layers that answer them."""

from __future__ import annotations

import torch

from vqgan.model import Decoder, Smoothing, VQGANConfig
from vqgan.training.losses import LossWeights, edge_loss, random_scale, reconstruction_loss, shrink

TINY = {"resolution": 16, "ch": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": ()}
TINY |= {"z_channels": 8, "embed_dim": 4, "n_embed": 16, "norm_groups": 4, "patch_size": 4}


def test_edges_see_a_weave_and_no_even_change():
    plain = torch.zeros(1, 3, 8, 8)
    weave = plain.clone()
    weave[..., ::4] = 0.4
    assert edge_loss(plain, plain + 0.1) < 1e-6
    assert torch.isclose(edge_loss(plain, weave), torch.tensor(0.4 * 3 / 7))


def test_edges_are_weighed_in():
    x = torch.zeros(1, 3, 8, 8)
    y = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    without, _ = reconstruction_loss(x, y, None, LossWeights())
    total, parts = reconstruction_loss(x, y, None, LossWeights(edges=2.0))
    assert torch.isclose(total, without + 2 * parts["edges"])


def test_the_scale_is_the_steps_own():
    scales = [random_scale(0.5, 0, step) for step in range(50)]
    assert scales == [random_scale(0.5, 0, step) for step in range(50)]
    assert min(scales) >= 0.5 and max(scales) <= 1.0 and len(set(scales)) == 50
    assert shrink(torch.zeros(1, 3, 16, 12), 0.5).shape == (1, 3, 8, 6)


def test_smoothing_starts_as_the_identity_and_crosses_the_seams():
    torch.manual_seed(0)
    smooth = Smoothing(3, 4)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(smooth(x), x)
    torch.nn.init.ones_(smooth[2].weight)
    changed = x.clone()
    changed[..., 3] += 1
    assert not torch.equal(smooth(changed)[..., 4], smooth(x)[..., 4])


def test_without_smoothing_a_decoder_has_no_weights_of_it():
    assert not any("smooth" in name for name in Decoder(VQGANConfig(**TINY)).state_dict())
    smoothed = Decoder(VQGANConfig(**TINY, smoothing_channels=4)).state_dict()
    assert sum("smooth" in name for name in smoothed) == 4
