"""A block of the transformer: as it is written, fused for generating, compiled for training."""
