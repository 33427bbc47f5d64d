"""Keys, and how often somebody may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_pipeline

openai = pytest.importorskip("openai")
for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

from starlette.requests import Request  # noqa: E402
from toy_server import Running, get, post, running  # noqa: E402

from ufc.io.validation import RequestError  # noqa: E402
from ufc.serving.access import MOST_CLIENTS, Gate, Keys, RateLimit, read_keys  # noqa: E402
from ufc.serving.errors import ApiError  # noqa: E402
from ufc.serving.settings import ServerSettings  # noqa: E402


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    settings = ServerSettings(rate_limit=3, served_model_name="atelier")
    with running(make_pipeline(), settings, ("first", "second", "third")) as found:
        yield found


def client(server: Running, key: str) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def test_a_key_is_wanted(server: Running) -> None:
    assert client(server, "first").models.list().data[0].id == "atelier"
    with pytest.raises(openai.AuthenticationError) as caught:
        client(server, "wrong").images.generate(prompt="bag")
    assert caught.value.body["code"] == "invalid_api_key"
    nobody = post(f"{server.url}/v1/images/generations", json={"prompt": "bag"})
    assert nobody.status_code == 401 and nobody.headers["www-authenticate"] == "Bearer"
    assert nobody.json()["error"]["type"] == "authentication_error"


def test_what_is_watched_needs_no_key(server: Running) -> None:
    for path in ("health", "metrics", "openapi.json"):
        assert get(f"{server.url}/{path}").status_code == 200
    schema = get(f"{server.url}/openapi.json").json()
    assert schema["paths"]["/v1/models"]["get"]["security"] == [{"bearer": []}]


def test_each_key_has_its_own_allowance(server: Running) -> None:
    heard = [client(server, "second").models.with_raw_response.list().headers for _ in range(3)]
    left = [headers["x-ratelimit-remaining-requests"] for headers in heard]
    assert left == ["2", "1", "0"]
    with pytest.raises(openai.RateLimitError) as caught:
        client(server, "second").images.generate(prompt="bag")
    assert caught.value.body["code"] == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) in range(1, 21)
    assert client(server, "third").models.list().data


def test_guessing_keys_is_slow() -> None:
    with running(make_pipeline(), ServerSettings(rate_limit=2), ("right",)) as server:
        status = [
            get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {n}"})
            for n in range(4)
        ]
    assert [one.status_code for one in status] == [401, 401, 429, 429]


def test_a_right_key_does_not_pass_among_wrong_ones() -> None:
    with running(make_pipeline(), ServerSettings(rate_limit=2), ("right", "other")) as server:

        def status(key: str) -> int:
            header = {"authorization": f"Bearer {key}"}
            return int(get(f"{server.url}/v1/models", headers=header).status_code)

        assert [status("right"), status("wrong"), status("right")] == [200, 401, 200]
        assert status("right") == 429  # of its own allowance
        assert [status("wrong"), status("other"), status("wrong")] == [401, 429, 429]


def test_right_keys_cost_no_tries() -> None:
    now = 0.0
    gate = Gate(Keys(["right"]), RateLimit(1, lambda: now))

    def asked(key: str) -> Request:
        header = (b"authorization", f"Bearer {key}".encode())
        return Request({"type": "http", "headers": [header], "client": ("10.0.0.1", 1)})

    for _ in range(3):
        gate.admit(asked("right"))
        now += 60
    with pytest.raises(ApiError, match="Incorrect"):
        gate.admit(asked("wrong"))
    now += 59
    with pytest.raises(ApiError, match="try again"):
        gate.admit(asked("right"))
    now += 2
    gate.admit(asked("right"))


def test_an_allowance_fills_up_evenly() -> None:
    now = 0.0
    limit = RateLimit(60, lambda: now)
    for _ in range(60):
        limit.take("a")
    with pytest.raises(ApiError):
        limit.take("a")
    now = 1.0
    limit.take("a")
    with pytest.raises(ApiError) as caught:
        limit.take("a")
    assert caught.value.headers["retry-after"] == "1"
    now = 1_000.0
    assert limit.take("a")["x-ratelimit-remaining-requests"] == "59"


def test_the_memory_of_clients_is_bounded() -> None:
    limit = RateLimit(1, lambda: 0.0)
    for number in range(MOST_CLIENTS + 10):
        limit.take(str(number))
    assert len(limit.buckets) == MOST_CLIENTS


def test_keys_are_read_from_a_file_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# the team\none\n\n two \n")
    assert read_keys(str(tmp_path / "keys"), "three, four,") == ["three", "four", "one", "two"]
    assert read_keys(None, None) == []
    (tmp_path / "empty").write_text("# nobody\n")
    for name in ("empty", "missing"):
        with pytest.raises(RequestError, match="--api-key-file"):
            read_keys(str(tmp_path / name), None)
