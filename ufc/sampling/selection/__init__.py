"""Which of several whole pictures is kept: the best of N, or the first to reach a score."""
