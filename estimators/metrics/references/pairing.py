"""Which picture is the reference of which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def pair_up(types: Sequence[str], seed: int = 0) -> list[int]:
    """For each sample the index of another one as its reference, of the same type if possible.

    Within a type each sample is the reference of exactly one other; samples that are the only ones
    of their type are paired among themselves (a single one of these with the first sample).

    Raises:
        ValueError: fewer than 2 samples.
    """
    if len(types) < 2:
        raise ValueError(f"got {len(types)} samples, wanted 2 or more to choose references from")
    groups: dict[str, list[int]] = defaultdict(list)
    for index in np.random.default_rng(seed).permutation(len(types)).tolist():
        groups[types[index]].append(index)
    alone = [members[0] for members in groups.values() if len(members) == 1]
    rings = [members for members in groups.values() if len(members) > 1]
    if len(alone) > 1:
        rings.append(alone)
    chosen = {a: b for ring in rings for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)}
    if len(alone) == 1:
        chosen[alone[0]] = 0 if alone[0] else 1
    return [chosen[index] for index in range(len(types))]
