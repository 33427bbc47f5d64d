"""History, steps, comparison and check."""
