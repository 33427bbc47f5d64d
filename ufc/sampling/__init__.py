"""The refinement loop: predict, score, mask again."""
