"""Where models come from: bundled weights, a folder, or the Hugging Face hub."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from ufc_base.checkpoint import CheckpointError, read_json, sha256

MANIFEST = "manifest.json"
DEFAULT_MODEL = "fashion-64"  # where none is named; bundled


def bundled_folder() -> Path:
    """What `UFC_MODEL_DIR` names, or `weights/` beside the packages or inside an installed one."""
    given = os.environ.get("UFC_MODEL_DIR")
    if given:
        return Path(given)
    here = Path(__file__).resolve().parents[1]  # ufc/
    inside = here / "weights"
    return inside if inside.is_dir() else here.parent / "weights"


def bundled_models() -> list[str]:
    """Names of the models that came with the program."""
    return sorted(path.parent.name for path in bundled_folder().glob("*/model_index.json"))


def resolve_model(
    model: str | PathLike[str],
    revision: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder of a model given as a folder, a bundled name, or a hub repository `user/name`.

    Raises `CheckpointError` if there is none.
    """
    folder = Path(model)
    if (folder / "model_index.json").is_file():
        return folder
    if folder.is_dir():
        raise CheckpointError(
            f"{folder} has no model_index.json: give the output folder of `ufc train`"
        )
    bundled = bundled_folder() / str(model)
    if (bundled / "model_index.json").is_file():
        return bundled
    if str(model).count("/") != 1 or folder.is_absolute():
        raise CheckpointError(
            f"there is no model {str(model)!r}: bundled are {bundled_models() or 'none'}; "
            "else give a folder, or a hub repository as user/name"
        )
    return fetch(str(model), revision, cache_dir, local_files_only)


def resolve_tokenizer(name: str | PathLike[str]) -> Path:
    """The folder of a tokenizer: itself, or that of a model as `resolve_model` finds it.

    Raises `CheckpointError` if there is none.
    """
    from vqgan.model import tokenizer_folder

    for place in (Path(name), bundled_folder() / name):
        folder = tokenizer_folder(place)
        if (folder / "config.json").is_file():
            return folder
    try:
        return resolve_model(name) / "tokenizer"
    except CheckpointError as error:
        raise CheckpointError(
            f"{name}: neither a tokenizer (a folder with config.json and model.safetensors) nor a "
            f"model: {error}"
        ) from error


def fetch(
    repository: str, revision: str | None, cache_dir: str | PathLike[str] | None, local_only: bool
) -> Path:
    """Download a model from the hub, or find it in the hub's cache."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=local_only,
                allow_patterns=["*.json", "*.safetensors", "*.md"],
            )
        )
    except Exception as error:  # the hub client raises many unrelated types
        raise CheckpointError(
            f"could not fetch {repository!r} from the hub ({type(error).__name__}: {error}); "
            "check the name and the network, or give a folder"
        ) from error


def check_hashes(folder: Path) -> None:
    """Compare a bundled model's files with `manifest.json` beside its folder, if there is one.

    Raises `CheckpointError` naming every file that differs or is missing.
    """
    path = folder.parent / MANIFEST
    if not path.is_file():
        return
    prefix = folder.name + "/"
    expected = {
        name: digest
        for name, digest in read_json(path).items()
        if name.startswith(prefix) and not name.endswith(".md")
    }
    wrong = [
        name
        for name, digest in sorted(expected.items())
        if not (folder.parent / name).is_file() or sha256(folder.parent / name) != digest
    ]
    if wrong:
        raise CheckpointError(
            f"{', '.join(wrong)} differ from {path} (changed or not fully fetched): "
            "restore them, or copy the model out of this folder to use it as your own"
        )


def manifest(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder of models, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
