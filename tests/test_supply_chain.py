"""Nothing goes out unasked, nothing of a file is run, and pictures name nobody."""

from __future__ import annotations

import ast
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supply_chain
from conftest import make_pipeline
from PIL import Image
from toy_data import write_folder
from toy_trainers import COMMANDS, toy_trainer
from toy_training import model_config, tokenizer_config

from estimators.contradiction.model import ContradictionConfig, ContradictionModel, known_words
from ufc.captioning.known_tasks import KnownTasks
from ufc.cli.main import main
from ufc.pipeline import UFCPipeline

ROOT = Path(__file__).parent.parent
ROOMS = ("ufc_base", "vqgan", "estimators", "ufc", "webui", "scripts", "benchmarks")


class Network:
    """Refuses every way out of this machine while it is `closed`, and keeps what was tried."""

    def __init__(self) -> None:
        self.closed = self.loopback = False
        self.tried: list[str] = []
        sys.addaudithook(self._hear)  # one that can never be taken away again

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.closed or not event.startswith("socket."):
            return
        if event == "socket.bind" or (event == "socket.connect" and isinstance(arguments[1], str)):
            return  # among processes of this machine
        if self.loopback and "127.0.0.1" in str(arguments[:2]):
            return
        if event not in ("socket.__new__", "socket.gethostname"):
            self.tried.append(f"{event} {arguments[1:]!r:.200}")
            raise OSError(f"no network: {event}")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@contextmanager
def closed(network: Network, loopback: bool = False) -> Iterator[None]:
    """Without a network; raises where one was wanted, even if its absence was borne.

    With `loopback` this machine may talk to itself by 127.0.0.1.
    """
    network.tried, network.closed, network.loopback = [], True, loopback
    try:
        yield
    finally:
        network.closed = False
    assert not network.tried, f"wanted a connection: {network.tried}"


def test_the_closed_network_is_closed(network: Network) -> None:
    for way_out in (
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        lambda: socket.getaddrinfo("example.org", 80),
    ):
        with pytest.raises(AssertionError, match="wanted a connection"):  # noqa: SIM117
            with closed(network), pytest.raises(OSError, match="no network"):
                way_out()


def test_generating_asks_nobody(network: Network, ufc: Any, photo: Path) -> None:
    with closed(network):
        assert ufc("generate", "--prompt", "red bag", "--order", "pnag", "--best-of", 2)[0] == 0
        assert ufc("edit", "--image", photo, "--preserve-blocks", "0-7", "--prompt", "x")[0] == 0
        (first, *_) = sorted(Path("out").glob("*.png"))
        assert main(["info", str(first)]) == 0
        assert main(["env"]) == 0


def test_the_bundled_model_asks_nobody(network: Network) -> None:
    with closed(network):
        UFCPipeline.from_pretrained(device="cpu")


def test_training_and_measuring_ask_nobody(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ufc.training.trainer as second
    import vqgan.training.trainer as first

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, out = write_folder(tmp_path / "data", 8), tmp_path / "model"
    extractor = ["--extractor", "toy_extractor:tiny_extractor", "--json", "--no-cache"]
    held = {"val_data_dir": str(data), "max_train_steps": 4}
    with closed(network):
        first.main(tokenizer_config(data, tmp_path / "tokenizer", **held))
        second.main(model_config(data, tmp_path / "tokenizer", out, **held))
        figures = ["--fid", "--kid", "--prc", *extractor]
        assert main(["evaluate", str(out), "--real", str(data), *figures]) == 0


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that says of itself that it writes captions."""
    pipe = make_pipeline()
    pipe.tasks = KnownTasks({"captioning": "describe this: [IMAGE:picture] -> [TEXT:caption]"})
    folder = tmp_path_factory.mktemp("telling") / "model"
    pipe.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("command", ["caption", "run", "run to tell", "info --check", "bench"])
def test_commands_ask_nobody(
    command: str, network: Network, telling: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    judge = Path("judge")
    words = ContradictionConfig(vocabulary=known_words(), embedding=4, channels=4, hidden=4)
    ContradictionModel(words).save_pretrained(judge)
    model = ["--model", str(telling)]
    picture = f"picture={photo}"
    with closed(network):
        made = ["run", "text-to-image", "--slot", "caption=bag", "--num-inference-steps", "1"]
        if command in ("run", "info --check"):
            assert main([*made, *model, "--output-dir", "out"]) == 0
        found = [str(path) for path in Path("out").glob("*.png")]
        checked = ["--check", str(telling), "--contradiction-model", str(judge)]
        small = ["--random-weights", "--width", "32", "--depth", "2", "--heads", "2", "--grid", "4"]
        further = {
            "caption": ["caption", str(photo), *model],
            "run to tell": ["run", "captioning", "--slot", picture, *model],
            "info --check": ["info", *found, *checked],
            "bench": ["bench", "--quick", "--repeats", "1", *small],
        }
        if command in further:
            assert main(further[command]) == 0


@pytest.mark.parametrize("command", COMMANDS[2:])
def test_the_other_trainers_ask_nobody(
    command: str, network: Network, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kind = toy_trainer(command, write_folder(tmp_path / "data", 8), model)
    with closed(network):
        kind.main(replace(kind.config(tmp_path / "out"), max_train_steps=3))


def test_the_server_asks_nobody(network: Network) -> None:
    for needed in ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "httpx"):
        pytest.importorskip(needed)
    import httpx
    from toy_server import running

    body = {"prompt": "red bag", "num_inference_steps": 1, "seed": 1}
    with closed(network, loopback=True), running(make_pipeline()) as server:
        answer = httpx.post(
            f"{server.url}/v1/images/generations", json=body, timeout=60, trust_env=False
        )
    assert answer.status_code == 200 and len(answer.json()["data"]) == 1


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls in a file, by their dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_file_is_read_that_could_say_what_to_run() -> None:
    """A pickle's program is run by two readers alone, which know no names but harmless ones."""
    wanted = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
    own = {  # what a process of our own sends, and unpicklers that import nothing
        "vqgan/training/data.py": {"pickle.loads"},
        "vqgan/convert.py": {"pickle.Unpickler"},
        "ufc_base/formats/pickled_arrays.py": {"pickle.Unpickler"},
        "ufc/training/lexicon/words.py": {"yaml.load"},  # by the safe loader, in C where it is
    }
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            for called, node in calls(path):
                if called in wanted:
                    option, value = wanted[called]
                    said = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                    assert said.get(option) is value, f"{name}: {called} without {option}={value}"
                allowed = own.get(name, set())
                assert called in allowed or not called.startswith(
                    ("pickle.load", "pickle.Unpickler", "dill.", "joblib.load", "marshal.load",
                     "yaml.load", "yaml.unsafe", "torch.hub.load", "eval", "exec(")
                ), f"{name}: {called}"  # fmt: skip


def test_pictures_name_no_folder_and_no_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    home = tmp_path / "home" / "jane.doe"
    (home / "secret").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "jane.doe")
    monkeypatch.chdir(home)
    (home / "weights").symlink_to(model)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(home / "secret" / "me.png")
    picture = str(home / "secret" / "me.png")
    fixed = ["--model", str(home / "weights"), "--num-inference-steps", "2", "--prompt", "red bag"]
    for number, kind in enumerate(("png", "jpg", "webp")):
        out = ["--output-dir", str(home / f"out{number}"), "--format", kind]
        asked = ["edit", "--image", picture, "--reference-image", picture, "--preserve-blocks", "0"]
        assert main([*asked, *fixed, *out]) == 0
    made = [path for path in home.glob("out*/**/*") if path.suffix in (".png", ".jpg", ".webp")]
    assert len(made) >= 3
    names = ["jane.doe", "secret", "me.png", str(tmp_path), str(ROOT)]
    names += [host for host in (os.uname().nodename,) if len(host) > 8]
    for path in made:
        data = path.read_bytes()
        with Image.open(path) as image:
            told = f"{image.info} {dict(image.getexif())} {image.getexif().get_ifd(0x8769)}"
        for name in names:
            assert name.encode() not in data and name not in told, f"{path.name} names {name}"


def test_a_bill_names_no_folder() -> None:
    bill = {
        "components": [
            {"name": "a", "externalReferences": [{"url": "file:///home/me/a"}]},
            {"name": "b", "externalReferences": [{"url": "file:///x"}, {"url": "https://b"}]},
            {"name": "c"},
        ]
    }
    assert supply_chain.without_places(bill)["components"] == [
        {"name": "a"},
        {"name": "b", "externalReferences": [{"url": "https://b"}]},
        {"name": "c"},
    ]


@pytest.mark.parametrize(("found", "code"), [([], 0), ([{"id": "X-1", "fix_versions": ["2"]}], 1)])
def test_an_audit_fails_where_a_hole_is_known(
    found: list[dict[str, Any]],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ask(command: list[str], **_: Any) -> Any:
        file = Path(command[command.index("--output") + 1])
        rows = [{"name": "a", "version": "1", "vulns": found}, {"name": "b", "skip_reason": "?"}]
        file.write_text(json.dumps({"dependencies": rows}))

    monkeypatch.setattr(supply_chain.subprocess, "run", ask)
    assert supply_chain.audit() == code
    said = capsys.readouterr().out
    assert f"{code} known holes, 1 packages that nothing is known of" in said
    assert ("a 1: X-1, mended in 2" in said) == bool(code)


def test_an_audit_that_nobody_answers_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Done:
        stderr = "trace\nConnectionError: no route\n"

    monkeypatch.setattr(supply_chain.subprocess, "run", lambda *_, **__: Done())
    assert supply_chain.audit() == 0
    assert "nobody could be asked (ConnectionError: no route)" in capsys.readouterr().out
