"""Cards of models: `README.md` with metadata that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DEFAULT_LICENCE = "apache-2.0"
LIBRARY = "ufc-bert"  # of what diffusers does not load


def card(
    text: str,
    *,
    library: str = LIBRARY,
    task: str,
    tags: Sequence[str],
    licence: str = DEFAULT_LICENCE,
    **more: Any,
) -> str:
    """The text of a card behind its metadata.

    `task` is the hub's `pipeline_tag`; `more` are further fields of `huggingface_hub`'s
    `ModelCardData`, and those that are None are left out.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name=library, pipeline_tag=task, license=licence, tags=list(tags), **more
    )
    return f"---\n{data.to_yaml()}\n---\n{text}"


def with_licence(text: str, licence: str) -> str:
    """The text of a card with another licence in its metadata; none where it is empty."""
    from huggingface_hub import ModelCard

    found = ModelCard(text, ignore_metadata_errors=True)
    found.data["license"] = licence or None
    return str(found)


def complete(path: Path, wanted: Mapping[str, str]) -> None:
    """Add to a card's metadata what it lacks; its text, and what it says already, stay.

    Raises:
        ValueError: its metadata cannot be read.
    """
    from huggingface_hub import metadata_load, metadata_save

    try:
        known = metadata_load(path) or {}
    except Exception as error:  # of the YAML parser's many types, too
        raise ValueError(
            f"{path}: what stands between its first two lines of --- is no YAML mapping "
            f"({str(error).splitlines()[0]:.120}): mend it, or take it out"
        ) from error
    missing = {name: value for name, value in wanted.items() if not known.get(name)}
    if missing:
        metadata_save(path, {**known, **missing})


def is_repository(name: str) -> bool:
    """Whether a model's name is one of the hub, user/name, and not a folder's."""
    return name.count("/") == 1 and not name.startswith((".", "~", "/")) and not Path(name).exists()


def public_name(model: str) -> str:
    """What a card calls a model: the hub's name, or the last part of a path, which is private."""
    return model if is_repository(model) else Path(model).name


def base_model(settings: Mapping[str, Any]) -> str | None:
    """The repository that a run went on from, for the metadata; None where it is none."""
    name = str(settings.get("init_from") or "")
    return name if is_repository(name) else None


def training_section(settings: Mapping[str, Any]) -> str:
    """A run's settings that a reader asks for first, as a section; empty where none are known.

    Paths and addresses of data are left out, since they may be nobody else's business.
    """
    known = {name: value for name, value in settings.items() if value not in (None, "", 0)}
    rows = []
    if "init_from" in known:
        rows.append(("started from", f"`{public_name(str(known['init_from']))}`"))
    if "dataset_name" in known:
        rows.append(("data set", f"`{public_name(str(known['dataset_name']))}`"))
    if "max_train_steps" in known:
        minutes = known.get("max_train_minutes")
        over = f", or {minutes:g} minutes" if minutes else ""
        rows.append(("steps, at most", f"{known['max_train_steps']:,}{over}"))
    for name, label in (("train_batch_size", "samples a step"), ("learning_rate", "learning rate")):
        if name in known:
            rows.append((label, f"{known[name]:g}"))
    if not rows:
        return ""
    lines = [f"| {label} | {value} |" for label, value in rows]
    return "\n".join(["", "## Training", "", "| | |", "|---|---|", *lines, ""])
