"""`ufc`, and `python -m ufc` where no `ufc` is on the path."""

import sys

from ufc_base.computing.thread_pool import wait_briefly


def main() -> int:
    """The command line; interrupted while it is being imported, it ends as it does later."""
    wait_briefly()
    try:
        from ufc.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("ufc: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
