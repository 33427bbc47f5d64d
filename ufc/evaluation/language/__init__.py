"""Figures of words: those the model tells of pictures, and those it is given and never saw."""
