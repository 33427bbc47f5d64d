"""Statistics as other programs write and read them, both ways."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from estimators.metrics.fid import (
    Statistics,
    frechet_distance,
    load_statistics,
    save_statistics,
    statistics,
)
from ufc_base.formats.pickled_arrays import read_pickled
from vqgan.perceptual import import_torchvision

FEATURES = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
OTHERS = np.random.default_rng(1).normal(1, 2, size=(40, 6)).astype(np.float32)


def same(a: Statistics, b: Statistics) -> bool:
    return np.allclose(a.mean, b.mean, 1e-5, 1e-6) and np.allclose(
        a.covariance, b.covariance, 1e-5, 1e-6
    )


pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")


@pytest.fixture
def torchvision() -> None:
    import_torchvision()


def test_pytorch_fid_reads_ours_and_we_its(tmp_path: Path, torchvision: None) -> None:
    theirs = pytest.importorskip("pytorch_fid.fid_score")
    own, other = statistics(FEATURES), statistics(OTHERS)
    save_statistics(tmp_path / "own.npz", own, "tiny")
    mean, covariance = theirs.compute_statistics_of_path(
        str(tmp_path / "own.npz"), None, 1, 6, "cpu"
    )
    assert same(Statistics(mean, covariance, 0), own)
    distance = theirs.calculate_frechet_distance(mean, covariance, other.mean, other.covariance)
    assert frechet_distance(own, other) == pytest.approx(distance, rel=1e-5)
    # As its `save_fid_stats` writes them.
    np.savez_compressed(tmp_path / "its.npz", mu=FEATURES.mean(0), sigma=np.cov(FEATURES.T))
    found, about = load_statistics(tmp_path / "its.npz")
    assert same(found, own) and not about and not found.count


def test_clean_fid_reads_ours_and_we_its(
    tmp_path: Path, torchvision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleanfid = pytest.importorskip("cleanfid")
    theirs = pytest.importorskip("cleanfid.fid")
    features = pytest.importorskip("cleanfid.features")
    monkeypatch.setattr(cleanfid, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "stats").mkdir()
    own = statistics(FEATURES)
    save_statistics(tmp_path / "stats" / "ours_clean_custom_na.npz", own, "tiny")
    mean, covariance = features.get_reference_statistics("ours", "na", split="custom")
    assert same(Statistics(mean, covariance, 0), own)
    monkeypatch.setattr(theirs, "get_folder_features", lambda *_, **__: FEATURES)
    monkeypatch.setattr(theirs, "build_feature_extractor", lambda *_, **__: None)
    theirs.make_custom_stats("its", str(tmp_path), mode="clean")
    assert same(load_statistics(tmp_path / "stats" / "its_clean_custom_na.npz")[0], own)


def test_torch_fidelity_reads_ours_and_we_its(tmp_path: Path, torchvision: None) -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_fid")
    own = statistics(FEATURES)
    network = SimpleNamespace(get_name=lambda: "net")
    settings: dict[str, Any] = {"cache": True, "cache_root": str(tmp_path), "verbose": False}

    def of(features: np.ndarray | None, name: str) -> dict[str, np.ndarray]:
        held = None if features is None else {"6": torch.from_numpy(features)}
        found: dict[str, np.ndarray] = theirs.fid_featuresdict_to_statistics_cached(
            held, name, network, "6", **settings
        )
        return found

    save_statistics(tmp_path / "ours-net-stat-fid-6.pt", own, "tiny")
    read = of(None, "ours")
    assert same(Statistics(read["mu"], read["sigma"], 0), own)
    its = of(OTHERS, "its")
    found, about = load_statistics(tmp_path / "its-net-stat-fid-6.pt")
    assert same(found, statistics(OTHERS)) and not about
    wanted = theirs.fid_statistics_to_metric(read | {}, _double(its), False)
    assert frechet_distance(own, found) == pytest.approx(
        wanted["frechet_inception_distance"], rel=1e-5
    )
    loaded, about = load_statistics(tmp_path / "ours-net-stat-fid-6.pt")
    assert loaded.count == 40 and about == "tiny"


def _double(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


class Calls:
    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.call, (["touch", "called"],)


def test_a_file_of_arrays_calls_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong: dict[str, object] = {
        "a call": {"mu": Calls()},
        "objects": {"mu": np.array([{}, 1], dtype=object)},
        "texts": {"mu": np.array(["a"])},
        "tensors": {"mu": torch.zeros(3)},
        "a list": [np.zeros(3)],
    }
    for name, value in wrong.items():
        torch.save(value, tmp_path / "s.pt")
        with pytest.raises(ValueError, match=r"."):
            read_pickled(tmp_path / "s.pt")
        with pytest.raises(ValueError, match="no statistics of pictures"):
            load_statistics(tmp_path / "s.pt")
        assert not (tmp_path / "called").exists(), name
    arrays = {"mu": np.arange(3.0, dtype=">f8"), "sigma": np.asfortranarray(np.eye(3)[:2])}
    torch.save(arrays, tmp_path / "s.pt")
    read = read_pickled(tmp_path / "s.pt")
    assert all((read[name] == value).all() for name, value in arrays.items())
    with pytest.raises(ValueError, match=r"sigma \(2, 3\)"):
        load_statistics(tmp_path / "s.pt")
