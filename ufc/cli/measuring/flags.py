"""Flags of `ufc evaluate`, a dataclass for each of its forms."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Annotated, Literal

import typer

from ufc.cli.flags import orders_beginning
from ufc.sampling.orders import ORDERS
from ufc_base.data.addresses import NamedSet, is_builder
from ufc_base.program import option, switch

FORMS = (
    *("tokenizer", "distances", "memory", "words", "verdicts", "phrasings"),
    *("estimators", "controls", "ablation", "report"),
)
FIGURES, JUDGES, SET, OUTPUT = "Figures", "Judges", "Pictures", "Output"


def forms_beginning(incomplete: str) -> list[str]:
    """What a shell offers beside folders as the first word after `ufc evaluate`."""
    return [form for form in FORMS if form.startswith(incomplete)]


@dataclass(kw_only=True)
class JudgeFlags:
    """What every form has."""

    real: Annotated[
        str | None,
        option("Real pictures: an ImageFolder, shards, or statistics (.npz, .pt) for --fid.", SET),
    ] = None
    dataset_name: Annotated[
        str | None,
        option("Data set of Hugging Face's datasets: hub id, folder, or builder of --real.", SET),
    ] = None
    dataset_config_name: Annotated[str | None, option("Its configuration.", SET)] = None
    real_split: Annotated[
        str | None, option("Its split that pictures are measured against.", SET)
    ] = None
    caption_column: Annotated[
        str, option("Which captions: text (default), text_zh (Chinese), or another field.", SET)
    ] = "text"
    image_column: Annotated[
        str | None,
        option("Which of several pictures of a sample, or the column that names them.", SET),
    ] = None
    max_unreadable: Annotated[
        float,
        option(
            "Share of unreadable pictures that is left out, not refused (0.01).",
            SET,
            min=0.0,
            max=1.0,
        ),
    ] = 0.01
    limit: Annotated[
        int | None, option("Only the first N pictures measured, or captions generated.", SET, min=2)
    ] = None
    input_size: Annotated[
        int | None,
        option("Pixels that alexnet or vgg16 sees (128); others have their own.", JUDGES, min=16),
    ] = None
    mode: Annotated[
        Literal["clean", "legacy"],
        option("Resizing: clean is antialiased, legacy is not.", JUDGES),
    ] = "clean"
    pad: Annotated[
        bool,
        switch("--pad", "Fill up with white what is not square, instead of stretching it.", JUDGES),
    ] = False
    fit: Annotated[
        Literal["pad", "stretch", "crop"] | None,
        option(
            "How pictures get the size that they are compared at (as the model learnt, or pad).",
            SET,
        ),
    ] = None
    batch_size: Annotated[
        int | None, option("Pictures a forward pass (32; efficientnet-lite0 4).", JUDGES, min=1)
    ] = None
    num_workers: Annotated[int, option("Threads that resize pictures (0).", JUDGES, min=0)] = 0
    device: Annotated[
        str, option("Where extractor, CLIP and model run: auto, cpu or cuda (cpu).", JUDGES)
    ] = "cpu"
    cache_dir: Annotated[
        str | None,
        option(
            "Where features and generated pictures are kept, by content (ufc/evaluate in the "
            "user's cache).",
            OUTPUT,
        ),
    ] = None
    no_cache: Annotated[bool, switch("--no-cache", "Keep nothing.", OUTPUT)] = False
    json: Annotated[bool, switch("--json", "The result as JSON.", OUTPUT)] = False
    quiet: Annotated[bool, switch("--quiet", "No progress and no notices.", OUTPUT)] = False

    def __post_init__(self) -> None:
        if self.dataset_name is None and (self.real_split or self.dataset_config_name):
            raise ValueError("a split or configuration is of a data set by name: --dataset-name")
        self.real = self.named(self.real, self.real_split)

    def named(self, folder: str | None, split: str | None) -> str | None:
        """Path or address of data: of the set by name, where no folder is meant that is none."""
        name = self.dataset_name
        if name is None or (folder and not is_builder(name)):
            return folder
        return str(NamedSet(name, self.dataset_config_name, folder, split))


@dataclass(kw_only=True)
class TrainedFlags(JudgeFlags):
    """What the forms have that also read what was learnt from."""

    train_data_dir: Annotated[
        str | None, option("Training pictures, which distances are to.", SET)
    ] = None
    train_split: Annotated[
        str | None, option("Split of --dataset-name with the training pictures (train).", SET)
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.train_data_dir = self.named(self.train_data_dir, self.train_split or "train")


@dataclass(kw_only=True)
class CommonFlags(JudgeFlags):
    """What every form has that measures pictures with captions."""

    caption_column: Annotated[
        Literal["text", "text_zh"],
        option("Which captions, English or Chinese (text).", SET, metavar="text|text_zh"),
    ] = "text"
    seed: Annotated[int, option("Of what is chosen at random (0).", SET, min=0)] = 0
    extractor: Annotated[
        str,
        option(
            "inception, efficientnet-lite0, vgg16, alexnet, or package.module:factory; auto "
            "(default) is inception if its weights are here, else efficientnet-lite0.",
            JUDGES,
        ),
    ] = "auto"
    extractor_weights: Annotated[
        str | None, option("A file of its weights, instead of a download.", JUDGES)
    ] = None
    contrastive: Annotated[
        str, option("Estimator of R-precision: a bundled name or a folder.", JUDGES)
    ] = "fashion-64-contrastive"


@dataclass(kw_only=True)
class PictureFlags(CommonFlags):
    """Flags of `ufc evaluate FAKE`, but for those of the metrics: see `picture_flags`."""

    fake: Annotated[
        str,
        typer.Argument(
            metavar="FAKE",
            help="Pictures: a folder of `ufc generate`, an ImageFolder or shards; or a model, "
            "which then generates one picture for each caption of --real.",
            show_default=False,
            autocompletion=forms_beginning,
        ),
    ]
    clip_model: Annotated[
        str | None,
        option("CLIP's name (ViT-B-32; for text_zh ViT-B-16, or VISION@TEXT@PIXELS).", JUDGES),
    ] = None
    clip_checkpoint: Annotated[
        str | None, option("CLIP's weights: a file, or a tag of open_clip's.", JUDGES)
    ] = None
    size: Annotated[
        int | None, option("Shrink all pictures to squares of so many pixels first.", SET, min=8)
    ] = None
    save_stats: Annotated[
        str | None, option("Write the real pictures' statistics here (.npz, or .pt).", OUTPUT)
    ] = None


def picture_flags() -> type[PictureFlags]:
    """`PictureFlags` with a switch for each registered metric."""
    from estimators.metrics.base import find_metrics

    switches = [
        (name, Annotated[bool, switch(f"--{name.replace('_', '-')}", metric.help, FIGURES)], False)
        for name, metric in find_metrics().items()
    ]
    return make_dataclass("MetricFlags", switches, bases=(PictureFlags,), kw_only=True)


@dataclass(kw_only=True)
class ModelFlags(TrainedFlags, CommonFlags):
    """Flags of the forms that generate with a model and measure against its training pictures."""

    real: Annotated[
        str | None, option("Held-out pictures with captions: an ImageFolder or shards.", SET)
    ] = None
    model: Annotated[
        str | None, option("A bundled name or a folder (fashion-192x256).", SET, envvar="UFC_MODEL")
    ] = None
    fit: Annotated[
        Literal["pad", "stretch", "crop"] | None,
        option(
            "How pictures get the tokenizer's shape: pad (white bars), stretch or crop (as it "
            "learnt).",
            SET,
        ),
    ] = None
    output_dir: Annotated[
        str | None,
        option("Folder for the figures as JSON; nothing is written without.", OUTPUT),
    ] = None


@dataclass(kw_only=True)
class EstimatorFlags(ModelFlags):
    """Flags of the forms that let the estimators choose."""

    choices: Annotated[int, option("Pictures a caption to choose the best of (8).", SET, min=3)] = 8


@dataclass(kw_only=True)
class ControlFlags(ModelFlags):
    """Flags of `ufc evaluate controls`."""

    kept: Annotated[
        Literal["top", "bottom", "left", "right"],
        option("Which half of the own picture is kept, where blocks are kept (top).", SET),
    ] = "top"
    order: Annotated[
        str | None,
        option(
            "How the canvas is filled (the model's own order); autoregressive where it has been "
            "learnt.",
            SET,
            metavar="|".join(ORDERS),
            autocompletion=orders_beginning,
        ),
    ] = None


@dataclass(kw_only=True)
class VerdictFlags(ModelFlags):
    """Flags of `ufc evaluate verdicts`."""

    limit: Annotated[int, option("Pictures of each language (200).", SET, min=2)] = 200
    contradiction_model: Annotated[
        str, option("What compares caption and prompt: a bundled name or a folder.", JUDGES)
    ] = "fashion-contradiction"


@dataclass(kw_only=True)
class PhrasingFlags(ModelFlags):
    """Flags of `ufc evaluate phrasings`, which needs no held-out pictures."""

    phrasings: Annotated[
        str | None,
        option("JSON lines with prompt, type, colour, gender, lang (100 packaged ones).", SET),
    ] = None
    num_images_per_prompt: Annotated[
        int, option("Pictures for each phrasing (4).", SET, min=1, max=64)
    ] = 4


@dataclass(kw_only=True)
class ReportFlags(EstimatorFlags):
    """Flags of `ufc evaluate report`."""

    output_dir: Annotated[
        str, option("Folder for the page and its figures (outputs/report).", OUTPUT)
    ] = "outputs/report"


@dataclass(kw_only=True)
class AblationFlags(ModelFlags):
    """Flags of `ufc evaluate ablation`."""

    output_dir: Annotated[
        str, option("Folder for table, plot and JSON (outputs/ablation).", OUTPUT)
    ] = "outputs/ablation"
    passes: Annotated[int, option("Forward passes a picture (28).", SET, min=4)] = 28
    candidates: Annotated[int, option("Candidates a step where scores choose (2).", SET, min=2)] = 2


@dataclass(kw_only=True)
class TokenizerFlags(TrainedFlags):
    """Flags of `ufc evaluate tokenizer`."""

    tokenizer: Annotated[
        str,
        typer.Argument(
            metavar="TOKENIZER",
            help="A tokenizer's folder, a model's folder, or a bundled model's name.",
            show_default=False,
        ),
    ]
    real: Annotated[str | None, option("Held-out pictures: an ImageFolder or shards.", SET)] = None
    train_data_dir: Annotated[
        str | None,
        option("Training pictures, which probes learn from and distances are to.", SET),
    ] = None
    extractor: Annotated[
        list[str] | None,
        option(
            "A judge; may be given several times (efficientnet-lite0, and vgg16 if its weights are "
            "here: no loss contains them).",
            JUDGES,
            metavar="NAME",
        ),
    ] = None
    fit: Annotated[
        Literal["pad", "stretch", "crop"] | None,
        option(
            "How pictures get the tokenizer's shape: pad (white bars), stretch or crop (as it "
            "learnt).",
            SET,
        ),
    ] = None
    output_dir: Annotated[
        str | None,
        option("Folder for the figures as JSON; nothing is written without.", OUTPUT),
    ] = None
