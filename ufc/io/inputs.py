"""The picture files of a request: opened, checked against one another, and named by their hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ufc.conditioning.conditioning import Conditioning, picture_kinds
from ufc.io.png.block_record import BlockRecord
from ufc.io.png.metadata import metadata_of
from ufc.io.validation import RequestError
from ufc_base.checkpoint import sha256
from ufc_base.images import (
    ImageError,
    load_image,
    load_mask,
    load_original,
    match_mask,
)
from ufc_base.reading import read_picture

HELD_PIXELS = 2**26  # of decoded input files, about 200 MB


class InputFile:
    """One picture file, decoded and hashed once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stored = read_picture(path)
        self.sha256 = sha256(Path(path))

    def open(self, seen: str, invert_mask: bool = False) -> Image.Image:
        """Upright, as a kind of picture is `seen`: RGB, or for masks L with white to regenerate."""
        if seen == "mask":
            try:
                return load_mask(self.stored, invert=invert_mask)
            except ImageError as error:
                said = str(error).removeprefix("image: ")
                raise ImageError(f"{self.path}: {said}") from None
        return load_original(self.stored) if seen == "own" else load_image(self.stored)

    def blocks(self) -> BlockRecord | None:
        """What it says of its blocks; None where it says nothing that can be read."""
        try:
            return metadata_of(self.stored, self.path).blocks
        except RequestError:  # its chunks are damaged; its pixels are not
            return None


class InputFiles:
    """The picture files of a run: each is opened, checked and hashed once.

    A file that was changed meanwhile is opened again, and so is one that others have pushed out:
    at most `pixels` of them are held.
    """

    def __init__(self, pixels: int = HELD_PIXELS) -> None:
        self.pixels = pixels
        self.files: dict[tuple[str, int, int], InputFile] = {}

    def __getitem__(self, path: str) -> InputFile:
        """Raise `ImageError` for a file that cannot be read, named by its path."""
        try:
            state = os.stat(path)
            key = path, state.st_mtime_ns, state.st_size
        except (OSError, ValueError):
            return InputFile(path)  # says what is wrong with it
        file = self.files.pop(key, None) or InputFile(path)
        self.files[key] = file
        held = sum(one.stored.width * one.stored.height for one in self.files.values())
        while held > self.pixels and len(self.files) > 1:
            oldest = self.files.pop(next(iter(self.files)))
            held -= oldest.stored.width * oldest.stored.height
        return file

    def load(self, given: Conditioning) -> Conditioning:
        """A request's conditioning with its files opened, a mask in the size of its image.

        Raises:
            ImageError: a file that cannot be read, or a mask that does not fit its image.
        """
        opened = given.with_pictures(
            {name: partial(self._open, kind.seen, given) for name, kind in picture_kinds().items()}
        )
        if opened.mask_image is None:
            return opened
        try:
            mask = match_mask(opened.mask_image, opened.image.size)
        except ImageError as error:
            said = str(error).removeprefix("image: ").removeprefix(f"{given.mask_image}: ")
            raise ImageError(f"{given.mask_image}: {said}") from None
        return opened.model_copy(update={"mask_image": mask, "invert_mask": False})

    def _open(self, seen: str, given: Conditioning, path: Any) -> Image.Image:
        return self[path].open(seen, given.invert_mask)

    def hashes(self, files: Mapping[str, Iterable[str]]) -> dict[str, str]:
        """sha256 of the files of `Conditioning.pictures`, by their paths."""
        return {path: self[path].sha256 for paths in files.values() for path in paths}


def input_digest(hashes: Mapping[str, str]) -> str | None:
    """Twelve hex digits that change with the contents of any input file; None without any."""
    if not hashes:
        return None
    return hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]
