"""The transformer, its attention and its prefix cache."""
