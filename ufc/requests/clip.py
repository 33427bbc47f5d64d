"""The CLIP that a command chooses pictures by: `--clip-model`, `-checkpoint` and `-lang`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estimators.metrics.clip_score import ClipScorer


def load_clip(model: str | None, checkpoint: str | None, lang: str) -> tuple[ClipScorer, str]:
    """open_clip's for English prompts, Chinese-CLIP for `zh`, and how a manifest names it.

    The name has the first digits of a file's hash, and no path.

    Raises:
        UnavailableError: the extra `clip` is not installed.
        ValueError: no such model, or weights that cannot be had.
    """
    from estimators.metrics.clip_score import CHINESE, ENGLISH, load_chinese, load_english
    from ufc_base.checkpoint import sha256

    usual, load = (CHINESE, load_chinese) if lang == "zh" else (ENGLISH, load_english)
    clip = load(model or usual, checkpoint)
    weights = checkpoint or ""
    if checkpoint and Path(checkpoint).is_file():
        weights = sha256(Path(checkpoint))[:12]
    return clip, f"{model or usual} {weights}".strip()
