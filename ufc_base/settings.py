"""Settings of a recipe: a dataclass field with a default and a help text for the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from ufc_base.data.addresses import NamedSet, is_builder
from ufc_base.data.records import MAX_UNREADABLE
from ufc_base.publishing.cards import DEFAULT_LICENCE


def setting(default: Any, help: str, least: int | None = None) -> Any:
    """A dataclass field whose `help` the command line shows; `least` is the least it may be."""
    return field(default=default, metadata={"help": help, "least": least})


# Help texts of what all trainers have.
CAPTION_COLUMN = "Field of the captions, and no other (text, else caption)."
IMAGE_COLUMN = "Which of several pictures of a sample, or the column that names them (file_name)."
UNREADABLE = "Share of unreadable pictures that is left out, not refused."


class Settings:
    """What the dataclass of a recipe comes from: its numbers are checked when it is made.

    Whole numbers are counts, 1 or more where their setting says no other `least`; other numbers
    are 0 or more.

    Raises:
        ValueError: a number below that.
    """

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]  # a dataclass is what has these
            value, least = getattr(self, item.name), item.metadata.get("least")
            if least is None:
                least = 1 if item.type in ("int", "tuple[int, ...]") else 0
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and not number >= least:  # nor NaN
                    raise ValueError(f"{item.name}: got {number}, wanted {least} or more")


TRACKERS = ("tensorboard", "wandb", "trackio")  # see `ufc_base.training.trackers`


@dataclass
class DataSettings(Settings):
    """Which data a run learns from and is measured by, and how they are read."""

    train_data_dir: str = setting(
        "",
        "ImageFolder (metadata.jsonl, .csv or .parquet), or shards: folder, {000..099}.tar, URLs.",
    )
    output_dir: str = setting("runs/model", "Where model, checkpoints and log go.")
    val_data_dir: str | None = setting(None, "Held-out data, of the same kinds.")
    dataset_name: str | None = setting(
        None, "Data set of Hugging Face's datasets: hub id, folder, or builder of --train-data-dir."
    )
    dataset_config_name: str | None = setting(None, "Its configuration.")
    train_split: str | None = setting(None, "Its split to learn from (train).")
    val_split: str | None = setting(None, "Its split that is held out.")
    caption_column: str | None = setting(None, CAPTION_COLUMN)
    image_column: str | None = setting(None, IMAGE_COLUMN)
    max_unreadable: float = setting(MAX_UNREADABLE, UNREADABLE)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dataset_config_name", "train_split", "val_split"):
            if getattr(self, name) is not None and self.dataset_name is None:
                raise ValueError(f"{name} is of a data set by name: give dataset_name too")

    @property
    def training_data(self) -> str:
        """Path or address of what is learnt from."""
        if self.dataset_name is None:
            return self.train_data_dir
        return self._named(self.train_data_dir, self.train_split)

    @property
    def held_out_data(self) -> str | None:
        """Path or address of what is held out; None without."""
        name = self.dataset_name
        if name is None or (self.val_data_dir and not is_builder(name)):
            return self.val_data_dir
        if self.val_data_dir is None and self.val_split is None:
            return None
        return self._named(self.val_data_dir or self.train_data_dir, self.val_split)

    def _named(self, folder: str, split: str | None) -> str:
        name, config = self.dataset_name or "", self.dataset_config_name
        return str(NamedSet(name, config, folder or None, split))


@dataclass
class SharedSettings(DataSettings):
    """Who is told of a run, and whether its result goes to the hub."""

    report_to: tuple[str, ...] = setting(
        (), "Tracker beside the run's own log: tensorboard, wandb or trackio."
    )
    push_to_hub: bool = setting(False, "Upload the result to the Hugging Face hub at the end.")
    hub_model_id: str | None = setting(
        None, "Where to, as user/name; the output folder's name in your namespace if left out."
    )
    hub_private_repo: bool = setting(False, "Make that repository a private one.")
    hub_licence: str = setting(
        DEFAULT_LICENCE, "Licence of the result, as the hub names it; empty says none."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.report_to if name not in TRACKERS]
        if unknown:
            raise ValueError(
                f"report_to: got {', '.join(map(repr, unknown))}, wanted {', '.join(TRACKERS)}"
            )


Fit = Literal["pad", "stretch", "crop"]
FITS = get_args(Fit)  # see `ufc_base.data.datasets.as_uint8`


@dataclass
class LoopSettings(SharedSettings):
    """What the trainers of both stages have in common."""

    fit: str | None = setting(
        None,
        "How pictures get the model's shape: pad (white bars), stretch, or crop; if not said, as "
        "the tokenizer had them, and pad for a new one.",
    )
    streaming: bool | None = setting(
        None, "Read shards in passing or index them; if not said, by their size and address."
    )
    stream_lanes: int = setting(
        16, "Streams the shards are dealt to; a multiple of processes times workers."
    )
    stream_shuffle: int = setting(1000, "Samples of a stream that are shuffled among themselves.")
    data_workers: int = setting(2, "Processes that read and decode for each training process.", 0)
    train_batch_size: int = setting(32, "Samples a step, over all processes.")
    gradient_accumulation_steps: int = setting(1, "Parts a process takes its share of a step in.")
    gradient_checkpointing: bool = setting(
        False, "Compute activations twice instead of keeping them."
    )
    mixed_precision: str = setting("auto", "auto, bf16 or no; auto is bf16 where it is native.")
    sharding: str = setting("ddp", "Between processes: ddp, or fsdp, which shards the weights.")
    max_train_steps: int = setting(20_000, "Steps in all.")
    max_train_minutes: float | None = setting(
        None, "Minutes at work in all, pauses not counted, if they are over sooner."
    )
    learning_rate: float = setting(1e-3, "Peak learning rate; it falls by a cosine.")
    lr_warmup_steps: int = setting(100, "Steps of linear warm-up.", 0)
    ema_decay: float = setting(0.999, "Decay of the averaged weights, which are what is written.")
    checkpointing_steps: int = setting(500, "Steps between checkpoints.")
    checkpoints_total_limit: int = setting(2, "Checkpoints kept.")
    max_skipped_steps: int = setting(
        20, "Steps in a row that may be skipped for a loss that is not finite; more end the run.", 0
    )
    validation_steps: int = setting(500, "Steps between validations and previews.")
    logging_steps: int = setting(50, "Steps between lines of the log.")
    resume_from_checkpoint: str | None = setting(
        None, "latest, or a checkpoint-N folder: newer ones of the run are then removed."
    )
    init_from: str | None = setting(None, "Model to go on from.")
    device: str = setting("auto", "auto, cpu or cuda.")
    seed: int = setting(0, "Seed of the run.", 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit is not None and self.fit not in FITS:
            raise ValueError(f"fit is {self.fit!r}; choose one of {', '.join(FITS)}")
