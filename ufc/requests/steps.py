"""How many steps a picture will take, before it is begun: for progress bars and previews."""

from __future__ import annotations

from ufc.call_arguments import of_strength, sampler_config
from ufc.sampling.generation_config import GenerationConfig


def expected_steps(config: GenerationConfig, free: int) -> int:
    """The steps of a picture with so many blocks that nothing keeps, at most; 1 at least.

    A strength has fewer steps, and leaves a share of those blocks as they are.
    """
    sampler = sampler_config(config)
    changed = free - round((1 - of_strength(config)) * free)
    return max(1, sampler.rule.steps(sampler.steps, changed))
