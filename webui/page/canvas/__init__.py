"""The picture on the canvas and what belongs to it."""
