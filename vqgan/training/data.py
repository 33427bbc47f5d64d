"""Where the first stage's batches come from: a set in memory, or shards in passing."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ufc_base.data.datasets import DataError, Pixels, as_float, batch_indices
from ufc_base.data.opening import look_at_stream, open_training_set, reading_of, streamed
from ufc_base.data.streams import Position, Stream, StreamPlan, open_stream
from ufc_base.settings import LoopSettings
from ufc_base.training.loop import Source
from ufc_base.training.processes import Engine
from ufc_base.training.stopping import worker_signals
from vqgan.training.augmentation import augmented
from vqgan.training.config import TokenizerTrainConfig

ENDLESS = 10**9  # steps


class PictureSource(Protocol):
    """A step's pictures: this process's slice of the batch, (B, 3, H, W) in -1..1."""

    @property
    def pixels(self) -> Pixels | None:
        """The whole set, where it is at hand."""

    def __call__(self, step: int) -> Tensor: ...

    def some(self, count: int, generator: torch.Generator) -> Iterator[Tensor]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def open_pictures(config: TokenizerTrainConfig, engine: Engine) -> PictureSource:
    """The training set of the first stage.

    Raises:
        DataError: it cannot be used.
    """
    urls = streamed(config)
    if urls is not None:
        look_at_stream(config, urls, engine)
        return StreamedPictures(config, engine, urls)
    return StoredPictures(config, engine)


class StoredPictures:
    """A set whose batches are a function of the step; decoded once while memory lasts."""

    def __init__(self, config: TokenizerTrainConfig, engine: Engine) -> None:
        self.pixels = Pixels(open_training_set(config, engine), config.size, config.fit or "pad")
        self.config = config
        self.device = engine.device
        self.places = engine.slice(config.train_batch_size, config.gradient_accumulation_steps)

    def __call__(self, step: int) -> Tensor:
        config, size = self.config, len(self.pixels)
        indices = batch_indices(size, config.train_batch_size, step, config.seed, self.places)
        return augmented(self.pixels.batch(indices, self.device), config, self.places, step)

    def some(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """About `count` pictures of the set, 32 at a time; the same for all processes."""
        size = len(self.pixels)
        picks = torch.randperm(size, generator=generator)[: min(size, count)].tolist()
        for start in range(0, len(picks), 32):
            yield self.pixels.batch(picks[start : start + 32], self.device)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to know but the step."""


class StreamedPictures:
    """A set read in passing."""

    pixels = None

    def __init__(self, config: TokenizerTrainConfig, engine: Engine, urls: list[str]) -> None:
        self.config = config
        self.engine = engine
        self.places = engine.slice(config.train_batch_size, config.gradient_accumulation_steps)
        self.stream = stream_of(config, engine, urls, config.size, config.fit or "pad")

    def __call__(self, step: int) -> Tensor:
        x = as_float(self.stream.next()[0].to(self.engine.device))
        return augmented(x, self.config, self.places, step)

    def some(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """The next pictures of the stream, of all processes; they are not trained on."""
        for _ in range(-(-count // self.config.train_batch_size)):
            yield as_float(self.engine.gather(self.stream.next()[0].to(self.engine.device)))

    def state_dict(self) -> dict[str, Any]:
        return positions_of(self.stream, self.engine)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stream.load_positions(state.get("positions", {}), state.get("plan"))

    def left_out(self) -> list[str]:
        return self.stream.left_out()


class Ahead:
    """A source that is a function of the step, computed ahead by worker processes.

    A GPU would wait for what Python draws; a CPU has no core to spare for it. Batches travel as
    bytes: tensors by themselves would each take a file descriptor.
    """

    def __init__(self, source: Source, workers: int) -> None:
        self.source = source
        self.workers = workers
        self.step = -1
        self._batches: Iterator[bytes] = iter(())

    def __call__(self, step: int) -> Any:
        if step != self.step:
            loader: DataLoader[bytes] = DataLoader(
                Pickled(self.source),
                batch_size=None,
                sampler=range(step, step + ENDLESS),
                num_workers=self.workers,
                prefetch_factor=4,
                worker_init_fn=worker_signals,
            )
            self._batches = iter(loader)
        self.step = step + 1
        return pickle.loads(next(self._batches))

    def state_dict(self) -> dict[str, Any]:
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state)


class Pickled(Dataset[bytes]):
    """Batches by step, as bytes."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, step: int) -> bytes:
        return pickle.dumps(self.source(step))


def stream_of(
    settings: LoopSettings,
    engine: Engine,
    urls: list[str],
    size: int | tuple[int, int],
    fit: str = "pad",
) -> Stream:
    """This process's part of a stream.

    Raises:
        DataError: lanes, processes and batch do not fit together.
    """
    lanes, batch, count = settings.stream_lanes, settings.train_batch_size, engine.ranks.count
    if lanes % count or batch % lanes:
        raise DataError(
            f"stream_lanes is {lanes}: it has to be a multiple of the {count} processes, "
            f"and train_batch_size ({batch}) a multiple of it"
        )
    own = lanes // count
    plan = StreamPlan(
        tuple(urls),
        lanes,
        batch // lanes,
        max(1, settings.stream_shuffle),
        settings.seed,
        reading_of(settings),
    )
    mine = range(engine.ranks.rank * own, (engine.ranks.rank + 1) * own)
    return open_stream(plan, mine, size, settings.data_workers, fit)


def positions_of(stream: Stream, engine: Engine) -> dict[str, Any]:
    """Where all lanes of all processes stand, and in what."""
    positions: dict[int, Position] = {}
    for some in engine.gather_objects(stream.positions):
        positions |= some
    return {"positions": positions, "plan": stream.plan.about}
