"""Texts that are wrong: prompts files, manifests, metadata files, YAML, instructions, what the
editor keeps."""

from __future__ import annotations

import io
import random
from typing import Any

from .mutation import DEEP, odd_json, odd_value, spell, spoilt

PROMPT: dict[str, Any] = {
    "id": "a1", "prompt": "a red bag", "negative_prompt": "blue", "seed": 3, "lang": "en",
    "num_images_per_prompt": 2, "num_inference_steps": 4, "guidance_scale": 3.0, "order": "pnag",
    "num_candidates": 2, "temperature": 1.0, "image": "a.png", "mask_image": "m.png",
    "preserve_blocks": "0-3,5", "reference_images": ["r.png", {"path": "s.png", "weight": 0.5}],
    "output": "x/a.png", "best_of": 1, "top_k": 5, "height": 64, "width": 64,
}  # fmt: skip
DONE: dict[str, Any] = {
    "file_name": "a.png", "status": "done", "index": 0, "compliance": 0.5, "fidelity": 0.5, "steps": 3,
    "seconds": 0.1, "model": "m", "backend": {"dtype": "fp32"}, "versions": {"ufc": "0.1"}, "group": "g",
    "inputs": "ab", "notices": ["n"], "error": "e", "seed": 1, "prompt": "x", "id": "b",
}  # fmt: skip
SESSION: dict[str, Any] = {
    "settings": {"prompt": "bag", "negative_prompt": "", "seed": 3, "steps": 8, "feather": 1.0},
    "codebook": "abcd",
    "references": [{"file": "references/a.png", "name": "a", "on": True, "weight": 1.0}],
    "pictures": [{"id": "0001", "file": "pictures/0001.png", "codes": [1] * 16, "kept": [0]}],
    "view": {"picture": "0001", "marks": [1, 2], "keep": True},
    "past": [{"picture": None, "marks": []}], "future": [],
}  # fmt: skip
PRESET: dict[str, Any] = {
    "negative_prompt": "blue", "pictures": 2, "steps": 8, "guidance_scale": 3.0, "temperature": 1.0,
    "top_k": None, "top_p": 0.9, "order": "pnag", "candidates": 2, "patience": None,
    "time_budget": 2.0, "feather": 1, "shape": "square", "sampling": {"cfg_schedule": "linear"},
}  # fmt: skip
PHRASING: dict[str, Any] = {
    "prompt": "something for my keys", "type": "Handbags", "colour": "Red", "gender": "Women",
    "lang": "en", "out_of_lexicon": True,
}  # fmt: skip
FIELDS = ("file_name", "text", "text_zh", "captions", "type")


def subset(rng: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    """Some of the fields: with all of them the first wrong one hides the others."""
    names = [name for name in value if rng.random() < 0.4] or list(value)
    return {name: value[name] for name in names}


def lines(rng: random.Random, value: dict[str, Any], needed: tuple[str, ...] = ()) -> bytes:
    """JSON lines, of which some are wrong."""
    out = []
    for _ in range(rng.choice((1, 1, 2, 5))):
        chosen = {n: value[n] for n in needed} | subset(rng, value)
        if rng.random() < 0.4:
            chosen = {n: v for n, v in chosen.items() if n in ("prompt", *needed)}
        out.append(odd_json(rng, chosen))
    end = rng.choice((b"\n", b"\n", b"\r\n", b"\n\n \n", b"\r", b"\0\n"))
    data = end.join(out) + rng.choice((b"", b"\n"))
    return spoilt(rng, data) if rng.random() < 0.15 else data


def presets(rng: random.Random) -> bytes:
    """A file of presets, of which one is wrong, or the file."""
    if rng.random() < 0.3:
        return odd_json(rng, {"a": PRESET, "b": PRESET})
    name = rng.choice((b'"mine"', b'"\\ud800"', b'""', b'"' + b"x" * 5000 + b'"'))
    told = odd_json(rng, PRESET), spell(PRESET).encode()
    return b"{" + name + b": " + told[0] + b', "b": ' + told[1] + b"}"


def prompt_lines(rng: random.Random) -> bytes:
    """A .txt prompts file with flags behind the prompts."""
    flags = [f"--{name.replace('_', '-')}" for name in PROMPT]
    out = []
    for _ in range(rng.choice((1, 2, 4))):
        words = [rng.choice(("a bag", "", "#", "--", "x" * 3000, '"', "a\\", "\x85", "红色"))]
        for _ in range(rng.randrange(4)):
            value = str(odd_value(rng)).replace("\n", " ")[:6000]
            value = rng.choice(("1", "4", "0-3", "true", '"a b"', value))
            words.append(rng.choice((*flags, "--x", "--=", "---", "--seed=1")) + " " + value)
        out.append(" ".join(words))
    data = "\n".join(out).encode("utf-8", "surrogatepass")
    if rng.random() < 0.02:
        return b"a" + b" --prompt x" * 200_000
    return spoilt(rng, data) if rng.random() < 0.2 else data


def manifest(rng: random.Random) -> bytes:
    return lines(rng, DONE, ("file_name", "status"))


def metadata_lines(rng: random.Random) -> bytes:
    value = {"file_name": "a.png", "text": "bag", "text_zh": "包", "captions": ["x"], "type": "bag"}
    return lines(rng, value, ("file_name",))


def metadata_csv(rng: random.Random) -> bytes:
    rows = [",".join(FIELDS)]
    for _ in range(3):
        cells = [str(odd_value(rng))[:3000] if rng.random() < 0.4 else "a.png" for _ in FIELDS]
        rows.append(",".join(rng.choice((c, f'"{c}"')) for c in cells))
    data = "\n".join(rows).encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        data += b'\na.png,"' + b"x" * 200_000
    return spoilt(rng, data) if rng.random() < 0.4 else data


def metadata_parquet(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {
        "file_name": ["a.png", "b.png"], "text": ["bag", "shirt"], "n": [1, 2],
        "captions": [["a"], ["b", "c"]], "o": [{"x": 1}, {"x": 2}],
    }  # fmt: skip
    odd: tuple[list[Any], ...] = (
        [None, None], [1, 2], [b"\xff", b"a"], [[], []], [{"a": None}, {}], ["../a.png", "/b.png"],
        [float("nan"), 1.0], ["\0", "a" * 5000],
    )  # fmt: skip
    if rng.random() < 0.5:
        columns[rng.choice(list(columns))] = rng.choice(odd)
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, compression=rng.choice(("none", "snappy", "gzip")))
    data = stream.getvalue()
    return spoilt(rng, data) if rng.random() < 0.6 else data


def parquet_bomb(letters: int = 1_000_000, rows: int = 20_000) -> bytes:
    """One long text, in every row: stored once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * letters])
    names = pa.array(["a.png"] * rows)
    stream = io.BytesIO()
    pq.write_table(pa.table({"file_name": names, "text": texts}), stream)
    return stream.getvalue()


# YAML

MIXTURE = (
    "text-to-image: 4\n",
    'season: "what season? [IMAGE:picture] -> [TEXT:answer,closed_set=season]"\n',
    'masked: {instruction: "[TEXT,mask_ratio=0.3] -> [TEXT]", weight: 0.5}\n',
)
RECIPE = (
    "width: 64\n", "depth: 2\n", "learning_rate: 1e-4\n", "estimators: [compliance, fidelity]\n",
    "max_train_steps: 10\n", "train_batch_size: 4\n", "objectives: [masked_codes=1]\n",
)  # fmt: skip
LEXICON = (
    "types:\n  Bag: {en: [bag, tote], zh: [包]}\n", "colours: {Red: {en: [red, ruby]}}\n",
    "families:\n  f: {types: [Bag], en: ['for {my} keys'], verb_zh: 背, measure_zh: 个}\n",
    "occasions: {o: {types: [Bag], usages: [Casual], en: [travel]}}\n", "measures_zh: {只: [Bag]}\n",
    "forms: {en: ['{a thing}, {colour}']}\n", "extends: true\n",
)  # fmt: skip
TAMING = (
    "model:\n  params:\n    embed_dim: 4\n    n_embed: 16\n    ddconfig:\n      resolution: 16\n"
    "      ch: 8\n      ch_mult: [1, 2]\n      num_res_blocks: 1\n      z_channels: 8\n"
    "      attn_resolutions: []\n",
)


def laughs(levels: int, width: int = 9) -> str:
    """A list of lists of lists, each made of the one before."""
    text = "a0: &a0 [x]\n"
    for n in range(1, levels):
        text += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]\n"
    return text


def merges(levels: int) -> str:
    text = "a0: &a0 {k: 1}\n"
    for n in range(1, levels):
        text += f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n"
    return text


def yaml_text(rng: random.Random, parts: tuple[str, ...]) -> bytes:
    """YAML with tags, anchors, odd values, and depth."""
    kept = [part for part in parts if rng.random() < 0.7] or list(parts)
    values = (
        "!!python/object/apply:os.system [true]", "!!python/name:os.system", "!x y", "!!binary aGk=",
        "2024-99-99", "2024-02-30 10:00:00", "9" * 5000, "0x" + "f" * 5000, "1e999", ".nan", "-.inf", "~", "[]", "{}",
        "&a [*a]", "*nothing", "|\n  text", "0b2", "1:99:99", "!!int x", "!!float []", "!!set {a, b}",
        "!!timestamp x", "<<", "'\x07'", "\u2028", "\ud7ff", "- - - -", "? [a]\n: b", "-1", "a: b: c",
        "[" * rng.choice((20, 900)), "{a: " * rng.choice((20, 900)), "!!bool maybe", "yes", "1_0", "'", "\t",
    )  # fmt: skip
    for _ in range(rng.choice((1, 1, 2))):
        place, kind = rng.randrange(len(kept)), rng.randrange(5)
        name, _, rest = kept[place].partition(": ")
        if kind < 3 and rest:
            kept[place] = f"{name}: {rng.choice(values)}\n"
        elif kind == 3:
            kept.insert(place, f"{rng.choice(values)}: {rng.choice(values)}\n")
        else:
            kept.insert(place, rng.choice(kept))
    text = "".join(kept)
    kind = rng.random()
    if kind < 0.05:
        text = rng.choice((laughs(12), merges(8), "[" * DEEP, "a: " + "x" * 200_000, "- " * 30_000))
    data = text.encode("utf-8", "surrogatepass")
    return spoilt(rng, data) if kind > 0.85 else data


# Instructions

PIECES = (
    "[TEXT]", "[TEXT:a]", "[IMAGE:picture]", "[BOX:place]", "[CATEGORY:c,closed_set=season]", " -> ", "->",
    "what is this?", "[TEXT,mask_ratio=0.3]", "[TEXT:a,max_length=9]", "[", "]", ",", ":", "=", "[]", "[X]",
    "[TEXT:a=b]", "[IMAGE:x,mask_ratio=-1]", "[TEXT,mask_ratio=nan]", "[TEXT,mask_ratio=1e999]", "→", "\x07",
    "[TEXT:" + "n" * 300 + "]", "[TEXT,mask_ratio=" + "9" * 5000 + "]", "\u202e", "[TEXT:é]", "[text:a]",
    "[TEXT:a,a,a]", "[IMAGE:picture,no_such]", "红色", "\ud800", "\n",
)  # fmt: skip


def instruction(rng: random.Random) -> str:
    """Pieces of the grammar in any order; more often than not with one arrow."""
    left = [rng.choice(PIECES) for _ in range(rng.randrange(5))]
    right = [rng.choice(PIECES) for _ in range(rng.randrange(4))]
    if rng.random() < 0.7:
        usual = PIECES[:5] + PIECES[7:10]
        left = [rng.choice(usual if rng.random() < 0.8 else PIECES) for _ in range(3)]
        right = [rng.choice(usual if rng.random() < 0.8 else PIECES) for _ in range(2)]
    text = " ".join(left) + rng.choice((" -> ", " -> ", " -> ", "", "->->")) + " ".join(right)
    return text * 2000 if rng.random() < 0.01 else text
