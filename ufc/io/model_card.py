"""Cards that go to the Hugging Face hub: of a model, an adapter, a contrastive estimator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ufc_base.files import write_text
from ufc_base.publishing.cards import (
    DEFAULT_LICENCE,
    base_model,
    card,
    complete,
    public_name,
    training_section,
)
from ufc_base.training.run_settings import read_settings

if TYPE_CHECKING:
    from ufc.pipeline.parts import Parts

TAGS = ["ufc-bert", "masked-image-modeling", "vqgan", "image-to-image", "inpainting"]
LOADED_BY, TASK = "diffusers", "text-to-image"

_MODEL = """
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

_ADAPTER = """
# {title}

A low-rank adapter (LoRA, rank {rank}) of the UFC-BERT model `{base}`.

```python
from ufc import UFCPipeline

pipe = UFCPipeline.from_pretrained("{base}")
pipe.load_lora_weights("{repository}")
pipe("{prompt}").images[0].save("picture.png")
```

On the command line: `ufc generate --model {base} --lora FOLDER`, with the folder of a download.
"""

_CONTRASTIVE = """
# {title}

Two towers that put a picture and its caption, English or Chinese, in one space: a judge of what
UFC-BERT generates, trained by `ufc train-contrastive` apart from the generator.

```python
from huggingface_hub import snapshot_download
from ufc.contrastive_scorer import ContrastiveEstimator

estimator = ContrastiveEstimator.from_pretrained(snapshot_download("{repository}"))
images, texts = estimator.embed_images([picture]), estimator.embed_texts(["…"])
estimator.probability(images, texts)
```
"""


def write_card(
    pipeline: Parts, folder: Path, repository: str, licence: str = DEFAULT_LICENCE
) -> None:
    """Write a model's card into its folder; one that is there keeps its text.

    To that one's metadata is added what it lacks of library, task and licence. What `settings.json`
    says of the training, where the folder is a run's, is told.

    Raises:
        ValueError: the metadata of the card that is there cannot be read.
    """
    path = folder / "README.md"
    if path.exists():
        wanted = {"library_name": LOADED_BY, "pipeline_tag": TASK, "license": licence}
        complete(path, wanted)
    else:
        settings = read_settings(folder) or {}
        write_text(path, model_card(pipeline, repository, licence, settings))


def model_card(
    pipeline: Parts,
    repository: str,
    licence: str = DEFAULT_LICENCE,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """The text of a model's card, beginning with its metadata; `settings` are its run's."""
    height, width = pipeline.tokenizer.config.size
    rows, columns = pipeline.grid_size
    text = _MODEL.format(
        title=title_of(repository),
        repository=repository,
        height=height,
        width=width,
        rows=rows,
        columns=columns,
        codes=pipeline.tokenizer.config.codes,
        tokenizer=sum(weight.numel() for weight in pipeline.tokenizer.parameters()) / 1e6,
        transformer=sum(weight.numel() for weight in pipeline.transformer.parameters()) / 1e6,
    )
    return card(
        text + training_section(settings or {}),
        library=LOADED_BY,
        task=TASK,
        tags=TAGS,
        licence=licence,
        language=["en", "zh"],
        base_model=base_model(settings or {}),
    )


def adapter_card(repository: str, settings: Mapping[str, Any], prompt: str | None = None) -> str:
    """The text of an adapter's card, beginning with its metadata; `settings` are its run's.

    `prompt` is the caption to ask with, if one is known.
    """
    text = _ADAPTER.format(
        title=title_of(repository),
        repository=repository,
        base=public_name(str(settings["init_from"])),
        rank=settings["lora_rank"],
        prompt=(prompt or "…").replace("\\", "\\\\").replace('"', '\\"'),
    )
    return card(
        text + training_section(settings),
        library=LOADED_BY,
        task=TASK,
        tags=[*TAGS, "lora"],
        base_model=base_model(settings),
        instance_prompt=prompt,
    )


def contrastive_card(repository: str, settings: Mapping[str, Any]) -> str:
    """The text of a contrastive estimator's card; `settings` are its run's."""
    text = _CONTRASTIVE.format(title=title_of(repository), repository=repository)
    return card(
        text + training_section(settings),
        task="zero-shot-image-classification",
        tags=["ufc-bert", "contrastive", "retrieval"],
        language=["en", "zh"],
    )


def title_of(repository: str) -> str:
    return repository.rpartition("/")[2]
