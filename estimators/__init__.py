"""Scores: does a picture obey its controls, does it look real, and can the scores be trusted."""
