"""`python -m ufc`: the command line."""

import sys

from ufc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
