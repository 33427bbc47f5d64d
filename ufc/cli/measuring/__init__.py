"""`ufc evaluate` and `ufc bench`."""
