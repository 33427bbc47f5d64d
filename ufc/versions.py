"""Versions of this package and of what its pictures depend on."""

from __future__ import annotations

import sys
from importlib import metadata

DISTRIBUTION = "ufc-bert"


def versions() -> dict[str, str]:
    """The versions that a picture depends on."""
    import torch

    return {"ufc": ufc_version(), "torch": torch.__version__, "python": sys.version.split()[0]}


def ufc_version() -> str:
    """Version of this package; "unknown" where it is run without being installed."""
    return version(DISTRIBUTION) or "unknown"


def version(package: str) -> str | None:
    """Installed version of a package, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
