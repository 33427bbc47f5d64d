"""Bodies derive from the project's models, and read nothing of the server's."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_pipeline, picture
from PIL import Image
from pydantic import ValidationError

for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

from toy_server import b64, get, loaded, picture_of, png, post, running  # noqa: E402

from ufc.conditioning.conditioning import request_controls  # noqa: E402
from ufc.conditioning.control_item import ControlItem  # noqa: E402
from ufc.conditioning.controls import (  # noqa: E402
    CONTROLS,
    Control,
    Encoders,
    register_control,
)
from ufc.io.validation import RequestError  # noqa: E402
from ufc.sampling.generation_config import REQUEST_SETTINGS, SETTINGS  # noqa: E402
from ufc.serving.bodies import form_body, json_body  # noqa: E402
from ufc.serving.errors import ApiError  # noqa: E402
from ufc.serving.incoming import controls_of, prepare  # noqa: E402
from ufc.serving.pictures import Uploads  # noqa: E402
from ufc.serving.reading import validated  # noqa: E402
from ufc.serving.settings import ServerSettings  # noqa: E402


@pytest.fixture
def controls() -> Iterator[None]:
    before = dict(CONTROLS)
    yield
    CONTROLS.clear()
    CONTROLS.update(before)


def test_every_control_and_setting_is_a_field() -> None:
    wanted = {*request_controls(), *REQUEST_SETTINGS} - {"num_images_per_prompt"}  # n
    for model in (json_body(), form_body()):
        assert wanted <= set(model.model_fields)
        assert model.model_fields["top_p"].description == SETTINGS["top_p"].description


def test_bounds_are_those_of_the_settings() -> None:
    for field, value in (("top_p", 2.0), ("seed", -1), ("order", "tea"), ("best_of", 65)):
        with pytest.raises(ValidationError):
            json_body().model_validate({field: value})
    assert json_body().model_validate({"order": "mask_predict"}).own_settings == {
        "order": "mask-predict"
    }


def test_json_is_strict_and_forms_are_text() -> None:
    with pytest.raises(ValidationError):
        json_body().model_validate({"seed": "3"})
    form = form_body().model_validate({"image": [b""], "seed": "3", "original_size": "true"})
    assert form.own_settings == {"seed": 3, "original_size": True}


def test_null_is_left_out() -> None:
    body = json_body().model_validate({"n": None, "size": None, "seed": None, "stream": None})
    assert (body.n, body.size, body.stream, body.own_settings) == (1, "auto", False, {})


@pytest.mark.usefixtures("controls")
def test_a_control_that_is_registered_is_a_field_by_itself() -> None:
    @register_control
    class Fabric(Control):
        name = "fabric"
        help = "What it is made of."

        def encode(self, value: str, encoders: Encoders) -> ControlItem:
            return ControlItem(encoders.text(value))

    @register_control
    class Sketch(Control):
        name = "sketch_image"
        kind = "picture"
        help = "Lines to follow."

        def encode(self, value: Image.Image, encoders: Encoders) -> ControlItem:
            return ControlItem(references=[encoders.picture(value)], weights=[1.0])

    pipe, sketch = make_pipeline().to("cpu", "fp32"), picture(4)
    more = {"num_inference_steps": 2, "seed": 1}
    expected = pipe("bag", fabric="leather", sketch_image=sketch, **more).images[0]
    with running(pipe) as server:
        schema = get(f"{server.url}/openapi.json").json()["components"]["schemas"]
        body = {"prompt": "bag", "fabric": "leather", "sketch_image": b64(sketch), **more}
        first = post(f"{server.url}/v1/images/generations", json=body).json()
        second = post(
            f"{server.url}/v1/images/edits",
            data={"prompt": "bag", "fabric": "leather", "preserve_blocks": "0-3", **more},
            files={"image": png(picture(1)), "sketch_image": png(sketch)},
        )
    assert schema["EditForm"]["properties"]["fabric"]["description"] == "What it is made of."
    assert picture_of(first["data"][0]["b64_json"]).tobytes() == expected.tobytes()
    edited = pipe(
        "bag", image=picture(1), preserve_blocks=[0, 1, 2, 3], fabric="leather",
        sketch_image=sketch, **more,
    ).images[0]  # fmt: skip
    assert picture_of(second.json()["data"][0]["b64_json"]).tobytes() == edited.tobytes()


def prepared(**body: Any) -> Any:
    return prepare(json_body().model_validate(body), loaded(make_pipeline()), ServerSettings())


@pytest.mark.parametrize("body", [{"clip_weight": 0.5}, {"min_score": "clip=0.5"}])
def test_a_server_without_clip_says_so(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"^{next(iter(body))}: this server has no CLIP"):
        prepared(prompt="bag", **body)
    with pytest.raises(RequestError, match=r"wanted one of compliance, fidelity, contrastive$"):
        prepared(prompt="bag", min_score="scorer=0.5")


def test_no_file_of_the_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aaaa"  # a name that is base64 too
    path.write_bytes(png(picture(1)))
    monkeypatch.chdir(tmp_path)
    for name in ("aaaa", str(path), f"file://{path}", "http://127.0.0.1/aaaa"):
        with pytest.raises(ValueError, match=r"base64|not a picture"):
            prepared(prompt="bag", reference_images=[name])
        with pytest.raises(ValueError, match=r"base64|not a picture"):
            prepared(prompt="bag", image=name, preserve_blocks=[0])


MANY = 500_000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"reference_images": [1] * MANY}, "reference_images: got more, wanted 8 at most"),
        ({"reference_images": [{f"{n}": 1 for n in range(MANY)}]}, "reference_images"),
        ({"outpaint": ["x"] * MANY}, "wanted 4 at most"),
        ({"preserve_blocks": ["x"] * 60_000}, "preserve_blocks"),
        ({f"{n}": 1 for n in range(MANY)}, "Unknown parameter"),
    ],
)
def test_the_first_of_many_wrong_entries_is_enough(body: dict[str, Any], said: str) -> None:
    """An error for each would hold up the event loop, and fill the memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ApiError, match=said):
            validated(json_body(), body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_too_many_pictures_are_refused_before_one_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> str:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(Uploads, "add", never)
    form, image = form_body(), png(picture(1))
    body = form.model_validate({"image": [image] * 6, "reference_images": [image] * 4})
    with pytest.raises(RequestError, match="reference_images: got 9, wanted 8 at most"):
        controls_of(body, Uploads(100))
    for fields in ({"image": [image] * 10}, {"image": [image], "reference_images": [image] * 9}):
        with pytest.raises(ApiError, match="at most; leave some out"):
            validated(form, fields)


@pytest.mark.parametrize("order", ["maskgit", "autoregressive"])
def test_steps_are_those_that_a_strength_leaves(order: str) -> None:
    pipe = make_pipeline(autoregressive=True)
    body = {"image": b64(picture(1)), "prompt": "bag", "strength": 0.5, "order": order, "seed": 1}
    wanted = prepare(json_body().model_validate(body), loaded(pipe), ServerSettings())
    steps: list[int] = []
    pipe(
        "bag", picture(1), strength=0.5, order=order, seed=1,
        callback_on_step_end=lambda pipe, step, timestep, state: steps.append(step),
    )  # fmt: skip
    assert wanted.steps == len(steps) < 12


def test_attempts_are_bounded_where_there_are_any() -> None:
    with pytest.raises(ValueError, match="max_attempts: got 9, and this server allows 8"):
        prepared(prompt="bag", min_compliance=1.0, max_attempts=9)
    assert prepared(prompt="bag", min_compliance=1.0).rows
    assert prepared(prompt="bag", max_attempts=1_000).rows  # which nobody makes


def test_what_is_asked_for_is_bounded() -> None:
    for body, said in (
        ({"n": 11}, "n: got 11"),
        ({"num_inference_steps": 101}, "num_inference_steps: got 101"),
        ({"n": 5, "best_of": 8, "num_candidates": 2}, "num_candidates: got 80"),
        ({"size": "64x64"}, "size: got 256 blocks"),
        ({"height": 512, "width": 512}, "size: got 16384 blocks"),
    ):
        with pytest.raises(ValueError, match=said):
            prepared(prompt="bag", **body)


def test_references_wait_in_the_size_of_their_codes() -> None:
    wanted = prepared(reference_images=[b64(picture(1, (400, 300)))])
    (reference,) = wanted.conditioning.reference_images
    assert reference.picture.size == (16, 16)
