"""`ufc caption`: what pictures show, in words."""

from __future__ import annotations

from typing import Annotated

import typer

from ufc.cli.flags import Device, DType, Language
from ufc.cli.terminal import BAD_INPUT, DONE, Terminal
from ufc_base.arrays import ImageError
from ufc_base.program import option, switch

BATCH = 16


def caption(
    pictures: Annotated[list[str], typer.Argument(help="Pictures to describe.", metavar="PICTURE")],
    lang: Annotated[Language, option("Language of the captions: en or zh.")] = "en",
    json: Annotated[
        bool, switch("--json", "A line of JSON per picture: image, caption, confidence.")
    ] = False,
    model: Annotated[
        str | None, option("Model: a name, a folder or a hub id.", envvar="UFC_MODEL")
    ] = None,
    device: Annotated[Device, option("auto, cpu or cuda.", envvar="UFC_DEVICE")] = "auto",
    dtype: Annotated[DType, option("auto, fp32, bf16, fp16 or int8.", envvar="UFC_DTYPE")] = "auto",
) -> int:
    """Describe pictures in a line each.

    Every picture is looked at. Exit code 2 where one cannot be read.
    """
    from ufc.io.hub import DEFAULT_MODEL
    from ufc.pipeline import UFCPipeline
    from ufc_base.reading import load_image

    pipeline = UFCPipeline.from_pretrained(model or DEFAULT_MODEL, device=device, dtype=dtype)
    code = DONE
    with Terminal(as_json=json) as terminal:
        for start in range(0, len(pictures), BATCH):
            names, opened = [], []
            for name in pictures[start : start + BATCH]:
                try:
                    opened.append(load_image(name))
                    names.append(name)
                except ImageError as error:
                    terminal.error(f"ufc: {error}")
                    code = BAD_INPUT
            told = pipeline.caption(opened, lang) if opened else []
            for name, text in zip(names, told, strict=True):
                line = {"image": name, "caption": text.text, "confidence": text.confidence}
                terminal.result(f"{name}: {text.text}", line)
    return code
