"""Shards read in passing: everything once, in a known order, from wherever it broke off."""

from __future__ import annotations

import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_data import write_folder, write_shards
from toy_training import kill_after, model_config, tokenizer_config, weights

import ufc.training.trainer
import vqgan.training.trainer as first_stage
from ufc.pipeline import UFCPipeline
from ufc_base.data.datasets import DataError, open_dataset, shard_urls, streams
from ufc_base.data.streams import (
    Position,
    Stream,
    StreamPlan,
    first_records,
    lane_samples,
    open_stream,
)

LANES, PER_LANE, SAMPLES = 8, 1, 26


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("stream") / "shards", SAMPLES, shards=5)


def plan_of(shards: Path, lanes: int = LANES, shuffle: int = 3) -> StreamPlan:
    return StreamPlan(tuple(shard_urls(shards)), lanes, PER_LANE, shuffle, seed=1)


def epoch(plan: StreamPlan, lane: int, number: int = 0) -> list[str]:
    """Keys of a lane's samples in its epoch `number`."""
    keys: list[str] = []
    for raw, position in lane_samples(plan, lane):
        if position[0] > number:
            break
        if position[0] == number:
            keys.append(raw["__key__"])
    return keys


@pytest.mark.parametrize("lanes", [1, 2, 4, 5, 8, 20])
def test_an_epoch_of_all_lanes_is_the_set(shards: Path, lanes: int) -> None:
    plan = plan_of(shards, lanes)
    seen = [
        Counter(key for lane in range(lanes) for key in epoch(plan, lane, number))
        for number in range(2)
    ]
    assert seen[0] == seen[1] == Counter(f"p{number:03d}" for number in range(SAMPLES))
    assert epoch(plan, 0, 0) != epoch(plan, 0, 1)


def test_a_lane_goes_on_where_it_stood(shards: Path) -> None:
    plan = plan_of(shards, lanes=2, shuffle=4)
    reader = lane_samples(plan, 1)
    whole = [(raw["__key__"], position) for raw, position in (next(reader) for _ in range(40))]
    for start in range(0, 39):
        again = lane_samples(plan, 1, whole[start][1])
        assert [next(again)[0]["__key__"] for _ in range(min(5, 39 - start))] == [
            key for key, _ in whole[start + 1 : start + 6]
        ]


def batch_of_all(streams_: list[Stream]) -> list[str]:
    """The texts of a batch, put together from all processes."""
    return [f"{r['text']} {r['number']}" for s in streams_ for r in s.next()[1]]


def deal(plan: StreamPlan, processes: int, workers: int) -> list[Stream]:
    own = LANES // processes
    return [
        open_stream(plan, range(rank * own, (rank + 1) * own), 16, workers)
        for rank in range(processes)
    ]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards whose records say which sample they are."""
    return write_shards(
        tmp_path_factory.mktemp("numbered") / "shards", SAMPLES, shards=5, number=True
    )


def test_batches_do_not_depend_on_processes_and_workers(numbered: Path) -> None:
    plan = plan_of(numbered)
    alone = deal(plan, 1, workers=0)
    shared = deal(plan, 2, workers=2)
    expected = [batch_of_all(alone) for _ in range(9)]
    found = [batch_of_all(shared) for _ in range(9)]
    assert found == expected
    epoch_of_first = Counter(line for batch in expected for line in batch)
    assert len(epoch_of_first) == SAMPLES

    positions: dict[int, Position] = {}
    for stream in shared:
        positions |= stream.positions
    assert positions == alone[0].positions
    following = [batch_of_all(alone) for _ in range(3)]
    resumed = deal(plan, 4, workers=1)
    for stream in resumed:
        stream.load_positions(positions)
    assert [batch_of_all(resumed) for _ in range(3)] == following


def test_positions_of_another_plan_are_refused(shards: Path) -> None:
    stream = open_stream(plan_of(shards), range(LANES), 16, 0)
    with pytest.raises(DataError, match="--stream-lanes 2"):
        stream.load_positions({0: (0, 0, 0), 1: (0, 0, 1)})
    every = dict.fromkeys(range(LANES), (0, 0, 0))
    stream.load_positions(every, stream.plan.about)
    with pytest.raises(DataError, match="stream_shuffle is 999"):
        stream.load_positions(every, stream.plan.about | {"stream_shuffle": 999})
    with pytest.raises(DataError, match="data_workers"):
        open_stream(plan_of(shards), range(LANES), 16, 3)


def test_addresses(shards: Path, tmp_path: Path) -> None:
    every = [str(shards / f"toy-{n:03d}.tar") for n in range(5)]
    assert shard_urls(shards) == shard_urls(f"{shards}/toy-{{000..004}}.tar") == every
    assert shard_urls(f"{shards}/*.tar") == every
    assert shard_urls(f"{every[0]}::{every[3]}") == [every[0], every[3]]
    assert shard_urls("https://x.org/{0..2}.tar")[2] == "https://x.org/2.tar"
    assert shard_urls(write_folder(tmp_path / "f", 2)) == []
    assert len(open_dataset(f"{shards}/toy-{{000..001}}.tar")) == 11
    assert not streams(every, None) and streams(every, True)
    assert streams(["pipe:cat x.tar"], None)
    for urls, asked in ((["https://x.org/a.tar"], False), ([], True)):
        with pytest.raises(DataError):
            streams(urls, asked)
    with pytest.raises(DataError, match="no shard at"):
        open_stream(replace(plan_of(shards), urls=("no.tar",)), range(LANES), 16, 0)


def test_commands_are_read_like_files(shards: Path) -> None:
    piped = tuple(f"pipe:cat {url}" for url in shard_urls(shards))
    assert [r["text"] for r in first_records(piped, 7)] == [
        r["text"] for r in first_records(shard_urls(shards), 7)
    ]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_damage_costs_only_what_is_damaged(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a.tar", tmp_path / "b.tar"
    first.write_bytes(Path(shard_urls(shards)[0]).read_bytes()[:3000])
    with tarfile.open(second, "w") as archive:
        for name in ("x.webp", "x.json"):
            (tmp_path / name).write_bytes(b"{}")
            archive.add(tmp_path / name, name)
    good = shard_urls(shards)[1]
    plan = StreamPlan((str(first), str(second), good), 1, 6, 10, 0)
    pixels, _ = open_stream(plan, [0], 16, 0).next()
    assert pixels.shape == (6, 3, 16, 16) and pixels.dtype == torch.uint8
    with pytest.raises(DataError, match="no pictures"):
        next(lane_samples(replace(plan, urls=(str(tmp_path / "none.tar"),)), 0))
    with tarfile.open(second, "a") as archive:
        (tmp_path / "x.json").write_bytes(b"[1]")
        archive.add(tmp_path / "x.json", "y.json")
        archive.add(tmp_path / "x.webp", "y.webp")
    assert len(first_records([str(second)], 5)) == 1
    monkeypatch.setattr("ufc_base.data.streams.DAMAGED_IN_A_ROW", 3)
    with pytest.raises(DataError, match="3 samples in a row cannot be read"):
        open_stream(replace(plan, urls=(str(second),)), [0], 16, 0).next()


def test_both_stages_train_from_a_stream_and_resume(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = {"streaming": True, "stream_lanes": 4, "stream_shuffle": 4, "data_workers": 0}
    first = {"max_train_steps": 10, "checkpointing_steps": 4} | lanes
    second = {"max_train_steps": 4, "checkpointing_steps": 2} | lanes
    tokenizer = first_stage.main(tokenizer_config(shards, tmp_path / "t", **first))
    model = ufc.training.trainer.main(model_config(shards, tokenizer, tmp_path / "m", **second))

    for config, module, kind, at in (
        (
            tokenizer_config(shards, tmp_path / "t2", **first),
            first_stage,
            "TokenizerTrainer",
            7,
        ),
        (
            model_config(shards, tokenizer, tmp_path / "m2", **second),
            ufc.training.trainer,
            "Trainer",
            3,
        ),
    ):
        trainer = getattr(module, kind)
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "train_step", kill_after(trainer.train_step, at))
            with pytest.raises(KeyboardInterrupt):
                module.main(config)
        module.main(replace(config, resume_from_checkpoint="latest"))
    for name, value in weights(tokenizer).items():
        torch.testing.assert_close(weights(tmp_path / "t2")[name], value, msg=name)
    one, two = (UFCPipeline.from_pretrained(m).transformer for m in (model, tmp_path / "m2"))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, msg=name)
