"""Networks that pictures are judged by, and what they make of pictures: features."""

from estimators.metrics.extractors.networks import Extractor, load_extractor, make_extractor

__all__ = ["Extractor", "load_extractor", "make_extractor"]
