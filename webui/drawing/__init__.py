"""Colours over blocks, curves, sets of blocks."""
