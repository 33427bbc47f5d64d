"""How data sets are named that Hugging Face's `datasets` loads, wherever data are named.

`datasets:NAME?split=…` is their address: `NAME` is a hub id, a folder, or one of the library's
builders (`imagefolder`, `parquet`, `webdataset` …) of a `data_dir`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

SCHEME = "datasets:"


@dataclass(frozen=True)
class NamedSet:
    """What `datasets.load_dataset` is asked for; `shard` is `INDEX/COUNT` of what is streamed."""

    name: str
    config: str | None = None
    data_dir: str | None = None
    split: str | None = None
    revision: str | None = None
    shard: str | None = None

    @classmethod
    def parse(cls, address: str) -> NamedSet:
        """Of `datasets:NAME?config=…&data_dir=…&split=…&revision=…`.

        Raises:
            DataError: it asks for something else.
        """
        from ufc_base.data.names import DataError

        name, _, query = address.removeprefix(SCHEME).partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        known = [field.name for field in fields(cls)][1:]
        if not name or set(asked) - set(known):
            wrong = ", ".join(sorted(set(asked) - set(known))) or "no name"
            raise DataError(
                f"{address}: got {wrong}, wanted {SCHEME}NAME, after ? any of "
                f"{', '.join(known[:-1])} (such as {SCHEME}imagefolder?data_dir=DATA&split=train)"
            )
        return cls(unquote(name), **{key: value for key, value in asked.items() if value})

    def __str__(self) -> str:
        own = [(field.name, getattr(self, field.name)) for field in fields(self)[1:]]
        query = urlencode([(name, value) for name, value in own if value], safe="/:[]%")
        return SCHEME + quote(self.name, safe="/:") + (f"?{query}" if query else "")


def is_named(address: str) -> bool:
    """Whether data are given by name, not by path."""
    return address.startswith(SCHEME)


def is_builder(name: str) -> bool:
    """Whether a name is a builder of `datasets` and no hub id or folder."""
    return "/" not in name and not Path(name).exists()
