"""Cards of tokenizers and upscalers that go to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ufc_base.publishing.cards import base_model, card, training_section
from vqgan.model import VQGAN
from vqgan.upscaling.model import SCALE, Upscaler

_TOKENIZER = """
# {title}

A VQGAN of UFC-BERT ({size:.1f} M parameters): pictures of {height} × {width} pixels to {rows} ×
{columns} blocks, each one of {codes:,} codes, and back.

```python
from huggingface_hub import snapshot_download
from vqgan.model import VQGAN

tokenizer = VQGAN.from_pretrained(snapshot_download("{repository}"))
codes = tokenizer.encode(pixels)  # (B, 3, H, W) in -1..1
again = tokenizer.decode(codes)
```

`ufc train --tokenizer FOLDER` trains a generator on its codes.
"""

_UPSCALER = """
# {title}

An upscaler of UFC-BERT ({size:.1f} M parameters): a tokenizer's reconstructions to {scale} times
their size.

```python
from huggingface_hub import snapshot_download
from vqgan.upscaling.model import Upscaler

upscaler = Upscaler.from_pretrained(snapshot_download("{repository}"))
larger = upscaler.enlarge(pixels)  # (B, 3, H, W) in -1..1
```

`UFCPipeline.from_pretrained(MODEL, upscaler=upscaler)` has it for `upscale={scale}`.
"""


def tokenizer_card(model: VQGAN, repository: str, settings: Mapping[str, Any]) -> str:
    """The text of a trained tokenizer's card; `settings` are the run's."""
    config = model.config
    height, width = config.size
    rows, columns = config.grid_size
    text = _TOKENIZER.format(
        title=repository.rpartition("/")[2], repository=repository, size=millions(model),
        height=height, width=width, rows=rows, columns=columns, codes=config.codes,
    )  # fmt: skip
    return card(
        text + training_section(settings),
        task="image-to-image",
        tags=["ufc-bert", "vqgan", "image-tokenizer"],
        base_model=base_model(settings),
    )


def upscaler_card(model: Upscaler, repository: str, settings: Mapping[str, Any]) -> str:
    """The text of a trained upscaler's card; `settings` are the run's."""
    text = _UPSCALER.format(
        title=repository.rpartition("/")[2], repository=repository, size=millions(model),
        scale=SCALE,
    )  # fmt: skip
    return card(
        text + training_section(settings),
        task="image-to-image",
        tags=["ufc-bert", "super-resolution"],
        base_model=base_model(settings),
    )


def millions(model: VQGAN | Upscaler) -> float:
    return sum(weight.numel() for weight in model.parameters()) / 1e6
