"""The code in a model folder by which `DiffusionPipeline.from_pretrained` loads it.

diffusers runs it only with `trust_remote_code=True`. Nothing of this program ever reads it: it says
where in this program the classes are.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ufc_base.files import write_text

PIPELINE_MODULE = "pipeline"
PART_MODULE = "ufc_part"
PART_CLASSES = {
    "tokenizer": "VQGAN",
    "transformer": "UFCTransformer",
    "text": "TextTokenizer",
    "upscaler": "Upscaler",
}

_CODE = '''"""Loads {what} by the program UFC-BERT, which made this folder."""

try:
    from ufc.pipeline.diffusers_pipeline import {names}
except ImportError as error:
    raise ImportError(
        "this model needs the program UFC-BERT: clone its repository and run "
        "`pip install -e .` there"
    ) from error

__all__ = {listed}
'''


def write_code(folder: Path, parts: Iterable[str]) -> None:
    """Write a model folder's module of the pipeline, and one for each of its parts."""
    write_text(folder / f"{PIPELINE_MODULE}.py", _code("the pipeline", ["UFCPipeline"]))
    classes = sorted(PART_CLASSES.values(), key=lambda name: (not name.isupper(), name))
    code = _code("a part of a model", classes)
    for name in parts:  # all alike: diffusers keeps modules of one name in one place
        (folder / name).mkdir(exist_ok=True)
        write_text(folder / name / f"{PART_MODULE}.py", code)


def _code(what: str, names: list[str]) -> str:
    listed = "[" + ", ".join(f'"{name}"' for name in names) + "]"
    return _CODE.format(what=what, names=", ".join(names), listed=listed)
