"""One spelling of a text, in prompts as in captions; clean text stays as it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from ufc.conditioning.text import TextTokenizer, normalise
from ufc.io.hub import bundled_folder
from ufc.pipeline import UFCPipeline

BUNDLED = ("fashion-192x256", "fashion-64-contrastive")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("women's\nred\nhandbag", "women's red handbag"),
        ("women's\r\nred\t\thandbag \u2028", "women's red handbag"),
        ("women's\xa0red\u3000handbag\x85", "women's red handbag"),
        ("\ufeffwomen's \u200bred hand\xadbag\u200e", "women's red handbag"),
        ("wo\u2060men's\u200b red\ufe0f \x00hand\x1b\x07bag", "women's red handbag"),
        ("\u202awomen's red handbag\u202c", "women's red handbag"),
        ("a half \ud83d of a pair", "a half of a pair"),
        ("women’s “red” handbag", 'women\'s "red" handbag'),
        ("women´s, women＇s, women‘s, women′s", "women's, women's, women's, women's"),
        ("t–shirt — black−white‐grey…", "t-shirt - black-white-grey..."),
        ("ｗｏｍｅｎ＇ｓ ｒｅｄ，ｂａｇ（２）", "women's red,bag(2)"),
        ("Nike™ ﬁne ½ 2×3", "Nike fine 1/2 2x3"),
        ("cafe\u0301", "café"),
        ("女士紅色手提包、襯衫。", "女士红色手提包,衬衫."),
        ("女裝藍色長褲，涼鞋　「錶」粧", '女装蓝色长裤,凉鞋 "表"妆'),
        ("女士\n红色", "女士 红色"),
        (" \u200b\ufeff\n", ""),
    ],
)
def test_every_spelling_becomes_the_keyboards(typed: str, meant: str) -> None:
    assert normalise(typed) == meant


@pytest.mark.parametrize(
    "clean",
    [
        "women's red handbag",
        "Men's Navy Blue Striped Polo T-Shirt, size 42 (new) & 100% cotton!",
        "女士粉色休闲上衣",
        "男士黑色T恤,手表",
        "著名的红裙子 👗",
        "кожаная сумка",
        "赤いドレス",
        "가방",
    ],
)
def test_what_is_clean_stays(clean: str) -> None:
    assert normalise(clean) == clean


def test_any_character_is_normalised_for_good() -> None:
    for code in itertools.chain(range(0x3400), range(0xA000, 0x11000), range(0x1F000, 0x20000)):
        once = normalise(f"a{chr(code)}b")
        assert normalise(once) == once, hex(code)


@pytest.mark.parametrize("name", BUNDLED)
def test_clean_prompts_keep_their_ids(name: str) -> None:
    """Against the vocabulary alone, which is what prompts went through before."""
    path = bundled_folder() / name / "tokenizer.json"
    raw, text = Tokenizer.from_file(str(path)), TextTokenizer.load(path)
    for clean in (
        "women's red handbag",
        "Men's Navy Blue T-Shirt",
        "女士红色手提包",
        "男士黑色手表",
    ):
        assert text.encode_all(clean) == raw.encode(clean).ids


@pytest.mark.parametrize("name", BUNDLED)
def test_other_spellings_get_the_ids_of_the_clean_one(name: str) -> None:
    text = TextTokenizer.load(bundled_folder() / name / "tokenizer.json")
    clean = text.encode("women's red handbag")
    for typed in ("women’s\nred\nhandbag", "WOMEN'S RED HANDBAG", "ｗｏｍｅｎ＇ｓ red hand\xadbag"):
        assert text.encode(typed) == clean
    assert text.encode("女士紅色手提包") == text.encode("女士红色手提包")
    assert text.encode("\u200b \ufeff") == []


def test_captions_are_learnt_in_the_same_spelling(tmp_path: Path) -> None:
    clean = TextTokenizer.train(["women's red bag", "红色衬衫"] * 4, 300)
    odd = TextTokenizer.train(["women’s\nred bag", "紅色襯衫"] * 4, 300)
    assert odd.tokenizer.to_str() == clean.tokenizer.to_str()


def test_pictures_are_those_of_the_clean_prompt(pipeline: UFCPipeline) -> None:
    clean = pipeline("women's red bag", negative_prompt="男士黑色手表", seed=3)
    odd = pipeline("women’s\nred  bag", negative_prompt="男士\u200b黑色手錶", seed=3)
    assert torch.equal(odd.codes, clean.codes)
