"""`ufc serve`: the model behind the OpenAI images API."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
import sys
from dataclasses import dataclass, fields
from typing import Annotated

from ufc.cli.app import LOCAL, check_free
from ufc.cli.flags import LORA, MODEL, Attention, Device, DType
from ufc.cli.terminal import DONE, Terminal
from ufc.requests.loading import ModelSettings, load
from ufc.serving.settings import ACCESS, GRACE, ServerSettings
from ufc_base.extras import UnavailableError, how_to_install
from ufc_base.program import option, switch

HELP = """Serve the model to many: the OpenAI images API (/v1/images/generations, /v1/images/edits)
with this project's controls as further fields. docs/serving.md has examples.

Requests with equal settings that come at the same time are generated together."""

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")


@dataclass(kw_only=True)
class ServeFlags(ServerSettings):
    """Flags of `ufc serve`: those of `ServerSettings`, the address, and the model."""

    host: Annotated[
        str,
        option(
            "Address to listen on (127.0.0.1, which only this machine can reach; 0.0.0.0 is for "
            "everybody who can reach it).",
        ),
    ] = LOCAL
    port: Annotated[int, option("Port to listen on (8000).", min=1, max=65_535)] = 8000
    quiet: Annotated[bool, switch("--quiet", "No line for each request.")] = False
    api_key_file: Annotated[
        str | None,
        option(
            "Keys of which requests need one, one a line; UFC_API_KEYS has further ones, with "
            "commas (no key is needed).",
            ACCESS,
            metavar="FILE",
        ),
    ] = None
    trusted_proxy: Annotated[
        str | None,
        option("Address whose X-Forwarded-For is believed (none).", ACCESS, metavar="ADDRESS"),
    ] = None

    model: Annotated[
        str | None, option("A bundled name, a folder, or a hub id.", MODEL, envvar="UFC_MODEL")
    ] = None
    revision: Annotated[str | None, option("Version of a hub model.", MODEL)] = None
    lora: Annotated[list[str] | None, option(LORA, MODEL, metavar="FILE[=WEIGHT]")] = None
    device: Annotated[Device | None, option("auto, cpu or cuda.", MODEL, envvar="UFC_DEVICE")] = (
        None
    )
    dtype: Annotated[
        DType | None, option("auto, fp32, bf16, fp16 or int8.", MODEL, envvar="UFC_DTYPE")
    ] = None
    attention_backend: Annotated[
        Attention | None,
        option("auto, sdpa, xformers or math.", MODEL, envvar="UFC_ATTENTION_BACKEND"),
    ] = None
    compile: Annotated[bool, switch("--compile", "Compile the transformer first.", MODEL)] = False
    deterministic: Annotated[
        bool,
        switch(
            "--deterministic",
            "The same picture alone or in company in every precision; gives up what batching "
            "gains.",
            MODEL,
        ),
    ] = False


def run(flags: ServeFlags) -> int:
    """Serve until interrupted; returns the exit code."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"the server needs {', '.join(missing)}: {how_to_install('serve')}")
    from ufc.serving.access import read_keys

    keys = read_keys(flags.api_key_file, os.environ.get("UFC_API_KEYS"))
    check_free(flags.host, flags.port)
    with Terminal(quiet=flags.quiet) as terminal:
        if not keys and not is_local(flags.host):
            terminal.error(
                f"ufc: everybody who can reach {flags.host} may generate here; --api-key-file "
                "has keys asked for"
            )
        terminal.notice("loading the model …")
    listen(flags, keys)
    return DONE


def listen(flags: ServeFlags, keys: list[str]) -> None:
    """Load the model and serve it."""
    import uvicorn

    from ufc.serving.app import create_app

    loaded = load(
        ModelSettings(
            flags.model,
            flags.revision,
            device=flags.device or "auto",
            dtype=flags.dtype or "auto",
            attention_backend="math" if flags.deterministic else flags.attention_backend or "auto",
            compile=flags.compile,
            deterministic=flags.deterministic,
            lora=tuple(flags.lora or ()),
        )
    )
    loaded.pipe("warming up", num_inference_steps=1)  # or the first client waits for it
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s")
    uvicorn.run(
        create_app(loaded, server_settings(flags), keys),
        host=flags.host,
        port=flags.port,
        access_log=not flags.quiet,
        log_level="warning" if flags.quiet else "info",
        proxy_headers=flags.trusted_proxy is not None,
        forwarded_allow_ips=flags.trusted_proxy,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def server_settings(flags: ServeFlags) -> ServerSettings:
    """The server's share of the flags."""
    return ServerSettings(**{one.name: getattr(flags, one.name) for one in fields(ServerSettings)})


def is_local(host: str) -> bool:
    """Whether an address is one that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
