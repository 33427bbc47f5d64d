"""`ufc info`: read the request back out of a picture."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ufc.cli.terminal import BAD_INPUT, DONE, FAILURE, Terminal
from ufc.io.png.metadata import Metadata, read_metadata
from ufc.io.validation import RequestError
from ufc_base.arrays import ImageError
from ufc_base.program import option, switch
from ufc_base.visible_text import escaped_line


def info(
    pictures: Annotated[list[str], typer.Argument(help="Pictures to read.", metavar="PICTURE")],
    json: Annotated[bool, switch("--json", "One line of JSON per picture.")] = False,
    check: Annotated[
        str | None,
        option(
            "Model that captions the pictures, to say what contradicts their prompts, and what "
            "each of several controls adds to compliance."
        ),
    ] = None,
    contradiction_model: Annotated[
        str, option("With --check: what compares caption and prompt; a bundled name or a folder.")
    ] = "fashion-contradiction",
) -> int:
    """Show how pictures were made: request, recipe, scores and versions.

    Every picture is looked at. Exit code 2 where one cannot be read or checked, 1 where one says
    nothing.
    """
    code = DONE
    compare = comparing(check, contradiction_model) if check else None
    with Terminal(as_json=json) as terminal:
        for picture in pictures:
            try:
                metadata = read_metadata(picture)
            except RequestError as error:
                terminal.error(f"ufc: {error}")
                code = BAD_INPUT
                continue
            if metadata == Metadata():
                terminal.error(f"ufc: {picture}: holds no request")
                code = max(code, FAILURE)
                continue
            found, problems = compare(picture, metadata) if compare else ({}, [])
            for problem in problems:
                terminal.error(f"ufc: {problem}")
                code = BAD_INPUT
            terminal.result(
                "\n".join([_text(picture, metadata), *_checked(found)]),
                _data(picture, metadata) | found,
            )
    return code


def comparing(
    model: str, compared_by: str
) -> Callable[[str, Metadata], tuple[dict[str, Any], list[str]]]:
    """What looks at a picture: `check` where it has a prompt, `controls` where it has several.

    What it found comes with a line for each of the two that it could not do.
    """
    import torch

    from ufc.captioning.contradictions import compare_with_prompts, load_judge
    from ufc.control_shares import control_shares
    from ufc.io.embedded_tokens import carried_codes
    from ufc.pipeline import UFCPipeline
    from ufc.requests.made_from import asked_of, controls_of
    from ufc_base.reading import load_image, load_original

    pipeline = UFCPipeline.from_pretrained(model)
    judge = load_judge(compared_by)

    def check(picture: str, metadata: Metadata) -> dict[str, Any]:
        prompt = asked_of(metadata).get("prompt")
        if not isinstance(prompt, str) or not prompt:
            return {}
        (told,) = compare_with_prompts(pipeline, [prompt], [load_image(picture)], judge)
        return {"check": told.to_json()}

    def controls(picture: str, metadata: Metadata) -> dict[str, Any]:
        try:
            given = controls_of(picture, metadata)
        except (RequestError, ImageError) as error:
            return {"controls": None, "controls_unknown": str(error)}
        codes = carried_codes(pipeline, load_original(picture), metadata.blocks)
        grid = metadata.blocks.grid_size if metadata.blocks else ()
        own = None if codes is None else torch.tensor(codes).view(grid)
        found = control_shares(pipeline, load_image(picture), given, codes_HW=own)
        told = found.to_json() | {"encoded_again": own is None}
        return {"controls": told} if found.shares else {}

    def compare(picture: str, metadata: Metadata) -> tuple[dict[str, Any], list[str]]:
        found: dict[str, Any] = {}
        problems: list[str] = []
        for look in (check, controls):
            try:
                found |= look(picture, metadata)
            except ValueError as error:  # as a call for such a picture or controls would raise
                said = str(error).removeprefix(f"{picture}: ")
                problems.append(f"{picture}: {said}")
        return found, list(dict.fromkeys(problems))  # an unreadable file is told once

    return compare


def _checked(found: dict[str, Any]) -> list[str]:
    lines = []
    if check := found.get("check"):
        lines += [f"caption: {check['caption']}"]
        lines += [f"check: {check['explanation'] or 'nothing contradicts it'}"]
    if controls := found.get("controls"):
        adds = ", ".join(f"{one['name']} {one['adds']:+.2f}" for one in controls["shares"])
        again = " as encoded again" if controls["encoded_again"] else ""
        lines += [f"compliance{again}: {controls['compliance']:.2f}, of which {adds}"]
    elif unknown := found.get("controls_unknown"):
        lines += [f"compliance: what each control adds is not known: {unknown}"]
    return lines


def _data(picture: str, metadata: Metadata) -> dict[str, Any]:
    return {
        "file": picture,
        "parameters": metadata.parameters,
        "ufc_metadata": metadata.request,
        "ufc_blocks": None if metadata.blocks is None else metadata.blocks.to_json(),
    }


def _text(picture: str, metadata: Metadata) -> str:
    lines = [escaped_line(picture)]
    if metadata.request is None:
        return "\n".join([*lines, metadata.parameters or ""])
    for name, value in metadata.request.items():
        if isinstance(value, dict):
            lines.append(f"{_plain(name)}:")
            lines.extend(f"  {_plain(key)}: {_plain(item)}" for key, item in value.items())
        elif name != "curves":
            lines.append(f"{_plain(name)}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: object) -> str:
    """Text on one line, lists and objects as JSON."""
    text = value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
    return escaped_line(text)
