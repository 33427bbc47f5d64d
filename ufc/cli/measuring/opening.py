"""What the forms of `ufc evaluate` open: model, held-out pictures, judges, and how they measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ufc.cli.measuring.flags import CommonFlags, JudgeFlags, ModelFlags, PictureFlags
from ufc.cli.terminal import Terminal

if TYPE_CHECKING:
    from estimators.metrics.extractors import Extractor
    from estimators.metrics.extractors.features import Size
    from estimators.metrics.extractors.measuring import Measuring
    from estimators.metrics.sets.picture_set import PictureSet
    from ufc.evaluation.context import Context
    from ufc_base.data.records import Reading
    from vqgan.model import VQGANConfig


def open_context(flags: ModelFlags, terminal: Terminal) -> Context:
    """Model, judges and held-out pictures, as the flags ask for them.

    Raises:
        ValueError: --real or --train-data-dir is not given.
    """
    from ufc.evaluation.context import Context
    from ufc.io.hub import DEFAULT_MODEL

    if flags.real is None or flags.train_data_dir is None:
        raise ValueError(
            "give held-out pictures with captions by --real, and by --train-data-dir the training "
            "pictures, which distances are to"
        )
    return Context.open(
        flags.model or DEFAULT_MODEL,
        flags.real,
        flags.train_data_dir,
        lambda own: measuring_of(flags, terminal, own.size, own.fit),
        flags.device,
        flags.contrastive,
        flags.caption_column,
        flags.limit,
        flags.seed,
        cache_folder(flags),
        terminal.notice,
    )


def probed_sets(flags: ModelFlags) -> tuple[str, str]:
    """Held-out and training pictures, where probes judge.

    Raises:
        ValueError: --real or --train-data-dir is not given.
    """
    if flags.real is None or flags.train_data_dir is None:
        raise ValueError(
            "give held-out pictures by --real, and by --train-data-dir the training pictures, "
            "which the probes learn from"
        )
    return flags.real, flags.train_data_dir


def measuring_of(
    flags: CommonFlags,
    terminal: Terminal,
    size: Size | None,
    fit: str | None = None,
    logits: bool = False,
) -> Measuring:
    """How the flags turn pictures into features; says which network where none is named.

    `fit` is the model's own, where the flags have none.
    """
    from estimators.metrics.extractors import load_extractor
    from estimators.metrics.extractors.choice import fallback_note

    extractor = load_extractor(
        flags.extractor,
        flags.input_size,
        weights=flags.extractor_weights,
        logits=logits,
        device=flags.device,
    )
    if note := fallback_note(flags.extractor, extractor.name):
        terminal.notice(note)
    return measuring_by(extractor, flags, size, fit)


def measuring_by(
    extractor: Extractor, flags: JudgeFlags, size: Size | None, fit: str | None
) -> Measuring:
    """How the flags turn pictures into features by this network."""
    from estimators.metrics.extractors.measuring import Measuring

    folder = cache_folder(flags)
    return Measuring(
        extractor,
        size,
        flags.fit or fit or "pad",
        flags.mode,
        flags.pad,
        flags.batch_size,
        flags.num_workers,
        None if folder is None else str(folder),
        reading=reading_of(flags),
    )


def reading_of(flags: JudgeFlags) -> Reading:
    """How the flags have sets of pictures read; of captions a figure takes the column it needs."""
    from ufc_base.data.records import Reading

    return Reading(None, flags.image_column, flags.max_unreadable, keep=not flags.no_cache)


def cache_folder(flags: JudgeFlags) -> Path | None:
    """Where things are kept: --cache-dir, or `ufc/evaluate` in the user's cache; or nowhere."""
    if flags.no_cache:
        return None
    if flags.cache_dir:
        return Path(flags.cache_dir)
    from ufc_base.data.soundness import user_cache

    return user_cache() / "evaluate"


def is_model(name: str) -> bool:
    """Whether a name is a bundled model's or a folder holds a model."""
    from ufc.io.hub import bundled_models

    return (Path(name) / "model_index.json").is_file() or name in bundled_models()


def generate_for(flags: PictureFlags, terminal: Terminal) -> tuple[PictureSet, VQGANConfig]:
    """One picture for each caption of --real, by the model given as FAKE, and how it sees them."""
    from estimators.metrics.fid import is_statistics
    from estimators.metrics.sets.picture_set import open_set
    from ufc.evaluation.context import generate_pictures
    from ufc.pipeline import UFCPipeline

    if flags.real is None or is_statistics(flags.real):
        raise ValueError(
            f"{flags.fake} is a model: give the captions to generate by --real, a data set"
        )
    pipeline = UFCPipeline.from_pretrained(flags.fake, device=flags.device)
    captions = open_set(flags.real, flags.limit, reading_of(flags)).captions(flags.caption_column)
    fake = generate_pictures(
        pipeline, captions, flags.caption_column, flags.seed, cache_folder(flags), terminal.notice
    )
    return fake, pipeline.tokenizer.config
