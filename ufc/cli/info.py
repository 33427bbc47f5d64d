"""`ufc info`: read the request back out of a picture."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ufc.cli.terminal import BAD_INPUT, DONE, FAILURE, Terminal
from ufc.io.png.metadata import Metadata, read_metadata
from ufc.io.validation import RequestError
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

    Every picture is looked at. Exit code 2 where one cannot be read, 1 where one says nothing.
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
            found = compare(picture, metadata) if compare else {}
            terminal.result(
                "\n".join([_text(picture, metadata), *_checked(found)]),
                _data(picture, metadata) | found,
            )
    return code


def comparing(model: str, compared_by: str) -> Callable[[str, Metadata], dict[str, Any]]:
    """What looks at a picture: `check` where it has a prompt, `controls` where it has several."""
    from ufc.captioning.contradictions import compare_with_prompts, load_judge
    from ufc.pipeline import UFCPipeline
    from ufc.requests.made_from import controls_of
    from ufc_base.reading import load_image

    pipeline = UFCPipeline.from_pretrained(model)
    judge = load_judge(compared_by)

    def compare(picture: str, metadata: Metadata) -> dict[str, Any]:
        found: dict[str, Any] = {}
        image = load_image(picture)
        prompt = ((metadata.request or {}).get("request") or {}).get("prompt")
        if isinstance(prompt, str) and prompt:
            (told,) = compare_with_prompts(pipeline, [prompt], [image], judge)
            found["check"] = told.to_json()
        given = controls_of(picture, metadata)
        if given is None:
            return found | {"controls": None}
        shares = pipeline.control_shares(image, conditioning=given)
        return found | ({"controls": shares.to_json()} if shares.shares else {})

    return compare


def _checked(found: dict[str, Any]) -> list[str]:
    lines = []
    if check := found.get("check"):
        lines += [f"caption: {check['caption']}"]
        lines += [f"check: {check['explanation'] or 'nothing contradicts it'}"]
    if controls := found.get("controls"):
        adds = ", ".join(f"{one['name']} {one['adds']:+.2f}" for one in controls["shares"])
        lines += [f"compliance: {controls['compliance']:.2f}, of which {adds}"]
    elif "controls" in found:
        lines += ["compliance: the pictures it was made from are not where its manifest says"]
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
