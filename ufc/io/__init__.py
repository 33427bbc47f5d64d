"""Files in and out: models, pictures and their metadata, manifests, prompts files."""
