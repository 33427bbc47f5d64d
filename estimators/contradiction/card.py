"""The card of a contradiction model that goes to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ufc_base.publishing.cards import card, training_section

_TEXT = """
# {title}

Does a caption contradict a prompt, and in what? A TBCNN-pair model (Mou 2016) for short phrases
about clothes, shoes and accessories, trained by `ufc train-contradiction` of UFC-BERT.

```python
from estimators.contradiction.model import ContradictionModel
from huggingface_hub import snapshot_download

model = ContradictionModel.from_pretrained(snapshot_download("{repository}"))
```
"""


def contradiction_card(repository: str, settings: Mapping[str, Any]) -> str:
    """The text of a trained model's card; `settings` are the run's."""
    text = _TEXT.format(title=repository.rpartition("/")[2], repository=repository)
    return card(
        text + training_section(settings),
        task="text-classification",
        tags=["ufc-bert", "textual-entailment"],
    )
