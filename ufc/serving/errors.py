"""Errors in the shape of OpenAI's: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ufc.io.validation import shown
from ufc_base.entry import reason

LOG = logging.getLogger(__name__)
INVALID, UNAUTHORISED = "invalid_request_error", "authentication_error"
LIMITED, OURS = "rate_limit_error", "server_error"
CLIENT_LEFT = 499  # as nginx counts requests whose client did not wait
_TYPES = {401: UNAUTHORISED, 429: LIMITED}


class ErrorDetail(BaseModel):
    """What went wrong, for people (`message`) and for programs (`code`, `param`)."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class ApiError(Exception):
    """An error that a client is told, with its status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        kind = _TYPES.get(status, INVALID if status < 500 else OURS)
        self.detail = ErrorDetail(message=message, type=kind, param=param, code=code)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that the client is told."""
        return {"error": self.detail.model_dump()}

    def answer(self) -> JSONResponse:
        return AsciiJSON(self.body, self.status, self.headers)


class AsciiJSON(JSONResponse):
    """JSON in ASCII, so that no text of a client's, surrogates neither, fails to be encoded."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def bad_input(error: Exception) -> ApiError:
    """Status 400 from the project's own errors, which begin with the field that they are about."""
    said = reason(error)
    found = re.match(r"([a-z][a-z_]*)(?:\[\d+\])?: ", said)
    return ApiError(400, said, code="invalid_value", param=found[1] if found else None)


def invalid(error: ValidationError) -> ApiError:
    """Status 400 from the first thing that pydantic found in a body."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    param = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "extra_forbidden":
        return unknown_parameter(place, param)
    said = f"got {shown(first['input'])}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "too_long":
        said = f"got more, wanted {first['ctx']['max_length']} at most; leave some out"
    return ApiError(400, f"{place}: {said}", code="invalid_value", param=param)


def unknown_parameter(name: str, param: str | None = None) -> ApiError:
    """Status 400 for a field that there is not; `param` is the one it lies in, or itself."""
    message = f"Unknown parameter: {shown(name)}. The schema is at /openapi.json"
    return ApiError(400, message, code="unknown_parameter", param=param or name)


def too_slow(seconds: float) -> ApiError:
    """Status 504; a client that tries again at once makes it worse, so it is told not to."""
    message = f"The request took longer than the {seconds:g} s that this server allows"
    return ApiError(504, message, code="timeout", headers={"x-should-retry": "false"})


def add_handlers(app: FastAPI) -> None:
    """Have an app tell every error in this shape."""

    async def ours(request: Request, error: Any) -> JSONResponse:
        answer: JSONResponse = error.answer()
        return answer

    async def of_the_framework(request: Request, error: Any) -> JSONResponse:
        said = str(error.detail)
        return ApiError(error.status_code, said, headers=error.headers).answer()

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return failed().answer()

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(HTTPException, of_the_framework)
    app.add_exception_handler(Exception, unforeseen)


def failed() -> ApiError:
    """Status 500: ours, and said in the server's log only."""
    return ApiError(500, "The server failed at this request; its log says why", code="failed")
