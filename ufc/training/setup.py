"""What a run of the second stage starts from: tokenizer, words, batches, and the model itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ufc.captioning.known_tasks import KnownTasks
from ufc.captioning.known_tasks import read_tasks as parse_tasks
from ufc.conditioning.text import TextTokenizer
from ufc.io.hub import resolve_model, resolve_tokenizer
from ufc.io.serialisation import known_tasks, read_defaults, read_upscaler
from ufc.io.validation import RequestError
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.tasks.attributes import BOX, IMAGE
from ufc.tasks.mixture import Task, read_mixture
from ufc.training.batches import Batches, StreamedBatches
from ufc.training.codes.cache import CodeCache
from ufc.training.codes.shapes import OtherShapes, other_shapes
from ufc.training.conditioning_dropout import ControlOdds, texts_of_records, training_texts
from ufc.training.config import TrainConfig
from ufc.training.lexicon.mixture import Mixture, mixture
from ufc.training.tasks.collages import build_collages
from ufc.training.tasks.mixture import TaskSamples, autoregressive_share, control_odds
from ufc.training.tasks.values import closed_sets
from ufc_base.checkpoint import CheckpointError, read_json
from ufc_base.data.datasets import DataError, Pixels, Samples
from ufc_base.data.opening import (
    FIRST_SAMPLES,
    look_at_stream,
    no_captions,
    open_training_set,
    reading_of,
    streamed,
    tell,
)
from ufc_base.data.streams import first_records
from ufc_base.files import write_text
from ufc_base.training.loop import Source
from ufc_base.training.processes import Engine
from vqgan.model import VQGAN, VQGANConfig
from vqgan.quantizer import name_codes
from vqgan.training.data import Ahead, stream_of
from vqgan.upscaling.model import Upscaler

VOCABULARY_SAMPLES = 50_000  # of a stream, to learn the text's vocabulary from
TASKS = "tasks.json"  # in a run's folder
ROUNDING = 0.01  # of the codes' spread; looks that float16 has rounded are nearer than that


def load_tokenizer(config: TrainConfig) -> VQGAN:
    """The first stage: a folder of `ufc train-tokenizer`, or a whole model by name or folder.

    At another `picture_scale` it is one of smaller pictures, with the same weights; with a `fit` it
    is one of pictures that get their shape so.
    """
    tokenizer = VQGAN.from_pretrained(tokenizer_of_run(config))
    if config.fit is not None:
        tokenizer.config = replace(tokenizer.config, fit=config.fit)
    if config.picture_scale != 1:
        height, width = (round(side * config.picture_scale) for side in tokenizer.config.size)
        tokenizer.config = replace(tokenizer.config, height=height, width=width)
    return tokenizer


def tokenizer_of_run(config: TrainConfig) -> Path:
    """Where a run's tokenizer is; see `resolve_tokenizer`."""
    path = config.tokenizer or config.init_from
    if path is None:
        raise DataError("no tokenizer: give --tokenizer, the output folder of train-tokenizer")
    return resolve_tokenizer(path)


def upscaler_of_run(config: TrainConfig) -> Upscaler | None:
    """The upscaler of the model that the tokenizer is from, which learnt on what that decodes."""
    folder = tokenizer_of_run(config)
    whole = folder.name == "tokenizer" and (folder.parent / "model_index.json").is_file()
    return read_upscaler(folder.parent) if whole else None


def run_defaults(config: TrainConfig) -> dict[str, Any]:
    """Sampling defaults of a run's model: those of the one that it goes on from, and the one order
    that a model knows which has learnt next codes alone."""
    defaults = read_defaults(resolve_model(config.init_from)) if config.init_from else {}
    next_codes_alone = config.autoregressive and not config.code_weight
    return defaults | ({"order": "autoregressive"} if next_codes_alone else {})


def open_training(
    config: TrainConfig, tokenizer: VQGAN, engine: Engine
) -> tuple[TextTokenizer, Source]:
    """Vocabulary and batches, of shards in passing or of a set whose codes are kept.

    Raises:
        DataError: it cannot be used.
    """
    places = engine.slice(config.train_batch_size, config.gradient_accumulation_steps)
    again = config.resume_from_checkpoint is not None or not engine.first
    urls = streamed(config)
    words = mixture(config.paraphrase_share, config.seed, config.lexicon)
    if urls is not None:
        for flag, given in (("tasks", config.tasks), ("other-shapes", config.other_shapes)):
            if given:
                raise DataError(
                    f"--{flag}: is for a set whose codes are kept, and this one is streamed: leave "
                    "--streaming out"
                )
        if not look_at_stream(config, urls, engine):
            raise no_captions(config, [])
        if words and engine.first:
            tell(config, words.told(first_records(urls, FIRST_SAMPLES, reading_of(config))))
        stream = stream_of(config, engine, urls, tokenizer.config.size, tokenizer.config.fit)

        def texts_of() -> list[str]:
            records = first_records(urls, VOCABULARY_SAMPLES, reading_of(config))
            return texts_of_records(records, words)

        with engine.first_alone():
            text = load_text(config, texts_of, again)
        augment = config.augmentations > 0
        return text, StreamedBatches(
            stream, tokenizer, text, engine, places=places, seed=config.seed, augment=augment,
            odds=ControlOdds(text_only=config.text_only), mixture=words,
        )  # fmt: skip
    samples = open_training_set(config, engine)
    if not samples.captioned:
        raise no_captions(config, samples.fields)
    records = [samples.record(index) for index in range(len(samples))]
    if words and engine.first:
        tell(config, words.told(records))
    if engine.first:
        write_tasks(config, records)
    with engine.first_alone():
        text = load_text(config, lambda: training_texts(samples, words), again)
        file = Path(config.output_dir) / "codes.safetensors"
        shapes = other_shapes(config.other_shapes, config.seed, tokenizer)
        batches = stored_batches(config, tokenizer, samples, text, file, places, words, shapes)
    if engine.device.type == "cuda" and config.data_workers:
        return text, Ahead(batches, config.data_workers)
    return text, batches


def load_text(config: TrainConfig, texts_of: Callable[[], list[str]], again: bool) -> TextTokenizer:
    """The vocabulary of the model to go on from, of the run (`again`), or a new one."""
    if config.init_from and not config.new_vocabulary:
        return TextTokenizer.load(resolve_model(config.init_from) / "tokenizer.json")
    stored = Path(config.output_dir) / "tokenizer.json"
    if stored.is_file() and again:
        return TextTokenizer.load(stored)
    text = TextTokenizer.train(texts_of(), config.text_vocabulary)
    stored.parent.mkdir(parents=True, exist_ok=True)
    text.save(stored)
    return text


def stored_batches(
    config: TrainConfig,
    tokenizer: VQGAN,
    samples: Samples,
    text: TextTokenizer,
    file: Path,
    places: range,
    words: Mixture | None = None,
    shapes: OtherShapes | None = None,
) -> Batches:
    """Encode a set (once) and draw batches from it."""
    own = tokenizer.config
    pixels, tasks = Pixels(samples, own.size, own.fit), read_tasks(config)
    cache = CodeCache.build(
        tokenizer,
        pixels,
        file,
        augmentations=config.augmentations,
        seed=config.seed,
    )
    collages = None
    if finds_blocks(config):
        collages = build_collages(tokenizer, pixels, file.with_name(f"halves-{file.name}"))
    drawn = None
    if tasks:
        records = [samples.record(index) for index in range(len(samples))]
        drawn = TaskSamples(tasks, records, cache, text, config.seed, collages)
    return Batches(
        cache,
        samples,
        text,
        batch_size=config.train_batch_size,
        seed=config.seed,
        neighbour_keys=config.neighbour_keys,
        places=places,
        odds=control_odds(tasks, ControlOdds(text_only=config.text_only)),
        mixture=words,
        tasks=drawn,
        shapes=shapes,
    )


def read_tasks(config: TrainConfig) -> list[Task]:
    """The mixture of a run; empty without one.

    Raises:
        DataError: it cannot be used.
    """
    if config.tasks is None:
        return []
    try:
        tasks = read_mixture(config.tasks)
    except RequestError as error:
        raise DataError(f"--tasks: {error}") from None
    if autoregressive_share(tasks) and not config.autoregressive:
        raise DataError(
            "--tasks: an image is told in the order autoregressive, which has an objective of its "
            "own: add --objectives autoregressive=0.3"
        )
    return tasks


def write_tasks(config: TrainConfig, records: Sequence[dict[str, Any]]) -> None:
    """Keep in the run's folder what its models know beside images, for those exported later."""
    tasks = [task for task in read_tasks(config) if task.plan.target.kind != IMAGE]
    known = KnownTasks(
        {task.name: str(task.instruction) for task in tasks},
        closed_sets([task.plan for task in tasks], records),
    )
    file = Path(config.output_dir) / TASKS
    file.parent.mkdir(parents=True, exist_ok=True)
    if tasks:
        write_text(
            file, json.dumps({"tasks": known.to_json()}, ensure_ascii=False, indent=2) + "\n"
        )


def tasks_of_run(config: TrainConfig, folder: Path) -> KnownTasks:
    """What a run kept in `folder` teaches beside images, over what its base knows and shows."""
    base = known_tasks(resolve_model(config.init_from)) if config.init_from else KnownTasks()
    own = parse_tasks(read_json(folder / TASKS)) if (folder / TASKS).is_file() else KnownTasks()
    return KnownTasks(
        {**base.instructions, **own.instructions},
        {**base.closed_sets, **own.closed_sets},
        base.domain,
    )


def finds_blocks(config: TrainConfig) -> bool:
    """Whether a task of the run's mixture is to say where in a picture something is."""
    return any(task.plan.target.kind == BOX for task in read_tasks(config))


def start_model(config: TrainConfig, tokenizer: VQGAN, text: TextTokenizer) -> UFCTransformer:
    """A fresh transformer, or the one to go on from, which brings its own sizes.

    Raises:
        CheckpointError: there is none, it is for other codes than the tokenizer's, or its controls
            see something else than was said.
    """
    codebook_VD = tokenizer.quantize.codebook().detach()
    if config.init_from:
        folder = resolve_model(config.init_from)
        model = UFCTransformer.from_pretrained(folder / "transformer")
        model = with_parts(
            model,
            config.estimators,
            model.config.autoregressive or config.autoregressive,
            model.config.grounding or finds_blocks(config),
        )
        check_fits(model.config, config, tokenizer.config)
        # No weight depends on these, so a model may go on with others, as at another resolution.
        dropout = model.config.dropout if config.dropout is None else config.dropout
        model.config = replace(
            model.config,
            grid=tokenizer.config.grid_size,
            dropout=dropout,
            **said(config, "capacity_factor", "balance_weight"),
        )
        for block in model.layers():
            block.dropout = dropout
            if block.experts is not None:
                block.experts.capacity_factor = model.config.capacity_factor
        meet_codebook(model, codebook_VD)
        if config.new_vocabulary:
            return with_words(model, TextTokenizer.load(folder / "tokenizer.json"), text)
        return model
    model = UFCTransformer(
        UFCConfig(
            codes=tokenizer.config.codes,
            codebooks=tokenizer.config.codebooks,
            code_width=tokenizer.config.embed_dim,
            text_vocabulary=text.size,
            grid=tokenizer.config.grid_size,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout or 0.0,
            control_attention=config.control_attention or "prefix",
            estimators=config.estimators,
            autoregressive=config.autoregressive,
            grounding=finds_blocks(config),
            ffn=config.ffn or "dense",
            experts=config.experts,
            prototypes=config.prototypes,
            **said(config, "capacity_factor", "balance_weight"),
        )
    )
    model.know_codebook(codebook_VD)
    return model


def said(config: TrainConfig, *names: str) -> dict[str, Any]:
    """Those of the settings that are not left to what the run starts from."""
    values = {name: getattr(config, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def with_parts(
    model: UFCTransformer, estimators: Sequence[str], autoregressive: bool, grounding: bool
) -> UFCTransformer:
    """The model with the estimators of these names, and able to generate autoregressively and to
    find blocks or not: what it has of it stays as it is, the rest is new."""
    wanted = replace(
        model.config,
        estimators=tuple(estimators),
        autoregressive=autoregressive,
        grounding=grounding,
    )
    if wanted == model.config:
        return model
    other = UFCTransformer(wanted)
    other.load_state_dict(other.state_dict() | {
        name: value for name, value in model.state_dict().items() if name in other.state_dict()
    })  # fmt: skip
    return other


def check_fits(known: UFCConfig, config: TrainConfig, tokenizer: VQGANConfig) -> None:
    """Raise `CheckpointError` where a model to go on from is not what the run is to train."""
    theirs = tokenizer.codebooks, tokenizer.n_embed, tokenizer.embed_dim
    if (known.codebooks, known.codebook_size, known.code_width) != theirs:
        named = name_codes(known.codebooks, known.codebook_size)
        raise CheckpointError(
            f"{config.init_from} is for {named} codes of width {known.code_width}, the tokenizer "
            f"has {name_codes(*theirs[:2])} of width {theirs[2]}: give --tokenizer "
            f"{config.init_from}, or start anew without --init-from"
        )
    if config.ffn not in (None, known.ffn):
        raise CheckpointError(
            f"{config.init_from} has ffn {known.ffn!r}, got {config.ffn!r}: leave it out, or start "
            "anew without --init-from"
        )
    if config.control_attention not in (None, known.control_attention):
        raise CheckpointError(
            f"{config.init_from} has learnt with control_attention {known.control_attention!r}, "
            f"got {config.control_attention!r}: leave it out, or start anew without --init-from"
        )


@torch.no_grad()
def meet_codebook(model: UFCTransformer, codebook_VD: Tensor) -> None:
    """Tell a model what another tokenizer's codes look like; the one it knows changes nothing."""
    known_VD = model.looks.clone()
    model.know_codebook(codebook_VD)
    if torch.allclose(model.looks, known_VD, rtol=0.0, atol=ROUNDING):
        model.looks.copy_(known_VD)


@torch.no_grad()
def with_words(model: UFCTransformer, older: TextTokenizer, text: TextTokenizer) -> UFCTransformer:
    """The model with another vocabulary; a new word starts as the mean of its old pieces."""
    changed = UFCTransformer(replace(model.config, text_vocabulary=text.size))
    state = model.state_dict()
    spellings = text.spellings(older)
    words_VD, others_VD = state["embedding.weight"].tensor_split([older.size])
    state["embedding.weight"] = torch.cat(
        [torch.stack([words_VD[ids].mean(0) for ids in spellings]), others_VD]
    )
    state["text_bias"] = torch.stack([state["text_bias"][ids].mean() for ids in spellings])
    changed.load_state_dict(state)
    return changed
