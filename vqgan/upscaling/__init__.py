"""The upscaler: what the tokenizer decodes, at twice the size."""
