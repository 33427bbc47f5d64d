"""Synonyms: under one target each, named in every paraphrase, and mixed into training."""

from __future__ import annotations

import json
import random
from pathlib import Path

import fashion_captions
import pytest
import torch
from conftest import TINY_VQGAN, tiny_tokenizer
from toy_data import toy_samples, write_folder, write_shards
from toy_training import model_config

from ufc.conditioning.text import TextTokenizer
from ufc.training.batches import Batches
from ufc.training.codes.cache import CodeCache
from ufc.training.conditioning_dropout import ControlOdds, captions, training_texts
from ufc.training.config import TrainConfig
from ufc.training.contrastive_training import Minibatches
from ufc.training.lexicon.mixture import Mixture
from ufc.training.lexicon.paraphrase import is_plural, paraphrase, with_typo
from ufc.training.lexicon.words import (
    CURATED,
    DRAWN,
    LANGUAGES,
    SLOTS,
    SYNONYMS,
    Lexicon,
    load_lexicon,
    read_groups,
    slot_names,
    twins,
)
from ufc.training.trainer import main
from ufc_base.data.datasets import DataError, Pixels, open_dataset

TABLES = {
    "types": fashion_captions.NOUNS,
    "colours": fashion_captions.COLOURS,
    "owners": fashion_captions.GENDERS,
    "audiences": fashion_captions.GENDERS,
    "usages": fashion_captions.USAGES,
    "patterns": fashion_captions.PATTERNS_ZH,
}
OF_TOYS = """
extends: false
types:
  bag: {en: [bag, purse, sack], zh: [包, 手袋]}
  shirt: {en: [shirt, chemise], zh: [衬衫, 衬衣]}
colours:
  red: {en: [red, scarlet], zh: [红色, 朱红]}
  blue: {en: [blue, azure], zh: [蓝色, 天蓝]}
"""


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    """A lexicon file for the records of `toy_data`."""
    file = tmp_path / "toys.yaml"
    file.write_text(OF_TOYS, encoding="utf-8")
    return file


def fake_records(count: int) -> list[dict[str, object]]:
    rng = random.Random(0)
    return [
        {
            "type": rng.choice(list(TABLES["types"])),
            "colour": rng.choice(list(TABLES["colours"])),
            "gender": rng.choice(list(TABLES["owners"])),
            "usage": rng.choice(list(TABLES["usages"])),
            "patterns": rng.sample(list(TABLES["patterns"]), rng.randrange(3)),
        }
        for _ in range(count)
    ]


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def names_type(text: str, type_: str, lexicon: Lexicon, language: str) -> bool:
    """Whether a text has a word for a type, or is put as what its family is for."""
    family = lexicon.family_of(type_)
    phrases = family.phrases[language] if family else []
    frames = [phrase.replace("{my}", "{colour}").split("{colour}") for phrase in phrases]
    return any(word in text for word in lexicon.of("types", type_, language)) or any(
        all(part.removeprefix("a ") in text for part in frame) for frame in frames
    )


def test_what_stands_for_the_catalogue_is_in_its_table_with_its_own_word_first() -> None:
    lexicon = load_lexicon()
    assert {kind: set(words) for kind, words in lexicon.words.items()} == {
        kind: set(table) for kind, table in TABLES.items()
    }
    for kind, table in (("types", TABLES["types"]), ("colours", TABLES["colours"])):
        for target, own in table.items():
            firsts = [lexicon.of(kind, target, language).common[0] for language in LANGUAGES]
            assert firsts == list(own[:2]), target
    named = [type_ for one in lexicon.families.values() for type_ in one.types]
    named += [type_ for one in lexicon.occasions.values() for type_ in one.types]
    assert set(named) | set(lexicon.measures) <= set(TABLES["types"])
    usages = {usage for one in lexicon.occasions.values() for usage in one.usages}
    assert usages <= set(TABLES["usages"])


def test_no_word_stands_under_two_values_and_all_have_several() -> None:
    lexicon = load_lexicon()
    assert twins(lexicon) == []
    for kind in ("types", "colours"):
        for target, entry in lexicon.words[kind].items():
            assert all(len(list(entry[language])) >= 3 for language in LANGUAGES), target
    words = [word for entry in lexicon.words["types"].values() for word in entry["zh"]]
    assert all(is_chinese(word) for word in words)


def test_articles_agree_with_the_catalogue_s_own_plurals() -> None:
    for noun in fashion_captions.NOUNS.values():
        assert is_plural(noun.english) == noun.plural, noun.english


def test_every_group_names_its_source_and_the_files_are_small() -> None:
    groups = [group for path in (CURATED, DRAWN) for group in read_groups(path)]
    assert [group["source"] for group in groups] == ["curated", "wordnet", "xkcd", "css", "cilin"]
    assert all(group["licence"] for group in groups)
    assert CURATED.stat().st_size + DRAWN.stat().st_size < 200_000


def test_paraphrases_name_type_and_colour_in_both_languages() -> None:
    lexicon, heard = load_lexicon(), {"en": 0, "zh": 0}
    for number, record in enumerate(fake_records(200)):
        text = paraphrase(record, random.Random(number), typos=0.0)
        language = "zh" if is_chinese(text) else "en"
        heard[language] += 1
        assert any(word in text for word in lexicon.of("colours", record["colour"], language)), text
        assert names_type(text, str(record["type"]), lexicon, language), (text, record)
        assert "{" not in text and "  " not in text
    assert min(heard.values()) > 50


def test_every_form_can_be_filled() -> None:
    for forms in load_lexicon().forms.values():
        assert all(slot_names(form) <= SLOTS for form in forms)
        assert len(set(forms)) == len(forms)


def test_a_paraphrase_is_a_function_of_its_seed_and_loose() -> None:
    record = fake_records(1)[0]
    texts = [paraphrase(record, random.Random(seed)) for seed in range(60)]
    assert texts == [paraphrase(record, random.Random(seed)) for seed in range(60)]
    assert len(set(texts)) > 50


def test_two_records_under_one_seed_are_put_in_the_same_form(tmp_path: Path) -> None:
    """Else a rival, a text that is wrong in one thing, would be told by its form."""
    words = {f"{kind}s": {x: {"en": [f"{x}-{kind}"]} for x in "bc"} for kind in ("type", "colour")}
    (tmp_path / "words.json").write_text(json.dumps({"extends": False, **words}))
    lexicon = load_lexicon(tmp_path / "words.json")
    for seed in range(40):
        one, other = (
            paraphrase({"type": "b", "colour": x}, random.Random(seed), lexicon, 0) for x in "bc"
        )
        assert one.replace("b-colour", "c-colour") == other
        assert one != other


def test_fields_that_are_missing_are_not_spoken_of() -> None:
    for seed in range(30):
        text = paraphrase({"type": "Watches", "colour": "NA"}, random.Random(seed), typos=0.0)
        words = load_lexicon().words["types"]["Watches"]
        assert any(word in text for language in LANGUAGES for word in words[language]), text
    assert paraphrase({"type": "spaceship", "colour": "Red"}, random.Random(0)) == ""
    assert paraphrase({}, random.Random(0)) == ""


def test_a_typo_changes_one_word_a_little() -> None:
    changed = {with_typo("purple trainers", random.Random(seed)) for seed in range(50)}
    assert len(changed) > 5
    for text in changed:
        kept = set(text.split()) & {"purple", "trainers"}
        assert len(kept) >= 1 and abs(len(text) - len("purple trainers")) <= 1
    assert with_typo("a bag", random.Random(0)) == "a bag"


def test_words_of_one_s_own_are_taken_from_whatever_they_stood_under(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "types:\n  Slippers: {en: [slippers, house slippers]}\n  Tshirts: {en: [polera]}\n"
    )
    lexicon = load_lexicon(file)
    assert "slippers" not in list(lexicon.of("types", "Flip Flops", "en"))
    assert list(lexicon.of("types", "Slippers", "en")) == ["slippers", "house slippers"]
    assert lexicon.of("types", "Tshirts", "en").common[0] == "t-shirt"
    assert "polera" in lexicon.of("types", "Tshirts", "en").common
    assert "slippers" in list(load_lexicon().of("types", "Flip Flops", "en"))
    text = paraphrase({"type": "Slippers", "colour": "Red"}, random.Random(1), lexicon)
    assert text and not is_chinese(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("types: [a", "cannot be read"),
        ("7", "wanted a mapping"),
        ("typs: {}", "unknown typs; known are types"),
        ("types: {a: {en: word}}", "types, a, en: got the text .word., wanted a list"),
        ("colours: {a: {en: [x, yes]}}", "wanted a list of words"),
        ("colours: {a: {en: [x]}, b: {en: [x]}}", "x under a and b"),
        ("forms: {en: ['{thing} {of} me']}", "has a slot {of}"),
        ("forms: {en: ['{thing']}", "expected '}'"),
        ("forms: {fr: ['{thing}']}", "wanted en or zh"),
        ("families: {a: {types: [b], en: ['some {thing}']}}", "has a slot {thing}"),
    ],
)
def test_a_lexicon_that_is_not_of_the_form_is_refused(
    tmp_path: Path, text: str, wanted: str
) -> None:
    (tmp_path / "l.yaml").write_text(text)
    with pytest.raises(DataError, match=wanted):
        load_lexicon(tmp_path / "l.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        load_lexicon(tmp_path / "none.yaml")


def test_settings_of_paraphrases_fit_each_other() -> None:
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        TrainConfig(paraphrase_share=1.5)
    with pytest.raises(ValueError, match="goes with paraphrase_share"):
        TrainConfig(lexicon="words.yaml")


def mixed(tmp_path: Path, share: float, toys: Path) -> Batches:
    samples = open_dataset(write_folder(tmp_path / f"f{share}"))
    mixture = Mixture(share, 1, load_lexicon(toys))
    text = TextTokenizer.train(training_texts(samples, mixture), 400)
    cache = CodeCache.build(
        tiny_tokenizer(), Pixels(samples, TINY_VQGAN.resolution), tmp_path / f"c{share}",
        augmentations=0, seed=0,
    )  # fmt: skip
    odds = ControlOdds((1.0,), text=(1.0, 1.0), word_drop=0.0, masked_text=0.0)
    return Batches(
        cache, samples, text, batch_size=8, seed=1, neighbour_keys=("type", "colour"), odds=odds,
        mixture=mixture,
    )  # fmt: skip


def test_a_share_of_a_step_s_captions_are_paraphrases(tmp_path: Path, toys: Path) -> None:
    known = {text for _, _, record in toy_samples(8) for text in captions(record)}
    shares = {}
    for share in (0.3, 1.0):
        batches = mixed(tmp_path, share, toys)
        texts = [batches.text.decode(i.text) for step in range(25) for i in batches(step).items]
        shares[share] = sum(text not in known for text in texts) / len(texts)
        again = mixed(tmp_path / "again", share, toys)
        assert [i.text for i in again(7).items] == [i.text for i in batches(7).items]
    assert 0.2 < shares[0.3] < 0.4 and shares[1.0] > 0.85


def test_a_paraphrase_has_a_paraphrase_for_its_rival(tmp_path: Path, toys: Path) -> None:
    batches = mixed(tmp_path, 1.0, toys)
    words = load_lexicon(toys).words
    pairs = 0
    for step in range(8):
        batch = batches(step)
        for item, rival in zip(batch.items, batch.rivals, strict=True):
            own, other = batches.text.decode(item.text), batches.text.decode(rival)
            if not rival or is_chinese(own):
                continue
            for kind in ("types", "colours"):
                for entry in words[kind].values():
                    for word in sorted(entry["en"], key=len, reverse=True):
                        own, other = (x.replace(word, kind) for x in (own, other))
            # Articles of their own (an azure, a red) and typos apart, one thing differs.
            own, other = (x.replace(" an ", " a ") for x in (own, other))
            pairs += 1
            assert own == other or len(own.split()) == len(other.split())
    assert pairs > 10


def test_a_vocabulary_knows_the_words_of_paraphrases(tmp_path: Path, toys: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "f"))
    texts = training_texts(samples, Mixture(0.3, 0, load_lexicon(toys)))
    assert len(texts) == len(training_texts(samples)) + 3 * len(samples)
    without = TextTokenizer.train(training_texts(samples), 600)
    with_them = TextTokenizer.train(texts, 600)
    assert len(with_them.encode("scarlet purse")) < len(without.encode("scarlet purse"))


def test_the_towers_see_paraphrases_too(tmp_path: Path, toys: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "f"))
    text = TextTokenizer.train(training_texts(samples), 300)
    pixels = Pixels(samples, 16)
    plain, mixed = (
        Minibatches(samples, pixels, text, 0, words)
        for words in (None, Mixture(0.5, 0, load_lexicon(toys)))
    )
    one, two = plain.sample(64, 3), mixed.sample(64, 3)
    same = sum(a == b for a, b in zip(one[1], two[1], strict=True))
    assert one[0] == two[0] and torch.equal(one[2], two[2])
    assert 20 < same < 48


@pytest.mark.parametrize("streaming", [False, True])
def test_training_from_end_to_end(
    tmp_path: Path, toys: Path, capsys: pytest.CaptureFixture[str], streaming: bool
) -> None:
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    data = write_shards(tmp_path / "data", shards=4)
    settings = {"streaming": streaming, "stream_lanes": 4, "data_workers": 0, "max_train_steps": 6}
    config = model_config(data, tmp_path / "tokenizer", tmp_path / "out", paraphrase_share=0.5,
                          lexicon=str(toys), **settings)  # fmt: skip
    main(config)
    assert "paraphrases:" not in capsys.readouterr().err
    words = TextTokenizer.load(tmp_path / "out" / "tokenizer.json")
    assert words.decode(words.encode("a scarlet purse")) == "a scarlet purse"
    config = model_config(data, tmp_path / "tokenizer", tmp_path / "packaged",
                          paraphrase_share=0.5, **settings)  # fmt: skip
    main(config)
    assert capsys.readouterr().err.count("8 of 8 samples have no `type`") == 1


def test_kinds_of_words_are_all_there() -> None:
    lexicon = load_lexicon()
    assert all(lexicon.count(kind, language)[1] > 20 for kind in SYNONYMS for language in LANGUAGES)
