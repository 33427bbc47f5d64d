"""What cards say, and whose cards say it."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from ufc_base.publishing.cards import (
    base_model,
    card,
    complete,
    public_name,
    training_section,
    with_licence,
)

ROOT = Path(__file__).parents[3]
BUNDLED = sorted((ROOT / "weights").glob("*/README.md"))


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_bundled_weights_have_cards_with_metadata(path: Path) -> None:
    data = huggingface_hub.metadata_load(path)
    assert data is not None and data["license"] == "apache-2.0"
    assert data["language"] == ["en", "zh"] and data["tags"]
    if (path.parent / "model_index.json").is_file():
        assert (data["library_name"], data["pipeline_tag"]) == ("diffusers", "text-to-image")


def test_there_are_bundled_weights() -> None:
    assert BUNDLED


def test_metadata_come_first() -> None:
    text = card("\n# bags\n", task="image-to-image", tags=["a"], base_model=None, licence="mit")
    data = huggingface_hub.ModelCard(text).data
    assert data.to_dict() == {
        "library_name": "ufc-bert", "pipeline_tag": "image-to-image", "license": "mit",
        "tags": ["a"],
    }  # fmt: skip
    assert text.endswith("---\n\n# bags\n")


def test_another_licence_or_none() -> None:
    text = card("\n# bags\n", task="image-to-image", tags=["a"])
    other = with_licence(text, "mit")
    assert other == text.replace("apache-2.0", "mit")
    assert with_licence(other, "") == text.replace("license: apache-2.0\n", "")
    assert with_licence(text, "apache-2.0") == text


def test_what_is_empty_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("---\nlicense:\ntags: [x]\n---\nwords\n")
    complete(path, {"license": "mit", "library_name": "diffusers"})
    assert huggingface_hub.metadata_load(path) == {
        "license": "mit", "tags": ["x"], "library_name": "diffusers",
    }  # fmt: skip
    assert path.read_text().endswith("---\nwords\n")


def test_folders_are_called_by_their_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "half").mkdir(parents=True)
    for name, public, base in (
        ("me/bags", "me/bags", "me/bags"),
        ("runs/half", "half", None),
        ("./gone/half", "half", None),
        (str(tmp_path / "runs" / "half"), "half", None),
        ("fashion-192x256", "fashion-192x256", None),
    ):
        assert public_name(name) == public
        assert base_model({"init_from": name}) == base
    assert base_model({"init_from": None}) is None


def test_a_section_of_what_is_known() -> None:
    assert training_section({}) == training_section({"seed": 3, "train_data_dir": "/x"}) == ""
    section = training_section({"dataset_name": "me/set", "learning_rate": 5e-4})
    assert section.splitlines()[-2:] == ["| data set | `me/set` |", "| learning rate | 0.0005 |"]
