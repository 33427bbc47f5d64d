"""One call's stop is its own; a forked child works."""

from __future__ import annotations

import copy
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import make_pipeline

from ufc.pipeline import UFCPipeline

STEPS = 4


def generate(pipe: UFCPipeline, watch: Callable[..., None] | None = None) -> list[int]:
    out = pipe("bag", seed=1, num_inference_steps=STEPS, callback_on_step_end=watch)
    return out.steps


@pytest.mark.parametrize("way", ["attribute", "state", "method"])
def test_a_callback_stops_its_call(pipeline: UFCPipeline, way: str) -> None:
    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        if step == 1:
            {"state": state["stop"], "method": pipe.interrupt}.get(
                way, lambda: setattr(pipe, "_interrupt", True)
            )()

    assert generate(pipeline, watch) == [2]
    assert generate(pipeline) == [STEPS] and not pipeline.calls


def test_a_call_within_a_callback_is_stopped_alone(pipeline: UFCPipeline) -> None:
    inner = []

    def stop(pipe: UFCPipeline, *_: object) -> None:
        pipe._interrupt = True

    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        inner.append(generate(pipe, stop))
        assert not pipe._interrupt

    assert generate(pipeline, watch) == [STEPS]
    assert inner == [[1]] * STEPS


def side_by_side(pipe: UFCPipeline, watches: list[Callable[..., None]]) -> list[list[int]]:
    """The steps that a call in each thread took, with a callback of its own."""
    steps: list[list[int]] = [[] for _ in watches]

    def run(number: int) -> None:
        steps[number] = generate(pipe, watches[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(watches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return steps


def test_a_stop_does_not_end_another_threads_call(pipeline: UFCPipeline) -> None:
    both = threading.Barrier(2, timeout=30)  # at their first steps together

    def stopping(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        both.wait()
        pipe._interrupt = True
        both.wait()

    def going_on(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        if step == 0:
            both.wait()
            both.wait()

    assert side_by_side(pipeline, [stopping, going_on]) == [[1], [STEPS]]


@pytest.mark.parametrize("way", ["attribute", "method"])
def test_from_elsewhere_all_running_calls_are_stopped(pipeline: UFCPipeline, way: str) -> None:
    all_here = threading.Barrier(3, timeout=30)

    def wait(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> None:
        if step == 0:
            all_here.wait()
            all_here.wait()

    def outside() -> None:
        all_here.wait()
        if way == "method":
            pipeline.interrupt()
        else:
            pipeline._interrupt = True
        all_here.wait()

    thread = threading.Thread(target=outside)
    thread.start()
    assert side_by_side(pipeline, [wait, wait]) == [[1], [1]]
    thread.join(60)


def test_a_stop_right_after_the_start_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline()
    real = pipe.encode_text

    def at_the_start(*arguments: Any, **named: Any) -> list[int]:
        threading.Thread(target=pipe.interrupt).run()
        return real(*arguments, **named)

    monkeypatch.setattr(pipe, "encode_text", at_the_start)
    assert generate(pipe) == [1]


def test_a_call_that_fails_leaves_nothing_behind(pipeline: UFCPipeline) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        generate(pipeline, fail)
    assert not pipeline.calls
    pipeline.interrupt()  # with nothing running it stops nothing
    assert generate(pipeline) == [STEPS]
    assert not copy.deepcopy(pipeline).calls


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_generates_the_same() -> None:
    """With torch's threads it would wait for ever for those that its parent has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pipe = make_pipeline(width=256, feed_forward=512)  # enough work to be shared out
        wanted = pipe("bag", seed=1).codes.tolist()
        torch.rand(1 << 20).sqrt_()  # the parent has threads when it forks
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)

        def child() -> None:
            sender.send((torch.get_num_threads(), pipe("bag", seed=1).codes.tolist()))
            sender.send(torch.get_num_threads())

        process = context.Process(target=child)
        process.start()
        try:
            assert receiver.poll(60), "the child hangs"
            assert receiver.recv() == (2, wanted) and receiver.recv() == 1
        finally:
            process.kill()
            process.join()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
