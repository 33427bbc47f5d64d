"""Loads a part of a model by the program UFC-BERT, which made this folder."""

try:
    from ufc.pipeline.diffusers_pipeline import VQGAN, TextTokenizer, UFCTransformer, Upscaler
except ImportError as error:
    raise ImportError(
        "this model needs the program UFC-BERT: clone its repository and run "
        "`pip install -e .` there"
    ) from error

__all__ = ["VQGAN", "TextTokenizer", "UFCTransformer", "Upscaler"]
