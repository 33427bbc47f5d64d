"""What a hostile pickle would call; nothing else imports this."""

from __future__ import annotations

heard: list[str] = []


def sing(text: str = "") -> str:
    heard.append(text)
    return text
