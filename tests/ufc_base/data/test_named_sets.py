"""Sets by name, as `datasets` loads them, give what the same files give by path."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from toy_data import toy_samples, write_folder, write_shards
from toy_training import model_config, tokenizer_config, weights

from estimators.metrics.sets.picture_set import open_set
from ufc.cli.main import main
from ufc_base.data.addresses import NamedSet
from ufc_base.data.datasets import (
    DataError,
    Reading,
    Samples,
    open_dataset,
    shard_urls,
    streamed_shards,
    streams,
)
from ufc_base.data.named import picture_bytes
from ufc_base.data.records import USUAL
from ufc_base.data.streams import StreamPlan, first_records, lane_samples, open_stream

datasets = pytest.importorskip("datasets")
COUNT = 10


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(image: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")  # type: ignore[attr-defined]
    return stream.getvalue()


def write_parquet(
    folder: Path, rows: list[dict[str, object]], part: str = "train", **kinds: object
):
    """Rows with pictures in them, as sets of the hub have them."""
    features = datasets.Features(
        {name: kinds.get(name) or datasets.Value("string") for name in rows[0]}
        | {"image": datasets.Image()}
    )
    folder.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(str(folder / f"{part}-00000-of-00001.parquet"))
    return folder


def toy_rows(count: int = COUNT) -> list[dict[str, object]]:
    return [
        {"image": {"bytes": png(image), "path": f"{name}.png"}} | record
        for name, image, record in toy_samples(count)
    ]


def seen(samples: Samples) -> list[tuple[str, bytes, dict[str, object]]]:
    return [(s.id, s.image.tobytes(), s.record) for s in (samples[i] for i in range(len(samples)))]


def test_a_split_of_a_saved_set_is_that_split_and_no_other(tmp_path: Path) -> None:
    features = datasets.Features(
        {name: datasets.Value("string") for name in toy_rows(1)[0]} | {"image": datasets.Image()}
    )
    whole = datasets.Dataset.from_list(toy_rows(), features=features)
    datasets.DatasetDict({"train": whole}).save_to_disk(tmp_path / "parts")
    whole.save_to_disk(tmp_path / "plain")

    def ids(split: str, folder: str = "parts") -> list[str]:
        samples = open_dataset(str(NamedSet(str(tmp_path / folder), split=split)))
        return [samples[index].id for index in range(len(samples))]

    train, held_out = ids("train[:80%]"), ids("train[80%:]")
    assert len(train) == 8 and len(held_out) == 2 and not set(train) & set(held_out)
    assert ids("train[80%:]+train[:80%]") == held_out + train
    for split in ("test", "train[", "train[:5%"):
        with pytest.raises(DataError, match="has the splits train"):
            ids(split)
    with pytest.raises(DataError, match="without splits"):
        ids("train", "plain")


@pytest.mark.parametrize("kind", ["imagefolder", "folder", "parquet", "webdataset", "saved"])
def test_a_set_by_name_is_that_by_path(tmp_path: Path, kind: str) -> None:
    plain = write_folder(tmp_path / "plain", COUNT)
    named = {
        "imagefolder": lambda: NamedSet("imagefolder", data_dir=str(plain)),
        "folder": lambda: NamedSet(str(plain)),
        "parquet": lambda: NamedSet(
            "parquet", data_dir=str(write_parquet(tmp_path / "p", toy_rows()))
        ),
        "webdataset": lambda: NamedSet(
            "webdataset", data_dir=str(write_shards(tmp_path / "s", COUNT, 1))
        ),
        "saved": lambda: saved(plain, tmp_path / "saved"),
    }[kind]()
    assert seen(open_dataset(str(named), split="train")) == seen(open_dataset(plain))


def saved(plain: Path, folder: Path) -> NamedSet:
    datasets.load_dataset("imagefolder", data_dir=str(plain)).save_to_disk(str(folder))
    return NamedSet(str(folder), split="train")


def test_an_address_is_read_as_it_is_written() -> None:
    named = NamedSet("some one/s?t", "en", "/a b/ü&=", "train[:10%]", "main", "0/3")
    assert NamedSet.parse(str(named)) == named
    assert NamedSet.parse("datasets:imagefolder") == NamedSet("imagefolder")
    for wrong in ("datasets:", "datasets:a?splits=train"):
        with pytest.raises(DataError, match="wanted datasets:NAME"):
            NamedSet.parse(wrong)


def test_splits_are_chosen_by_what_they_are_for_or_by_name(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("test", 2)):
        write_parquet(tmp_path / "p", toy_rows(count), part)
    named = NamedSet("parquet", data_dir=str(tmp_path / "p"))
    assert len(open_dataset(str(named), split="train")) == 4
    assert len(open_dataset(str(named), split="validation")) == 2
    assert len(open_dataset(str(replace(named, split="train[:50%]")))) == 2
    with pytest.raises(DataError, match="has the splits train, test"):
        open_dataset(str(named))
    with pytest.raises(DataError, match=r"Unknown split .*val"):
        open_dataset(str(replace(named, split="val")))


def test_columns_are_found_or_asked_for(tmp_path: Path) -> None:
    rows = [
        {"image": row["image"], "left": row["image"], "kind": n % 2, "said": "a bag", "text": None}
        for n, row in enumerate(toy_rows(2))
    ]
    kinds = {"left": datasets.Image(), "kind": datasets.ClassLabel(names=["bag", "hat"])}
    named = str(
        NamedSet("parquet", data_dir=str(write_parquet(tmp_path / "p", rows, **kinds)))  # type: ignore[arg-type]
    )
    assert open_dataset(named).record(1) == {"kind": "hat", "said": "a bag"}
    reading = Reading(caption_column="said", image_column="left")
    assert open_dataset(named, reading).record(0) == {
        "kind": "bag",
        "said": "a bag",
        "text": "a bag",
    }
    with pytest.raises(DataError, match=r"no column 'right'.* pictures are image, left, others"):
        open_dataset(named, Reading(image_column="right"))


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    rows = toy_rows(6)
    rows[1]["image"] = {"bytes": b"no picture", "path": "b.png"}
    rows[2]["image"] = None
    named = str(NamedSet("parquet", data_dir=str(write_parquet(tmp_path / "p", rows))))
    with pytest.raises(DataError, match="2 of 6 pictures cannot be read"):
        open_dataset(named)
    found = open_dataset(named, Reading(max_unreadable=0.5))
    assert len(found) == 4
    assert "row 2: it has no picture" in found.said()[0]


def test_a_row_opens_no_connection(tmp_path: Path) -> None:
    for path in ("https://example.org/a.png", "zip://a.png::ftp://example.org/a.zip"):
        with pytest.raises(DataError, match="outside of the set"):
            picture_bytes({"bytes": None, "path": path})


@pytest.mark.parametrize(
    ("name", "data_dir"), [("imagefolder", "nowhere"), ("csv", "texts"), ("no/such-set", None)]
)
def test_what_is_no_set_of_pictures_is_refused_in_a_line(
    tmp_path: Path, name: str, data_dir: str | None
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.csv").write_text("text\nred bag\n")
    folder = data_dir and str(tmp_path / data_dir)
    with pytest.raises(DataError) as caught:
        open_dataset(str(NamedSet(name, data_dir=folder)))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_content_is_what_the_rows_hold_and_not_where(tmp_path: Path) -> None:
    sets = [
        open_dataset(str(NamedSet("parquet", data_dir=str(write_parquet(folder, rows)))))
        for folder, rows in (
            (tmp_path / "a", toy_rows()),
            (tmp_path / "b", toy_rows()),
            (tmp_path / "c", toy_rows(9)),
        )
    ]
    assert sets[0].content == sets[1].content != sets[2].content
    assert open_set(str(NamedSet(str(tmp_path / "a")))).formats == f"png {COUNT}"


def test_a_stream_sees_everything_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "s", COUNT, 3)
    named = str(NamedSet("webdataset", data_dir=str(folder)))
    urls = streamed_shards(named, USUAL, True, "train")
    assert urls is not None and len(urls) == 3
    plan = StreamPlan(tuple(urls), lanes=2, per_lane=1, shuffle=2, seed=0)
    keys: Counter[str] = Counter()
    for lane in range(2):
        for raw, position in lane_samples(plan, lane):
            if position[0]:
                break
            keys[raw["__key__"]] += 1
    assert keys == Counter(f"p{number:03d}" for number in range(COUNT))
    stream = open_stream(plan, range(2), 8, workers=0)
    stream.next()
    held = dict(stream.positions)
    then = stream.next()
    again = open_stream(plan, range(2), 8, workers=0)
    again.load_positions(held, plan.about)
    now = again.next()
    assert now[1] == then[1] and bool((now[0] == then[0]).all())
    assert [r["text"] for r in first_records(urls, 2)] == ["red bag", "blue shirt"]
    assert streams(shard_urls(named), None) is False


@pytest.mark.parametrize("streaming", [None, True])
def test_both_stages_train_on_a_set_by_name_as_on_the_folder(
    tmp_path: Path, streaming: bool | None
) -> None:
    import ufc.training.trainer as second
    import vqgan.training.trainer as first

    data = write_folder(tmp_path / "plain", COUNT)
    write_parquet(tmp_path / "p", toy_rows())
    write_parquet(tmp_path / "p", toy_rows(2), "validation")
    own: dict[str, object] = {"dataset_name": "parquet", "train_data_dir": str(tmp_path / "p")}
    own |= {"streaming": streaming, "stream_lanes": 4, "data_workers": 0}
    out = tmp_path / "named"
    first.main(tokenizer_config(data, out, max_train_steps=6, val_split="validation", **own))
    if not streaming:
        first.main(tokenizer_config(data, tmp_path / "path", max_train_steps=6))
        same = zip(weights(out).values(), weights(tmp_path / "path").values(), strict=True)
        assert all(bool((a == b).all()) for a, b in same)
    model = model_config(data, out, tmp_path / "model", max_train_steps=2, **own)
    second.main(replace(model, val_split="validation"))
    lines = (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()
    assert any("val_code_loss" in json.loads(line) for line in lines)


def test_settings_say_which_data(tmp_path: Path) -> None:
    base = tokenizer_config(tmp_path, tmp_path / "out")
    assert base.training_data == str(tmp_path) and base.held_out_data is None
    hub = replace(base, dataset_name="one/set", train_data_dir="", dataset_config_name="en")
    assert hub.training_data == "datasets:one/set?config=en"
    assert replace(hub, val_split="test").held_out_data == "datasets:one/set?config=en&split=test"
    assert replace(hub, val_data_dir="held").held_out_data == "held"
    built = replace(base, dataset_name="parquet", train_data_dir="a", val_data_dir="b")
    assert built.held_out_data == "datasets:parquet?data_dir=b"
    with pytest.raises(ValueError, match="val_split is of a data set by name"):
        replace(base, val_split="test")


def test_pictures_are_measured_against_a_set_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = write_folder(tmp_path / "fake", 6)
    for part, count in (("train", 8), ("test", 6)):
        write_parquet(tmp_path / "p", toy_rows(count), part)
    own = ["--extractor", "toy_extractor:tiny_extractor", "--fid", "--json", "--no-cache"]
    named = ["--dataset-name", str(tmp_path / "p"), "--real-split", "test"]
    figures = []
    for real in (["--real", str(fake)], named):
        assert main(["evaluate", str(fake), *real, *own]) == 0
        figures.append(json.loads(capsys.readouterr().out)["fid"])
    assert figures[0] == figures[1]
    assert main(["evaluate", str(fake), *named[:2], *own]) == 2
    assert "--real-split" in capsys.readouterr().err
