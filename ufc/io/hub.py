"""Where models come from: bundled weights, a folder, or the Hugging Face hub."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from ufc_base.checkpoint import CheckpointError, read_json, sha256

MANIFEST = "manifest.json"
DEFAULT_MODEL = "fashion-192x256"  # where none is named; bundled


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
    *,
    token: str | bool | None = None,
    force_download: bool = False,
    subfolder: str | None = None,
) -> Path:
    """The folder of a model given as a folder, a bundled name, or a hub repository `user/name`.

    A `subfolder` is of that folder or repository. `token` and `force_download` are the hub's.

    Raises `CheckpointError` if there is none.
    """
    if subfolder:
        inside = PurePosixPath(subfolder.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise CheckpointError(f"subfolder {subfolder!r} leads out of the model: name one in it")
        if Path(model).is_dir():
            return resolve_model(Path(model) / inside)
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
    fetched = fetch(
        str(model), revision, cache_dir, local_files_only, token, force_download, subfolder
    )
    return resolve_model(fetched / subfolder) if subfolder else fetched


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


def resolve_estimator(name: str | PathLike[str], what: str, made_by: str, bundled: str) -> Path:
    """The folder of an estimator that is not part of a model: itself, or a bundled one's.

    `what` it is, the command that it is `made_by`, and which one is `bundled` are for the message.

    Raises:
        CheckpointError: there is none, or its files were changed.
    """
    for folder in (Path(name), bundled_folder() / name):
        if (folder / "config.json").is_file():
            check_hashes(folder)
            return folder
    raise CheckpointError(
        f"there is no {what} {str(name)!r}: give the output folder of `{made_by}`, or {bundled!r}"
    )


def fetch(
    repository: str,
    revision: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
    local_only: bool = False,
    token: str | bool | None = None,
    force_download: bool = False,
    subfolder: str | None = None,
) -> Path:
    """Download a model from the hub, or find it in the hub's cache."""
    from huggingface_hub import snapshot_download

    inside = f"{subfolder.strip('/')}/" if subfolder else ""
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=local_only,
                token=token,
                force_download=force_download,
                allow_patterns=[f"{inside}{name}" for name in ("*.json", "*.safetensors", "*.md")],
            )
        )
    except Exception as error:  # the hub client raises many unrelated types
        raise CheckpointError(
            f"could not fetch {repository!r} from the hub ({type(error).__name__}: {error}); "
            "check the name and the network, or give a folder"
        ) from error


def fetch_file(
    where: str | PathLike[str],
    name: str,
    subfolder: str | None = None,
    **settings: Any,
) -> Path:
    """A file by its path, in a folder, or in a repository of the hub; `settings` are the hub's.

    Raises `CheckpointError` if there is none.
    """
    place = Path(where)
    if place.is_file():
        return place
    inside = PurePosixPath(subfolder or ".") / name
    if ".." in inside.parts or inside.is_absolute():
        raise CheckpointError(f"{inside} leads out of {where}: name a file in it")
    if place.is_dir():
        if not (place / inside).is_file():
            raise CheckpointError(f"there is no {inside} in {place}: is it an adapter's folder?")
        return place / inside
    if str(where).count("/") != 1 or place.is_absolute():
        raise CheckpointError(
            f"there is no {str(where)!r}: give a file, its folder, or a hub repository as user/name"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(where), str(inside), **settings))
    except Exception as error:  # the hub client raises many unrelated types
        raise CheckpointError(
            f"could not fetch {inside} of {str(where)!r} from the hub ({type(error).__name__}: "
            f"{error!s:.300}); check the name and the network, or give a folder"
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
