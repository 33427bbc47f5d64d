"""Second stage: a non-autoregressive transformer under text, reference and kept-block controls."""
