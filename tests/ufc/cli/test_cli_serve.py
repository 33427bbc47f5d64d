"""`ufc serve`: from flags to a server, without listening."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest

from ufc.cli.main import main
from ufc.cli.serve import is_local

for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

import uvicorn  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What uvicorn was asked to run."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **more: asked.update(app=app, **more))
    monkeypatch.delenv("UFC_API_KEYS", raising=False)
    return asked


def test_flags_reach_the_server(run: dict[str, Any], model: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret\n")
    flags = ["--served-model-name", "atelier", "--max-images", "1", "--max-batch", "3"]
    more = ["--api-key-file", str(tmp_path / "keys"), "--port", "8123", "--dtype", "fp32"]
    assert main(["serve", "--model", str(model), *flags, *more]) == 0
    assert run["port"] == 8123 and run["host"] == "127.0.0.1" and not run["proxy_headers"]
    service = run["app"].state.service
    assert service.batcher.max_batch == 3 and service.loaded.pipe.precision == "fp32"
    with TestClient(run["app"]) as client:
        assert client.get("/v1/models").status_code == 401
        headers = {"authorization": "Bearer secret"}
        body = {"prompt": "bag", "num_inference_steps": 1}
        answer = client.post("/v1/images/generations", json=body, headers=headers)
        assert answer.status_code == 200 and answer.json()["model"] == "atelier"
        answer = client.post("/v1/images/generations", json=body | {"n": 2}, headers=headers)
        assert answer.status_code == 400


def test_everybody_is_let_in_only_knowingly(
    run: dict[str, Any],
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["serve", "--model", str(model), "--host", "0.0.0.0"]) == 0
    assert "everybody who can reach 0.0.0.0" in capsys.readouterr().err
    monkeypatch.setenv("UFC_API_KEYS", "one,two")
    assert main(["serve", "--model", str(model), "--host", "0.0.0.0"]) == 0
    assert "everybody" not in capsys.readouterr().err
    assert is_local("127.0.0.2") and is_local("::1") and is_local("localhost")
    assert not is_local("0.0.0.0") and not is_local("example.org")


def test_what_is_wrong_is_said_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err
    assert main(["serve", "--api-key-file", "nowhere"]) == 2
    assert "--api-key-file nowhere" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["serve"]) == 2
    assert "pip install -e '.[serve]'" in capsys.readouterr().err
