"""`ufc generate` and `ufc edit`: requests into a folder of pictures."""
