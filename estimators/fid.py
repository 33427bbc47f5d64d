"""`python -m estimators.fid`: Fréchet distance; all of it is in `estimators.metrics.fid`."""

from __future__ import annotations

import sys

from estimators.metrics.fid import main

if __name__ == "__main__":
    sys.exit(main())
