"""How long threads of OpenMP should wait: `python -m benchmarks.threads`.

Seconds a picture by the bundled model as it comes, of so many programs at once, each of which
loads the model in its main thread and generates there or in another one: with the environment as
torch takes it, and with `GOMP_SPINCOUNT`. See `ufc_base.computing.thread_pool`. A CPU and GNU's
OpenMP only; a minute for each row where programs hold each other up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time

from ufc_base.computing.thread_pool import WAIT_VARIABLES

ELSEWHERE, MAIN = "another thread", "the main thread"


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--programs", type=int, nargs="+", default=[1, 2, 3], help="at once")
    parser.add_argument("--counts", nargs="+", default=["200", "500", "1000", "2000"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of generating, at least")
    parser.add_argument("--work", choices=(ELSEWHERE, MAIN), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(seconds_a_picture(options.work, options.seconds))
        return 0
    cases = [(where, None) for where in (ELSEWHERE, MAIN)]
    cases += [(ELSEWHERE, count) for count in options.counts]
    for programs in options.programs:
        for where, count in cases:
            found = at_once(programs, where, count, options.seconds)
            name = "as torch comes" if count is None else f"GOMP_SPINCOUNT={count}"
            shown = ", ".join(f"{seconds:.2f}" for seconds in found)
            print(f"{programs} at once, in {where}, {name}: {shown} s a picture", flush=True)
    return 0


def at_once(programs: int, where: str, count: str | None, seconds: float) -> list[float]:
    """Seconds a picture of each of so many programs."""
    environment = {name: x for name, x in os.environ.items() if name not in WAIT_VARIABLES}
    if count is not None:
        environment["GOMP_SPINCOUNT"] = count
    command = [sys.executable, "-m", "benchmarks.threads", "--work", where]
    command += ["--seconds", str(seconds)]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(programs)
    ]
    return sorted(float(one.communicate()[0].split()[-1]) for one in started)


def seconds_a_picture(where: str, seconds: float) -> float:
    """The median of one program."""
    from ufc import UFCPipeline
    from ufc.benchmark import PROMPT

    pipeline = UFCPipeline.from_pretrained(device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    pipeline(PROMPT, seed=0)
    times: list[float] = []

    def generate() -> None:
        until = time.monotonic() + seconds
        while not times or time.monotonic() < until:
            started = time.monotonic()
            pipeline(PROMPT, seed=len(times))
            times.append(time.monotonic() - started)

    if where == MAIN:
        generate()
    else:
        thread = threading.Thread(target=generate)
        thread.start()
        thread.join()
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
