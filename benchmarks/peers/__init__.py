"""Other programs beside ours, in one run, on untrained weights of equal shape."""
