"""The links inside of the documentation hold, here and on the site; the project's papers agree."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import docs_site
import pytest
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*/README.md")]
)


def links(text: str) -> list[str]:
    """Targets of all links and pictures of a page, but those of other places."""
    inline = [child for token in MarkdownIt().parse(text) for child in token.children or ()]
    found = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in inline]
    return [unquote(link) for link in found if link and not re.match(r"\w+:", link)]


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as GitHub and the site make them."""
    tokens = MarkdownIt().parse(text)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    slugs = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
    seen: Counter[str] = Counter()
    names = set()
    for slug in slugs:
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_links_are_seen() -> None:
    text = "[a](b.md#c) ![d](e.png)\n\n`[no](f)` [g](https://example.org) [h](#i)"
    assert links(text) == ["b.md#c", "e.png", "#i"]
    assert anchors("# One, *two*\n\n## One, two\n") >= {"one-two-1"}


def test_links_between_files_become_links_between_pages() -> None:
    text = (
        "[a](docs/data.md#x) [`b`](weights/fashion-192x256/README.md) [c](LICENSE) ![d](docs/s.png)"
    )
    on_site = docs_site.with_links(text, "index.md", "README.md")
    assert on_site == "[a](data.md#x) [`b`](models/fashion-192x256.md) c ![d](s.png)"
    back = docs_site.with_links("[a](../README.md)", "editor.md", "docs/editor.md")
    assert back == "[a](index.md)"
    card = docs_site.with_links("[a](../../docs/data.md)", "models/m.md", "weights/m/README.md")
    assert card == "[a](../data.md)"


def test_the_site_has_every_page_and_every_module() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = set(re.findall(r"[\w/.-]+\.md", str(settings["nav"])))
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | set(docs_site.outside())
    assert named <= there
    docs_site.on_config(settings)
    assert there <= set(re.findall(r"[\w/.-]+\.md", str(settings["nav"])))
    assert {"ufc", "ufc.pipeline", "estimators.metrics.fid", "vqgan.model"} <= set(
        docs_site.modules()
    )


def test_version_and_words_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["authors"]
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] in ("Unreleased", project["version"]) and project["version"] in versions


def test_issue_forms_ask_for_what_is_needed() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {"bug.yml", "idea.yml", "config.yml"} == {form.name for form in forms}
    for form in forms:
        asked = yaml.safe_load(form.read_text(encoding="utf-8"))
        assert form.name == "config.yml" or {"name", "description", "body"} <= set(asked)
    assert "ufc env" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(
        encoding="utf-8"
    )
