"""What `mkdocs.yml` cannot say: pages from outside of docs/, their links, and the API reference."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ufc", "estimators", "vqgan", "ufc_base")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s]+)\)")


def outside() -> dict[str, str]:
    """Pages of the repository by their place on the site."""
    pages = {
        "index.md": "README.md",
        "chinese.md": "README.zh.md",
        "contributing.md": "CONTRIBUTING.md",
        "changelog.md": "CHANGELOG.md",
        "security.md": "SECURITY.md",
    }
    cards = sorted((ROOT / "weights").glob("*/README.md"))
    return pages | {f"models/{c.parent.name}.md": c.relative_to(ROOT).as_posix() for c in cards}


def modules() -> Iterator[str]:
    """Names of all modules that are not run as programs."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__main__":
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def on_config(config: Any) -> Any:
    """The navigation, with what it does not name and the reference."""
    nav = config["nav"]
    named = set(re.findall(r"[\w/.-]+\.md", str(nav)))
    here = {path.name for path in (ROOT / "docs").glob("*.md")} | set(outside())
    if others := sorted(here - named):
        nav.append({"More": others})
    reference: list[Any] = []
    for package in PACKAGES:
        own = [name for name in modules() if name.partition(".")[0] == package]
        reference.append({package: [{name: f"api/{name}.md"} for name in own]})
    nav.append({"API": reference})
    return config


def on_files(files: Any, config: Any) -> Any:
    """The pages that do not lie in docs/."""
    from mkdocs.structure.files import File

    for place, source in outside().items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if text.startswith("---\n"):  # what a hub reads of a model card
            text = text.partition("\n---\n")[2]
        files.append(File.generated(config, place, content=text))
    for name in modules():
        files.append(File.generated(config, f"api/{name}.md", content=f"# {name}\n\n::: {name}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links between files of the repository become links between pages of the site."""
    place = page.file.src_uri
    source = outside().get(place, f"docs/{place}")
    if place.startswith("api/"):
        return markdown
    return with_links(markdown, place, source)


def with_links(markdown: str, place: str, source: str) -> str:
    """Markdown of a file of the repository whose links are those of a page at `place`.

    What the site does not have keeps its text and loses its link.
    """
    sites = {path: at for at, path in outside().items()}

    def moved(found: re.Match[str]) -> str:
        mark, text, link = found.groups()
        path, _, anchor = link.partition("#")
        wanted = os.path.normpath(Path(source).parent / path)
        at = sites.get(wanted) or (wanted[5:] if wanted.startswith("docs/") else None)
        if at is None:
            return text
        to = os.path.relpath(at, Path(place).parent) + (f"#{anchor}" if anchor else "")
        return f"{mark}[{text}]({to})"

    return LINK.sub(moved, markdown)
