"""`ufc train` and its kin: commands whose flags are the trainers' configurations.

A recipe file (`--config`) gives values and flags override them. The trainers are imported only
when one of these commands runs, so their flags are read in a second pass.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ufc.cli.flags import command
from ufc.cli.program import Later, command_of
from ufc.cli.recipes import find_recipe, names_beginning
from ufc.cli.terminal import DONE, INTERRUPTED, say
from ufc.io.validation import RequestError, listed, shortened, shown
from ufc_base.formats.yaml_text import load_yaml
from ufc_base.program import option
from ufc_base.training.ranks import ranks_from_environment

ExportDType = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Trainer:
    """A trainer's name on the command line, its configuration class and what runs it.

    `export` turns a checkpoint into a model folder, given settings, the checkpoint and a dtype.
    """

    name: str
    config: type
    main: Callable[[Any], object]
    export: Callable[[Any, Path, Any], Path]
    help: str


def train_tokenizer() -> Trainer:
    """The trainer of the first stage."""
    from vqgan.training.config import TokenizerTrainConfig
    from vqgan.training.export import export_tokenizer
    from vqgan.training.trainer import main

    help = "Train the tokenizer on an ImageFolder with its metadata, or on WebDataset shards."
    return Trainer("train-tokenizer", TokenizerTrainConfig, main, export_tokenizer, help)


def train() -> Trainer:
    """The trainer of the second stage."""
    from ufc.training.config import TrainConfig
    from ufc.training.export import export_model
    from ufc.training.trainer import main

    help = "Train the generator on an ImageFolder with its metadata, or on WebDataset shards."
    return Trainer("train", TrainConfig, main, export_model, help)


def train_contrastive() -> Trainer:
    """The trainer of the contrastive estimator."""
    from ufc.training.contrastive_training import ContrastiveTrainConfig, main
    from ufc.training.export import export_contrastive

    help = "Train the contrastive estimator on an ImageFolder with its metadata, or on shards."
    return Trainer("train-contrastive", ContrastiveTrainConfig, main, export_contrastive, help)


def train_contradiction() -> Trainer:
    """The trainer of the model that compares captions with prompts."""
    from estimators.contradiction.training import (
        ContradictionTrainConfig,
        export_contradiction,
        main,
    )

    help = "Train the judge of whether a caption contradicts a prompt on the captions of a set."
    return Trainer(
        "train-contradiction", ContradictionTrainConfig, main, export_contradiction, help
    )


def train_upscaler() -> Trainer:
    """The trainer of the upscaler."""
    from vqgan.upscaling.config import UpscalerTrainConfig
    from vqgan.upscaling.trainer import export_upscaler, main

    help = "Train the upscaler on the larger photographs of an ImageFolder or of shards."
    return Trainer("train-upscaler", UpscalerTrainConfig, main, export_upscaler, help)


def later(trainer: Callable[[], Trainer], help: str) -> Later:
    """A trainer's command, built when it is needed."""

    def build(arguments: list[str]) -> tuple[Any, str, list[str]]:
        made = trainer()
        return command_of(command_for(made)), made.name, arguments

    return Later(help, build)


TRAINERS = {
    "train-tokenizer": later(
        train_tokenizer, "Train the first stage, pictures to codes and back, on your own pictures."
    ),
    "train": later(train, "Train the second stage, controls to codes, on your own pictures."),
    "train-contrastive": later(
        train_contrastive, "Train the contrastive estimator, the judge of retrieval figures."
    ),
    "train-contradiction": later(
        train_contradiction,
        "Train the judge of whether a caption contradicts a prompt, and in what.",
    ),
    "train-upscaler": later(
        train_upscaler, "Train the upscaler, pictures to twice their size, on your photographs."
    ),
}


def command_for(trainer: Trainer) -> Callable[..., int]:
    """A function with the trainer's flags that reads them and the recipe, then trains."""

    def start(flags: Any) -> int:
        said = {name: value for name, value in vars(flags).items() if value is not None}
        recipe, dtype = said.pop("config", None), said.pop("export_dtype", None)
        checkpoint = said.pop("export_from", None)
        values = read_recipe(recipe, trainer.config) if recipe else {}
        values |= {name: typed(trainer.config, name, text) for name, text in said.items()}
        if checkpoint is not None:
            if values.get("push_to_hub"):
                raise RequestError(
                    "--push-to-hub goes with a training: upload what --export-from writes by "
                    "`hf upload`"
                )
            return export(trainer, checkpoint, dtype or "fp32", values)
        if dtype is not None:
            raise RequestError("--export-dtype goes with --export-from")
        config = build_config(trainer.config, values)
        with ending(config.output_dir):
            trainer.main(config)
        if ranks_from_environment().first:
            say(f"done; see {config.output_dir}")
        return DONE

    return command(flags_of(trainer.config), start, trainer.help)


def export(trainer: Trainer, where: str, dtype: str, values: dict[str, Any]) -> int:
    """Write a run's checkpoint as a model, by the settings that the run has kept.

    `values` go before those. The model goes into the run's folder where no other is named.
    """
    import torch

    from ufc_base.training.run_settings import read_settings
    from vqgan.training.export import find_checkpoint

    checkpoint = find_checkpoint(where)
    kept = read_settings(checkpoint.parent) or {}
    known = {field.name for field in _fields(trainer.config)}
    settings = {name: typed(trainer.config, name, kept[name]) for name in known & set(kept)}
    settings = {"output_dir": str(checkpoint.parent)} | settings | values
    dtypes = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
    folder = trainer.export(build_config(trainer.config, settings), checkpoint, dtypes[dtype])
    say(f"{checkpoint} is exported; see {folder}")
    return DONE


@contextmanager
def ending(output_dir: str) -> Iterator[None]:
    """Around a training: how it ended, where it was stopped or has diverged.

    Raises:
        SystemExit: with the exit code; typer has one of its own for Ctrl-C.
    """
    from ufc_base.training.checkpoints import Checkpoints
    from ufc_base.training.stopping import Diverged, Stopped

    first = ranks_from_environment().first
    try:
        yield
    except (Stopped, Diverged) as end:
        if first:
            say(f"ufc: {end}")
        raise SystemExit(end.code) from None
    except KeyboardInterrupt:
        newest = Checkpoints(output_dir).find("latest")
        if first and newest is None:
            say("ufc: ended at once; there is no checkpoint, start again")
        elif first:
            say(f"ufc: ended at once; go on from {newest} with --resume-from-checkpoint latest")
        raise SystemExit(INTERRUPTED) from None


def flags_of(config: type) -> type:
    """A flags dataclass with one optional field for each field of `config`, and `config`."""
    hints = get_type_hints(config)
    help = "Recipe: a .yaml file, or the name of one that came with the program."
    flag = option(help, metavar="<file or name>", autocompletion=names_beginning)
    source = "Train nothing: write the averaged weights of this run, or of one checkpoint-N of it."
    precision = "Of the weights that --export-from writes: fp32, fp16 or bf16."
    own = [
        ("config", Annotated[str | None, flag], None),
        ("export_from", Annotated[str | None, option(source, metavar="FOLDER")], None),
        ("export_dtype", Annotated[ExportDType | None, option(precision)], None),
    ]
    return make_dataclass(
        "TrainerFlags", [*own, *(_flag(f, hints[f.name]) for f in _fields(config))]
    )


def read_recipe(path: str, config: type) -> dict[str, Any]:
    """Values of a YAML file, or of a bundled recipe, each checked against the field of its name.

    Raises:
        RequestError: unreadable, not a mapping, unknown names (the known ones are listed).
    """
    try:
        values = load_yaml(find_recipe(path))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error})") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: cannot be read, it is not UTF-8") from None
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise RequestError(f"{path}: got {shown(values)}, wanted lines of `name: value`")
    values = {str(name).replace("-", "_"): value for name, value in values.items()}
    known = [field.name for field in _fields(config)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise RequestError(
            f"{path}: unknown name{'s' * (len(unknown) > 1)} {shortened(listed(unknown))}; "
            f"known are {listed(known)}"
        )
    try:
        return {name: typed(config, name, value) for name, value in values.items()}
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None


def build_config(config: type, values: Mapping[str, Any]) -> Any:
    """The configuration with these values.

    Raises:
        RequestError: a field that must be given is not.
    """
    missing = [
        "--" + field.name.replace("_", "-")
        for field in _fields(config)
        if _is_required(field) and not values.get(field.name)
    ]
    if missing:
        raise RequestError(f"{listed(missing)}: must be given, as a flag or in --config")
    return config(**values)


def typed(config: type, name: str, value: object) -> Any:
    """A value from a flag or a recipe in the type of the field `name`.

    Lists of numbers may be written with commas; numbers such as 1e-4, which YAML takes for text,
    are understood.

    Raises:
        RequestError: the value does not have that type.
    """
    hint = get_type_hints(config)[name]
    try:
        return _convert(hint, value)
    except (ValueError, TypeError, ArithmeticError):
        raise RequestError(f"{name}: got {shown(value)}, wanted {_wanted(hint)}") from None


def _convert(hint: Any, value: object) -> Any:
    inner, optional = _without_none(hint)
    if value is None:
        if optional:
            return None
        raise TypeError
    origin, parts = get_origin(inner), get_args(inner)
    if origin is Literal:
        if value not in parts:
            raise ValueError
        return value
    if origin in (tuple, list):
        items = value if isinstance(value, list | tuple) else [value]
        if parts[0] is not str:  # numbers may stand together, as in 1,2,4
            items = [part for item in items for part in str(item).split(",") if part]
        return origin(_convert(parts[0], item) for item in items)
    if inner is bool:
        return _boolean(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    if inner is int and isinstance(value, float) and value != int(value):
        raise ValueError
    if inner is int and isinstance(value, str):
        value = value.replace("_", "")
    if inner in (str, Path) and not isinstance(value, str):
        raise TypeError
    return inner(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if not isinstance(value, str) or value.lower() not in words:
        raise TypeError
    return words[value.lower()]


def _flag(field: Field[Any], hint: Any) -> tuple[str, Any, None]:
    inner, _ = _without_none(hint)
    text = field.metadata.get("help", "")
    default = "" if _is_required(field) or field.default in (None, "") else f" ({_default(field)})"
    kind: Any = bool if inner is bool else str
    if get_origin(inner) in (tuple, list):
        kind, text = list[str], f"{text} May be given several times."
    metavar = {bool: "", int: "<int>", float: "<float>"}.get(inner, "<text>")
    help = option((text + default).strip(), metavar=metavar)
    return field.name, Annotated[kind | None, help], None


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _fields(config: type) -> tuple[Field[Any], ...]:
    return tuple(field for field in fields(config) if field.init)


def _is_required(field: Field[Any]) -> bool:
    """Whether there is no default; empty text says the same."""
    return field.default_factory is MISSING and (field.default is MISSING or field.default == "")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        others = [part for part in get_args(hint) if part is not type(None)]
        return others[0], len(others) < len(get_args(hint))
    return hint, False


def _wanted(hint: Any) -> str:
    inner, optional = _without_none(hint)
    origin = get_origin(inner)
    if origin is Literal:
        name = f"one of {listed(map(str, get_args(inner)))}"
    elif origin in (tuple, list):
        name = f"a list of {getattr(get_args(inner)[0], '__name__', 'value')}"
    else:
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        name = names.get(inner, str(inner))
    return name + (" or null" if optional else "")
