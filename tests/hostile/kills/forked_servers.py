"""`ufc serve` in processes that begin with everything imported.

A fork of the tests would log as they do, and could not end as an interpreter does; a new
interpreter would import for nine tenths of its time. So servers are forks of a program (this file)
that has imported what they need and done nothing else: no operation of torch's, no test.

Each line of the program's input is JSON, [arguments, folder, log], and starts a server in that
folder, which is its home and has its temporary files too. It writes the server's number, and when
that has ended its exit code; one server at a time. Where the input ends, so do both.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import NoReturn

import ufc

IMPORTS = 300.0  # seconds that they may take
IMPORTED = ("ufc.cli.main", "ufc.serving.app", "uvicorn", "ufc.pipeline", "ufc.requests.loading")
HOMES = ("HOME", "TMPDIR", "XDG_CACHE_HOME")


class Servers:
    """Starts servers, one at a time."""

    def __init__(self) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("UFC_")}
        more = {"PYTHONPATH": str(Path(ufc.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", Path(__file__).with_name("forked_servers.py")],
            bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own | more,
        )  # fmt: skip
        self.end = weakref.finalize(self, end, self.process)  # and the server that may be left

    def start(self, arguments: list[str], folder: Path, log: Path) -> int:
        """Returns the server's number."""
        assert self.process.stdin is not None
        line = json.dumps([arguments, str(folder), str(log)])
        self.process.stdin.write(f"{line}\n".encode())
        number = self.next_number(IMPORTS)
        assert number is not None, "no server is started"
        return number

    def next_number(self, seconds: float) -> int | None:
        """The next number that comes, of a server or its exit code; None where none does."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        assert line, "what starts servers has ended"
        return int(line)


def end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.wait(IMPORTS)
    process.stdout.close()


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
        # Python would try out TMPDIR with a file of 4 bytes; a kill before it is removed leaves that.
        tempfile.tempdir = folder
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
