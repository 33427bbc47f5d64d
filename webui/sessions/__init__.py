"""Sessions: their state, on disk, and the one thread that generates."""
