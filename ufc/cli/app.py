"""`ufc app`: open the editor in the browser."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ufc.cli.flags import LORA, Attention, Device, DType, Language
from ufc.cli.terminal import DONE
from ufc.io.manifest import open_folder
from ufc.io.validation import RequestError
from ufc_base.extras import UnavailableError, how_to_install

LOCK = ".ufc-editor.lock"  # a file in the output folder
LOCAL = "127.0.0.1"
LOCAL_NAMES = (LOCAL, "localhost", "::1")
# Colours of the page by day and by night, as the visitor's system has it; `page.css`, the
# components and the curves have those that Streamlit does not set. Words have a contrast of 4.5 or
# more to what is behind them.
THEME = {
    "baseRadius": "0.5rem",
    "light.primaryColor": "#9a4421",
    "light.backgroundColor": "#fdfcfa",
    "light.secondaryBackgroundColor": "#f4f1ec",
    "light.textColor": "#2b2926",
    "light.borderColor": "#ddd8cf",
    "light.grayTextColor": "#655f57",
    "dark.primaryColor": "#e5936a",
    "dark.backgroundColor": "#1b1a18",
    "dark.secondaryBackgroundColor": "#272522",
    "dark.textColor": "#ece8e1",
    "dark.borderColor": "#45413b",
    "dark.grayTextColor": "#b5afa6",
}


def app(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Only this machine can reach 127.0.0.1; with 0.0.0.0 "
            "everybody who can reach this machine may generate with it.",
        ),
    ] = LOCAL,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8501,
    lang: Annotated[Language, typer.Option(help="Language of the page at first.")] = "en",
    model: Annotated[
        str | None,
        typer.Option(help="A bundled name, a folder, or a hub id.", envvar="UFC_MODEL"),
    ] = None,
    lora: Annotated[list[str] | None, typer.Option(help=LORA, metavar="FILE[=WEIGHT]")] = None,
    output_dir: Annotated[
        str, typer.Option(help="Where sessions are kept; nothing is written elsewhere.")
    ] = "outputs/editor",
    device: Annotated[
        Device, typer.Option(help="auto, cpu or cuda.", envvar="UFC_DEVICE")
    ] = "auto",
    dtype: Annotated[
        DType, typer.Option(help="auto, fp32, bf16, fp16 or int8.", envvar="UFC_DTYPE")
    ] = "auto",
    attention_backend: Annotated[
        Attention,
        typer.Option(help="auto, sdpa, xformers or math.", envvar="UFC_ATTENTION_BACKEND"),
    ] = "auto",
    list_sessions: Annotated[
        bool | None,
        typer.Option(
            help="Show everybody who opens the page all sessions; so it is where --host is this "
            "machine alone.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> int:
    """Open the editor in the browser: pictures from words, references and blocks you keep."""
    script = find_page()
    folder = open_folder(output_dir).resolve()
    with only_server(folder):
        check_free(host, port)
        lists = host in LOCAL_NAMES if list_sessions is None else list_sessions
        settings = {
            "UFC_OUTPUT_DIR": str(folder),
            "UFC_LANG": lang,
            "UFC_DEVICE": device,
            "UFC_DTYPE": dtype,
            "UFC_ATTENTION_BACKEND": attention_backend,
            "UFC_LIST_SESSIONS": "1" if lists else "0",
            "UFC_LORA": json.dumps(lora or []),
        }
        if model is not None:
            from ufc.io.hub import resolve_model

            settings["UFC_MODEL"] = str(resolve_model(model))
        os.environ.update(settings)

        from streamlit.web import cli

        cli.main(["run", str(script), *server_flags(host, port, browser)], standalone_mode=False)
    return DONE


@contextmanager
def only_server(folder: Path) -> Iterator[None]:
    """Keep other servers away from a folder meanwhile: each counts pictures in its memory, so that
    two would write over each other's.

    Raises:
        RequestError: another is at work there.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    try:
        lock = (folder / LOCK).open("ab")
    except OSError as error:
        raise RequestError(
            f"{folder / LOCK}: cannot be written ({error.strerror}); choose another --output-dir"
        ) from None
    with lock:  # closed, it is free again; so it is where the process ends otherwise
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(
                f"{folder}: another editor keeps its sessions there; "
                "stop it, or choose another --output-dir"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def find_page() -> Path:
    """The file that Streamlit runs.

    Raises:
        UnavailableError: the extra that the editor needs is not installed.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UnavailableError(f"the editor needs Streamlit: {how_to_install('app')}")
    spec = importlib.util.find_spec("webui")
    if spec is None or spec.origin is None:
        raise RequestError("the package webui is not beside ufc; install the project again")
    return Path(spec.origin).with_name("app.py")


def server_flags(host: str, port: int, browser: bool) -> list[str]:
    """Streamlit's flags: no statistics, no file watcher, nothing of the developer's menu."""
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": not browser,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": 32,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        # Each look at a drawing under way is a run of the page: twenty visitors would have Python
        # look through everything, which it does by itself now and then, more than it draws.
        "runner.postScriptGC": False,
        **{f"theme.{name}": value for name, value in THEME.items()},
    }
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in options.items()]  # fmt: skip


def check_free(host: str, port: int) -> None:
    """Raise `RequestError` where the address cannot be listened on."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise RequestError(
            f"cannot listen on {host}, port {port} ({error.strerror}); "
            "choose another --port or --host"
        ) from None
