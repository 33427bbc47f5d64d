"""The script that makes shards of the public fashion data set, on a data set of its own layout."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from fashion_captions import Product, record
from PIL import Image
from prepare_fashion import COLUMNS, main, split_of

SHIRT = "Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011,Casual,Turtle Check Men Navy Blue Shirt"
ROWS = [
    f"15970,{SHIRT}",
    "39386,Women,Footwear,Shoes,Heels,Orange,Summer,2012,Casual,Catwalk, Women, Orange Heels",
    "10026,Unisex,Accessories,Bags,Backpacks,NA,Fall,2011,,Wildcraft Unisex  Backpack",
    "10027,Women,Apparel,Innerwear,Bra,Black,Summer,2012,Casual,Some Bra",
    "10028,Boys,Apparel,Topwear,Tshirts,Red,Summer,2012,Casual,Boys Red Tshirt",
    "10029,Women,Personal Care,Lips,Lipstick,Red,Spring,2017,Casual,Red Lipstick",
    "10030,Men,Accessories,Gadgets,Ipad,Black,Spring,2017,Casual,Tablet",
    "10031,Men,Apparel,Topwear,Shirts,Blue,Spring,2017,Casual,Picture is missing",
    "10032,Men,Apparel,Topwear,Shirts,Blue,Spring,2017,Casual,Picture is damaged",
    "../evil,Men,Apparel,Topwear,Shirts,Blue,Spring,2017,Casual,Path",
    "10033,Men,short row",
    f"15970,{SHIRT}",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    lines = [",".join(COLUMNS), *ROWS]
    (folder / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for identity in ("15970", "39386", "10026"):
        Image.new("RGB", (60, 80), (10, 20, 120)).save(folder / "images" / f"{identity}.jpg")
    (folder / "images" / "10032.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    return folder


def read_samples(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                files[f"{path.parent.name}/{member.name}"] = stream.read()
    return files


def test_shards_hold_the_fashion_and_nothing_else(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "shards"
    assert main([str(source), "--output-dir", str(output), "--size", "32"]) == 0
    files = read_samples(output)
    kept = ("15970", "39386", "10026")
    assert set(files) == {f"{split_of(i)}/{i}.{e}" for i in kept for e in ("webp", "json")}
    assert not list(output.rglob("*.part"))
    report = capsys.readouterr().out
    for reason in ("children's wear: 1", "not fashion: 1", "innerwear and nightwear: 1"):
        assert f"left out, {reason}" in report
    assert "image missing or unreadable: 2" in report
    assert "id seen before: 1" in report


def test_image_is_square_with_white_padding(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "shards"
    main([str(source), "--output-dir", str(output), "--size", "32"])
    image = Image.open(io.BytesIO(read_samples(output)[f"{split_of('15970')}/15970.webp"]))
    pixels = np.asarray(image)
    assert image.format == "WEBP" and image.mode == "RGB" and image.size == (32, 32)
    assert pixels[:, 0].min() > 245 and pixels[:, -1].min() > 245
    assert pixels[16, 16, 2] > 90 and pixels[16, 16, 0] < 40


def test_the_same_source_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        main([str(source), "--output-dir", str(tmp_path / name), "--size", "32"])
    shards = [sorted((tmp_path / name).rglob("*.tar")) for name in ("a", "b")]
    assert [p.read_bytes() for p in shards[0]] == [p.read_bytes() for p in shards[1]]


def test_its_own_shards_pass_its_check(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "shards"
    main([str(source), "--output-dir", str(output), "--size", "32", "--shard-size", "1"])
    assert main(["--check", str(output)]) == 0
    assert "3 of 3 records reproduced exactly" in capsys.readouterr().out


def test_captions_in_both_languages() -> None:
    product = Product(
        id="15970",
        title="Turtle Check Men Navy Blue Shirt",
        gender="Men",
        category="Apparel",
        type="Shirts",
        colour="Navy Blue",
        usage="Casual",
    )
    assert record(product) == {
        "id": "15970",
        "text": "men's navy blue checked casual shirt",
        "text_zh": "男士藏青色格纹休闲衬衫",
        "captions": [
            "men's navy blue checked casual shirt",
            "a navy blue checked casual shirt for men",
            "shirt, navy blue, checked, casual, men's",
            "navy blue shirt",
            "Turtle Check Men Navy Blue Shirt",
            "男士藏青色格纹休闲衬衫",
            "藏青色格纹休闲衬衫",
            "藏青色的衬衫",
        ],
        "title": "Turtle Check Men Navy Blue Shirt",
        "gender": "Men",
        "category": "Apparel",
        "type": "Shirts",
        "colour": "Navy Blue",
        "usage": "Casual",
        "patterns": ["checked"],
    }


@pytest.mark.parametrize(
    ("title", "patterns"),
    [
        ("U.S. Polo Assn. Men Stripes Green Polo Tshirt", ["striped", "polo"]),
        ("U.S. Polo Assn. Men Solid White Tshirt", ["solid"]),
        ("Fastrack Women Leatherette White Belt", []),
        ("W Women Floral Print Pink Kurta", ["floral", "printed"]),
        ("Puma Men graphic story tee", ["printed"]),
    ],
)
def test_patterns_are_read_from_the_title(title: str, patterns: list[str]) -> None:
    assert Product("1", title, "Men", "Apparel", "Tshirts", "NA", "NA").patterns == patterns


def test_what_is_not_known_is_not_said() -> None:
    product = Product("1", "Backpack", "Unisex", "Accessories", "Backpacks", "NA", "NA")
    values = record(product)
    assert values["text"] == "unisex backpack" and values["text_zh"] == "中性双肩包"


def test_commas_astray_stay_in_the_title(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "shards"
    main([str(source), "--output-dir", str(output), "--size", "32"])
    values = json.loads(read_samples(output)[f"{split_of('39386')}/39386.json"])
    assert values["title"] == "Catwalk, Women, Orange Heels"
    assert values["captions"][1] == "orange casual heels for women"


def test_splits_have_their_shares() -> None:
    splits = [split_of(str(identity)) for identity in range(20_000)]
    shares = [splits.count(name) / len(splits) for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.855, 0.045, 0.1], abs=0.006)


def test_bad_source_is_one_line_and_exit_2(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "styles.csv does not exist" in capsys.readouterr().err
    (source / "styles.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert main([str(source), "--output-dir", str(tmp_path / "out")]) == 2
    assert "wanted ['id'" in capsys.readouterr().err


def test_existing_shards_are_not_overwritten(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(source), "--output-dir", str(tmp_path / "shards"), "--size", "32"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "already holds shards" in capsys.readouterr().err
