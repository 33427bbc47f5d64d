"""The one thread that generates, and what it does for a session."""
