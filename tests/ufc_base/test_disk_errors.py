"""Errors of the disk say their file, and no other error is taken for one of them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ufc_base.files import naming


@pytest.mark.parametrize("hiding", [RuntimeError, TypeError, KeyError])
def test_only_what_libraries_raise_hides_an_error_of_the_disk(
    hiding: type[Exception], tmp_path: Path
) -> None:
    wanted = FileNotFoundError if hiding is RuntimeError else hiding

    def write() -> None:
        try:
            (tmp_path / "gone").read_bytes()
        except OSError:
            raise hiding("trouble")  # noqa: B904

    with pytest.raises(wanted), naming(tmp_path / "model"):
        write()


def test_numbers_in_words_are_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="model") as found, naming(tmp_path / "model"):
        raise RuntimeError("No space left on device (os error 28)")
    assert found.value.errno == errno.ENOSPC
