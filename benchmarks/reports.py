"""Reports as JSON files that are either the old or the new one, never half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_report(path: Path) -> dict[str, Any]:
    """An earlier report, or an empty one."""
    if not path.is_file():
        return {"rows": []}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def write_report(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    half.replace(path)
