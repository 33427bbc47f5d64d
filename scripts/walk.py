"""The walk of a prompt, counted: which of our functions lie on the way from the command line to
the transformer's forward pass, to decoding, and to the file that is written.

    python scripts/walk.py
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print each way with its files and calls; returns the exit code."""
    from ufc.cli.generating import batch_runner
    from ufc.cli.main import main as ufc
    from ufc.model.transformer import UFCTransformer
    from vqgan.model import VQGAN

    ways: dict[str, list[str]] = {}

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            ways.setdefault(name, calls())
            return real(*arguments, **named)

        return noted

    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(UFCTransformer, "forward", noting("forward", UFCTransformer.forward)),
        patch.object(VQGAN, "decode", noting("decode", VQGAN.decode)),
        patch.object(batch_runner, "save_picture", noting("write", batch_runner.save_picture)),
    ):
        code = ufc(["generate", "--prompt", "red bag", "--output-dir", folder, "--quiet"])
    for name, way in ways.items():
        sys.stdout.write(f"{name}: {len(way)} calls in {len(files(way))} files\n")
        sys.stdout.writelines(f"  {call}\n" for call in way)
    everything = [call for way in ways.values() for call in way]
    distinct = len(set(everything))
    sys.stdout.write(f"all: {distinct} functions in {len(files(everything))} files\n")
    return code


def calls() -> list[str]:
    """Our functions on the stack, `file:function`, from the program down."""
    ours = []
    for frame in traceback.extract_stack():
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path.is_file() and path != Path(__file__).resolve():
            ours.append(f"{path.relative_to(ROOT).as_posix()}:{frame.name}")
    return ours


def files(way: list[str]) -> set[str]:
    """The files of a way."""
    return {call.partition(":")[0] for call in way}


if __name__ == "__main__":
    sys.exit(main())
