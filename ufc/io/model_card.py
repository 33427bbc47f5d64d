"""The card of a model that goes to the Hugging Face hub: `README.md` with its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ufc_base.files import write_text

if TYPE_CHECKING:
    from ufc.pipeline.parts import Parts

DEFAULT_LICENCE = "apache-2.0"
TAGS = ["ufc-bert", "masked-image-modeling", "vqgan", "image-to-image", "inpainting"]

_TEXT = """
# {title}

Pictures of {height} × {width} pixels from any mix of words, reference images and kept blocks
({rows} × {columns} of them), by UFC-BERT: a VQGAN of {codes:,} codes
({tokenizer:.1f} M parameters) and a bidirectional transformer ({transformer:.1f} M) that fills in
masked codes and scores every canvas.

```python
from ufc import UFCPipeline

pipe = UFCPipeline.from_pretrained("{repository}")
pipe("…").images[0].save("picture.png")
```

With the program installed, `DiffusionPipeline.from_pretrained("{repository}",
trust_remote_code=True)` of diffusers loads it too.
"""


def write_card(
    pipeline: Parts, folder: Path, repository: str, licence: str = DEFAULT_LICENCE
) -> None:
    """Write a model's card into its folder, unless there is one already."""
    path = folder / "README.md"
    if not path.exists():
        write_text(path, model_card(pipeline, repository, licence))


def model_card(pipeline: Parts, repository: str, licence: str = DEFAULT_LICENCE) -> str:
    """The text of a model's card, beginning with its metadata."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="text-to-image",
        license=licence,
        language=["en", "zh"],
        tags=TAGS,
    )
    height, width = pipeline.tokenizer.config.size
    rows, columns = pipeline.grid_size
    text = _TEXT.format(
        title=repository.rpartition("/")[2],
        repository=repository,
        height=height,
        width=width,
        rows=rows,
        columns=columns,
        codes=pipeline.tokenizer.config.codes,
        tokenizer=sum(weight.numel() for weight in pipeline.tokenizer.parameters()) / 1e6,
        transformer=sum(weight.numel() for weight in pipeline.transformer.parameters()) / 1e6,
    )
    return f"---\n{data.to_yaml()}\n---\n{text}"


_ADAPTER_TEXT = """
# {title}

A low-rank adapter (LoRA, rank {rank}) of the UFC-BERT model `{base}`.

```python
from ufc import UFCPipeline

pipe = UFCPipeline.from_pretrained("{base}")
pipe.load_lora_weights("{repository}")
pipe("…").images[0].save("picture.png")
```
"""


def adapter_card(repository: str, base: str, rank: int, licence: str = DEFAULT_LICENCE) -> str:
    """The text of an adapter's card, beginning with its metadata."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="text-to-image",
        license=licence,
        base_model=base if base.count("/") == 1 else None,
        tags=[*TAGS, "lora"],
    )
    text = _ADAPTER_TEXT.format(
        title=repository.rpartition("/")[2], repository=repository, base=base, rank=rank
    )
    return f"---\n{data.to_yaml()}\n---\n{text}"
