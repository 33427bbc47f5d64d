"""Stopping a pipeline's calls: each has a flag of its own, so that none ends another's.

Inside a callback the call that is meant is the one that runs in this thread; from elsewhere all
calls that are running are. A flag lives as long as its call, from its very start.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar


@dataclass(eq=False)
class Call:
    """One call that is running, in one thread."""

    thread: int = field(default_factory=threading.get_ident)
    stopped: bool = False

    def stop(self) -> None:
        """End this call after the step that it is at."""
        self.stopped = True


class HasCalls(Protocol):
    """What keeps a list of its running calls."""

    calls: list[Call]


P = ParamSpec("P")
Self = TypeVar("Self", bound=HasCalls)
Result = TypeVar("Result")


def stoppable(
    method: Callable[Concatenate[Self, P], Result],
) -> Callable[Concatenate[Self, P], Result]:
    """A method that is among its object's `calls` while it runs."""

    @functools.wraps(method)
    def run(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        call = Call()
        self.calls.append(call)
        try:
            return method(self, *args, **kwargs)
        finally:
            self.calls.remove(call)

    return run


def own_call(calls: list[Call]) -> Call | None:
    """The innermost call that runs in this thread."""
    here = threading.get_ident()
    return next((call for call in reversed(calls.copy()) if call.thread == here), None)
