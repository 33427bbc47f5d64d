"""Dominant colours of generated products, their agreement, and the reference test around them."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from estimators.metrics.references import __main__ as references
from estimators.metrics.references.colour import (
    NAMES,
    agreement,
    dominant_colour,
    product_mask,
    rgb_to_lab,
    without_colour,
)
from estimators.metrics.references.pairing import pair_up


def shirt(colour, size=64, ground="white"):
    image = Image.new("RGB", (size, size), ground)
    edge = size // 5
    ImageDraw.Draw(image).rectangle((edge, edge, size - edge, size - edge), fill=colour)
    return image


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((15, 15, 18), "black"), ((128, 128, 128), "grey"), ((200, 30, 40), "red"),
        ((250, 150, 180), "pink"), ((245, 130, 20), "orange"), ((100, 65, 40), "brown"),
        ((215, 195, 165), "beige"), ((250, 220, 40), "yellow"), ((100, 105, 45), "olive"),
        ((30, 140, 60), "green"), ((40, 90, 200), "blue"), ((25, 30, 70), "navy"),
        ((110, 40, 140), "purple"),
    ],
)  # fmt: skip
def test_plain_colours_have_their_names(rgb, name):
    found = dominant_colour(shirt(rgb))
    assert found.name == name
    assert found.share == 1.0
    np.testing.assert_allclose(found.lab, rgb_to_lab(np.array(rgb, np.uint8)))


def test_a_white_product_is_not_the_ground():
    image = shirt((238, 238, 240))
    ImageDraw.Draw(image).rectangle((30, 30, 34, 34), fill="red")  # a small print
    assert dominant_colour(image).name == "white"
    assert dominant_colour(Image.new("RGB", (32, 32), "white")).name == "white"


def test_white_inside_an_outline_belongs_to_the_product():
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle((10, 10, 50, 50), outline="black", width=2)
    mask = product_mask(rgb_to_lab(np.asarray(image)))
    assert mask[30, 30]
    assert not mask[2, 2]


def test_the_larger_part_wins_and_modes_and_sizes_do_not_matter():
    image = shirt((200, 30, 40), 200)
    ImageDraw.Draw(image).rectangle((40, 40, 160, 70), fill=(40, 90, 200))
    for same in (image, image.convert("P"), image.convert("RGBA"), image.resize((64, 64))):
        found = dominant_colour(same)
        assert found.name == "red"
        assert 0.6 < found.share < 0.85


def test_lab_of_known_colours():
    known = {(255, 255, 255): (100, 0, 0), (0, 0, 0): (0, 0, 0), (255, 0, 0): (53.24, 80.09, 67.2)}
    for rgb, lab in known.items():
        np.testing.assert_allclose(rgb_to_lab(np.array(rgb, np.uint8)), lab, atol=0.05)


def colours(seed, count=60):
    rng = np.random.default_rng(seed)
    return [
        dominant_colour(shirt(tuple(map(int, rgb)), 16)) for rgb in rng.integers(0, 230, (count, 3))
    ]


def test_agreement_of_equal_and_of_unrelated_pictures():
    given = colours(0)
    same = agreement(given, given)
    assert (same.same, same.nearer) == (1.0, pytest.approx(1.0, abs=0.01))
    assert same.p_value < 0.01
    strangers = agreement(colours(1), given)
    assert strangers.same == pytest.approx(strangers.same_by_chance, abs=0.12)
    assert strangers.nearer == pytest.approx(0.5, abs=0.1)
    assert strangers.p_value > 0.01
    assert agreement(given, given) == same  # seeded
    with pytest.raises(ValueError, match="equal numbers"):
        agreement(given, given[1:])


def test_pictures_that_ignore_their_references_score_chance():
    black = [dominant_colour(shirt("black"))] * 60
    result = agreement(black, colours(0))
    assert result.same == pytest.approx(result.same_by_chance)
    assert result.p_value == 1.0
    assert result.nearer == pytest.approx(0.5)


def test_colour_words_are_taken_out_of_captions():
    assert without_colour("men's navy blue casual shirt", "Navy Blue") == "men's casual shirt"
    assert without_colour("belt, Black, solid", "Black") == "belt, solid"
    assert without_colour("a shirt", "") == "a shirt"


@pytest.mark.parametrize("types", ["aabbbc", "abcd", "aabbcc", "ab", "baaaa"])
def test_references_are_others_of_the_same_type(types):
    chosen = pair_up(types)
    assert all(index != other for index, other in enumerate(chosen))
    for index, other in enumerate(chosen):
        assert types[index] == types[other] or types.count(types[index]) == 1
    with pytest.raises(ValueError, match="2 or more"):
        pair_up("a")


def test_the_reference_test_from_the_command_line(tmp_path, capsys):
    data, requests, pictures = tmp_path / "data", tmp_path / "requests", tmp_path / "pictures"
    data.mkdir()
    pictures.mkdir()
    tones = {
        "Red": (200, 30, 40),
        "Blue": (40, 90, 200),
        "Green": (30, 140, 60),
        "Black": (9, 9, 9),
    }
    lines = []
    for row, name in enumerate([*tones, *tones, *tones]):
        shirt(tones[name]).save(data / f"{row}.png")
        record = {"id": str(row), "text": f"a {name.lower()} shirt", "type": "T", "colour": name}
        lines.append(json.dumps({"file_name": f"{row}.png", **record}))
    (data / "metadata.jsonl").write_text("\n".join(lines))
    assert references.main(["prompts", str(data), "-o", str(requests)]) == 0
    rows = [json.loads(line) for line in (requests / "prompts.jsonl").read_text().splitlines()]
    assert {row["prompt"] for row in rows} == {"a shirt"}
    for row in rows:  # a generator that copies its reference
        reference = Image.open(requests / row["reference_images"][0])
        reference.resize((32, 32)).save(pictures / f"{row['id']}-{row['seed']}-0.png")
    capsys.readouterr()
    judge = ["judge", str(pictures), "--requests", str(requests)]
    assert references.main([*judge, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["count"], report["same"]) == (12, 1.0)
    assert report["same_by_chance"] < 0.5
    assert references.main(judge) == 0
    assert "by chance 50.0%" in capsys.readouterr().out
    assert references.main(["judge", str(data), "--requests", str(requests)]) == 2


def test_names_are_distinct():
    assert len(set(NAMES)) == len(NAMES)
