"""Requests that come together are generated together; those that are given up stop."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch
from conftest import make_pipeline

openai = pytest.importorskip("openai")
for _needed in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
    pytest.importorskip(_needed)

from toy_server import Running, get, picture_of, running, sent, until  # noqa: E402

from ufc.pipeline import UFCPipeline  # noqa: E402
from ufc.pipeline_output import PipelineOutput  # noqa: E402
from ufc.serving import service  # noqa: E402
from ufc.serving.batching import Batcher, share, usual_batches  # noqa: E402
from ufc.serving.settings import ServerSettings  # noqa: E402

LONG = 1_000  # steps that nobody waits for


class Gated:
    """A pipeline that waits at a gate before each call, and tells what it was asked.

    It fails at pictures of the seed `bad`.
    """

    def __init__(self, pipe: UFCPipeline) -> None:
        self.pipe = pipe
        self.gate = threading.Event()
        self.calls: list[int] = []
        self.done: list[PipelineOutput] = []
        self.bad: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def __call__(self, **arguments: Any) -> PipelineOutput:
        self.calls.append(len(arguments["conditioning"]))
        assert self.gate.wait(60)
        if self.bad in arguments["seed"]:
            raise RuntimeError("a secret of the server")
        self.done.append(self.pipe(**arguments))
        return self.done[-1]


@pytest.fixture
def gated() -> Gated:
    return Gated(make_pipeline().to("cpu", "fp32"))


def in_turn(**more: Any) -> ServerSettings:
    """One batch after the other, so that their order is known."""
    return ServerSettings(batches_at_once=1, **more)


def client(server: Running) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def ask(server: Running, seed: int = 1, steps: int = 2, **more: Any) -> Any:
    extra = {"seed": seed, "num_inference_steps": steps}
    return client(server).images.generate(prompt="bag", extra_body=extra, **more)


def given_up(server: Running, why: str) -> float:
    found = server.service.metrics.registry.get_sample_value("ufc_given_up_total", {"why": why})
    return found or 0.0


def test_equal_settings_share_a_forward_pass(gated: Gated) -> None:
    with running(gated, in_turn(max_batch=4)) as server, ThreadPoolExecutor(8) as pool:
        batcher = server.service.batcher
        first = pool.submit(ask, server)
        until(lambda: gated.calls == [1])
        other = pool.submit(ask, server, 2, 3)
        until(lambda: batcher.waiting == 1)
        same = [pool.submit(ask, server, seed) for seed in (3, 4, 5)]
        until(lambda: batcher.waiting == 4)
        two = pool.submit(ask, server, 6, n=2)
        until(lambda: batcher.waiting == 6)
        gated.gate.set()
        found = [one.result().data[0] for one in (first, other, *same)]
        assert len(two.result().data) == 2
    assert gated.calls == [1, 1, 4, 1]  # the other first, then the equal ones, four at most
    for one, seed, steps in zip(found, (1, 2, 3, 4, 5), (2, 3, 2, 2, 2), strict=True):
        alone = gated.pipe("bag", seed=seed, num_inference_steps=steps)
        assert picture_of(one.b64_json).tobytes() == alone.images[0].tobytes()


def test_a_default_that_is_said_is_no_other_setting(gated: Gated) -> None:
    said = {"num_inference_steps": 2, "guidance_scale": gated.pipe.defaults["guidance_scale"]}
    with running(gated, in_turn()) as server, ThreadPoolExecutor(4) as pool:
        asked: list[Future[Any]] = [pool.submit(ask, server)]
        until(lambda: gated.calls == [1])
        asked.append(pool.submit(ask, server, 2))
        generate = client(server).images.generate
        asked.append(pool.submit(generate, prompt="bag", size="16x16", extra_body=said))
        until(lambda: server.service.batcher.waiting == 2)
        gated.gate.set()
        assert all(one.result().data for one in asked)
    assert gated.calls == [1, 2]


def test_canvases_bound_what_is_generated_together(gated: Gated) -> None:
    """A picture with candidates is as many pictures; one alone is generated at all events."""
    with running(gated, in_turn(max_canvases=4)) as server, ThreadPoolExecutor(9) as pool:
        more = {"num_candidates": 2, "num_inference_steps": 2}
        generate, batcher = client(server).images.generate, server.service.batcher
        asked = [pool.submit(ask, server)]
        until(lambda: gated.calls == [1])
        asked += [pool.submit(generate, prompt="bag", extra_body=more) for _ in range(3)]
        until(lambda: batcher.waiting == 3)
        asked += [pool.submit(ask, server, seed) for seed in range(5)]
        until(lambda: batcher.waiting == 8)
        gated.gate.set()
        assert all(one.result().data for one in asked)
    assert gated.calls == [1, 2, 1, 4, 1]


def test_previews_are_of_those_alone_who_asked(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = gated.pipe.decode

    def counted(codes: Any, *more: Any) -> Any:
        decoded.append(len(codes))
        return decode(codes, *more)

    monkeypatch.setattr(gated.pipe, "decode", counted)
    with running(gated, in_turn()) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server)
        until(lambda: gated.calls == [1])
        others = [pool.submit(ask, server, seed, 4) for seed in (2, 3)]
        until(lambda: server.service.batcher.waiting == 2)
        seen = pool.submit(
            lambda: list(ask(server, 4, 4, stream=True, partial_images=1)),
        )
        until(lambda: server.service.batcher.waiting == 3)
        gated.gate.set()
        assert first.result().data and all(one.result().data for one in others)
        preview, whole = seen.result()
    assert gated.calls == [1, 3] and decoded == [1, 1, 3]
    alone = gated.pipe("bag", seed=4, num_inference_steps=4)
    assert picture_of(whole.b64_json).tobytes() == alone.images[0].tobytes()
    assert preview.type == "image_generation.partial_image"


def test_a_place_is_taken_until_its_thread_ends(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread goes on with what is given up; another beside it would be one too many."""
    gate, at_work, most = threading.Event(), set[int](), [0]
    real = service.prepare

    def slow(*given: Any) -> Any:
        at_work.add(threading.get_ident())
        most[0] = max(most[0], len(at_work))
        assert gate.wait(60)
        at_work.discard(threading.get_ident())
        return real(*given)

    monkeypatch.setattr(service, "prepare", slow)
    gated.gate.set()
    with running(gated, in_turn(request_timeout=0.2)) as server:

        def out_of_time() -> bool:
            with pytest.raises(openai.InternalServerError) as caught:
                ask(server)
            return bool(caught.value.status_code == 504)

        until(lambda: out_of_time() and len(at_work) == service.AT_ONCE)
        assert out_of_time() and out_of_time() and most == [service.AT_ONCE]
        gate.set()
        server.service.settings.request_timeout = 60
        assert ask(server).data


def test_one_bad_picture_fails_alone(gated: Gated) -> None:
    gated.bad = 13
    with running(gated, in_turn()) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server)
        until(lambda: gated.calls == [1])
        bad, good = pool.submit(ask, server, 13), pool.submit(ask, server, 14)
        until(lambda: server.service.batcher.waiting == 2)
        gated.gate.set()
        assert first.result().data and good.result().data
        with pytest.raises(openai.InternalServerError) as caught:
            bad.result()
    assert caught.value.body["type"] == "server_error" and "secret" not in str(caught.value)
    assert gated.calls == [1, 2, 1, 1]


def test_a_full_queue_refuses(gated: Gated) -> None:
    with running(gated, in_turn(max_queue=2)) as server, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, server)]
        until(lambda: gated.calls == [1])
        waiting.append(pool.submit(ask, server, n=2))
        until(lambda: server.service.batcher.waiting == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server)
        assert caught.value.body["code"] == "queue_full"
        assert caught.value.response.headers["retry-after"] == "1"
        gated.gate.set()
        assert all(one.result().data for one in waiting)


def test_time_is_out_in_the_queue_and_at_work(gated: Gated) -> None:
    settings = in_turn(request_timeout=0.3, max_steps=LONG)
    with running(gated, settings) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server)
        assert caught.value.status_code == 504 and caught.value.body["code"] == "timeout"
        gated.gate.set()
        until(lambda: server.service.batcher.running == 0)
        with pytest.raises(openai.InternalServerError):
            ask(server, steps=LONG)
        until(lambda: server.service.batcher.running == 0)
        assert gated.done[-1].steps[0] < LONG  # it ended after its step
        assert given_up(server, "time was out") == 2
        server.service.settings.request_timeout = 60
        assert ask(server).data


def test_a_stream_tells_that_its_time_is_out(gated: Gated) -> None:
    with running(gated, in_turn(request_timeout=0.2)) as server:
        with pytest.raises(openai.APIError, match=r"longer than the 0\.2 s"):
            list(client(server).images.generate(prompt="bag", stream=True))
        gated.gate.set()


def test_generating_stops_when_the_client_goes_away(gated: Gated) -> None:
    gated.gate.set()
    with running(gated, in_turn(max_steps=LONG)) as server:
        connection = sent(server, prompt="bag", num_inference_steps=LONG)
        until(lambda: gated.calls == [1])
        connection.close()
        until(lambda: gated.done)
        assert gated.done[-1].steps[0] < LONG
        until(lambda: given_up(server, "client left") == 1)


def test_a_stream_stops_when_its_reader_goes_away(gated: Gated) -> None:
    gated.gate.set()
    with running(gated, in_turn(max_steps=LONG)) as server:
        stream = client(server).images.generate(
            prompt="bag", stream=True, partial_images=16, extra_body={"num_inference_steps": LONG}
        )
        assert next(iter(stream)).type == "image_generation.partial_image"
        stream.close()
        until(lambda: gated.done)
        assert gated.done[-1].steps[0] < LONG
        until(lambda: given_up(server, "client left") == 1)


def test_who_leaves_ends_nobody_elses(gated: Gated) -> None:
    with running(gated, in_turn()) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server)
        until(lambda: gated.calls == [1])
        stays = pool.submit(ask, server, 2)
        until(lambda: server.service.batcher.waiting == 1)
        connection = sent(server, prompt="bag", num_inference_steps=2, n=2)
        until(lambda: server.service.batcher.waiting == 3)
        connection.close()
        until(lambda: server.service.batcher.waiting == 1)  # what waited of it is gone
        gated.gate.set()
        assert first.result().data and stays.result().data
    assert gated.calls == [1, 1]


def test_batches_at_once_share_what_waits(gated: Gated) -> None:
    """Two workers: the first picture is one's, those that wait then go to both alike."""
    settings = ServerSettings(batches_at_once=2, max_batch=4)
    with running(gated, settings) as server, ThreadPoolExecutor(8) as pool:
        batcher = server.service.batcher
        asked = [pool.submit(ask, server, 1)]
        until(lambda: gated.calls == [1])
        asked.append(pool.submit(ask, server, 2))
        until(lambda: gated.calls == [1, 1] and batcher.running == 2)
        asked += [pool.submit(ask, server, seed) for seed in range(3, 9)]
        until(lambda: batcher.waiting == 6)
        gated.gate.set()
        found = [one.result().data[0] for one in asked]
    assert sum(gated.calls) == 8 and max(gated.calls) <= 4 and batcher.running == 0
    for seed, one in enumerate(found, 1):
        expected = gated.pipe("bag", seed=seed, num_inference_steps=2).images[0]
        assert picture_of(one.b64_json).tobytes() == expected.tobytes()


def test_batches_at_once_share_the_processors(gated: Gated) -> None:
    """A worker has all while it is alone; nobody else's number of threads changes."""
    before, seen = torch.get_num_threads(), list[int]()
    batcher = Batcher(gated, at_once=2, _threads=6)  # type: ignore[arg-type]

    def worker() -> None:
        batcher._take_share()
        seen.append(torch.get_num_threads())

    for deterministic, busy in ((False, 1), (False, 2), (True, 1)):
        gated.pipe.deterministic, batcher._busy = deterministic, busy
        batcher._workers = [threading.Thread(target=worker)]
        batcher._workers[0].start()
        batcher._workers[0].join()
    assert seen == [6, 3, 3] and torch.get_num_threads() == before
    assert [share(7, 3, number) for number in range(3)] == [2, 2, 3]
    assert [share(2, 4, number) for number in range(4)] == [1, 1, 1, 1]


def test_a_picture_that_comes_beside_another_waits_for_no_company(gated: Gated) -> None:
    settings = ServerSettings(batches_at_once=2, batch_wait=60)
    with running(gated, settings) as server, ThreadPoolExecutor(2) as pool:
        server.service.batcher.wait = 0  # for the first
        asked = [pool.submit(ask, server, 1)]
        until(lambda: gated.calls == [1])
        server.service.batcher.wait = 60
        asked.append(pool.submit(ask, server, 2))
        until(lambda: gated.calls == [1, 1], 30)
        gated.gate.set()
        assert all(one.result().data for one in asked)


def test_how_many_batches_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones, as many as there are processors; one where company must not change a picture."""
    pipe = make_pipeline().to("cpu", "fp32")
    for processors, want in ((1, (1, 8)), (2, (2, 2)), (64, (4, 2))):
        monkeypatch.setattr(torch, "get_num_threads", lambda one=processors: one)
        assert usual_batches(pipe, None, None) == want
    assert usual_batches(pipe, 1, None) == (1, 8) and usual_batches(pipe, 3, 5) == (3, 5)
    pipe.to(deterministic=True)
    assert usual_batches(pipe, None, None) == (1, 8)
    pipe.compiled = True
    with pytest.raises(ValueError, match="one number of threads; leave one of them out"):
        usual_batches(pipe, 2, None)


def test_who_waits_is_told_when_the_server_stops(gated: Gated) -> None:
    with running(gated, in_turn()) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, server)
        until(lambda: gated.calls == [1])
        second = pool.submit(ask, server, 2)
        until(lambda: server.service.batcher.waiting == 1)
        threading.Thread(target=server.service.batcher.close).start()
        with pytest.raises(openai.InternalServerError) as caught:
            second.result()
        assert caught.value.status_code == 503 and caught.value.body["code"] == "stopping"
        assert get(f"{server.url}/health").status_code == 503
        gated.gate.set()
        with pytest.raises(openai.InternalServerError):
            first.result()
