"""Which of several processes this one is, as `torchrun` and `accelerate launch` say it.

Read from the environment alone: splitting work among processes needs no process group.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `count`, and number `local` on its machine.

    `run` is the launcher's name for the run, the same in all of its processes.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    run: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count or self.local < 0:
            raise ValueError(
                f"RANK={self.rank}, WORLD_SIZE={self.count}, LOCAL_RANK={self.local} do not fit "
                "together; start with torchrun or accelerate launch, or unset all three"
            )

    @property
    def alone(self) -> bool:
        return self.count == 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item: the shares of all processes are the whole, without overlap."""
        return list(items[self.rank :: self.count])


def ranks_from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """What RANK, WORLD_SIZE, LOCAL_RANK and TORCHELASTIC_RUN_ID say; one process without them.

    Raises:
        ValueError: they are no numbers, or do not fit together.
    """
    numbers = []
    for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        text = environment.get(name, default)
        if not text.isdecimal():
            raise ValueError(f"{name}: got {text!r}, wanted a whole number (a launcher sets it)")
        numbers.append(int(text))
    rank, count, local = numbers
    return Ranks(rank, count, local, environment.get("TORCHELASTIC_RUN_ID", ""))
