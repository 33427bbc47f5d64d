"""A bar of a call's steps, where a terminal sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Progress:
    """A progress bar as diffusers' pipelines have it: tqdm's, with settings of the pipeline's."""

    _progress_bar_config: dict[str, Any]

    def set_progress_bar_config(self, **settings: Any) -> None:
        """tqdm's settings of the bars to come: `disable=True`, `desc`, `leave` and others.

        Where `disable` is not among them there is a bar on terminals alone.
        """
        self._progress_bar_config = settings

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """A bar over an iterable, or of `total` steps that are told by `update`.

        Raises:
            ValueError: neither is given.
        """
        from tqdm.auto import tqdm

        if iterable is None and total is None:
            raise ValueError("a progress bar needs an iterable or a total: got neither")
        settings = {"disable": None} | self._progress_bar_config
        if tqdm.monitor_interval:
            tqdm.monitor_interval = 0  # no thread: this process may be forked
        return tqdm(iterable, total=total, **settings)
