"""Training with blocks whose code torch.compile writes: the same losses, to rounding."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from ufc.model.transformer import UFCConfig, UFCTransformer

SMALL = UFCConfig(codes=16, text_vocabulary=30, grid=3, width=32, depth=2, heads=2, feed_forward=48)

pytestmark = pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="compiling needs a C++ compiler"
)


def gradients(model: UFCTransformer, codes_BT: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    hidden_BTD = model(codes_BT, None).target
    loss = hidden_BTD.square().mean() + hidden_BTD.mean()
    loss.backward()
    return float(loss), [p.grad.clone() for p in model.blocks.parameters() if p.grad is not None]


def test_losses_and_gradients_are_the_same() -> None:
    torch.manual_seed(0)
    model = UFCTransformer(SMALL).train()
    for batch in (2, 3):
        codes_BT = torch.randint(SMALL.codes, (batch, 9))
        model.compiled_training = False
        loss, plain = gradients(model, codes_BT)
        model.compiled_training = True
        again, compiled = gradients(model, codes_BT)
        assert again == pytest.approx(loss, rel=1e-5)
        assert len(plain) == len(compiled) > 0
        for one, other in zip(plain, compiled, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_what_is_generated_is_not_compiled() -> None:
    model = UFCTransformer(SMALL).eval()
    model.compiled_training = True
    with torch.no_grad():
        assert not any(type(one).__name__ == "CompiledBlock" for one in model.lean_layers())
