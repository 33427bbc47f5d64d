"""Turn the public "Fashion Product Images" data set into shards with captions in two languages.

The data set (Kaggle, P. Aggarwal) is a folder with `images/ID.jpg` and `styles.csv`. Innerwear,
nightwear, children's wear and what is not fashion are left out; the rest is written as WebDataset
shards, each sample an `ID.webp` (square, white padding) and an `ID.json`:

    python scripts/prepare_fashion.py fashion-dataset --output-dir data/fashion

The split depends on the id alone: 85.5% train, 4.5% val, 10% test. The captions of shards that
were made earlier are compared with what this script would write by

    python scripts/prepare_fashion.py --check data/fashion
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from fashion_captions import Product, record

from ufc_base.entry import exit_code
from ufc_base.images import ImageError, fit_square, load_image

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
CATEGORIES = ("Apparel", "Accessories", "Footwear")
LEFT_OUT = ("Innerwear", "Loungewear and Nightwear")
SPLITS = ("train", "val", "test")
WEBP_QUALITY = 80


class SourceError(ValueError):
    """The folder given is not the data set, or the output folder cannot be used."""


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of `styles.csv` by column name; commas astray in the last column are put back.

    Rows with too few columns are passed over.

    Raises:
        SourceError: there is no such file, or it has other columns.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist: give the folder with images/ and styles.csv")
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = csv.reader(stream)
        header = next(rows, [])
        if tuple(header) != COLUMNS:
            raise SourceError(f"{path} has columns {header}, wanted {list(COLUMNS)}")
        last = len(COLUMNS) - 1
        for row in rows:
            if len(row) > last:
                yield dict(zip(COLUMNS, [*row[:last], ",".join(row[last:])], strict=True))


def to_product(row: dict[str, str]) -> Product:
    """The part of a row that captions are made of, spaces tidied."""
    tidy = {name: " ".join(value.split()) for name, value in row.items()}
    return Product(
        id=tidy["id"],
        title=tidy["productDisplayName"],
        gender=tidy["gender"],
        category=tidy["masterCategory"],
        type=tidy["articleType"],
        colour=tidy["baseColour"] or "NA",
        usage=tidy["usage"] or "NA",
    )


def reason_left_out(row: dict[str, str], product: Product) -> str:
    """Why a row is no sample, or an empty string if it is one."""
    if row["masterCategory"] not in CATEGORIES:
        return "not fashion"
    if row["subCategory"] in LEFT_OUT:
        return "innerwear and nightwear"
    if row["gender"] in ("Boys", "Girls"):
        return "children's wear"
    if not (product.id.isascii() and product.id.isdigit()):
        return "id is not a number"
    return "" if product.known else "no words for its attributes"


def split_of(identity: str) -> str:
    """`train`, `val` or `test`, from the id alone."""
    bucket = int(_digest(identity), 16) % 1000
    return "test" if bucket < 100 else "val" if bucket < 145 else "train"


def _digest(identity: str) -> str:
    return hashlib.sha256(f"fashion-{identity}".encode()).hexdigest()


def encode_image(path: Path, size: int) -> bytes:
    """A picture as a square WebP, padded with white. Raises `ImageError` if it cannot be read."""
    stream = io.BytesIO()
    fit_square(load_image(path), size).save(stream, "WEBP", quality=WEBP_QUALITY)
    return stream.getvalue()


def write_shards(
    folder: Path, name: str, samples: Iterator[tuple[str, dict[str, bytes]]], shard_size: int
) -> int:
    """Write samples (key, files by extension) to `NAME-000.tar`, `NAME-001.tar`, …

    A shard is called `*.part` until it is complete; equal samples give equal bytes. Returns how
    many samples were written.
    """
    written = 0
    for index in itertools.count():
        chunk = list(itertools.islice(samples, shard_size))
        if not chunk:
            break
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{index:03d}.tar"
        part = path.with_suffix(".tar.part")
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, files in chunk:
                for extension, content in files.items():
                    member = tarfile.TarInfo(f"{key}.{extension}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        part.rename(path)
        written += len(chunk)
    return written


def samples_of(
    products: Iterable[Product], images: Path, size: int, left_out: Counter[str]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and files of each product whose image can be read; the others are counted."""
    for product in products:
        try:
            image = encode_image(images / f"{product.id}.jpg", size)
        except ImageError:
            left_out["image missing or unreadable"] += 1
            continue
        text = json.dumps(record(product), ensure_ascii=False).encode()
        yield product.id, {"webp": image, "json": text}


def prepare(
    source: Path, output: Path, *, size: int = 224, shard_size: int = 2000, limit: int = 0
) -> tuple[Counter[str], Counter[str]]:
    """Write the shards of the data set in `source`, of its first `limit` products if not 0.

    Returns how many samples each split got, and how many rows were left out for what reason.

    Raises:
        SourceError: `source` is not the data set, or `output` already holds shards.
    """
    if any(output.glob("*/*.tar")):
        raise SourceError(f"{output} already holds shards: remove them or name another folder")
    written: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    products = select(read_rows(source / "styles.csv"), left_out)[: limit or None]
    for split in SPLITS:
        members = [product for product in products if split_of(product.id) == split]
        samples = samples_of(members, source / "images", size, left_out)
        written[split] = write_shards(output / split, f"fashion-{split}", samples, shard_size)
    return written, left_out


def select(rows: Iterable[dict[str, str]], left_out: Counter[str]) -> list[Product]:
    """The rows to keep, each id once, in an order that mixes types and does not depend on the file.

    Reasons for leaving rows out are counted in `left_out`.
    """
    kept: dict[str, Product] = {}
    for row in rows:
        product = to_product(row)
        reason = reason_left_out(row, product)
        if not reason and product.id in kept:
            reason = "id seen before"
        if reason:
            left_out[reason] += 1
        else:
            kept[product.id] = product
    return sorted(kept.values(), key=lambda product: _digest(product.id))


def check(folder: Path) -> tuple[int, int]:
    """Rebuild the records of existing shards: how many come out equal, in their split; of how many.

    Raises:
        SourceError: the folder has no shards.
    """
    equal = total = 0
    for path in sorted(folder.rglob("*.tar")):
        for old in read_records(path):
            names = ("id", "title", "gender", "category", "type", "colour", "usage")
            product = Product(**{name: old[name] for name in names})
            in_place = split_of(product.id) in (path.parent.name, *path.stem.split("-"))
            equal += in_place and product.known and record(product) == old
            total += 1
    if not total:
        raise SourceError(f"no shards with JSON records under {folder}")
    return equal, total


def read_records(path: Path) -> Iterator[dict[str, str]]:
    """The JSON records of one shard. Raises `SourceError` if it is damaged."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name.endswith(".json") else None
                if stream is not None:
                    yield json.loads(stream.read())
    except (OSError, tarfile.TarError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a shard: {error}") from error


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; exits with 2 if it makes no sense."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, nargs="?", help="folder with images/ and styles.csv")
    parser.add_argument("--output-dir", type=Path, default=Path("data/fashion"))
    parser.add_argument("--size", type=int, default=224, help="pixels per side (default 224)")
    parser.add_argument("--shard-size", type=int, default=2000, help="samples per shard")
    parser.add_argument("--limit", type=int, default=0, help="only so many products (0: all)")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="compare existing shards")
    options = parser.parse_args(arguments)
    if (options.source is None) == (options.check is None):
        parser.error("give either the data set's folder or --check FOLDER")
    if options.size < 1 or options.shard_size < 1 or options.limit < 0:
        parser.error("--size and --shard-size must be at least 1, --limit at least 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code, see `ufc_base.entry`."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Write shards, or compare those that there are, and print what came of it."""
    if options.check:
        equal, total = check(options.check)
        print(f"{equal} of {total} records reproduced exactly ({equal / total:.2%})")
        return
    written, left_out = prepare(
        options.source,
        options.output_dir,
        size=options.size,
        shard_size=options.shard_size,
        limit=options.limit,
    )
    for name in SPLITS:
        print(f"{options.output_dir / name}: {written[name]} samples")
    for reason, count in left_out.most_common():
        print(f"left out, {reason}: {count}")


if __name__ == "__main__":
    sys.exit(main())
