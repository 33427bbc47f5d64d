"""`ufc info`: read the request back out of a picture."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ufc.commands.terminal import DONE, FAILURE, Terminal
from ufc.metadata import Metadata, read_metadata


def info(
    pictures: Annotated[list[str], typer.Argument(help="Pictures to read.", metavar="PICTURE…")],
    json: Annotated[bool, typer.Option("--json", help="One line of JSON per picture.")] = False,
) -> int:
    """Show how pictures were made: request, recipe, scores and versions.

    Exit code 1 where a picture says nothing.
    """
    silent = 0
    with Terminal(as_json=json) as terminal:
        for picture in pictures:
            metadata = read_metadata(picture)
            if metadata == Metadata():
                silent += 1
                terminal.error(f"ufc: {picture}: holds no request")
                continue
            terminal.result(_text(picture, metadata), _data(picture, metadata))
    return FAILURE if silent else DONE


def _data(picture: str, metadata: Metadata) -> dict[str, Any]:
    return {
        "file": picture,
        "parameters": metadata.parameters,
        "ufc_metadata": metadata.request,
        "ufc_blocks": metadata.blocks,
    }


def _text(picture: str, metadata: Metadata) -> str:
    lines = [picture]
    if metadata.request is None:
        return "\n".join([*lines, metadata.parameters or ""])
    for name, value in metadata.request.items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines.extend(f"  {key}: {item}" for key, item in value.items())
        elif name != "curves":
            lines.append(f"{name}: {value}")
    return "\n".join(lines)
