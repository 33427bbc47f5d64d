"""Sets of pictures to be measured, and what is kept of them by content."""
