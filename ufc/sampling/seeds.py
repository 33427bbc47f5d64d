"""The one seed rule, of calls, flags and prompts files: picture i of a prompt uses seed + i.

Every prompt counts from its own seed, or from the one that was given for all: what a prompt's
pictures look like does not depend on which other prompts stand before it.
"""

from __future__ import annotations

import random

from ufc.io.validation import RequestError

MAX_SEED = 2**63 - 1


def count_up(seed: int, pictures: int) -> list[int]:
    """The seeds of a prompt's pictures.

    Raises:
        RequestError: the last of them would be beyond `MAX_SEED`.
    """
    if seed + pictures - 1 > MAX_SEED:
        raise RequestError(f"seed: {seed} leaves no seeds for the pictures after the first")
    return [seed + picture for picture in range(pictures)]


def random_seed() -> int:
    """A seed from the system's entropy, short enough to read: 0..2^32-1."""
    return random.SystemRandom().randrange(2**32)
