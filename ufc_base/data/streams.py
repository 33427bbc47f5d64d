"""Shards read in passing, for sets that no machine holds: dealt out, shuffled, resumable.

The shards are dealt to a fixed number of *lanes*, whatever the number of processes; each process
and each of its workers reads some of the lanes. A batch takes equally many samples of every lane,
so it does not depend on how many processes share it, and where all lanes stand (epoch, shard,
samples taken) is all there is to know to go on, on as many processes as there are then.

An epoch of a lane visits each of its samples once; the shards are dealt anew for the next one.
Samples are shuffled in blocks: a block is read as bytes, put in an order drawn from its place, and
handed out; what was handed out before a resume is read over without being decoded.

Bytes come by `webdataset`: local files, http(s), and `pipe:` commands.
"""

from __future__ import annotations

import hashlib
import random
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ufc_base.data.addresses import is_named
from ufc_base.data.datasets import as_uint8, is_remote
from ufc_base.data.named import named_stream
from ufc_base.data.names import DataError, grouped, is_hidden, is_picture, is_told, picture_of
from ufc_base.data.records import USUAL, Reading, parse_record, with_captions
from ufc_base.data.samples import MOST_PICTURE, MOST_TOLD, ODD_HEADERS, is_plain_member
from ufc_base.data.soundness import SHOWN, too_many
from ufc_base.images import ImageError, load_image
from ufc_base.training.stopping import worker_signals

PIECE = 16 * 1024 * 1024  # bytes that are read at a time
MOST_PACKED = 100  # bytes of a shard out of one of its packed file
DAMAGED_IN_A_ROW = 1000  # so many, and it is not a picture here and there
SEEN_AT_LEAST = 1000  # a share of fewer samples says little: it is taken of so many

Position = tuple[int, int, int]  # epoch, place in the lane's order of shards, samples taken there
Raw = dict[str, Any]


@dataclass(frozen=True)
class StreamPlan:
    """How a set of shards is dealt out.

    `per_lane` samples of each of `lanes` lanes make a batch; `shuffle` are in a block. `reading`
    says which of a sample's files are meant.
    """

    urls: tuple[str, ...]
    lanes: int
    per_lane: int
    shuffle: int
    seed: int
    reading: Reading = USUAL

    @property
    def about(self) -> dict[str, Any]:
        """What positions depend on. Shards count by name: a set may move between two runs."""
        names = map(shard_name, self.urls)
        return {
            "stream_lanes": self.lanes,
            "stream_shuffle": self.shuffle,
            "seed": self.seed,
            "shards": hashlib.sha256("\n".join(names).encode()).hexdigest()[:12],
        }

    def order(self, lane: int, epoch: int) -> tuple[list[str], int, int]:
        """The shards of a lane in an epoch, and which of their samples: those of `rest` mod `of`.

        With fewer shards than lanes several lanes share a shard.
        """
        groups = max(g for g in range(1, self.lanes + 1) if not self.lanes % g and self._fit(g))
        of = self.lanes // groups
        shards = list(self.urls)
        random.Random(f"{self.seed}/{epoch}").shuffle(shards)
        return shards[lane // of :: groups], lane % of, of

    def _fit(self, groups: int) -> bool:
        return groups <= len(self.urls)


def shard_name(url: str) -> str:
    """What a shard is known by, wherever its set lies."""
    return url if is_named(url) else url.rpartition("/")[2]


def lane_samples(
    plan: StreamPlan, lane: int, start: Position = (0, 0, 0)
) -> Iterator[tuple[Raw, Position]]:
    """Samples of a lane without end, each with the position after it.

    Raises:
        DataError: a whole epoch had none.
    """
    epoch, place, taken = start
    seen = True
    while seen or (epoch, place, taken) == start:
        shards, rest, of = plan.order(lane, epoch)
        seen = place > 0 or taken > 0
        while place < len(shards):
            for raw in shuffled(plan, shards[place], rest, of, epoch, taken):
                seen, taken = True, taken + 1
                yield raw, (epoch, place, taken)
            place, taken = place + 1, 0
        epoch, place = epoch + 1, 0
    raise DataError(
        f"no pictures for lane {lane} of {plan.lanes} in {', '.join(plan.urls[:3])} ..."
    )


def shuffled(
    plan: StreamPlan, url: str, rest: int, of: int, epoch: int, taken: int
) -> Iterator[Raw]:
    """A shard's samples `rest` mod `of` in their blocks' orders, without the first `taken`."""
    done, within = divmod(taken, plan.shuffle)
    block: list[Raw] = []
    number = place = 0
    for index, raw in enumerate(shard_samples(url, plan.reading)):
        if index % of != rest:
            continue
        place += 1
        if place <= done * plan.shuffle:
            continue
        block.append(raw)
        if len(block) == plan.shuffle:
            yield from permuted(plan, url, rest, epoch, done + number, block)[within:]
            block, number, within = [], number + 1, 0
    yield from permuted(plan, url, rest, epoch, done + number, block)[within:]


def permuted(
    plan: StreamPlan, url: str, rest: int, epoch: int, number: int, block: list[Raw]
) -> list[Raw]:
    order = list(range(len(block)))
    random.Random(f"{plan.seed}/{epoch}/{shard_name(url)}/{rest}/{number}").shuffle(order)
    return [block[place] for place in order]


def shard_samples(url: str, reading: Reading) -> Iterator[Raw]:
    """Samples with a picture, as bytes by suffix; a shard that breaks off is warned of and left."""
    if is_named(url):
        yield from named_stream(url, reading)
        return
    from webdataset.handlers import warn_and_continue
    from webdataset.tariterators import url_opener

    for opened in url_opener([{"url": url}], handler=warn_and_continue):
        try:
            for key, own in grouped(stream_members(opened["stream"]), reading.image_column):
                if any(map(is_picture, own)):
                    yield {"__key__": key, "__url__": url, **own}
        except (tarfile.TarError, OSError, zlib.error, *ODD_HEADERS) as error:
            warnings.warn(f"{url} breaks off: {error!s:.200}", stacklevel=2)


def stream_members(stream: Any) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files, packed or not, read in passing.

    What is larger than a picture can be is passed over unread, and so are links and names that
    lead elsewhere.
    """
    counted: Any = Counted(stream)
    with tarfile.open(fileobj=counted, mode="r|*") as archive:
        for info in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # or all headers are kept
            most = MOST_TOLD if is_told(info.name) else MOST_PICTURE
            wanted = is_plain_member(info) and not is_hidden(info.name) and info.size <= most
            pieces = []
            file = archive.extractfile(info) if info.isreg() else None
            while file is not None and (piece := file.read(PIECE)):
                pieces += [piece] if wanted else []
                if info.offset_data + file.tell() > MOST_PACKED * counted.bytes + 4 * PIECE:
                    raise tarfile.ReadError("it inflates to far more than a picture would")
            if wanted:
                yield info.name, b"".join(pieces)


class Counted:
    """A stream that counts the bytes which were read of it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self.bytes += len(data)
        return data


def decode(
    raw: Raw, size: int | tuple[int, int], fit: str, reading: Reading
) -> tuple[Tensor, dict[str, Any]]:
    """A sample's picture (3, H, W) uint8 and its record.

    Raises:
        ImageError: the picture cannot be read.
        DataError: the record cannot, or it is not clear which picture is meant.
    """
    suffix = picture_of(raw, reading.image_column)
    if suffix is None:
        raise DataError(f"it has no picture {reading.image_column!r}")
    return as_uint8(load_image(raw[suffix]), size, fit), record_of(raw, reading)


def record_of(raw: Raw, reading: Reading) -> dict[str, Any]:
    """What is known of a sample.

    Raises:
        DataError: it cannot be read.
    """
    told = {suffix: data for suffix, data in raw.items() if is_told(suffix)}
    return with_captions(parse_record(told), reading.caption_column)


@dataclass(frozen=True)
class Chunk:
    """What one worker adds to a batch: pictures (N, 3, H, W) uint8, records, lanes' positions.

    `damaged` says why samples on the way to them were left out.
    """

    pixels: Tensor
    records: list[dict[str, Any]]
    positions: dict[int, Position]
    damaged: list[str] = field(default_factory=list)


class LaneReader(IterableDataset[Chunk]):
    """Chunks of some lanes, in a `DataLoader`'s worker its share of them."""

    def __init__(
        self,
        plan: StreamPlan,
        lanes: Sequence[int],
        size: int | tuple[int, int],
        fit: str,
        positions: Mapping[int, Position],
    ) -> None:
        self.plan = plan
        self.lanes = lanes
        self.size, self.fit = size, fit
        self.positions = dict(positions)

    def __iter__(self) -> Iterator[Chunk]:
        worker, lanes = get_worker_info(), self.lanes
        if worker is not None:
            own = len(lanes) // worker.num_workers
            lanes = lanes[worker.id * own : (worker.id + 1) * own]
        readers = [
            (lane, lane_samples(self.plan, lane, self.positions.get(lane, (0, 0, 0))))
            for lane in lanes
        ]
        while True:
            pictures, records, positions = [], [], {}
            damaged: list[str] = []
            for lane, reader in readers:
                for _ in range(self.plan.per_lane):
                    pixels, record, positions[lane] = next_sound(
                        reader, self.size, self.fit, self.plan.reading, damaged
                    )
                    pictures.append(pixels)
                    records.append(record)
            yield Chunk(torch.stack(pictures), records, positions, damaged)


def next_sound(
    reader: Iterator[tuple[Raw, Position]],
    size: int | tuple[int, int],
    fit: str,
    reading: Reading,
    damaged: list[str],
) -> tuple[Tensor, dict[str, Any], Position]:
    """The next sample that can be read; why others cannot be is added to `damaged`.

    Raises:
        DataError: there are too many of them in a row.
    """
    for _ in range(DAMAGED_IN_A_ROW):
        raw, position = next(reader)
        try:
            return *decode(raw, size, fit, reading), position
        except (ImageError, DataError, MemoryError) as error:
            last = error
            damaged.append(f"{raw['__url__']}, {raw['__key__']}: {error}")
    raise DataError(f"{DAMAGED_IN_A_ROW} samples in a row cannot be read, the last: {last}")


class Stream:
    """A process's slices of the batches, one after another.

    Samples that cannot be read are left out: `skipped` of the `seen`, the first of them `why`.
    """

    def __init__(
        self,
        plan: StreamPlan,
        lanes: Sequence[int],
        size: int | tuple[int, int],
        workers: int,
        fit: str = "pad",
    ) -> None:
        if workers and len(lanes) % workers:
            raise DataError(
                f"{len(lanes)} lanes of a process cannot be dealt to {workers} workers: "
                "make stream_lanes a multiple of processes times data_workers"
            )
        self.plan = plan
        self.lanes = lanes
        self.size, self.fit = size, fit
        self.workers = workers
        self.positions: dict[int, Position] = {}
        self.seen = self.skipped = self.told = 0
        self.why: list[str] = []
        self._chunks: Iterator[Chunk] | None = None

    def next(self) -> tuple[Tensor, list[dict[str, Any]]]:
        """Pictures (B, 3, H, W) uint8 and their records.

        Raises:
            DataError: too large a share of what was seen so far cannot be read.
        """
        if self._chunks is None:
            reader = LaneReader(self.plan, self.lanes, self.size, self.fit, self.positions)
            more: dict[str, Any] = {"prefetch_factor": 4} if self.workers else {}
            self._chunks = iter(
                DataLoader(
                    reader,
                    batch_size=None,
                    num_workers=self.workers,
                    worker_init_fn=worker_signals,
                    **more,
                )
            )
        chunks = [next(self._chunks) for _ in range(max(1, self.workers))]
        for chunk in chunks:
            self.positions |= chunk.positions
        records = [record for chunk in chunks for record in chunk.records]
        damaged = [reason for chunk in chunks for reason in chunk.damaged]
        self.seen += len(records) + len(damaged)
        self.skipped += len(damaged)
        self.why = (self.why + damaged)[:SHOWN]
        if damaged:
            seen, allowed = max(self.seen, SEEN_AT_LEAST), self.plan.reading.max_unreadable
            if self.skipped > allowed * seen:
                reading = self.plan.reading
                raise DataError(too_many(self.why, self.skipped, self.seen, reading))
        return torch.cat([chunk.pixels for chunk in chunks]), records

    def left_out(self) -> list[str]:
        """What was left out since this was last asked, in words; nothing where all is well."""
        said, self.told = self.skipped - self.told, self.skipped
        if not said:
            return []
        line = f"{self.skipped} of {self.seen} samples so far unreadable, left out"
        return [f"{line}: {'; '.join(self.why)}"]

    def load_positions(
        self, positions: Mapping[int, Position], about: Mapping[str, Any] | None = None
    ) -> None:
        """Go on from positions that were read from `positions`, of any number of processes.

        Raises:
            DataError: they are those of another number of lanes, or `about` says of another plan;
                samples would be seen twice or never.
        """
        if positions and set(positions) != set(range(self.plan.lanes)):
            raise DataError(
                f"the checkpoint has positions of {len(positions)} lanes, the run has "
                f"{self.plan.lanes}: give --stream-lanes {len(positions)}"
            )
        own = self.plan.about
        for name, then in (about or own).items():
            if own.get(name) != then:
                raise DataError(
                    f"the checkpoint's {name} is {then}, the run's {own.get(name)}: go on with "
                    "the same, or begin a new run from its weights with --init-from"
                )
        self.positions = {lane: positions[lane] for lane in self.lanes if lane in positions}
        self._chunks = None


def open_stream(
    plan: StreamPlan,
    lanes: Sequence[int],
    size: int | tuple[int, int],
    workers: int,
    fit: str = "pad",
) -> Stream:
    """A stream, once local shards are known to be there.

    Raises:
        DataError: they are not.
    """
    missing = [url for url in plan.urls if not is_remote(url) and not Path(url).is_file()]
    if missing or not plan.urls:
        raise DataError(f"there is no shard at {missing[0] if missing else 'the address given'}")
    return Stream(plan, lanes, size, workers, fit)


def first_records(
    urls: Sequence[str], count: int, reading: Reading = USUAL
) -> list[dict[str, Any]]:
    """Records of the first samples of a set that can be read, to learn a vocabulary from."""
    records: list[dict[str, Any]] = []
    for url in urls:
        for raw in shard_samples(url, reading):
            with suppress(DataError):
                records.append(record_of(raw, reading))
            if len(records) == count:
                return records
    return records
