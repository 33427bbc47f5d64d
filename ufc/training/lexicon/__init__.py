"""Words that captions never use, and captions put in them; for training only."""
