"""What the program is made of, and what is known of it.

    python scripts/supply_chain.py sbom FILE     all that is installed, as CycloneDX (JSON)
    python scripts/supply_chain.py audit         known holes in requirements.txt, by pip-audit

`sbom` names no folder of this machine. `audit` ends with 1 where a hole is known, and with 0 and a
line where nobody could be asked, as without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def sbom(file: Path) -> int:
    """Write the bill of materials of this Python's environment."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "sbom.json")
        subprocess.run(
            [
                *(sys.executable, "-m", "cyclonedx_py", "environment", sys.executable),
                *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"),
                *("--output-format", "JSON", "--output-file", str(raw)),
            ],
            check=True,
        )
        bill = without_places(json.loads(raw.read_text(encoding="utf-8")))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{file}: {len(bill['components'])} components")
    return 0


def without_places(bill: dict[str, Any]) -> dict[str, Any]:
    """A bill without addresses of files, such as an editable install's."""
    for part in bill.get("components", []):
        links = part.get("externalReferences", [])
        kept = [link for link in links if not link["url"].startswith("file:")]
        part.pop("externalReferences", None)
        part |= {"externalReferences": kept} if kept else {}
    return bill


def audit() -> int:
    """Ask for holes that are known in the pinned versions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "audit.json")
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip_audit",
                    "--requirement",
                    str(ROOT / "requirements.txt"),
                ),
                *("--no-deps", "--disable-pip", "--progress-spinner", "off"),
                *("--format", "json", "--output", str(file)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if not file.is_file():
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            print(f"audit: nobody could be asked ({reason[:200]})")
            return 0
        found = json.loads(file.read_text(encoding="utf-8"))["dependencies"]
    lines = holes(found)
    unknown = sum("skip_reason" in each for each in found)
    print("\n".join([*lines, f"audit: {len(found)} packages, {len(lines)} known holes, "
                            f"{unknown} packages that nothing is known of"]))  # fmt: skip
    return 1 if lines else 0


def holes(found: list[dict[str, Any]]) -> list[str]:
    """A line for each hole that is known."""
    return [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in found
        for hole in package.get("vulns", ())
    ]


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or [""]
    if what == "sbom" and len(rest) == 1:
        sys.exit(sbom(Path(rest[0])))
    if what == "audit" and not rest:
        sys.exit(audit())
    sys.exit(f"usage: {(__doc__ or '').strip()}")
