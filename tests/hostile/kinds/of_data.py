"""Data sets: shards, folders with a table, sets of the `datasets` library."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
import tempfile
from functools import cache
from itertools import islice
from pathlib import Path

from ufc_base.data.datasets import open_dataset
from ufc_base.data.streams import decode, first_records, shard_samples

from .. import archives, pictures, texts
from ..mutation import odd_json, spoilt
from .base import ALL, Kind, Rng, only, write


def write_folder(rng: Rng, folder: Path) -> None:
    (folder / "a.png").write_bytes(pictures.sound("PNG", "RGB", True))
    (folder / "b.png").write_bytes(pictures.picture(rng))
    name, make = rng.choice(
        (("metadata.jsonl", texts.metadata_lines), ("metadata.jsonl", texts.metadata_lines),
         ("metadata.csv", texts.metadata_csv), ("metadata.parquet", texts.metadata_parquet),
         ("a.json", lambda rng: odd_json(rng, archives.RECORD)),
         ("a.txt", lambda rng: spoilt(rng, "a bag 包".encode())))
    )  # fmt: skip
    (folder / name).write_bytes(make(rng))


def told_something(folder: Path) -> object:
    table = next(path for path in sorted(folder.iterdir()) if path.name not in ("a.png", "b.png"))
    data = table.read_bytes()
    if table.suffix == ".parquet":
        return data[:4] + data[-4:] == b"PAR1PAR1" or int("no parquet")
    text = data.decode()
    return (
        next(csv.reader(io.StringIO(text)))
        if table.suffix == ".csv"
        else json.loads(text.split("\n")[0])
    )


def read_all(folder: Path, source: Path) -> None:
    found = open_dataset(source, ALL)
    for index in range(len(found)):
        found.record(index)
        found[index]


def read_stream(folder: Path) -> None:
    url = str(only(folder))
    first_records([url], 20, ALL)
    for raw in islice(shard_samples(url, ALL), 20):
        from ufc_base.arrays import ImageError
        from ufc_base.data.names import DataError

        try:
            decode(raw, 16, "pad", ALL)
        except (ImageError, DataError):
            continue


def has_member(folder: Path) -> object:
    with tarfile.open(only(folder)) as archive:
        return archive.next() is not None or int("none")


@cache
def saved_rows() -> Path:
    """A sound set as Hugging Face's `datasets` writes it."""
    import datasets

    rows = [{"image": {"bytes": pictures.sound("PNG", "RGB", True), "path": f"{n}.png"},
             "text": f"bag {n}", "kind": n % 2} for n in range(4)]  # fmt: skip
    features = datasets.Features(
        image=datasets.Image(decode=False),
        text=datasets.Value("string"),
        kind=datasets.ClassLabel(names=["bag", "shoe"]),
    )
    folder = Path(tempfile.mkdtemp(prefix="hostile-rows-")) / "rows"
    datasets.Dataset.from_list(rows, features=features).save_to_disk(folder)
    return folder


def write_rows(rng: Rng, folder: Path) -> None:
    import datasets

    target = folder / "rows"
    if rng.random() < 0.5:  # sound tables of odd rows
        odd = (None, b"", pictures.picture(rng), pictures.sound("PNG", "RGB", True))
        places = (None, "", "a.png", "../../etc/passwd", "/dev/zero", "http://127.0.0.1:9/a.png",
                  "zip://a.png::/none.zip", "a" * 5000)  # fmt: skip
        words = (None, "", "bag", "\x00", "\ud800".encode("utf-8", "replace").decode(), "a" * 10**5)
        values = [{"image": {"bytes": rng.choice(odd), "path": rng.choice(places)},
                   rng.choice(("text", "json", "__key__")): rng.choice(words)}]  # fmt: skip
        kinds = {name: datasets.Value("string") for name in values[0]}
        cell = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
        features = datasets.Features(kinds | {"image": cell})
        # Saved as plain cells and called pictures afterwards: the library would read their files.
        datasets.Dataset.from_list(values, features=features).save_to_disk(target)
        told = json.loads((target / "dataset_info.json").read_bytes())
        told["features"]["image"] = {"_type": "Image"}
        (target / "dataset_info.json").write_text(json.dumps(told))
        return
    shutil.copytree(saved_rows(), target)
    file = rng.choice(sorted(path for path in target.iterdir() if path.is_file()))
    data = file.read_bytes()
    if file.suffix == ".json" and rng.random() < 0.6:
        file.write_bytes(odd_json(rng, json.loads(data)))
    else:
        file.write_bytes(spoilt(rng, data))


def rows_are_told(folder: Path) -> object:
    for file in sorted((folder / "rows").glob("*.json")):
        json.loads(file.read_bytes().decode())
    return True


def read_rows(folder: Path) -> None:
    found = open_dataset(f"datasets:{folder / 'rows'}", ALL)
    for index in range(len(found)):
        found.record(index)
        found[index]


KINDS = {
    "shard": Kind(
        1500, write("a.tar", archives.shard), has_member,
        {"index": lambda f: read_all(f, only(f)), "stream": read_stream},
    ),
    "packed shard": Kind(
        400, write("a.tar.gz", archives.packed_shard), has_member, {"stream": read_stream}
    ),
    "rows by name": Kind(300, write_rows, rows_are_told, {"datasets": read_rows}),
    "folder": Kind(1500, write_folder, told_something, {"folder": lambda f: read_all(f, f)}),
}  # fmt: skip
