"""Split WebDataset shards: hold back some samples whose pictures are at least of a given size.

    python scripts/hold_back.py DATA/*.tar --count 200 --at-least 384x512 \
        --train-dir OUT/train --held-back-dir OUT/held-back

Which ones depends on the seed and the samples' names alone. Files are copied byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tarfile
from pathlib import Path

from PIL import Image

from ufc_base.data.names import is_picture, split_name


def is_large(archive: tarfile.TarFile, member: tarfile.TarInfo, least: tuple[int, int]) -> bool:
    """Whether a member is a picture of at least `least` (width, height) pixels."""
    if not is_picture(split_name(member.name)[1]):
        return False
    file = archive.extractfile(member)
    assert file is not None
    width, height = Image.open(io.BytesIO(file.read())).size
    return width >= least[0] and height >= least[1]


def key_of(name: str) -> str:
    return split_name(name)[0]


def choose(shards: list[Path], count: int, least: tuple[int, int], seed: int) -> set[str]:
    """The keys of the samples to hold back.

    Raises:
        ValueError: fewer pictures are as large.
    """
    large = []
    for shard in shards:
        with tarfile.open(shard) as archive:
            large += [key_of(m.name) for m in archive if is_large(archive, m, least)]
    if len(large) < count:
        raise ValueError(f"{len(large)} pictures are at least {least}, wanted {count}")
    return set(sorted(large, key=lambda k: hashlib.sha256(f"{seed}/{k}".encode()).digest())[:count])


def copy(shard: Path, target: Path, keys: set[str], wanted: bool) -> int:
    """Copy the members whose key is (or is not) one of `keys`; returns how many there were."""
    target.parent.mkdir(parents=True, exist_ok=True)
    copied = 0
    with tarfile.open(shard) as source, tarfile.open(target, "w") as out:
        for member in source:
            if member.isfile() and (key_of(member.name) in keys) == wanted:
                out.addfile(member, source.extractfile(member))
                copied += 1
    return copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--at-least", default="384x512", metavar="WxH")
    parser.add_argument("--train-dir", type=Path, required=True)
    parser.add_argument("--held-back-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    width, _, height = options.at_least.partition("x")
    keys = choose(options.shards, options.count, (int(width), int(height)), options.seed)
    for shard in options.shards:
        copy(shard, options.train_dir / shard.name, keys, wanted=False)
        copy(shard, options.held_back_dir / shard.name, keys, wanted=True)
    print(f"{len(keys)} samples held back in {options.held_back_dir}")


if __name__ == "__main__":
    main()
