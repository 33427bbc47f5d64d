"""What a session asks for, and settings of what another asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ufc.conditioning.frame import Grid, cells
from ufc.request import Reference, Request
from webui.drawing.blocks import invert
from webui.sessions.state.session import Session
from webui.sessions.state.settings import (
    MAY_BE_NONE,
    OWN_SETTINGS,
    Settings,
    further_settings,
    within,
    word_controls,
)
from webui.sessions.state.views import blocks_to_change


def to_request(session: Session, grid: Grid, size: tuple[int, int] | None = None) -> Request:
    """What the session asks for now, for one picture; of `size` (height, width) where one is given.

    Raises `RequestError` where nothing says what to generate, or every block is kept.
    """
    settings, picture = session.settings, session.current
    change = blocks_to_change(session.view, grid)
    edited = picture is not None and len(change) < cells(grid)
    given: dict[str, Any] = {name: getattr(settings, mine) for name, mine in OWN_SETTINGS.items()}
    given |= {**settings.sampling, "feather": settings.feather or None}
    given |= {name: value for name, value in settings.controls.items() if value.strip()}
    if edited and picture is not None and picture.full:
        given |= {"original_size": True, "upscale": None}
        size = None
    request = Request(
        prompt=settings.prompt.strip() or None,
        negative_prompt=settings.negative_prompt.strip() or None,
        reference_images=tuple(
            Reference(item.file, item.weight) for item in session.references if item.on
        ),
        image=picture.best if edited and picture is not None else None,
        preserve_blocks=invert(change, grid) if edited else None,
        height=size and size[0],
        width=size and size[1],
        best_of=1,  # a visitor chooses among pictures, and sees each being generated
        **given,
    )
    request.check_controls()
    request.check_blocks(cells(grid))
    return request


def from_request(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """Settings as a picture's request had them, as far as they are ones of this page; its shape is
    that of the picture on the canvas.

    Raises `RequestError` where the request is none: it comes from a file that anybody may write.
    """
    own = {"prompt": "prompt", "negative_prompt": "negative_prompt"} | OWN_SETTINGS
    del own["num_images_per_prompt"]  # one is made again at a time
    names = {*own, "expanded_prompt", *further_settings(), *word_controls()}
    request = Request.from_json({name: asked[name] for name in names if name in asked})
    said = {mine: getattr(request, theirs) for theirs, mine in own.items()}
    said["prompt"] = request.used_prompt
    none = {"prompt": "", "negative_prompt": "", "feather": 0}
    none |= {name: getattr(settings, name) for name in said if name not in (*none, *MAY_BE_NONE)}
    said = {name: none.get(name) if value is None else value for name, value in said.items()}
    set_here = request.settings.explicit()
    more: dict[str, Any] = {
        "controls": {name: text for name in word_controls() if (text := getattr(request, name))},
        "sampling": {name: set_here[name] for name in further_settings() if name in set_here},
    }
    once: dict[str, Any] = {"seed_locked": True, "pictures": 1, "shape": "same"}
    return within(replace(settings, **said, **more, **once))
