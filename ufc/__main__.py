"""`python -m ufc`: the command line where no `ufc` is on the path."""

import sys

from ufc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
