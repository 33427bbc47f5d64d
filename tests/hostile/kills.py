"""Work that is killed at any moment and taken up again: nothing lost, nothing double, nothing half.

    PYTHONPATH=.:tests python -m hostile.kills outputs/soak/kills.jsonl [--moments 20] [--only JOB]

A job is done in a child of this process, which is killed at a random moment by SIGKILL, SIGTERM or
SIGINT, and done again until it ends; what is there then is compared with that of a run which was
never killed. What was done is kept in the file, and a run that was stopped goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cli_helpers import write
from conftest import make_pipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from toy_data import write_folder
from toy_extractor import tiny_extractor
from toy_training import model_config, tokenizer_config

import ufc.training.trainer as second_stage
import vqgan.training.trainer as first_stage
from estimators.metrics.fid import Statistics, load_statistics, save_statistics
from estimators.metrics.sets.content import cached
from ufc.cli.main import main as ufc
from ufc.pipeline import UFCPipeline
from ufc.training.codes.cache import CodeCache
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.datasets import Pixels, open_dataset
from ufc_base.training.checkpoints import Checkpoints
from ufc_base.training.stopping import Stopped
from vqgan.model import VQGAN
from webui.sessions.store import SessionStore

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SPEED = ("seconds", "samples_per_second", "minutes", "group")  # what differs between equal runs


@dataclass(frozen=True)
class Job:
    """`do` works in a folder, and goes on where it left off; `state` says what is there then.

    `check` looks at what a kill has left, before it is gone on with: raises where half a file is.
    """

    do: Callable[[Path], object]
    state: Callable[[Path], Any]
    check: Callable[[Path], object] = lambda folder: None


class Models:
    """What all jobs start from, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_pipeline().save_pretrained(folder / "model")
        self.model = folder / "model"
        self.tokenizer = self.model / "tokenizer"
        self.data = write_folder(folder / "data", 12)
        rng = np.random.default_rng(0)
        self.photo = folder / "photo.png"
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(self.photo)
        self.prompts = write(
            folder / "p.jsonl",
            {"id": "a", "prompt": "red bag", "seed": 1, "num_images_per_prompt": 5},
            {"id": "b", "prompt": "blue shirt", "seed": 9, "num_images_per_prompt": 3},
            {"id": "c", "prompt": "黑色手表", "seed": 2, "order": "pnag", "num_candidates": 2},
        )


def whole_files(folder: Path) -> None:
    """Every file under a name of its own is whole; hidden ones are those that a kill left behind."""
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path.is_dir():
            continue
        if path.suffix in (".png", ".jpg"):
            Image.open(path).load()
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix in (".npz", ".npy"):
            np.load(path, allow_pickle=False)


# Batches of pictures


def generate(models: Models, folder: Path) -> object:
    shared = ["--model", str(models.model), "--output-dir", str(folder / "out"), "--resume",
              "--num-inference-steps", "3", "--batch-size", "2"]  # fmt: skip
    return ended(ufc(["generate", "--prompts-file", str(models.prompts), *shared]))


def edit(models: Models, folder: Path) -> object:
    return ended(
        ufc(
            ["edit", "--image", str(models.photo), "--prompt", "red bag", "--preserve-blocks", "0-7",
             "--num-images-per-prompt", "8", "--seed", "3", "--batch-size", "2", "--resume",
             "--num-inference-steps", "3", "--model", str(models.model),
             "--output-dir", str(folder / "out")]
        )
    )  # fmt: skip


def ended(code: int) -> None:
    if code:
        raise SystemExit(code)


def output(folder: Path) -> Any:
    """Pictures as bytes, and the manifest but for what is of the clock; each once."""
    out = folder / "out"
    lines = (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["file_name"] for row in rows}) == len(rows), "a picture is there twice"
    pictures = {path.name: path.read_bytes() for path in sorted(out.glob("*.png"))}
    told = [{name: value for name, value in row.items() if name not in SPEED} for row in rows]
    return pictures, told


# Trainings


def train_tokenizer(models: Models, folder: Path) -> object:
    config = tokenizer_config(
        models.data, folder / "run", max_train_steps=16, checkpointing_steps=4, validation_steps=8,
        logging_steps=3, codebook_start=2, mixed_precision="no",
    )  # fmt: skip
    return trained(first_stage.main, config)


def train(models: Models, folder: Path) -> object:
    config = model_config(
        models.data, models.model, folder / "run", max_train_steps=10, checkpointing_steps=3,
        validation_steps=5, logging_steps=2, mixed_precision="no", val_data_dir=str(models.data),
    )  # fmt: skip
    return trained(second_stage.main, config)


def trained(main: Callable[[Any], object], config: Any) -> object:
    """Begin, or go on; what is finished is let be."""
    out = Path(config.output_dir)
    finished = any((out / name).is_file() for name in ("config.json", "model_index.json"))
    latest = Checkpoints(out).numbers()[-1:]
    if finished and latest == [config.max_train_steps] and sound_model(out):
        return None
    try:
        return main(replace(config, resume_from_checkpoint="latest"))
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None


def sound_model(folder: Path) -> bool:
    kind = UFCPipeline if (folder / "model_index.json").is_file() else VQGAN
    try:
        kind.from_pretrained(folder)
    except CheckpointError:
        return False
    return True


def run_state(folder: Path) -> Any:
    """The model, the checkpoints' numbers, and every line of the log but for speed."""
    run = folder / "run"
    files = {
        path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("model.*"))
    }
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]
    previews = sorted(path.name for path in run.glob("*.png"))
    return files, rows, Checkpoints(run).numbers(), previews


# What is kept


def token_cache(models: Models, folder: Path) -> object:
    tokenizer = VQGAN.from_pretrained(models.tokenizer)
    pixels = Pixels(open_dataset(models.data), tokenizer.config.size)
    return CodeCache.build(
        tokenizer, pixels, folder / "codes.safetensors", augmentations=40, seed=1
    )


def codes(folder: Path) -> Any:
    with safe_open(folder / "codes.safetensors", framework="pt") as file:
        return file.metadata(), file.get_tensor("codes").numpy().tobytes()


def statistics(models: Models, folder: Path) -> object:
    """Features of a set and their statistics, as `python -m estimators.fid ref` keeps them."""
    extractor = tiny_extractor()
    samples = open_dataset(models.data)

    def features() -> Any:
        pixels = Pixels(samples, 16)
        with torch.no_grad():
            rows = [
                extractor.net(pixels.batch([n])).flatten(1).numpy() for n in range(len(samples))
            ]
        return np.concatenate(rows).repeat(400, 1).astype(np.float32)

    found = cached(folder, {"set": samples.content}, features)
    stats = Statistics(found.mean(0, dtype=np.float64), np.cov(found.T), len(found))
    return save_statistics(folder / "stats.npz", stats, "tiny")


def kept_statistics(folder: Path) -> Any:
    stats, about = load_statistics(folder / "stats.npz")
    features = {path.name: path.read_bytes() for path in sorted(folder.glob("features-*.npy"))}
    return stats.mean.tobytes(), stats.covariance.tobytes(), about, features


def save_weights(models: Models, folder: Path) -> object:
    """A model in place of another: split weights over whole ones, and back."""
    pipeline = UFCPipeline.from_pretrained(models.model)
    for _ in range(3):
        pipeline.save_pretrained(folder / "model")
        pipeline.save_pretrained(folder / "model", dtype=torch.float16)
    return pipeline.save_pretrained(folder / "model")


def saved_weights(folder: Path) -> Any:
    pipeline = UFCPipeline.from_pretrained(folder / "model")
    weights = {**pipeline.tokenizer.state_dict(), **pipeline.transformer.state_dict()}
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def check_weights(folder: Path) -> None:
    """A folder half way between two models is a model, or says what it is not."""
    whole_files(folder)
    if (folder / "model").is_dir():
        sound_model(folder / "model")


# The editor

SEEDS = (1, 2, 3, 4)


def session(models: Models, folder: Path) -> object:
    """A visitor who generates pictures one after another, and comes back to the same session."""
    from ufc.requests.loading import ModelSettings
    from webui.sessions.state import set_favourite
    from webui.sessions.studio import Studio

    studio = Studio(folder, ModelSettings(str(models.model)))
    place = folder / "key"
    key = place.read_text() if place.is_file() else ""
    if not key or not studio.has(key):
        key = studio.begin()
        (folder / ".key").write_text(key)
        (folder / ".key").replace(place)
    done = len(studio.store.load(key).pictures)
    for seed in SEEDS[done:]:
        studio.store.update(key, lambda s, seed=seed: with_seed(s, seed))
        studio.generate(key)
        studio.worker.wait(key, 60)
        studio.worker.finished(key)
        last = studio.store.load(key).pictures[-1].id
        studio.store.update(key, lambda s, last=last: set_favourite(s, last, True))
    return None


def with_seed(found: Any, seed: int) -> Any:
    settings = replace(found.settings, prompt="red bag", seed=seed, seed_locked=True, steps=3)
    return replace(found, settings=replace(settings, pictures=1, candidates=1))


def session_state(folder: Path) -> Any:
    key = (folder / "key").read_text()
    store = SessionStore(folder)
    found = store.load(key)
    pixels = [store.open_picture(key, picture.file).tobytes() for picture in found.pictures]
    seeds = [picture.id for picture in found.pictures]
    assert len(set(seeds)) == len(seeds), "a picture is there twice"
    return pixels, seeds


def check_session(folder: Path) -> None:
    """Whatever the session names is there and whole."""
    whole_files(folder)
    if (folder / "key").is_file():
        session_state(folder)


def jobs(models: Models) -> dict[str, Job]:
    def of(do: Callable[[Models, Path], object]) -> Callable[[Path], object]:
        return lambda folder: do(models, folder)

    return {
        "generate": Job(of(generate), output, whole_files),
        "edit": Job(of(edit), output, whole_files),
        "train-tokenizer": Job(of(train_tokenizer), run_state, whole_files),
        "train": Job(of(train), run_state, whole_files),
        "token cache": Job(of(token_cache), codes, whole_files),
        "statistics": Job(of(statistics), kept_statistics, whole_files),
        "weights": Job(of(save_weights), saved_weights, check_weights),
        "session": Job(of(session), session_state, check_session),
    }


# Killing


def started(work: Callable[[], object], log: Path) -> int:
    """Do something in a child of this process, with what it says in a file; returns its number."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 1
    torch.set_num_threads(1)  # a forked child has torch's pool, but not its threads
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)  # a test may have taken them
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ends(number: int, seconds: float) -> int | None:
    """The exit code of a child, below zero for a signal; None where it is still at work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def whole_run(job: Job, folder: Path) -> float:
    """Do a job without a kill; returns its seconds."""
    folder.mkdir()
    start = time.monotonic()
    code = ends(started(lambda: job.do(folder), folder.with_suffix(".log")), 600)
    assert code == 0, f"exit code {code}: {folder.with_suffix('.log').read_text()[-800:]}"
    return time.monotonic() - start


def killed_run(
    job: Job, folder: Path, seconds: float, rng: random.Random, kills: int
) -> dict[str, int]:
    """Do a job that is killed so many times at any moment, and go on to its end.

    Returns how many kills of each signal found it at work.
    """
    folder.mkdir()
    log = folder.with_suffix(".log")
    found = dict.fromkeys((number.name for number in SIGNALS), 0)
    for _ in range(kills):
        child = started(lambda: job.do(folder), log)
        code = ends(child, rng.uniform(0, seconds))
        if code is None:
            number = rng.choice(SIGNALS)
            os.kill(child, number)
            found[number.name] += 1
            code = ends(child, 120)
            if code is None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError(f"{number.name} does not end it")
            said = log.read_text(errors="replace")
            assert "Traceback" not in said, f"{number.name} ends in a traceback: {said[-600:]}"
        job.check(folder)
        if code == 0:
            break
    code = ends(started(lambda: job.do(folder), log), 600)
    assert code == 0, f"does not go on, exit code {code}: {log.read_text()[-800:]}"
    whole_files(folder)
    return found


def different(first: Any, second: Any, name: str = "") -> str:
    """Where two states differ; empty where they are equal."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return next(
            filter(None, (different(first[k], second[k], f"{name}.{k}") for k in first)), ""
        )
    same = isinstance(first, list | tuple) and isinstance(second, list | tuple)
    if same and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return next(filter(None, (different(a, b, f"{name}[{n}]") for n, (a, b) in pairs)), "")
    return "" if first == second else f"{name}: {first!r:.300} and {second!r:.300}"


def soak(state: Path, moments: int, only: list[str]) -> int:
    state.parent.mkdir(parents=True, exist_ok=True)
    lines = state.read_text().split("\n")[:-1] if state.is_file() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="killed-") as name, state.open("a") as log:
        place = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        for kind, job in jobs(Models(place)).items():
            if only and kind not in only:
                continue
            own = [row for row in rows if row["job"] == kind]
            if sum(sum(row["kills"].values()) for row in own) >= moments:
                continue
            seconds = whole_run(job, place / f"{kind}-whole")
            want = job.state(place / f"{kind}-whole")
            number = len(own)
            while sum(sum(row["kills"].values()) for row in rows if row["job"] == kind) < moments:
                rng = random.Random(f"{kind}/{number}")
                row = {"job": kind, "run": number, "kills": {}, "fault": ""}
                folder = place / f"{kind}-{number}"
                try:
                    row["kills"] = killed_run(job, folder, seconds, rng, rng.choice((2, 3, 4)))
                    row["fault"] = different(want, job.state(folder))
                except Exception as error:
                    row["kills"] = row["kills"] or {"unknown": 1}
                    row["fault"] = f"{type(error).__name__}: {error!s:.600}"
                rows.append(row)
                log.write(json.dumps(row) + "\n")
                log.flush()
                if row["fault"]:
                    print(f"{kind} {number}: {row['fault']}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
                number += 1
    print(figures(rows))
    return int(any(row["fault"] for row in rows))


def figures(rows: list[dict[str, Any]]) -> str:
    """A table: runs, kills by signal, faults."""
    names = [number.name for number in SIGNALS]
    out = [
        f"| work | runs | kills | {' | '.join(names)} | faults |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(row["job"] for row in rows):
        own = [row for row in rows if row["job"] == kind]
        counts = [sum(row["kills"].get(name, 0) for row in own) for name in names]
        faults = sum(bool(row["fault"]) for row in own)
        said = " | ".join(map(str, counts))
        out.append(f"| {kind} | {len(own)} | {sum(counts)} | {said} | {faults} |")
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    return soak(given.state, given.moments, given.only)


if __name__ == "__main__":
    sys.exit(main())
