"""UFC-BERT: pictures under any mix of words, reference images and kept blocks.

from ufc import UFCPipeline
UFCPipeline.from_pretrained()("women's red handbag").images[0]
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ufc.conditioning.conditioning import Conditioning
    from ufc.pipeline import UFCPipeline
    from ufc.pipeline_output import PipelineOutput
    from ufc.sampling.generation_config import GenerationConfig

__all__ = ["Conditioning", "GenerationConfig", "PipelineOutput", "UFCPipeline", "__version__"]

# Imported when they are asked for: torch takes a second.
_WHERE = {
    "Conditioning": "ufc.conditioning.conditioning",
    "GenerationConfig": "ufc.sampling.generation_config",
    "PipelineOutput": "ufc.pipeline_output",
    "UFCPipeline": "ufc.pipeline",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("ufc-bert")
        except PackageNotFoundError:  # a clone that is not installed
            return "0+unknown"
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
