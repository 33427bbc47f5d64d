"""The model that the flags name, or the manifest that is fed back; what differs here is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ufc.cli.terminal import Terminal
from ufc.request import Result
from ufc.requests.loading import Loaded, ModelSettings, choose_settings, load
from ufc.requests.replay import differences, have_here


def load_for(
    flags: Mapping[str, Any], results: Sequence[Result], terminal: Terminal
) -> tuple[ModelSettings, Loaded]:
    """The model of the flags, or of the `results` that are generated again, and how it is asked.

    Raises:
        ValueError: as `choose_settings` and `load`.
    """
    settings, notices = choose_settings(flags, results), list[str]()
    if results:
        settings, notices = have_here(settings, flags)
    for notice in notices:
        terminal.notice(notice)
    loaded = load(settings)
    now = {"lora": "none", **loaded.backend, **loaded.versions}
    different = dict[str, Any]()
    for result in results:
        different |= differences(result, now)
    if different:
        listing = ", ".join(f"{name} {was} (now {now[name]})" for name, was in different.items())
        terminal.notice(f"the manifest was generated with other {listing}: pictures may differ")
    return settings, loaded
