"""Arrays that measuring keeps: statistics, probes, generated sets."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from estimators.metrics.fid import load_statistics
from estimators.metrics.probes.attributes import load_judge
from estimators.metrics.sets.content import cached
from ufc.evaluation.generated_sets import GeneratedSet, kept_set, load_set

from .. import weights
from .base import Kind, only, write
from .of_models import is_pickle_of


def judge_arrays() -> dict[str, object]:
    return {
        "about": np.array("tiny"), "size": np.array(16), "attributes": np.array(["colour"]),
        "mean": np.zeros(4), "scale": np.ones(4), "references": np.array(["16"]),
        "classes/colour": np.array(["red", "blue"]), "weight/colour": np.zeros((2, 4)),
        "bias/colour": np.zeros(2), "mu/16": np.zeros(4), "sigma/16": np.eye(4),
        "count/16": np.array(9),
    }  # fmt: skip


def set_arrays() -> dict[str, object]:
    about = {"passes": 3, "seconds": 1.0, "steps": [1, 1], "recipe": {}}
    return {
        "codes": np.zeros((2, 16), np.int64),
        "compliance": np.zeros(2),
        "about": np.array(json.dumps(about)),
    }


@cache
def pickled_statistics() -> bytes:
    """As torch-fidelity writes them."""
    stream = io.BytesIO()
    torch.save({"mu": np.zeros(4), "sigma": np.eye(4)}, stream)
    return stream.getvalue()


def has_arrays(folder: Path) -> object:
    with zipfile.ZipFile(only(folder)) as archive, archive.open(archive.namelist()[0]) as stream:
        np.lib.format.read_magic(stream)
        return np.lib.format.read_array_header_1_0(stream)


def again(folder: Path) -> object:
    """What is kept and damaged is computed anew."""
    made = GeneratedSet(torch.zeros(2, 16), {}, 1, 1.0, [1, 1], {})
    path = only(folder)
    key = {"a": 1}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    shutil.copy(path, folder / f"generated-{digest}.npz")
    kept_set(folder, key, lambda: made)
    shutil.copy(path, folder / f"features-{digest}.npy")
    return cached(folder, key, lambda: np.zeros((1, 2), np.float32))


KINDS = {
    "statistics": Kind(
        700, write("s.npz", lambda rng: weights.arrays_file(rng, weights.statistics_arrays())),
        has_arrays, {"load_statistics": lambda f: load_statistics(only(f))},
    ),
    "torch-fidelity's": Kind(
        700, write("s.pt", lambda rng: weights.torch_file(rng, pickled_statistics())),
        lambda f: is_pickle_of(only(f)), {"load_statistics": lambda f: load_statistics(only(f))},
    ),
    "probes": Kind(
        400, write("j.npz", lambda rng: weights.arrays_file(rng, judge_arrays())), has_arrays,
        {"load_judge": lambda f: load_judge(only(f))},
    ),
    "generated set": Kind(
        400, write("g.npz", lambda rng: weights.arrays_file(rng, set_arrays())), has_arrays,
        {"load_set": lambda f: load_set(only(f)), "kept": again},
    ),
}  # fmt: skip
