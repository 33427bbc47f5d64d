"""A Hugging Face hub that notes what is pushed to it; `no/way` is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from ufc.io.hub import manifest


class ToyHub:
    """What was asked of it, and what came of the last upload.

    Attributes:
        token: of the last client.
        created: (repository, private) of each repository that was made.
        files: paths of the last upload.
        card: its README.md.
        settings: what else was said of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.token: str | bool | None = None
        self.created: list[tuple[str, bool | None]] = []
        self.files: set[str] = set()
        self.card = ""
        self.settings: dict[str, Any] = {}
        monkeypatch.setattr(huggingface_hub, "HfApi", self.client)

    def client(self, token: str | bool | None = None) -> ToyHub:
        self.token = token
        return self

    def create_repo(self, repo_id: str, private: bool | None, exist_ok: bool) -> None:
        if repo_id == "no/way":
            raise PermissionError("403")
        self.created.append((repo_id, private))

    def upload_folder(self, repo_id: str, folder_path: str, **settings: Any) -> str:
        self.files = set(manifest(Path(folder_path)))
        self.card = (Path(folder_path) / "README.md").read_text(encoding="utf-8")
        self.settings = settings
        return f"https://example.org/{repo_id}"

    @property
    def metadata(self) -> huggingface_hub.CardData:
        """The card's metadata, as the hub reads it."""
        return huggingface_hub.ModelCard(self.card).data
