"""Low-rank adapters that a command adds to its model: `--lora FILE`, or `--lora FILE=0.7`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ufc.io.validation import RequestError
from ufc_base.extras import UnavailableError, how_to_install

if TYPE_CHECKING:
    from ufc.pipeline import UFCPipeline


@dataclass(frozen=True)
class WeighedAdapter:
    """An adapter's file, its folder or a repository of the hub, and how much it counts."""

    where: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> WeighedAdapter:
        """`WHERE` or `WHERE=WEIGHT`; what stands behind the last `=` and is no number is a name's.

        Raises:
            RequestError: a weight that is not finite, or no file.
        """
        where, equals, after = text.rpartition("=")
        try:
            where, weight = (where, float(after)) if equals else (text, 1.0)
        except ValueError:
            where, weight = text, 1.0
        if not where.strip() or not math.isfinite(weight):
            raise RequestError(
                f"--lora {text!r:.200}: wanted FILE or FILE=WEIGHT, the weight a finite number "
                "(1 is as it learnt)"
            )
        return cls(where, weight)


def add_adapters(pipe: UFCPipeline, texts: Sequence[str]) -> str:
    """Add adapters into the model's weights, so that it is as fast as before.

    Returns how a manifest names them: the first digits of each file's hash and its weight, and no
    path.

    Raises:
        CheckpointError: there is none, it is damaged, or of another model.
        RequestError: what `texts` say cannot be read.
        UnavailableError: PEFT is not installed.
    """
    from ufc.adapters import WEIGHTS, import_peft
    from ufc.io.hub import fetch_file
    from ufc_base.checkpoint import sha256

    asked = [WeighedAdapter.parse(text) for text in texts]
    try:
        import_peft()
    except ImportError:
        raise UnavailableError(f"--lora needs peft: {how_to_install('lora')}") from None
    names, told = [], []
    for number, one in enumerate(asked):
        path = Path(fetch_file(one.where, WEIGHTS))
        names.append(f"lora_{number}")
        pipe.load_lora_weights(path, names[-1])
        told.append(f"{sha256(path)[:12]}*{one.weight:g}")
    pipe.set_adapters(names, [one.weight for one in asked])
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    return " ".join(told)
