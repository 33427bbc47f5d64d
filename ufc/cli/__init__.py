"""One file per command, and what they share. Heavy imports wait until a command runs."""
