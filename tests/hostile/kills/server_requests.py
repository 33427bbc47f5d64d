"""What clients ask a server for: each request with its seed."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

STEPS = 24


@dataclass(frozen=True)
class ServerRequest:
    """A request: what `httpx` is given, and how many pictures are wanted."""

    name: str
    path: str
    sent: dict[str, Any]
    pictures: int = 1
    stream: bool = False


def requests() -> list[ServerRequest]:
    """Generations, edits with a mask, and both as streams with previews; each says its seed."""
    photo, mask = noise(0, 640), noise(1, 640)
    mask.putalpha(Image.linear_gradient("L").resize(mask.size))  # its upper half is transparent
    files = {"image": ("photo.png", png(photo)), "mask": ("mask.png", png(mask))}
    red = {"prompt": "red bag", "num_inference_steps": STEPS}
    blue = {"prompt": "blue shirt", "num_inference_steps": STEPS}
    previews = {"stream": True, "partial_images": 2}
    return [
        generation("three", 3, **red, seed=1),
        edit("edit", 1, files, **red, seed=2),
        generation("candidates", 1, **blue, seed=3, num_candidates=2),
        generation("stream", 2, **red, seed=4, **previews),
        generation("pnag", 1, prompt="黑色手表", seed=5, order="pnag", num_inference_steps=STEPS),
        edit("edit-stream", 2, files, **blue, seed=6, **previews),
        generation("reference", 1, **red, seed=7, reference_images=[text(photo.resize((16, 16)))]),
        generation("jpeg", 2, **blue, seed=8, output_format="jpeg"),
    ]


def generation(name: str, pictures: int, **body: Any) -> ServerRequest:
    sent = {"json": body | {"n": pictures}}
    return ServerRequest(name, "/v1/images/generations", sent, pictures, "stream" in body)


def edit(name: str, pictures: int, files: dict[str, Any], **body: Any) -> ServerRequest:
    data = {key: str(value) for key, value in (body | {"n": pictures}).items()}
    sent = {"data": data, "files": files}
    return ServerRequest(name, "/v1/images/edits", sent, pictures, "stream" in body)


def noise(seed: int, side: int) -> Image.Image:
    """A picture that no format makes small: above 1 MiB at 640, where forms go to the disk."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def text(image: Image.Image) -> str:
    return base64.b64encode(png(image)).decode()
