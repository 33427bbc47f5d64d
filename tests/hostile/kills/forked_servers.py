"""A program that `of_servers` runs: `ufc serve` in processes that begin with everything imported.

Each line of its input is JSON, [arguments, folder, log], and starts a server that works in that
folder, which is its home and has its temporary files too. It writes the server's number, and when
that has ended its exit code; one server at a time. Where the input ends, so do both.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
from typing import NoReturn

# Importing them is most of the seconds that a server takes to start, and none of its work.
IMPORTED = ("ufc.cli.main", "ufc.serving.app", "uvicorn", "ufc.pipeline", "ufc.requests.loading")
HOMES = ("HOME", "TMPDIR", "XDG_CACHE_HOME")


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C ends the input
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        number = os.fork()
        if not number:
            serve(*json.loads(line))
        print(number, flush=True)
        print(waited_for(number), flush=True)


def serve(arguments: list[str], folder: str, log: str) -> NoReturn:
    """Be a server, from the command line to the end of an interpreter."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (file, 1), (file, 2)):
            os.dup2(source, target)
        os.chdir(folder)
        os.environ.update(dict.fromkeys(HOMES, folder))
        tempfile.tempdir = None  # it is looked for again
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        code = importlib.import_module("ufc.cli.main").main(["serve", *arguments])
    except KeyboardInterrupt:  # before or behind what the command line watches over
        code = 130
    sys.exit(code)


def waited_for(number: int) -> int:
    """The exit code of a server, below zero for a signal."""
    while True:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if select.select([sys.stdin], [], [], 0.005)[0]:  # the end: nobody asks for a second one
            os.kill(number, signal.SIGKILL)
            sys.exit(1)


if __name__ == "__main__":
    main()
