"""Pictures, and what the program writes into its own."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ufc.io.png.metadata import read_metadata
from ufc.io.png.picture_row import read_picture_row
from ufc_base.images import load_image, load_mask
from webui.sessions.state import Settings, from_request

from .. import pictures
from .base import Kind, Read, Rng, only, write


def opens(folder: Path) -> object:
    return Image.open(only(folder)).size


def says(folder: Path) -> object:
    info = Image.open(only(folder)).info
    return (
        info["exif"]
        if "exif" in info
        else info["ufc_metadata" if "ufc_metadata" in info else "ufc_blocks"]
    )


def write_metadata(rng: Rng, folder: Path) -> None:
    suffix, data = pictures.own_metadata(rng)
    (folder / f"a.{suffix}").write_bytes(data)


def editor_settings(folder: Path) -> object:
    said = read_metadata(only(folder)).request or {}
    asked = said.get("request")
    return from_request(Settings(), asked) if isinstance(asked, dict) else None


PICTURE: dict[str, Read] = {
    "load_image": lambda f: load_image(only(f)),
    "load_mask": lambda f: load_mask(only(f)),
    "read_metadata": lambda f: read_metadata(only(f)),
}

KINDS = {
    "picture": Kind(5000, write("a.img", pictures.picture), opens, PICTURE),
    "bomb": Kind(40, write("a.img", pictures.bomb), opens, PICTURE),
    "metadata": Kind(
        2500, write_metadata, says,
        PICTURE | {
            "read_picture_row": lambda f: read_picture_row(only(f)), "editor": editor_settings,
        },
    ),
}  # fmt: skip
