"""Colour profiles: what a picture's numbers mean, and the same colours in sRGB and back.

Models see sRGB. A picture that is to be edited keeps its own numbers and its profile, in
`info["icc_profile"]` as Pillow has it. A profile that cannot be used counts as none, which is sRGB.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ufc_base.formats.containers import MOST_INFLATED

PROFILE = "icc_profile"  # the name in `Image.info`
_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab", "L": "GRAY"}  # of a profile, by mode
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_SAME = 1  # of 255: profiles that differ by less are sRGB with other rounding


def sound_profile(image: Image.Image, mode: str = "RGB") -> bytes | None:
    """The profile that a picture carries, where it can be used for pixels of `mode`."""
    profile = image.info.get(PROFILE)
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MOST_INFLATED:
        return None
    return profile if _to_srgb(profile, mode) is not None else None


def foreign_profile(image: Image.Image) -> bytes | None:
    """The profile of an RGB picture, where its colours are not those of sRGB."""
    profile = sound_profile(image)
    return None if profile is None or _is_srgb(profile) else profile


def in_srgb(image: Image.Image) -> Image.Image | None:
    """An RGB, L, CMYK or LAB picture by its profile in sRGB; None where it has no sound one."""
    profile = sound_profile(image, image.mode)
    if profile is None:
        return None
    return _plain(_applied(image, _to_srgb(profile, image.mode)))


def to_srgb(image: Image.Image) -> Image.Image:
    """An RGB picture in sRGB, without a profile; the same pixels where they are sRGB already."""
    if foreign_profile(image) is None:
        return _plain(image)
    return in_srgb(image) or _plain(image)


def in_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An RGB picture's colours in another profile (None: sRGB), which the result carries.

    `profile` is one that `sound_profile` gave.
    """
    if image.info.get(PROFILE) == profile:
        return image
    plain = to_srgb(image)
    if profile is None:
        return plain
    if not _is_srgb(profile):
        plain = _applied(plain, _from_srgb(profile))
    plain.info = {PROFILE: profile}
    return plain


def _applied(image: Image.Image, transform: Any) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None only in place
    return converted


def _plain(image: Image.Image) -> Image.Image:
    """The picture without anything said beside it."""
    plain = image.copy()
    plain.info = {}
    return plain


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes, mode: str) -> Any:
    """The transform from pixels of `mode` to sRGB; None where the profile is not one for it."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != _SPACES.get(mode):
            return None
        return ImageCms.buildTransform(opened, _srgb(), mode, "RGB", _INTENT, _FLAGS)
    except Exception:  # the library raises anything on damaged profiles, ImportError without it
        return None


@lru_cache(maxsize=8)
def _from_srgb(profile: bytes) -> Any:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(_srgb(), opened, "RGB", "RGB", _INTENT, _FLAGS)


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Whether the profile leaves colours as they are: most that pictures carry are sRGB's own.

    True also of one that has no way back, so that it changes nothing.
    """
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    image = Image.fromarray(probe)
    try:
        there = _applied(image, _to_srgb(profile, "RGB"))
        _from_srgb(profile)
    except Exception:  # as above
        return True
    return int(np.abs(np.asarray(there, np.int16) - probe).max()) <= _SAME


def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
