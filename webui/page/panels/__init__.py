"""Words, references, uploads and settings: what to generate."""
