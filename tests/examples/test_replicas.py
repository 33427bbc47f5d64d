"""Two servers behind one address: both take requests, and one can go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import make_pipeline
from example_files import load_example

for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

import httpx  # noqa: E402
from toy_server import running  # noqa: E402


@pytest.fixture(scope="module")
def example() -> Any:
    return load_example("replicas")


async def ask(app: Any, count: int) -> list[httpx.Response]:
    """So many requests at once."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://front", timeout=60
    ) as client:
        bodies = [{"prompt": "red bag", "seed": seed, "best_of": 1} for seed in range(count)]
        return list(
            await asyncio.gather(
                *(client.post("/v1/images/generations", json=body) for body in bodies)
            )
        )


def generated(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("ufc_pictures_total"))


def test_both_take_requests_and_one_can_go(example: Any) -> None:
    with running(make_pipeline()) as first:
        with running(make_pipeline()) as second:
            urls = [first.url, second.url]
            answers = asyncio.run(ask(example.create_app(urls), 8))
            assert [one.status_code for one in answers] == [200] * 8
            seeds = [one.json()["data"][0]["seed"] for one in answers]
            assert seeds == list(range(8))
            assert all(generated(url) >= 2 for url in urls)
        answers = asyncio.run(ask(example.create_app(urls), 4))  # the second is gone
        assert [one.status_code for one in answers] == [200] * 4
    (answer,) = asyncio.run(ask(example.create_app(urls), 1))
    assert answer.status_code == 503 and "no server answers" in answer.text


def test_refusals_come_through(example: Any) -> None:
    pipe = make_pipeline()
    with running(pipe, keys=("one",)) as server:
        (answer,) = asyncio.run(ask(example.create_app([server.url]), 1))
    assert answer.status_code == 401 and "error" in answer.json()
