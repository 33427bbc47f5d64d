"""Code grids to learn from: encoded once and kept, laid on other shapes."""
