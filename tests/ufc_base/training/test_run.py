"""What goes on around a training's steps: time, signals, settings, skipped steps, the bar."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ufc_base.training.loop
from ufc_base.checkpoint import CheckpointError
from ufc_base.settings import LoopSettings
from ufc_base.training.checkpoints import Checkpoints, not_finite
from ufc_base.training.clock import Clock
from ufc_base.training.loop import train
from ufc_base.training.metrics_log import MetricsLog
from ufc_base.training.processes import Engine
from ufc_base.training.run_settings import read_settings
from ufc_base.training.stopping import Diverged, Signals, Stopped


class Toy:
    """A trainer of one weight; `after` is called with the number of each step that it has done."""

    def __init__(self, after: Callable[[int], None] = lambda step: None) -> None:
        self.step, self.after = 0, after
        self.weight = torch.zeros(2)
        self.skip: set[int] = set()

    def train_step(self, batch: object, progress: float) -> dict[str, object]:
        self.step += 1
        self.after(self.step)
        if self.step in self.skip:
            return {"skipped": True}
        self.weight += 1
        return {"loss": torch.tensor(float(self.step))}

    def state_dict(self) -> dict[str, object]:
        return {"step": self.step, "weight": self.weight}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.step, self.weight = state["step"], state["weight"]  # type: ignore[assignment]


class Nothing:
    def __call__(self, step: int) -> None: ...

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None: ...


def settings_for(folder: Path, **changes: object) -> LoopSettings:
    settings = LoopSettings(
        output_dir=str(folder), max_train_steps=10, checkpointing_steps=4, logging_steps=2,
        validation_steps=100, train_batch_size=8, device="cpu", mixed_precision="no",
    )  # fmt: skip
    return replace(settings, **changes)  # type: ignore[arg-type]


def run(trainer: Toy, settings: LoopSettings, validate: object = lambda log: None) -> Toy:
    train(trainer, Nothing(), settings, Engine("cpu"), validate)  # type: ignore[arg-type]
    return trainer


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Time:
    """A clock that the test turns: time that passes, and what of it the processor worked."""

    def __init__(self) -> None:
        self.passed = self.worked = 100.0

    def go(self, passed: float, worked: float = 0.0) -> None:
        self.passed += passed
        self.worked += worked


def clock_of(time: Time, minutes: float | None = None, spent: float = 0.0) -> Clock:
    return Clock(minutes, spent, now=lambda: time.passed, busy=lambda: time.worked)


def test_a_pause_of_an_hour_counts_as_a_few_steps() -> None:
    time = Time()
    clock = clock_of(time, 1.0)
    for _ in range(10):
        time.go(2.0)
        clock.lap()
    assert clock.seconds == pytest.approx(1 + 9 * 2.0, abs=1.0)  # nothing is usual at first
    before = clock.seconds
    time.go(3602.0, worked=2.0)
    assert clock.lap() == pytest.approx(10.0)  # five usual steps
    assert clock.seconds == pytest.approx(before + 10.0)
    time.go(60.0, worked=55.0)  # long, but at work: a codebook is placed, say
    assert clock.lap() == pytest.approx(55.0)
    assert clock.share == 1.0


def test_time_goes_on_from_what_a_run_has_spent() -> None:
    time = Time()
    clock = clock_of(time, 1.0, 45.0)
    time.go(9999.0)  # between two sessions, or before the first step
    clock.lap()
    assert clock.seconds == pytest.approx(46.0)
    assert clock.share == pytest.approx(46 / 60)
    assert clock_of(time).share == 0.0  # without a limit


def test_minutes_are_counted_over_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(ufc_base.training.loop, "Clock", lambda *spent: clock_of(time, *spent))
    settings = settings_for(tmp_path, max_train_steps=1000, max_train_minutes=1.0)

    def stop_at(last: int) -> Callable[[int], None]:
        def after(step: int) -> None:
            time.go(1.0, worked=1.0)
            if step == last:
                os.kill(os.getpid(), signal.SIGTERM)

        return after

    with pytest.raises(Stopped):
        run(Toy(stop_at(25)), settings)
    time.go(5000.0)
    resumed = run(Toy(stop_at(0)), replace(settings, resume_from_checkpoint="latest"))
    assert resumed.step == 60  # a minute of steps of a second
    assert rows(tmp_path)[-1]["minutes"] == 1.0


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_writes_a_checkpoint_and_says_which(tmp_path: Path, name: str, code: int) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    trainer = Toy(lambda step: os.kill(os.getpid(), number) if step == 6 else None)
    said = rf"{name} after step 6 of 10: \S+checkpoint-6 is written"
    with pytest.raises(Stopped, match=said) as e:
        run(trainer, settings_for(tmp_path))
    assert e.value.code == code and "--resume-from-checkpoint latest" in str(e.value)
    assert signal.getsignal(number) is before
    assert Checkpoints(tmp_path).numbers() == [4, 6]
    unbroken = run(Toy(), settings_for(tmp_path / "whole"))
    resumed = run(Toy(), settings_for(tmp_path, resume_from_checkpoint="latest"))
    assert torch.equal(resumed.weight, unbroken.weight)


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ufc_base.training.stopping.ECHO", 0.0)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(caught.value, Stopped)
    monkeypatch.setattr("ufc_base.training.stopping.ECHO", 60.0)
    with Signals() as signals:  # launchers pass on what the terminal has sent already
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.number == signal.SIGINT


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert not signals.number
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_validation_breaks_off_for_a_signal(tmp_path: Path) -> None:
    ended = []

    def validate(log: MetricsLog) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append(log)

    with pytest.raises(Stopped, match="after step 4"):
        run(Toy(), settings_for(tmp_path, validation_steps=4), validate)
    assert not ended and Checkpoints(tmp_path).numbers() == [4]


def test_a_signal_that_ends_the_data_workers_too_loses_nothing(tmp_path: Path) -> None:
    class Dying(Nothing):
        def __call__(self, step: int) -> None:
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
                raise RuntimeError("DataLoader worker (pid 1) exited unexpectedly")

    with pytest.raises(Stopped, match="after step 3"):
        train(Toy(), Dying(), settings_for(tmp_path), Engine("cpu"), lambda log: None)
    assert Checkpoints(tmp_path).numbers() == [3]


def test_a_run_keeps_its_settings_and_says_what_a_resume_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path, learning_rate=1e-3)
    Checkpoints(tmp_path).begin(None, settings)
    kept = read_settings(tmp_path)
    assert kept is not None and kept["learning_rate"] == 1e-3 and kept["max_train_steps"] == 10
    assert not {"output_dir", "resume_from_checkpoint"} & set(kept)
    run(Toy(), settings)
    capsys.readouterr()
    same = replace(settings, resume_from_checkpoint="latest")
    run(Toy(), same)
    assert "other settings" not in capsys.readouterr().err
    run(Toy(), replace(same, learning_rate=5e-4, max_train_steps=12, val_data_dir="held"))
    said = capsys.readouterr().err
    assert "learning_rate 0.001 -> 0.0005" in said and "max_train_steps 10 -> 12" in said
    assert 'val_data_dir null -> "held"' in said and "seed" not in said
    assert (read_settings(tmp_path) or {})["learning_rate"] == 5e-4


def test_a_run_goes_on_in_another_folder_and_says_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = settings_for(tmp_path / "a")
    Checkpoints(tmp_path / "a").begin(None, first)
    run(Toy(), first)
    (tmp_path / "a" / "settings.json").write_text("{")
    there = {"output_dir": str(tmp_path / "b")}
    resume = {"resume_from_checkpoint": str(tmp_path / "a" / "checkpoint-8")}
    run(Toy(), replace(first, **there, **resume))  # type: ignore[arg-type]
    assert "is not known" in capsys.readouterr().err
    assert (read_settings(tmp_path / "b") or {})["max_train_steps"] == 10


def test_skipped_steps_are_counted_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Toy()
    trainer.skip = {3, 4, 7}
    run(trainer, settings_for(tmp_path, max_skipped_steps=2))
    assert "step 4 is skipped, its loss or gradient is not finite (2 in a row" in (
        capsys.readouterr().err
    )
    assert [row.get("skipped_steps") for row in rows(tmp_path)] == [None, 2, 2, 3, 3]
    assert [row.get("loss") for row in rows(tmp_path)] == [1.5, None, 5.5, 8.0, 9.5]
    resumed = Toy()
    resumed.skip = {11}
    more = settings_for(tmp_path, max_train_steps=12, resume_from_checkpoint="latest")
    run(resumed, more)
    assert rows(tmp_path)[-1]["skipped_steps"] == 4


def test_too_many_skipped_steps_end_the_run_and_keep_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    trainer = Toy()
    trainer.skip = set(range(5, 99))
    with pytest.raises(Diverged, match=r"in 3 steps in a row, to step 7; .*checkpoint-4: go on"):
        run(trainer, settings_for(tmp_path, max_skipped_steps=2))
    assert Checkpoints(tmp_path).numbers() == [4]
    trainer.step = 5
    with pytest.raises(Diverged, match="no checkpoint yet"):
        run(trainer, settings_for(tmp_path / "new", max_skipped_steps=0))


def test_weights_that_are_not_finite_are_never_a_checkpoint(tmp_path: Path) -> None:
    def spoil(step: int) -> None:
        if step == 7:
            trainer.weight[0] = torch.inf

    trainer = Toy(spoil)
    with pytest.raises(Diverged, match=r"weight is not finite after step 8 .*checkpoint-4: go on"):
        run(trainer, settings_for(tmp_path))
    assert Checkpoints(tmp_path).numbers() == [4]


def test_what_is_not_finite_is_named() -> None:
    nan = torch.tensor([1.0, torch.nan])
    state = {"a": {"b": [torch.ones(2), nan]}, "c": nan, "d": torch.tensor([1]), "e": float("inf")}
    assert not_finite(state) == ["a.b.1", "c"]


def test_a_kill_while_a_checkpoint_is_written_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(3, {"step": 3})

    def half(state: object, file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    for step in (3, 5):  # the same again, and a new one
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(step, {"step": step})
        assert checkpoints.load("latest") == {"step": 3}
    monkeypatch.undo()
    (tmp_path / ".checkpoint-9.partial").mkdir()
    checkpoints.save(6, {"step": 6})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-6"]


@pytest.mark.parametrize("damage", ["empty", "half", "text", "no file"])
def test_half_a_checkpoint_is_refused_and_another_named(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, 3)
    checkpoints.save(3, {"step": 3})
    file = checkpoints.save(5, {"weights": torch.zeros(999)}) / "trainer.pt"
    whole = file.read_bytes()
    file.unlink()
    contents = {"empty": b"", "half": whole[: len(whole) // 2], "text": b"hello"}
    if damage in contents:
        file.write_bytes(contents[damage])
    wanted = "no trainer.pt in" if damage == "no file" else "truncated or damaged"
    with pytest.raises(CheckpointError, match=rf"{wanted}.*there is \S*checkpoint-3;"):
        checkpoints.load("latest")
    torch.save([1], file)
    with pytest.raises(CheckpointError, match="holds no training state"):
        checkpoints.load("latest")
    torch.save({"step": 5}, file)
    with pytest.raises(CheckpointError, match="is no checkpoint of this kind of run"):
        run(Toy(), settings_for(tmp_path, resume_from_checkpoint="latest"))


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_and_other_streams_have_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("ufc_base.training.progress_bar.BETWEEN", 0.0)
    shown = {}
    for name, stream in (("screen", Screen()), ("file", io.StringIO())):
        monkeypatch.setattr("sys.stderr", stream)
        run(Toy(), settings_for(tmp_path / name, logging_steps=10))
        shown[name] = stream.getvalue()
    for text in ("5/10", " samples/s  loss 5", " left", "step 10 loss 5.5"):
        assert text in shown["screen"], text
    assert "left" not in shown["file"] and "\x1b" not in shown["file"]
    assert shown["file"].splitlines()[1].startswith("step 10 loss 5.5 samples_per_second")
