"""The first stage's training: trainer, settings, data, losses."""
