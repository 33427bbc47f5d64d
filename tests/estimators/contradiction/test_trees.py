"""Trees of noun phrases in both languages, with their right values."""

from __future__ import annotations

import pytest
from fashion_captions import COLOURS, GENDERS, NOUNS, PATTERNS_ZH, USAGES

from estimators.contradiction.lexicon import TABLES, WIDER, canonical, pattern, words_of
from estimators.contradiction.trees import MAX_UNITS, Node, language_of, parse, units


def shown(node: Node) -> str:
    """`relation:text` with children in brackets."""
    below = f"({', '.join(map(shown, node.children))})" if node.children else ""
    return f"{node.relation}:{node.text}{below}"


def heads(text: str) -> str:
    return ", ".join(map(shown, parse(text).children))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (
            "women's red cotton handbag with gold chain",
            "head:handbag(gender:women's, colour:red, material:cotton, part:chain(colour:gold))",
        ),
        ("女士粉色休闲上衣", "head:上衣(gender:女士, colour:粉色, occasion:休闲)"),
        ("black dress, white belt", "head:dress(colour:black), head:belt(colour:white)"),
        ("黑色连衣裙白色皮带", "head:连衣裙(colour:黑色), head:皮带(colour:白色)"),
        ("黑色连衣裙配白色皮带", "head:连衣裙(colour:黑色, part:皮带(colour:白色))"),
        (
            "handbag, brown, leather, casual, women's",
            "head:handbag(colour:brown, material:leather, occasion:casual, gender:women's)",
        ),
        ("a navy blue striped casual t-shirt for men",
         "head:t-shirt(colour:navy blue, pattern:striped, occasion:casual, gender:men)"),
        ("男士藏青色条纹polo款休闲T恤",
         "head:t恤(gender:男士, colour:藏青色, pattern:条纹, pattern:polo, occasion:休闲)"),
        ("棕色的手提包", "head:手提包(colour:棕色)"),
        ("black and white dress", "head:dress(colour:black, colour:white)"),
        ("a shirt in navy and a belt in black", "head:shirt(colour:navy), head:belt(colour:black)"),
        ("dress shirt for the office", "head:shirt(compound:dress, occasion:office)"),
        ("bag with gold chain for women", "head:bag(part:chain(colour:gold), gender:women)"),
        ("something black for men", "head:(other:something, colour:black, gender:men)"),
        ("red belt to go with a suit", "head:belt(colour:red, purpose:suit)"),
        ("香芋紫衬衫,男,上班穿", "head:衬衫(other:香芋, colour:紫, gender:男, occasion:上班)"),
        ("glittery frobnicator", "head:(other:glittery, other:frobnicator)"),
        ("", "head:"),
    ],
)  # fmt: skip
def test_trees_of_phrases(text: str, tree: str) -> None:
    assert heads(text) == tree


def test_full_width_and_case_make_no_difference() -> None:
    assert heads("Ｗomen’s RED Dress") == "head:dress(gender:women's, colour:red)"


@pytest.mark.parametrize(
    "text", ["🙂", "\x00\ud800", "ваза แจกัน", ",,, 带 with", "men" * 5000, "黑" * 5000]
)
def test_any_text_has_a_tree(text: str) -> None:
    tree = parse(text)
    assert tree.relation == "phrase"
    assert len(tree.children) >= 1
    assert sum(1 for _ in tree.walk()) <= MAX_UNITS + 2


def test_language_is_chinese_where_there_are_chinese_characters() -> None:
    assert [language_of(text) for text in ("polo", "polo款", "")] == ["en", "zh", "en"]


def test_values_come_from_words_of_either_language() -> None:
    assert [(u.role, u.value) for u in units("midnight blue 卫衣")] == [
        ("colour", "Navy Blue"), ("type", "Sweatshirts")
    ]  # fmt: skip


def test_every_word_of_captions_is_known_by_its_own_value() -> None:
    """The lexicon is no other than the table that captions are made of."""
    for value, noun in NOUNS.items():
        assert canonical("type", value, "en") == noun.english
        assert canonical("type", value, "zh") == noun.chinese.lower()
    for table, role in ((COLOURS, "colour"), (USAGES, "occasion")):
        for value, words in table.items():
            assert (canonical(role, value, "en"), canonical(role, value, "zh")) == words
    assert {v: canonical("gender", v, "zh") for v in GENDERS} == {
        value: gender.chinese for value, gender in GENDERS.items()
    }
    for name, chinese in PATTERNS_ZH.items():
        role = "pattern" if name in words_of("pattern") else "material"
        assert (canonical(role, name, "en"), canonical(role, name, "zh")) == (name, chinese)


def test_no_word_names_two_values_and_wider_ones_exist() -> None:
    said = [w for role in TABLES for ws in words_of(role).values() for w in {*ws["en"], *ws["zh"]}]
    assert sorted({w for w in said if said.count(w) > 1}) == []
    known = {value for role in TABLES for value in words_of(role)}
    assert {*WIDER, *WIDER.values()} <= known
    assert all(pattern().fullmatch(word) for word in said)
