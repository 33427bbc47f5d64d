"""What a control is, and the registry that a picture's conditioning is put together from.

To add one, put a file into this folder with a subclass under `@register_control`. Its name is then
a keyword of the pipeline's call, a field of prompts files and manifests, a flag of `ufc generate`
and `ufc edit`, and a field of the editor; every picture records it, and is generated again with it.
No checkpoint changes by it: what it adds are tokens of kinds that the transformer knows, text ids
and grids of codes, of which it learns more by training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.control_item import ControlItem

if TYPE_CHECKING:  # requests and help texts do not wait for torch
    from PIL import Image
    from torch import Tensor


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
        kind: `text`, or `picture` (a file in requests, a picture in calls).
        help: a line for help texts.
        own_fields: whether requests and calls have fields of their own for it; those of further
            controls are derived from the registry.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["text", "picture"]] = "text"
    help: ClassVar[str] = ""
    own_fields: ClassVar[bool] = False

    def tokens(self, given: Conditioning, encoders: Encoders) -> ControlItem:
        """What it adds to a picture's control sequence; nothing where it is not given."""
        value = given.further.get(self.name)
        return ControlItem() if value is None else self.encode(value, encoders)

    def encode(self, value: Any, encoders: Encoders) -> ControlItem:
        """The tokens of a value that is given."""
        raise NotImplementedError


CONTROLS: dict[str, Control] = {}
Kind = TypeVar("Kind", bound=type[Control])


def register_control(kind: Kind) -> Kind:
    """Make a control known by its name."""
    CONTROLS[kind.name] = kind()
    return kind


def further_controls() -> dict[str, Control]:
    """Those whose fields, flags and keywords are derived from the registry."""
    return {name: control for name, control in CONTROLS.items() if not control.own_fields}
