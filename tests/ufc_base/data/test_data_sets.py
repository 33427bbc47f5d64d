"""Every layout of a data set is read alike: by index and in passing, from folders and tars."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_data import write_folder
from toy_training import model_config

import ufc.training.trainer
from estimators.metrics.sets.picture_set import open_set
from ufc_base.data.datasets import (
    DataError,
    DataSet,
    Reading,
    Samples,
    open_dataset,
    shard_urls,
    streams,
)
from ufc_base.data.names import grouped, is_hidden, picture_of, picture_suffixes
from ufc_base.data.opening import changes
from ufc_base.data.streams import StreamPlan, first_records, lane_samples, open_stream, record_of
from ufc_base.reading import FORMATS, load_image
from ufc_base.settings import LoopSettings
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.loop import train
from ufc_base.training.processes import Engine

TEXTS = ["red bag", "blue bag", "red hat"]


def picture_bytes(seed: int = 0, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def write_tar(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in files.items():
            own = data if isinstance(data, bytes) else data.encode()
            info = tarfile.TarInfo(name)
            info.size = len(own)
            archive.addfile(info, io.BytesIO(own))
    return path


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)


def texts(samples: DataSet) -> list[Any]:
    return [samples.record(index).get("text") for index in range(len(samples))]


def streamed(path: Path, reading: Reading | None = None) -> list[tuple[str, str]]:
    """Key and text of every sample of shards, read in passing."""
    reading = reading or Reading()
    plan = StreamPlan(tuple(shard_urls(path)), 1, 1, 1, 0, reading)
    found: list[tuple[str, str]] = []
    for raw, position in lane_samples(plan, 0):
        if position[0]:
            return found
        found.append((raw["__key__"], record_of(raw, reading).get("text", "")))
    return found


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("column", ["file_name", "image_file_name"])
@pytest.mark.parametrize("place", [".", "train", "train/a"])
def test_metadata_files_are_read(tmp_path: Path, kind: str, column: str, place: str) -> None:
    """Beside the pictures, in the folder of a split, or above both."""
    write_files(tmp_path, {f"{place}/{n}.png": picture_bytes(n) for n in range(3)})
    rows = [{column: f"{n}.png", "caption": text} for n, text in enumerate(TEXTS)]
    write_table(tmp_path / place / f"metadata.{kind}", rows)
    samples = open_dataset(tmp_path, split="train")
    assert (texts(samples), samples.captioned) == (TEXTS, 3)
    np.testing.assert_array_equal(samples[1].image, load_image(picture_bytes(1)))


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_of_a_whole_set_serves_its_splits(tmp_path: Path, kind: str) -> None:
    names = ["train/0.png", "val/1.png", "train\\2.png"]
    write_files(tmp_path, {n.replace("\\", "/"): picture_bytes(i) for i, n in enumerate(names)})
    rows = [{"file_name": n, "text": t} for n, t in zip(names, TEXTS, strict=True)]
    write_table(tmp_path / f"metadata.{kind}", rows)
    assert texts(open_dataset(tmp_path, split="train")) == [TEXTS[0], TEXTS[2]]
    assert texts(open_dataset(tmp_path, split="validation")) == [TEXTS[1]]
    with pytest.raises(DataError, match=r"several parts: say which .*train.*val"):
        open_dataset(tmp_path)


def test_splits_are_folders_of_known_names_and_others_are_kinds(tmp_path: Path) -> None:
    write_files(tmp_path / "a", {f"data/{s}/x.png": picture_bytes() for s in ("train", "test")})
    assert len(open_dataset(tmp_path / "a", split="train")) == 1
    assert open_dataset(tmp_path / "a", split="validation").places[0].parent.name == "test"
    write_files(tmp_path / "b", {f"{s}/x.png": picture_bytes() for s in ("train", "bus")})
    labels = [open_dataset(tmp_path / "b", Reading("label")).record(n)["text"] for n in range(2)]
    assert labels == ["bus", "train"]
    for split in ("train", "val"):
        write_tar(tmp_path / f"c/{split}/0.tar", {"a.png": picture_bytes(), "a.txt": split})
    assert texts(open_dataset(tmp_path / "c", split="train")) == ["train"]
    assert shard_urls(tmp_path / "c", "validation") == [str(tmp_path / "c/val/0.tar")]


def test_columns_of_captions_and_pictures(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{n}.png": picture_bytes(n) for n in range(3)})
    row = {"before_file_name": "0.png", "after_file_name": "1.png", "title": "t", "text": "x"}
    write_table(tmp_path / "metadata.jsonl", [row | {"captions": ["y"], "text_zh": "z"}])
    with pytest.raises(DataError, match=r"before_file_name, after_file_name.*--image-column"):
        open_dataset(tmp_path)
    samples = open_dataset(tmp_path, Reading("title", "after"))
    assert samples[0].image.tobytes() == load_image(picture_bytes(1)).tobytes()
    record = samples.record(0)
    assert (record["text"], record.get("captions"), record.get("text_zh")) == ("t", None, None)
    assert samples.notes == ["2 pictures are not named in metadata.jsonl"]
    write_table(tmp_path / "metadata.jsonl", [{"file_names": ["0.png", "2.png"], "text": "two"}])
    assert texts(open_dataset(tmp_path)) == ["two", "two"]
    (tmp_path / "metadata.csv").write_text("file_name\n0.png\n")
    with pytest.raises(DataError, match=r"metadata\.csv, metadata\.jsonl: leave one"):
        open_dataset(tmp_path)


def test_cells_of_csv_keep_commas_quotes_and_lines(tmp_path: Path) -> None:
    write_files(tmp_path, {"0.png": picture_bytes(), "1.png": picture_bytes(1)})
    rows = [{"file_name": "0.png", "text": 'a "red", bag\nof two lines'},
            {"file_name": "1.png", "text": ""}]  # fmt: skip
    write_table(tmp_path / "metadata.csv", rows)
    samples = open_dataset(tmp_path)
    assert (texts(samples), samples.captioned) == ([rows[0]["text"], None], 1)
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,red, blue\n")
    with pytest.raises(DataError, match=r"line 2: has more cells"):
        open_dataset(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="not a readable parquet file"):
        open_dataset(tmp_path)


def test_a_list_of_captions_is_one_and_others(tmp_path: Path) -> None:
    write_files(tmp_path, {"0.png": picture_bytes()})
    row = {"file_name": "0.png", "text": ["a", "b"], "captions": ["c"], "text_zh": ["甲", "乙"]}
    write_table(tmp_path / "metadata.jsonl", [row])
    record = open_dataset(tmp_path).record(0)
    assert (record["text"], record["text_zh"], record["captions"]) == ("a", "甲", ["b", "c", "乙"])


LAYOUTS = {
    "plain": {"{}.png": "", "{}.txt": "text"},
    "caption": {"{}.jpg": "", "{}.caption": "text"},
    "json": {"{}.png": "", "{}.json": "json"},
    "fields": {"{}.image.png": "", "{}.mask.png": "", "{}.caption.txt": "text"},
    "mixed": {"{}.png": "", "{}.mask.png": "", "{}.caption.txt": "text"},
    "folders": {"./v1.0/{}.png": "", "./v1.0/{}.txt": "text"},
}


def layout_files(layout: str, ids: Sequence[str]) -> dict[str, bytes | str]:
    forms = {"": None, "text": "{}", "json": '{{"caption": "{}"}}'}
    return {
        name.format(key): picture_bytes(n) if forms[form] is None else str(forms[form]).format(text)
        for n, (key, text) in enumerate(zip(ids, TEXTS, strict=True))
        for name, form in LAYOUTS[layout].items()
    }  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ids", [["a", "b", "c"], ["s.1", "s.2", "s.3"], ["a.v1", "b.v1", "c.v1"]])
def test_keys_are_split_alike_by_index_in_passing_and_in_folders(
    tmp_path: Path, layout: str, ids: list[str]
) -> None:
    files = layout_files(layout, ids)
    shard = write_tar(tmp_path / "shards/0.tar", files)
    indexed = open_dataset(shard)
    assert texts(indexed) == TEXTS
    assert [text for _, text in streamed(shard)] == TEXTS
    keys = [Path(key).name for key, _ in streamed(shard)]
    assert keys == [indexed[n].id for n in range(3)] == ids
    assert texts(open_dataset(write_files(tmp_path / "f", files))) == TEXTS
    assert indexed[2].image.size == (8, 8)


def test_dotted_names_that_are_not_clear_are_asked_about(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "s.left.png": picture_bytes(1),
        "s.right.png": picture_bytes(2),
        "s.txt": "both",
    }
    shard = write_tar(tmp_path / "0.tar", files)
    with pytest.raises(DataError, match=r"left\.png, right\.png: .*--image-column left"):
        open_dataset(shard)
    plan = StreamPlan((str(shard),), 1, 1, 1, 0)
    with pytest.raises(DataError, match="--image-column left"):
        open_stream(plan, [0], 8, 0).next()
    reading = Reading(image_column="right")
    sample = open_dataset(shard, reading)[0]
    assert sample.image.tobytes() == load_image(picture_bytes(2)).tobytes()
    assert streamed(shard, reading) == [("s", "both")]


def test_compressed_shards_are_read_in_passing(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "0.tar.gz", {"a.png": picture_bytes(), "a.txt": "red"})
    assert streams(shard_urls(tmp_path), None)
    assert streamed(tmp_path) == [("a", "red")]
    with pytest.raises(DataError, match="uncompressed tar"):
        open_dataset(shard)


def test_every_format_of_single_pictures_counts(tmp_path: Path) -> None:
    kinds = {"png": "PNG", "tif": "TIFF", "gif": "GIF", "jfif": "JPEG", "JPG": "JPEG",
             "bmp": "BMP", "webp": "WEBP", "ppm": "PPM"}  # fmt: skip
    files = {f"{n}.{s}": picture_bytes(n, k) for n in range(2) for s, k in kinds.items()}
    found = open_set(write_files(tmp_path / "f", files))
    assert len(found.samples) == 16
    assert found.formats == "bmp 2, gif 2, jfif 2, jpg 2, png 2, ppm 2, tif 2, webp 2"
    shard = write_tar(tmp_path / "0.tar", files)
    assert len(open_dataset(shard)) == len(streamed(shard)) == 16
    known = {Image.registered_extensions()[f".{suffix}"] for suffix in picture_suffixes()}
    assert known == set(FORMATS)


HIDDEN = (".ipynb_checkpoints/a-checkpoint.png", "._a.png", "__MACOSX/._a.png", "__MACOSX/b.png",
          ".DS_Store", "Thumbs.db", "x/.a.png", "desktop.ini")  # fmt: skip


def test_hidden_and_system_names_and_folders_are_no_pictures(tmp_path: Path) -> None:
    assert all(map(is_hidden, HIDDEN))
    assert not any(map(is_hidden, ("a.png", "./a.png", "../b/a.png", "x/_a.png", "MACOSX/a.png")))
    files: dict[str, bytes | str] = {"a.png": picture_bytes(), "a.txt": "red"}
    files |= dict.fromkeys(HIDDEN, b"\0\5\26\7")
    folder = write_files(tmp_path / "f", files)
    (folder / "folder.png").mkdir()
    shard = write_tar(tmp_path / "s/0.tar", files)
    write_files(tmp_path / "s", {"._0.tar": b"no tar"})
    found = [open_dataset(folder), open_dataset(tmp_path / "s")]
    assert [texts(samples) for samples in found] == [["red"], ["red"]]
    assert streamed(shard) == [("a", "red")]
    assert len(open_set(folder).samples) == 1


def test_what_is_unreadable_is_left_out_and_said_or_refused(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"{n:02d}.png": picture_bytes(n) for n in range(20)}
    files["07.png"] = picture_bytes(7)[:100]
    folder = write_files(tmp_path / "f", files)
    shard = write_tar(tmp_path / "s/0.tar", files)
    for path in (folder, shard):
        with pytest.raises(DataError, match=r"1 of 20 pictures .* 1\.0% .*--max-unreadable.*07"):
            open_dataset(path)
        samples = open_dataset(path, Reading(max_unreadable=0.05))
        assert [samples[n].id for n in (6, 7)] == ["06", "08"]
        assert len(samples) == 19
        assert samples.said()[0].startswith("1 unreadable, left out: ")
    found = open_set(folder, reading=Reading(max_unreadable=0.05))
    assert (len(found.samples), len(found.notes), found.formats) == (19, 1, "png 19")
    write_table(folder / "metadata.csv", [{"file_name": f"{n:02d}.png"} for n in range(30)])
    with pytest.raises(DataError, match=r"11 of 30 pictures .*there is no picture"):
        open_dataset(folder, Reading(max_unreadable=0.3))
    with pytest.raises(DataError, match="1 of 1 pictures"):  # nothing is left
        open_dataset(write_files(tmp_path / "g", {"a.png": b""}), Reading(max_unreadable=1))


def test_pictures_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_files(tmp_path, {f"{n}.png": picture_bytes(100 + n) for n in range(4)})
    looked: list[int] = []

    def find(samples: Samples) -> dict[int, str]:
        looked.append(len(samples))
        return {}

    monkeypatch.setattr("ufc_base.data.soundness.find_damage", find)
    assert [len(open_dataset(folder)) for _ in range(2)] == [4, 4]
    assert looked == [4]
    write_files(folder, {"0.png": picture_bytes(200)})  # the same name
    open_dataset(folder)
    assert looked == [4, 4]


def test_streams_count_what_they_leave_out_and_refuse_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes | str] = {f"{n:02d}.png": picture_bytes(n) for n in range(20)}
    files["07.png"] = b"damaged"
    plan = StreamPlan((str(write_tar(tmp_path / "0.tar", files)),), 1, 19, 1, 0)
    stream = open_stream(plan, [0], 8, 0)
    pixels, _ = stream.next()
    assert (len(pixels), stream.seen, stream.skipped) == (19, 20, 1)
    assert stream.left_out()[0].startswith("1 of 20 samples so far unreadable, left out: ")
    assert stream.left_out() == []
    monkeypatch.setattr("ufc_base.data.streams.SEEN_AT_LEAST", 20)
    with pytest.raises(DataError, match=r"1 of 20 pictures cannot be read.*--max-unreadable.*07"):
        open_stream(plan, [0], 8, 0).next()


def test_grouping() -> None:
    files = [("d/a.B.PNG", 1), ("d/a.txt", 2), ("d/.a.txt", 3), ("b.png", 4), ("b.png", 5)]
    assert list(grouped(files)) == [("d/a", {"b.png": 1, "txt": 2}), ("b", {"png": 5})]
    assert list(grouped([("S.V1.Png", 1), ("S.V1.TXT", 2)])) == [("S.V1", {"png": 1, "txt": 2})]
    assert picture_of(["mask.png", "image.webp", "json"]) == "image.webp"
    assert picture_of(["png", "webp"]) == "webp"
    assert picture_of(["json"]) is None


def test_a_source_that_gives_up_loses_no_step(tmp_path: Path) -> None:
    class Steps:
        step = 0

        def train_step(self, batch: Any, progress: float) -> dict[str, Any]:
            self.step += 1
            return {}

        def state_dict(self) -> dict[str, Any]:
            return {"step": self.step}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.step = state["step"]

    class Worse(Steps):
        def __call__(self, step: int) -> None:
            if step == 3:
                raise DataError("too many are unreadable")

    settings = LoopSettings(output_dir=str(tmp_path), device="cpu", mixed_precision="no")
    engine = Engine("cpu", "no", "ddp", ())
    with pytest.raises(DataError, match="too many"):
        train(Steps(), Worse(), settings, engine, lambda log: None)
    assert Checkpoints(tmp_path).numbers() == [3]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained one."""
    from conftest import tiny_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_the_second_stage_refuses_a_set_without_captions(tmp_path: Path, tokenizer: Path) -> None:
    rows = [{"file_name": f"{n}.png", "title": text} for n, text in enumerate(TEXTS)]
    files: dict[str, bytes | str] = {f"{n}.png": picture_bytes(n) for n in range(3)}
    write_table(write_files(tmp_path / "f", files) / "metadata.csv", rows)
    with pytest.raises(DataError, match=r"no sample has a caption in 'text'; its fields are title"):
        ufc.training.trainer.main(model_config(tmp_path / "f", tokenizer, tmp_path / "m"))
    shard = write_tar(tmp_path / "0.tar", files)
    config = model_config(shard, tokenizer, tmp_path / "m2", streaming=True, stream_lanes=4)
    with pytest.raises(DataError, match="no sample has a caption"):
        ufc.training.trainer.main(config)
    assert first_records([str(shard)], 9) == [{}, {}, {}]


def test_a_resumed_run_sees_changed_pictures_and_says_so(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, again = write_folder(tmp_path / "f"), {"resume_from_checkpoint": "latest"}
    settings = {"max_train_steps": 1, "train_batch_size": 4, "validation_prompts": ()}
    ufc.training.trainer.main(model_config(data, tokenizer, tmp_path / "m", **settings))
    assert "8 samples, 8 with captions" in capsys.readouterr().err
    before = (tmp_path / "m" / "codes.safetensors").read_bytes()
    ufc.training.trainer.main(model_config(data, tokenizer, tmp_path / "m", **settings | again))
    assert (tmp_path / "m" / "codes.safetensors").read_bytes() == before
    assert "the data are not" not in capsys.readouterr().err
    write_files(data, {"p003.png": picture_bytes(3)})  # another picture, the same name
    ufc.training.trainer.main(model_config(data, tokenizer, tmp_path / "m", **settings | again))
    assert "of their files 1 changed (p003.png)" in capsys.readouterr().err
    assert (tmp_path / "m" / "codes.safetensors").read_bytes() != before


def test_changes_are_told_by_kind(tmp_path: Path) -> None:
    assert changes(tmp_path, {"a": "1", "b": "2"}) == []
    told = changes(tmp_path, {"a": "3", "c": "4"})
    assert told[0].endswith("of their files 1 changed (a), 1 added (c), 1 gone (b)")
    assert changes(tmp_path, {"a": "3", "c": "4"}) == []


def test_tables_of_systems_that_ignore_case_or_how_accents_are_stored(tmp_path: Path) -> None:
    files = {"Look/caf\u0065\u0301.PNG": picture_bytes(1), "Look/b.png": picture_bytes(2),
             "two/c.png": picture_bytes(3), "two/C.png": picture_bytes(4)}  # fmt: skip
    write_files(tmp_path, files)
    if len(list((tmp_path / "two").iterdir())) < 2:
        pytest.skip("this disk ignores case itself")
    names = ("look/CAF\u00c9.png", "LOOK\\B.PNG", "two/c.png", "two/C.PNG")
    rows = [{"file_name": name, "text": name} for name in names]
    write_table(tmp_path / "metadata.jsonl", rows)
    found = open_dataset(tmp_path, Reading(max_unreadable=0.5))
    seen = {found.record(n)["text"]: found.places[n].name for n in range(len(found))}
    assert seen == {names[0]: "cafe\u0301.PNG", names[1]: "b.png", names[2]: "c.png"}
    assert "there is no picture" in found.said()[0]
