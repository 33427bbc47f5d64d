"""Edits beyond the model's own pictures: at a photograph's size, and larger than it was."""
