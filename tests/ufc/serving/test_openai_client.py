"""The official client of OpenAI generates and edits with the tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import make_pipeline, picture
from PIL import Image

openai = pytest.importorskip("openai")
for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

from toy_server import Running, b64, get, picture_of, png, post, running  # noqa: E402

from ufc.io.png.metadata import metadata_of  # noqa: E402
from ufc.pipeline import UFCPipeline  # noqa: E402

FEW = {"num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def pipe() -> UFCPipeline:
    return make_pipeline().to("cpu", "fp32")


@pytest.fixture(scope="module")
def server(pipe: UFCPipeline) -> Iterator[Running]:
    with running(pipe) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def refused(call: Any) -> Any:
    with pytest.raises(openai.BadRequestError) as caught:
        call()
    assert caught.value.body["type"] == "invalid_request_error"
    return caught.value.body


def test_pictures_are_those_of_the_pipeline(client: Any, pipe: UFCPipeline) -> None:
    answer = client.images.generate(prompt="red bag", n=2, size="16x16", extra_body=FEW)
    expected = pipe("red bag", num_images_per_prompt=2, seed=3, num_inference_steps=2)
    found = [picture_of(one.b64_json) for one in answer.data]
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected.images]
    assert [(one.index, one.seed) for one in answer.data] == [(0, 3), (1, 4)]
    assert answer.data[0].fidelity == pytest.approx(expected.fidelity[0], abs=1e-5)
    assert (answer.size, answer.output_format) == ("16x16", "png")
    assert answer.usage.output_tokens == 2 * 16 and answer.usage.input_tokens == 2


def test_a_picture_carries_its_request(client: Any) -> None:
    answer = client.images.generate(prompt="red bag", extra_body=FEW)
    said = metadata_of(picture_of(answer.data[0].b64_json), "it").request
    assert said is not None and said["request"]["prompt"] == "red bag"
    assert said["request"]["seed"] == 3 and said["model"] == "tiny"


def test_all_controls_may_be_combined(client: Any, pipe: UFCPipeline) -> None:
    image, reference = picture(1), picture(2)
    more = {
        "negative_prompt": "blue",
        "reference_images": [{"b64_json": b64(reference), "weight": 0.5}],
        "image": f"data:image/png;base64,{b64(image)}",
        "preserve_blocks": "0-7",
        "order": "halton",
    }
    answer = client.images.generate(prompt="bag", extra_body=FEW | more)
    expected = pipe(
        "bag", image, negative_prompt="blue", reference_images=reference, reference_weights=0.5,
        preserve_blocks=list(range(8)), order="halton", seed=3, num_inference_steps=2,
    )  # fmt: skip
    found = picture_of(answer.data[0].b64_json)
    assert found.tobytes() == expected.images[0].tobytes()
    assert found.crop((0, 0, 16, 8)).tobytes() == image.crop((0, 0, 16, 8)).tobytes()
    assert answer.usage.input_tokens_details.image_tokens == 16


@pytest.mark.parametrize("way", ["mask", "white mask", "own transparency", "mask_image"])
def test_an_edit_regenerates_what_is_transparent(server: Running, client: Any, way: str) -> None:
    image, left = picture(1), (0, 0, 8, 16)
    alpha, white = Image.new("L", (16, 16), 255), Image.new("L", (16, 16), 0)
    alpha.paste(0, left)
    white.paste(255, left)
    clear = Image.new("RGBA", (16, 16))
    clear.putalpha(alpha)
    given = image.copy()
    if way == "own transparency":
        given.putalpha(alpha)
    if way == "mask_image":  # a file beside those that the client knows of
        files = {"image": png(given), "mask_image": png(white)}
        data = {"prompt": "bag", "num_inference_steps": "2", "seed": "3"}
        answer = post(f"{server.url}/v1/images/edits", files=files, data=data)
        made = picture_of(answer.json()["data"][0]["b64_json"])
    else:
        masks = {"mask": clear, "white mask": white}
        mask = {"mask": ("mask.png", png(masks[way]))} if way in masks else {}
        image_file = ("image.png", png(given))
        edited = client.images.edit(image=image_file, prompt="bag", extra_body=FEW, **mask)
        made = picture_of(edited.data[0].b64_json)
    assert made.crop((8, 0, 16, 16)).tobytes() == image.crop((8, 0, 16, 16)).tobytes()
    assert made.crop(left).tobytes() != image.crop(left).tobytes()


def test_an_image_of_which_nothing_is_kept_is_a_reference(client: Any, pipe: UFCPipeline) -> None:
    files = [("a.png", png(picture(1))), ("b.png", png(picture(2)))]
    answer = client.images.edit(image=files, prompt="bag", extra_body=FEW)
    both = [picture(1), picture(2)]
    expected = pipe("bag", reference_images=both, seed=3, num_inference_steps=2)
    assert picture_of(answer.data[0].b64_json).tobytes() == expected.images[0].tobytes()


def test_an_image_is_changed_as_far_as_a_strength_says(client: Any, pipe: UFCPipeline) -> None:
    answer = client.images.edit(
        image=("a.png", png(picture(1))), prompt="bag", extra_body=FEW | {"strength": 0.5}
    )
    expected = pipe("bag", picture(1), strength=0.5, seed=3, num_inference_steps=2)
    assert picture_of(answer.data[0].b64_json).tobytes() == expected.images[0].tobytes()


def test_a_strength_has_previews_too(client: Any) -> None:
    """Of 12 steps it has 6, and a preview between them."""
    more = {"image": b64(picture(1)), "strength": 0.5, "num_inference_steps": 12}
    events = list(
        client.images.generate(prompt="bag", stream=True, partial_images=3, extra_body=more)
    )
    kinds = [event.type.removeprefix("image_generation.") for event in events]
    assert kinds == ["partial_image"] * 3 + ["completed"]


def test_an_edit_takes_up_what_a_picture_carries(client: Any) -> None:
    """The codes of its own file, so that a chain of edits does not decay."""
    first = client.images.generate(prompt="bag", extra_body=FEW).data[0].b64_json
    kept = FEW | {"image": first, "preserve_blocks": [0, 1, 2, 3]}
    second = client.images.generate(prompt="bag", extra_body=kept).data[0].b64_json
    blocks = [metadata_of(picture_of(one), "it").blocks for one in (first, second)]
    assert blocks[0].codes[:4] == blocks[1].codes[:4]  # type: ignore[union-attr, index]


@pytest.mark.parametrize(("name", "known"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_other_formats(client: Any, name: str, known: str) -> None:
    answer = client.images.generate(
        prompt="bag", output_format=name, output_compression=50, extra_body=FEW
    )
    assert picture_of(answer.data[0].b64_json).format == known


def test_a_stream_has_previews_and_pictures(client: Any) -> None:
    more = {"num_inference_steps": 6, "seed": 3}
    ask = {"prompt": "bag", "n": 2, "extra_body": more}
    events = list(client.images.generate(**ask, stream=True, partial_images=2))
    whole = client.images.generate(**ask)
    for index, one in enumerate(whole.data):  # in whatever order the two are generated
        own = [event for event in events if event.index == index]
        kinds = [event.type.removeprefix("image_generation.") for event in own]
        assert kinds == ["partial_image", "partial_image", "completed"]
        assert [event.partial_image_index for event in own[:2]] == [0, 1]
        pixels = [picture_of(event.b64_json).tobytes() for event in own]
        assert pixels[2] == picture_of(one.b64_json).tobytes() and pixels[0] != pixels[2]
        assert own[2].usage.output_tokens == 16


def test_an_edit_streams_too(client: Any) -> None:
    image = ("image.png", png(picture(1)))
    events = client.images.edit(image=image, prompt="bag", stream=True, partial_images=1)
    kinds = [event.type for event in events]
    assert kinds == ["image_edit.partial_image", "image_edit.completed"]


def test_models(client: Any) -> None:
    assert [one.id for one in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "ufc"
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="another", prompt="bag")
    assert caught.value.body["code"] == "model_not_found"


def test_refusals_say_what_is_wrong(client: Any) -> None:
    generate = client.images.generate
    said = refused(lambda: generate(prompt="bag", size="17x16"))
    assert said["param"] == "size" and "such as 16" in said["message"]
    said = refused(lambda: generate(prompt="bag", n=11))
    assert said["param"] == "n" and "allows 10" in said["message"]
    said = refused(lambda: generate(prompt="bag", extra_body={"sketch": 1}))
    assert said["param"] == "sketch" and said["code"] == "unknown_parameter"
    said = refused(lambda: generate(prompt="bag", size="16x16", extra_body={"height": 16}))
    assert said["param"] == "size"
    said = refused(lambda: generate(prompt="bag", response_format="url"))
    assert said["param"] == "response_format" and "b64_json" in said["message"]
    said = refused(lambda: generate(prompt=" "))
    assert "nothing says what to generate" in said["message"]


def test_health_and_metrics(server: Running, client: Any) -> None:
    client.images.generate(prompt="bag", extra_body=FEW)
    health = get(f"{server.url}/health")
    assert health.status_code == 200 and health.json()["status"] == "ok"
    lines = get(f"{server.url}/metrics").text.splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    asked = 'ufc_requests_total{endpoint="/v1/images/generations",status="200"}'
    assert float(figures[asked]) >= 1 and float(figures["ufc_pictures_total"]) >= 1
    assert figures["ufc_pictures_waiting"] == "0.0"


def test_the_schema_describes_bodies_and_answers(server: Running) -> None:
    schema = get(f"{server.url}/openapi.json").json()
    text, names = json.dumps(schema), schema["components"]["schemas"]
    assert all(f'"#/components/schemas/{name}"' in text for name in ("GenerationBody", "EditForm"))
    fields = set(names["GenerationBody"]["properties"])
    assert {"prompt", "seed", "guidance_scale", "preserve_blocks"} <= fields
    answers = schema["paths"]["/v1/images/edits"]["post"]["responses"]
    assert set(answers) >= {"200", "400", "429"} and "422" not in answers
