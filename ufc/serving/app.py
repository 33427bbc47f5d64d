"""The server as an ASGI application: its addresses, and its OpenAPI schema."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import ClientDisconnect, Request

from ufc.requests.loading import Loaded
from ufc.serving.access import Gate, Keys, RateLimit
from ufc.serving.answers import HealthAnswer, ImagesAnswer, ModelAnswer, ModelsAnswer
from ufc.serving.bodies import form_body, json_body
from ufc.serving.errors import CLIENT_LEFT, AsciiJSON, ErrorAnswer, add_handlers
from ufc.serving.metrics import CONTENT_TYPE, Counted
from ufc.serving.pictures import shown_name
from ufc.serving.reading import BodyLimit, read_form, read_json
from ufc.serving.service import Service
from ufc.serving.settings import ServerSettings
from ufc.versions import ufc_version

ABOUT = (
    "Pictures from words, reference images and kept blocks. What the OpenAI images API has is "
    "spelled as there; the other fields are this project's own controls and settings."
)
REFUSALS = (400, 401, 404, 413, 415, 429, 500, 503, 504)
PLAIN: dict[str, Any] = {"content": {CONTENT_TYPE: {}}}
EVENTS: dict[str, Any] = {
    "description": "All pictures; or with stream, events with previews and pictures.",
    "content": {"text/event-stream": {}},
}
KEY = {"bearer": {"type": "http", "scheme": "bearer"}}


def create_app(
    loaded: Loaded, settings: ServerSettings | None = None, keys: Iterable[str] = ()
) -> FastAPI:
    """A server of one model. It begins to generate when the application is started.

    With `keys` every request to `/v1` needs one of them.
    """
    settings = settings or ServerSettings()
    name = settings.served_model_name or shown_name(loaded.name)
    service = Service(loaded, name, settings)
    known = Keys(keys)
    gate = Gate(known, RateLimit(settings.rate_limit))

    @asynccontextmanager
    async def at_work(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        with on_signals(partial(service.stop_soon, asyncio.get_running_loop())):
            yield
        service.close()

    app = FastAPI(
        title="UFC-BERT",
        version=ufc_version(),
        description=ABOUT,
        docs_url=None,  # these pages fetch scripts from elsewhere
        redoc_url=None,
        lifespan=at_work,
    )
    app.state.service = service
    add_handlers(app)
    app.add_exception_handler(ClientDisconnect, client_left)
    app.include_router(images(service, gate))
    app.include_router(models(service, gate))
    app.include_router(watching(service))
    complete_schema(app, with_key=bool(known.digests))
    app.add_middleware(BodyLimit, most=settings.max_body)
    app.add_middleware(Counted, metrics=service.metrics)
    return app


@contextmanager
def on_signals(call: Callable[[], object]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call something before what they do already.

    Every server that runs this application has handlers of its own, which are called then. Signals
    without a Python handler are left alone; outside of the main thread nothing is installed.
    """
    before: dict[int, Any] = {}

    def told(number: int, frame: FrameType | None) -> None:
        call()
        before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before.update({number: one for number, one in found.items() if callable(one)})
    for number in before:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def images(service: Service, gate: Gate) -> APIRouter:
    """Where pictures are generated and edited."""
    answers = refusals(REFUSALS) | {200: EVENTS}
    router = APIRouter(prefix="/v1/images", tags=["images"], responses=answers)
    of_json, of_forms = json_body(), form_body()

    @router.post(
        "/generations",
        response_model=ImagesAnswer,
        openapi_extra=body_schema("application/json", of_json),
    )
    async def generations(request: Request) -> Response:
        """Generate pictures; all controls may be combined, pictures are in base64."""
        headers = gate.admit(request)
        read = lambda: read_json(request, of_json)  # noqa: E731
        return await service.serve(request, read, "image_generation", headers)

    @router.post(
        "/edits",
        response_model=ImagesAnswer,
        openapi_extra=body_schema("multipart/form-data", of_forms),
    )
    async def edits(request: Request) -> Response:
        """Regenerate a part of a picture, or make one that takes after it; pictures are files."""
        headers = gate.admit(request)
        read = lambda: read_form(request, of_forms)  # noqa: E731
        return await service.serve(request, read, "image_edit", headers)

    return router


def models(service: Service, gate: Gate) -> APIRouter:
    """Which model there is."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=refusals((401, 404, 429)))
    own = ModelAnswer(id=service.name, created=int(time.time()))

    @router.get("", response_model=ModelsAnswer)
    async def every(request: Request) -> Response:
        """The models that are served: one."""
        return AsciiJSON(ModelsAnswer(data=[own]).model_dump(), headers=gate.admit(request))

    @router.get("/{name:path}", response_model=ModelAnswer)
    async def one(request: Request, name: str) -> Response:
        """The model of this name."""
        headers = gate.admit(request)
        service.check_model(name)
        return AsciiJSON(own.model_dump(), headers=headers)

    return router


def watching(service: Service) -> APIRouter:
    """What load balancers and Prometheus ask, without a key."""
    router = APIRouter(tags=["watching"])

    @router.get("/health", response_model=HealthAnswer, responses={503: {"model": HealthAnswer}})
    async def health() -> Response:
        """Status 200 where pictures are generated, 503 where they are not."""
        batcher = service.batcher
        answer = HealthAnswer(
            status="ok" if batcher.healthy else "failing",
            model=service.name,
            waiting=batcher.waiting,
            running=batcher.running,
        )
        return AsciiJSON(answer.model_dump(), 200 if batcher.healthy else 503)

    @router.get(
        "/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE: {}}}}
    )
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router


async def client_left(request: Request, error: Exception) -> Response:
    """An answer that nobody waits for."""
    return Response(status_code=CLIENT_LEFT)


def refusals(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, for the schema."""
    return {status: {"model": ErrorAnswer} for status in statuses}


def body_schema(content_type: str, model: type[BaseModel]) -> dict[str, Any]:
    """A body for the schema; `complete_schema` adds what it refers to."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {content_type: {"schema": schema}}}}


def complete_schema(app: FastAPI, with_key: bool) -> None:
    """Put the bodies into the schema, and how a key is sent where one is wanted."""
    usual = app.openapi
    bodies = [(model, "validation") for model in (json_body(), form_body())]
    _, found = models_json_schema(bodies, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = usual()
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(found["$defs"])
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            if with_key:
                components["securitySchemes"] = KEY
            for path, item in schema["paths"].items():
                for operation in item.values():
                    operation["responses"].pop("422", None)  # bad input has status 400 here
                    if with_key and path.startswith("/v1"):
                        operation["security"] = [{name: []} for name in KEY]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]
