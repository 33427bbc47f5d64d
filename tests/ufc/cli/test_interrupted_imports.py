"""Ctrl-C while `ufc` is being imported ends it in one line, like a later one."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import ufc.__main__


class Slow(ModuleType):
    """A module in whose import the key is pressed."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_an_interrupted_import_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ufc.cli.main", Slow("ufc.cli.main"))
    assert ufc.__main__.main() == 130
    assert capsys.readouterr().err == "ufc: interrupted\n"
