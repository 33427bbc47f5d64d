"""How controls become tokens, and the registry of those that do.

To add one, put a file into this folder with a subclass under `@register_control`. Its name is then
a field of `Conditioning` like any other: a keyword of the pipeline's call, a field of prompts files
and manifests, a flag of `ufc generate` and `ufc edit`, and a widget of the editor; every picture
records it, and is generated again with it. No checkpoint changes by it: what it adds are tokens of
kinds that the transformer knows, text ids and grids of codes, of which it learns more by training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ufc.conditioning.control_item import ControlItem, embedded_words, join_items

if TYPE_CHECKING:  # requests and help texts do not wait for torch
    from PIL import Image
    from torch import Tensor

    from ufc.conditioning.conditioning import Conditioning


@dataclass(frozen=True)
class Encoders:
    """How controls become tokens.

    Attributes:
        text: words to ids; too many are cut, and a notice says which.
        picture: a picture to codes (rows, columns), in a grid of its own proportions.
    """

    text: Callable[[str], list[int]]
    picture: Callable[[Image.Image], Tensor]


class Control:
    """One way to say what a picture shall be.

    Attributes:
        name: what it is called everywhere.
        kind: a name of `ufc.conditioning.kinds.KINDS`, such as `text` or `picture`.
        help: a line for help texts; the field of `Conditioning` goes before both, if there is one.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = "text"
    help: ClassVar[str] = ""

    def encode(self, value: Any, encoders: Encoders) -> ControlItem:
        """The tokens of a value that is given: of words, unless a class has another kind."""
        return ControlItem(encoders.text(value))


def encode_controls(
    given: Conditioning,
    encode_text: Callable[..., list[int]],
    encode_picture: Callable[[Image.Image], Tensor],
) -> tuple[ControlItem, ControlItem, list[str]]:
    """Control tokens of a picture, those of its negative branch, and its notices.

    Args:
        given: the picture's conditioning.
        encode_text: words to ids, called with a list for notices and what the words are.
        encode_picture: a picture to codes (rows, columns), of its own proportions.
    """
    values, notices = given.present(), list[str]()
    parts = [
        control.encode(
            values[name],
            Encoders(partial(encode_text, notices=notices, what=name), encode_picture),
        )
        for name, control in CONTROLS.items()
        if name in values
    ]
    if given.negative_prompt_embeds is not None:
        negative = embedded_words(given.negative_prompt_embeds)
    else:
        negative = ControlItem(encode_text(given.negative_prompt, notices, "negative prompt"))
    return join_items(parts), negative, notices


CONTROLS: dict[str, Control] = {}
Registered = TypeVar("Registered", bound=type[Control])


def register_control(control: Registered) -> Registered:
    """Make a control known by its name."""
    CONTROLS[control.name] = control()
    return control
