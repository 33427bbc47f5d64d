"""Bodies of requests, from JSON and from forms, and a limit of their size."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ufc.conditioning.conditioning import request_controls
from ufc.conditioning.kinds import References
from ufc.io.validation import RequestError, parse_json
from ufc.serving.bodies import WEIGHTS, ImageRequest
from ufc.serving.errors import ApiError, bad_input, invalid, unknown_parameter

MOST_VALUES = 100_000  # of a JSON body; reading more would keep all other requests waiting
MOST_FILES, MOST_FIELDS, MOST_OF_A_FIELD = 32, 256, 2**20


async def read_json(request: Request, model: type[ImageRequest]) -> ImageRequest:
    """A JSON body.

    Raises:
        ApiError: another type of content, no JSON, or fields that the model refuses.
    """
    check_type(request, "application/json")
    data = await request.body()
    values = sum(map(data.count, (b",", b"[", b"{")))  # pictures, in base64, have none
    if values > MOST_VALUES:
        limit = f"The body has {values:,} values, wanted at most {MOST_VALUES:,}; "
        raise ApiError(400, limit + "send pictures in base64, or in a form", code="invalid_json")
    try:
        value = parse_json(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ApiError(400, "The body is not UTF-8", code="invalid_json") from None
    except RequestError as error:
        raise ApiError(400, f"The body {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body is not a JSON object with fields", code="invalid_json")
    return validated(model, value)


async def read_form(request: Request, model: type[ImageRequest]) -> ImageRequest:
    """A form with files; a list may be spelled `name[]`, as some clients do.

    Raises:
        ApiError: another type of content, no such form, or fields that the model refuses.
    """
    check_type(request, "multipart/form-data")
    several = {name for name, one in request_controls().items() if isinstance(one.kind, References)}
    several |= {"image", WEIGHTS}
    fields: dict[str, Any] = {}
    try:
        form = request.form(
            max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=MOST_OF_A_FIELD
        )
        async with form as parts:
            for name, value in parts.multi_items():
                own = await value.read() if isinstance(value, UploadFile) else value
                add(fields, name.removesuffix("[]"), own, several)
    except (ApiError, HTTPException, ClientDisconnect):
        raise
    except Exception as error:  # parsers raise anything at all on what is no form
        raise ApiError(400, f"The form cannot be read ({error})", code="invalid_form") from None
    return validated(model, fields)


def add(fields: dict[str, Any], name: str, value: Any, several: set[str]) -> None:
    """Put a part of a form among its fields.

    Raises:
        ApiError: there is one already, and one is all that may be.
    """
    if name == WEIGHTS and isinstance(value, str):
        fields.setdefault(name, []).extend(value.split(","))
    elif name in several:
        fields.setdefault(name, []).append(value)
    elif name in fields:
        raise bad_input(RequestError(f"{name}: is there twice; give it once"))
    else:
        fields[name] = value


def validated(model: type[ImageRequest], fields: dict[str, Any]) -> ImageRequest:
    """The body; `ApiError` where the model refuses it."""
    unknown = next((name for name in fields if name not in model.model_fields), None)
    if unknown is not None:  # the first is enough: there may be millions, with an error each
        raise unknown_parameter(unknown)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from None


def check_type(request: Request, wanted: str) -> None:
    """Raise `ApiError` with status 415 for another type of content."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != wanted:
        raise ApiError(
            415, f"The content type of this address is {wanted}", code="unsupported_media_type"
        )


class BodyLimit:
    """Refuses bodies of more than so many bytes, said or not, with status 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said[:20]) > self.most:
            await self.too_large().answer()(scope, receive, send)
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.most:
                raise self.too_large()
            return message

        await self.app(scope, counted, send)

    def too_large(self) -> ApiError:
        most = f"{self.most / 2**20:g} MiB"
        return ApiError(413, f"The request is larger than {most}", code="request_too_large")
