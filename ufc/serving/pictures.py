"""Pictures that came with a request, and pictures that go back with its answer."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ufc.io.inputs import InputFile, InputFiles
from ufc.io.png.metadata import Metadata, save_options
from ufc_base.arrays import ImageError
from ufc_base.profiles import PROFILE
from ufc_base.reading import read_picture

_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


class Upload(InputFile):
    """A picture that came with a request, decoded and hashed once."""

    def __init__(self, name: str, stored: Image.Image, sha256: str) -> None:
        self.path = name
        self.stored = stored
        self.sha256 = sha256


class Uploads(InputFiles):
    """The pictures of one request by name. A name that is not among them is no file here."""

    def __init__(self, max_pixels: int) -> None:
        super().__init__()
        self.max_pixels = max_pixels
        self.uploads: dict[str, Upload] = {}

    def add(self, name: str, data: bytes) -> str:
        """Take a picture in; returns the name.

        Raises:
            ImageError: no picture, damaged, or too large.
        """
        try:
            stored = read_picture(data, max_pixels=self.max_pixels)
        except ImageError as error:
            raise ImageError(f"{name}: {str(error).removeprefix('image: ')}") from None
        self.uploads[name] = Upload(name, stored, hashlib.sha256(data).hexdigest())
        return name

    def __getitem__(self, path: str) -> InputFile:
        try:
            return self.uploads[path]
        except KeyError:
            raise ImageError(f"{path}: no such picture came with the request") from None

    def cut_out(self, name: str, source: str) -> str | None:
        """The transparent part of a picture as a mask under a name of its own; white is
        regenerated. None where nothing is transparent."""
        upload = self.uploads[source]
        image = upload.stored
        if "A" not in image.getbands() and "transparency" not in image.info:
            return None
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() >= 128:
            return None
        mask = Image.fromarray(np.where(alpha < 128, np.uint8(255), np.uint8(0)))
        mask.getexif().update(image.getexif())  # it is turned as its picture is
        self.uploads[name] = Upload(name, mask, upload.sha256)
        return name


def encoded(
    image: Image.Image,
    output_format: str,
    metadata: Metadata | None = None,
    quality: int | None = None,
) -> str:
    """A picture as a file of this format in base64, with its colour profile."""
    options: dict[str, Any] = {PROFILE: image.info.get(PROFILE)}
    options |= save_options(metadata, _SUFFIXES[output_format])
    if quality is not None and output_format != "png":
        options |= {"quality": quality} | ({"lossless": False} if output_format == "webp" else {})
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def shown_name(model: str) -> str:
    """What a model is called, without the folder it lies in."""
    return Path(model).name if Path(model).is_dir() else model
