"""Whatever is sent, the answer is never a 500, and has the shape of OpenAI's errors."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import make_pipeline, picture
from PIL import Image

for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

import base64  # noqa: E402

from toy_server import Running, b64, get, png, post, running  # noqa: E402

from ufc.serving.settings import ServerSettings  # noqa: E402

SMALL = ServerSettings(
    max_images=2, max_steps=2, max_canvases=4, max_area=2, max_body_mib=0.25, max_pixels=10_000
)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    pipe = make_pipeline()
    pipe.defaults["num_inference_steps"] = 2
    with running(pipe, SMALL) as found:
        yield found


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> str:
    """A PNG that says of itself that it has 40,000 by 40,000 pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1_000))
    whole = b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()


IMAGE = b64(picture(1))
BODIES: dict[str, Any] = {
    "nothing": b"",
    "no json": b"{prompt: bag}",
    "no object": b'["bag"]',
    "no utf-8": b'{"prompt": "\xff"}',
    "not a number": b'{"prompt": "bag", "temperature": NaN}',
    "beyond numbers": b'{"prompt": "bag", "temperature": 1e999}',
    "many digits": b'{"prompt": "bag", "seed": ' + b"9" * 5_000 + b"}",
    "too deep": b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "many values": b'{"prompt": [' + b"0," * 120_000 + b"0]}",
    "twice": b'{"prompt": "bag", "prompt": "shirt"}',
    "half a pair": b'{"prompt": "\\ud800"}',
    "half a pair in a name": b'{"\\ud800": 1}',
    "half a pair in the model": b'{"prompt": "bag", "model": "\\udfff"}',
    "nul": {"prompt": "a\0b"},
    "words for a number": {"prompt": "bag", "n": "two"},
    "a list of words": {"prompt": ["bag"]},
    "an object": {"prompt": {"text": "bag"}},
    "none": {"prompt": "bag", "n": 0},
    "a negative seed": {"prompt": "bag", "seed": -1},
    "no seeds left": {"prompt": "bag", "seed": 2**63 - 1, "n": 2},
    "too long": {"prompt": "b" * 40_000},
    "a side of none": {"prompt": "bag", "size": "0x16"},
    "a large side": {"prompt": "bag", "size": "99999x99999"},
    "digits of others": {"prompt": "bag", "size": "١٦x16"},
    "too many blocks": {"prompt": "bag", "height": 512, "width": 512},
    "an unknown order": {"prompt": "bag", "order": "tea"},
    "an order it has not learnt": {"prompt": "bag", "order": "autoregressive"},
    "no picture": {"prompt": "bag", "reference_images": [base64.b64encode(b"hello").decode()]},
    "half a picture": {"prompt": "bag", "reference_images": [IMAGE[: len(IMAGE) // 2 // 4 * 4]]},
    "a bomb": {"prompt": "bag", "reference_images": [bomb()]},
    "nine references": {"prompt": "bag", "reference_images": [IMAGE] * 9},
    "weight 0": {"prompt": "bag", "reference_images": [{"b64_json": IMAGE, "weight": 0}]},
    "blocks without an image": {"prompt": "bag", "preserve_blocks": [1]},
    "blocks that are not": {"prompt": "bag", "image": IMAGE, "preserve_blocks": [99]},
    "blocks in words": {"prompt": "bag", "image": IMAGE, "preserve_blocks": "some"},
    "all blocks": {"prompt": "bag", "image": IMAGE, "preserve_blocks": "0-15"},
    "a mask of all": {"image": IMAGE, "mask_image": b64(Image.new("L", (16, 16), 0))},
    "a mask of another shape": {"image": IMAGE, "mask_image": b64(Image.new("L", (9, 16), 255))},
    "three sides": {"image": IMAGE, "outpaint": [1, 2, 3]},
    "sides in words": {"image": IMAGE, "outpaint": "all"},
    "far too wide": {"image": IMAGE, "outpaint": [32, 32, 32, 32]},
    "codes": {"prompt": "bag", "codes": [1] * 16},
    "a chat model": {"prompt": "bag", "expand_prompt": "/etc"},
    "a place to write": {"prompt": "bag", "output": "../../a.png"},
}


@pytest.mark.parametrize("case", BODIES)
def test_bodies_that_are_refused(server: Running, case: str) -> None:
    body = BODIES[case]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = post(f"{server.url}/v1/images/generations", headers=JSON, **sent)
    assert answer.status_code in (400, 404), answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and set(error) == {
        "message", "type", "param", "code",
    }  # fmt: skip
    assert len(error["message"]) < 600 and "Traceback" not in error["message"]


FORM = "multipart/form-data; boundary=X"
PART = b'--X\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", b"--X--"),
    "an odd charset": ("multipart/form-data; charset=tea; boundary=X", PART + b"\r\n--X--\r\n"),
    "without an end": (FORM, PART + b"some"),
    "without parts": (FORM, b"--X--\r\n"),
    "without names": (FORM, b"--X\r\ncontent-disposition: form-data\r\n\r\na\r\n--X--\r\n"),
    "no form at all": (FORM, b"\0" * 100),
    "an empty file": (FORM, PART + b"\r\n--X--\r\n"),
    "a very long field": (FORM, b'--X\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n'
                          + b"a" * 100_000 + b"\r\n--X--\r\n"),
    "many files": (FORM, (PART + b"\r\n") * 40 + b"--X--\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORMS)
def test_forms_that_are_refused(server: Running, case: str) -> None:
    content_type, body = FORMS[case]
    answer = post(
        f"{server.url}/v1/images/edits", content=body, headers={"content-type": content_type}
    )
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_fields_of_forms_are_checked(server: Running) -> None:
    image = {"image": png(picture(1))}
    mask = image | {"mask": png(picture(2)), "mask_image": png(picture(2))}
    for files, data, said in (
        (image, {"prompt": ["a", "b"]}, "twice"),
        (image, {"seed": "one"}, "seed"),
        (image, {"tea": "yes"}, "Unknown parameter"),
        (image, {"reference_weights": "1"}, "reference_images"),
        (mask, {}, "mask_image too"),
        ({"mask": png(picture(1))}, {}, "image"),
    ):
        answer = post(f"{server.url}/v1/images/edits", files=files, data=data)
        assert answer.status_code == 400 and said in answer.json()["error"]["message"]


def test_other_addresses_methods_and_types(server: Running) -> None:
    generations = f"{server.url}/v1/images/generations"
    for answer, status in (
        (get(f"{server.url}/v2"), 404),
        (get(f"{server.url}/v1/models/a/b%00c"), 404),
        (get(generations), 405),
        (post(generations, data={"prompt": "bag"}), 415),
        (post(f"{server.url}/v1/images/edits", json={}), 415),
        (post(generations, content=b"{}"), 415),
    ):
        assert answer.status_code == status and answer.json()["error"]["message"]


def test_what_is_too_large_is_not_read(server: Running) -> None:
    generations = f"{server.url}/v1/images/generations"
    said = post(generations, content=b"x" * 400_000, headers=JSON)
    unsaid = post(generations, content=(b"x" * 50_000 for _ in range(8)), headers=JSON)
    for answer in (said, unsaid):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"


def test_half_a_request_harms_nobody(server: Running) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n")
        half.sendall(b"content-type: application/json\r\n\r\n{")
    body = {"prompt": "bag", "num_inference_steps": 1}
    assert post(f"{server.url}/v1/images/generations", json=body).status_code == 200
