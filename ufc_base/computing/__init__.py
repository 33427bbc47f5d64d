"""How numbers are computed on a machine: its instructions, its threads, what may be rewritten."""
