"""Pictures as addresses that need no further request."""

from __future__ import annotations

import base64


def data_url(data: bytes, kind: str = "image/png") -> str:
    """The bytes of a picture of a media type as an address."""
    return f"data:{kind};base64," + base64.b64encode(data).decode()
