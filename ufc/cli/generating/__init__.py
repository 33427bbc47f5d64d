"""`ufc generate`, `ufc edit` and `ufc run`: requests into a folder of pictures."""
