"""One output folder, several processes: each appends to a part of its own, and parts are merged.

Two processes never write one file, so a kill costs no more than the picture under way. A part is
locked by its process as long as that lives, which is how the others tell a part in use from one
that was left behind; whoever begins or ends takes in what was left behind.
"""

from __future__ import annotations

import fcntl
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ufc.io.manifest import Manifest, manifest_line, manifest_parts, read_folder, read_manifest
from ufc_base.files import naming
from ufc_base.training.ranks import Ranks

LOCK = ".manifest.lock"


class SharedManifest(Manifest):
    """The manifest of a folder that several processes generate into.

    `plan` are the rows of all processes: whoever begins first writes them all, in their order.
    """

    def __init__(self, folder: Path, ranks: Ranks, plan: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(folder)
        self.folder = folder
        self.plan = list(plan)
        self.rows = read_folder(folder)
        self.part = folder / f"manifest.part-{ranks.rank:05d}-{secrets.token_hex(4)}.jsonl"
        self._file: BinaryIO | None = None

    def begin(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the rows of this process, and those of the plan that nobody has written yet."""
        with locked(self.folder):
            found, left = self._gather()
            for row in self.plan:
                found.setdefault(row["file_name"], dict(row))
            self.rows = found | {row["file_name"]: dict(row) for row in rows}
            self._file = open(self.part, "xb")  # noqa: SIM115 it lives as long as the run
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._rewrite()
            discard(left)

    def record(self, row: Mapping[str, Any]) -> None:
        """Append what came of one picture to this process's part, at once."""
        assert self._file is not None, "begin comes first"
        self.rows[row["file_name"]] = dict(row)
        with naming(self.part):
            self._file.write(manifest_line(row))
            self._file.flush()

    def close(self) -> None:
        """Bring this part, and those that were left behind, into the manifest."""
        if self._file is None:
            return
        with locked(self.folder):
            found, left = self._gather()
            self.rows = found | read_manifest(self.part)
            self._rewrite()
            discard([*left, self.part])
        self._file.close()
        self._file = None

    def _gather(self) -> tuple[dict[str, dict[str, Any]], list[Path]]:
        """The manifest with all that was left behind, and the parts that this came from."""
        rows = read_manifest(self.path)
        left = [
            path for path in manifest_parts(self.folder) if path != self.part and not is_held(path)
        ]
        for path in left:
            rows |= read_manifest(path)
        return rows, left


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with open(folder / LOCK, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(part: Path) -> bool:
    """Whether the process that writes a part is alive."""
    try:
        with open(part, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def wait_for_others(folder: Path, seconds: float = 0.2) -> None:
    """Return once no process is at work in the folder."""
    while any(is_held(path) for path in manifest_parts(folder)):
        time.sleep(seconds)


def discard(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
