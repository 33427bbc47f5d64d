"""What a visitor asked for that cannot be done, in words that the page has."""

from __future__ import annotations

from webui.strings import speak


class RefusedError(ValueError):
    """It cannot be done; a string of the page says why, and what to do instead.

    Attributes:
        name: of that string.
        facts: what is filled into it.
    """

    def __init__(self, name: str, **facts: object) -> None:
        super().__init__(speak("en")(name, **facts))
        self.name, self.facts = name, facts
