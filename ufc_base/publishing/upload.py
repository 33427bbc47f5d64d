"""Folders to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ufc_base.files import write_text
from ufc_base.publishing.cards import with_licence

if TYPE_CHECKING:
    from ufc_base.settings import SharedSettings


class HubError(OSError):
    """The hub refused what was sent, or cannot be reached; the message says what to check."""


def upload(
    folder: str | PathLike[str],
    repo_id: str,
    private: bool | None = None,
    token: str | bool | None = None,
    *,
    commit_message: str | None = None,
    create_pr: bool = False,
    ignore: Sequence[str] | None = None,
) -> str:
    """Upload a folder as it is; the commit's address. What already lies there and here is replaced.

    Raises:
        HubError: the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=repo_id,
                folder_path=str(folder),
                commit_message=commit_message or "Upload of a UFC-BERT model",
                create_pr=create_pr,
                ignore_patterns=list(ignore) if ignore else None,
            )
        )
    except Exception as error:  # the hub client raises many unrelated types
        raise HubError(
            f"could not push to {repo_id!r} ({type(error).__name__}: {error!s:.300}); check the "
            "name, the network and the token (`hf auth login`, or HF_TOKEN)"
        ) from error


def repository_of(settings: SharedSettings) -> str:
    """The repository that a run is pushed to."""
    return settings.hub_model_id or Path(settings.output_dir).resolve().name


def make_repository(settings: SharedSettings) -> None:
    """Make a run's repository before anything is computed for it, if it is to be pushed.

    A wrong token is told then, and not hours later.

    Raises:
        HubError: the hub refuses it or cannot be reached.
    """
    if not settings.push_to_hub:
        return
    from huggingface_hub import HfApi

    name = repository_of(settings)
    try:
        HfApi().create_repo(name, private=settings.hub_private_repo, exist_ok=True)
    except Exception as error:  # the hub client raises many unrelated types
        raise HubError(
            f"push_to_hub: cannot make {name!r} ({type(error).__name__}: {error!s:.300}); check "
            "the name, the network and the token (`hf auth login`, or HF_TOKEN)"
        ) from error


def push_result(
    settings: SharedSettings, write: Callable[[Path], Any], card: Callable[[str], str]
) -> None:
    """Upload what a run has made, if it is to be pushed, with a card and without checkpoints.

    Args:
        settings: the run's; its licence is the card's.
        write: writes what was made into a folder.
        card: the text of the card, given the repository's name.

    Raises:
        HubError: the hub refuses it or cannot be reached; what was made is in the run's folder.
    """
    if not settings.push_to_hub:
        return
    name = repository_of(settings)
    with TemporaryDirectory() as folder:
        write(Path(folder))
        text = with_licence(card(name), settings.hub_licence)
        write_text(Path(folder) / "README.md", text)
        upload(folder, name, settings.hub_private_repo)
