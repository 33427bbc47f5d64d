"""Probes, features and the judge on drawn shapes, with a tiny convolution net of random weights."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from estimators.metrics.extractors import command_line, make_extractor
from estimators.metrics.extractors.features import extract
from estimators.metrics.probes import __main__ as probes
from estimators.metrics.probes.attributes import (
    NATIVE,
    compare,
    fit_judge,
    kept_judge,
    load_judge,
    save_judge,
    score,
)
from estimators.metrics.probes.linear import fit_probe, fit_scaler, predict
from estimators.metrics.sets.content import cached
from ufc_base.data.datasets import open_dataset

COLOURS = {"Red": (220, 30, 30), "Blue": (30, 40, 210), "Green": (20, 160, 40)}
SIZE = 32


@pytest.fixture(scope="module")
def extractor():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
    )
    return make_extractor("random", layers, (1, 3), SIZE)


def product(row, size=48):
    """A disc or a square of a cycling colour on white, and its record."""
    rng = np.random.default_rng(row)
    kind, colour = ("Ball", "Box")[row % 2], list(COLOURS)[row % 3]
    image = Image.new("RGB", (size, size), "white")
    left, top = (int(v) for v in rng.integers(4, 10, 2))
    box = (left, top, left + 26, top + 26)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if kind == "Ball" else draw.rectangle)(box, fill=COLOURS[colour])
    gender = "Men" if row % 4 < 2 else None
    text = f"{colour.lower()} {kind.lower()}"
    record = {"id": f"p-{row}", "type": kind, "colour": colour, "text": text, "text_zh": "球"}
    return image, record if gender is None else {**record, "gender": gender}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for row in range(48):
        image, record = product(row)
        image.save(folder / f"{record['id']}.png")
        lines.append(json.dumps({"file_name": f"{record['id']}.png", **record}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def tiny(monkeypatch, extractor):
    """The command line with the tiny extractor in place of a downloaded one."""
    monkeypatch.setattr(command_line, "load_extractor", lambda *_, **__: extractor)


def test_features_do_not_depend_on_the_batch(extractor):
    images = [product(row, 40 + row)[0] for row in range(7)]
    together = extract(extractor, images, batch_size=7)
    alone = np.concatenate([extract(extractor, [image]) for image in images])
    assert together.shape == (7, 20)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_features_tell_their_recipe(extractor):
    assert extractor.frechet == slice(8, 20)  # the last tap alone
    other = make_extractor("random", extractor.net.layers, (1, 3), 2 * SIZE)
    assert other.about != extractor.about
    assert other.weights == extractor.weights


def test_shrinking_first_changes_the_features(extractor):
    image = [product(0)[0]]
    assert not np.allclose(extract(extractor, image, size=16), extract(extractor, image))
    with pytest.raises(ValueError, match="no picture"):
        extract(extractor, [])


def test_the_cache_is_keyed_by_content(tmp_path, data):
    calls = []

    def compute():
        calls.append(1)
        return np.ones((2, 3), np.float32)

    for _ in range(2):
        assert cached(tmp_path, {"data": "a"}, compute).shape == (2, 3)
    assert len(calls) == 1
    cached(tmp_path, {"data": "b"}, compute)
    cached(None, {"data": "a"}, compute)
    assert len(calls) == 3
    before = open_dataset(data).content
    (data / "one-more.txt").write_text("no part of the set")
    assert open_dataset(data).content == before
    text = (data / "metadata.jsonl").read_text()
    (data / "metadata.jsonl").write_text(text.replace("{", "{ ", 1))
    assert open_dataset(data).content != before
    (data / "metadata.jsonl").write_text(text)
    assert open_dataset(data).content == before


def test_a_probe_learns_what_can_be_told_apart_linearly():
    rng = np.random.default_rng(0)
    centres = {"a": (4, 0), "b": (0, 4), "c": (-4, -4)}
    labels = [("a", "b", "c")[i % 3] for i in range(90)]
    x = np.array([centres[name] for name in labels]) + rng.normal(size=(90, 2))
    features = np.concatenate([x, np.ones((90, 1))], axis=1).astype(np.float32)  # one is constant
    scaled = fit_scaler(features)(features)
    assert np.isfinite(scaled).all()
    probe = fit_probe(scaled, labels)
    assert np.mean([p == q for p, q in zip(predict(probe, scaled), labels, strict=True)]) > 0.95
    again = fit_probe(scaled, labels)
    np.testing.assert_array_equal(probe.weight, again.weight)
    with pytest.raises(ValueError, match="at least 2 classes"):
        fit_probe(scaled, ["a"] * 90)


def test_the_judge_knows_right_from_exchanged_pictures(extractor, data, tmp_path):
    samples = open_dataset(data)
    images = [samples[i].image for i in range(len(samples))]
    records = [samples.record(i) for i in range(len(samples))]
    features = {24: extract(extractor, images, size=24), NATIVE: extract(extractor, images)}
    judge = fit_judge(extractor, features, records, ("type", "colour"), size=24, l2=1e-4)
    save_judge(tmp_path / "probes.npz", judge)
    judge = load_judge(tmp_path / "probes.npz")

    real = score(judge, extractor, features[24], records)
    assert real.accuracy["colour"] > 0.95
    assert real.fd == pytest.approx(0, abs=1e-6)
    assert real.fd_native > 0
    exchanged = score(judge, extractor, features[24], records[1:] + records[:1])
    assert exchanged.accuracy["colour"] < 0.05  # colours go in turn, so none is right
    report = compare(exchanged, real)
    assert report["share"]["colour"] < 0.1
    assert report["fd_above_real"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="'sleeves'"):
        fit_judge(extractor, features, records, ("sleeves",))


def test_a_judge_is_fitted_once_for_its_content(extractor, data, tmp_path):
    samples = open_dataset(data)
    records = [samples.record(i) for i in range(len(samples))]
    features = {NATIVE: extract(extractor, (samples[i].image for i in range(len(samples))))}
    fitted = []

    def fit():
        fitted.append(fit_judge(extractor, features, records, ("colour",)))
        return fitted[-1]

    first = kept_judge(tmp_path, {"content": "a"}, fit)
    again = kept_judge(tmp_path, {"content": "a"}, fit)
    assert len(fitted) == 1
    assert (again.about, again.size) == (first.about, NATIVE)
    seen = [score(judge, extractor, features[NATIVE], records) for judge in (first, again)]
    assert seen[0].seen == seen[1].seen
    kept_judge(tmp_path, {"content": "b"}, fit)
    kept_judge(None, {"content": "a"}, fit)
    assert len(fitted) == 3


def test_prompts_are_one_request_per_caption(data, tmp_path):
    out = tmp_path / "prompts.jsonl"
    command = ["prompts", str(data), "-o", str(out), "--limit", "3", "--field", "mixed"]
    assert probes.main([*command, "--seed-base", "100"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0] == {"id": "p-0", "prompt": "red ball", "seed": 100}
    assert [row["prompt"] for row in rows[1:]] == ["球", "green ball"]
    assert [row["seed"] for row in rows] == [100, 101, 102]


def test_fit_and_judge_from_the_command_line(tiny, data, tmp_path, capsys):
    judge_file, drawn = tmp_path / "probes.npz", tmp_path / "drawn"
    drawn.mkdir()
    fit = [
        "fit",
        str(data),
        "--size",
        "24",
        "-o",
        str(judge_file),
        "--attribute",
        "type",
        "--attribute",
        "colour",
    ]
    assert probes.main([*fit, "--cache-dir", str(tmp_path / "cache"), "--l2", "1e-4"]) == 0
    for row in range(10):
        image, record = product(row)
        image.resize((24, 24), Image.Resampling.BICUBIC).save(drawn / f"{record['id']}-7-0.png")
    (drawn / "manifest.jsonl").write_text("{}\n")
    capsys.readouterr()
    judge = ["judge", str(drawn), "--data", str(data), "--probes", str(judge_file)]
    assert probes.main([*judge, "--json", "--rows", str(tmp_path / "rows.jsonl")]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert "38 of 48 captions" in printed.err
    assert (report["pictures"], report["size"]) == (10, 24)
    assert report["share"] == {"type": 1.0, "colour": 1.0}  # these are the real ones, shrunk
    assert report["fd_above_real"] == pytest.approx(0, abs=1e-3)
    row = json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])
    assert row["asked"] == {"type": "Ball", "colour": "Red"}
    assert probes.main(judge) == 0
    assert "share of real" in capsys.readouterr().out


def test_pictures_of_any_shape_are_judged_beside_real_ones_at_their_own_size(
    tiny, data, tmp_path, capsys
):
    judge_file, drawn = tmp_path / "probes.npz", tmp_path / "drawn"
    drawn.mkdir()
    fit = ["fit", str(data), "-o", str(judge_file), "--attribute", "type", "--attribute", "colour"]
    assert probes.main([*fit, "--l2", "1e-4"]) == 0
    for row in range(12):
        image, record = product(row)
        image.resize((36, 48), Image.Resampling.BICUBIC).save(drawn / f"{record['id']}-7-0.png")
    capsys.readouterr()
    judge = ["judge", str(drawn), "--data", str(data), "--probes", str(judge_file), "--json"]
    assert probes.main(judge) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["size"] is None
    assert report["real"]["type"] == report["real"]["colour"] == 1
    assert report["share"]["colour"] == 1
    assert report["drawn"]["fd"] == report["drawn"]["fd_native"]


def test_bad_input_is_one_line_and_exit_code_2(tiny, data, tmp_path, capsys):
    def fails(*command):
        assert probes.main([str(word) for word in command]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    rest = ["--data", data, "--probes", tmp_path / "none.npz"]
    assert "probes fit" in fails("judge", tmp_path, *rest)
    judge = tmp_path / "probes.npz"
    assert (
        probes.main(["fit", str(data), "-o", str(judge), "--size", "24", "--attribute", "type"])
        == 0
    )
    capsys.readouterr()
    rest[-1] = judge
    assert "{id}-{seed}-{index}" in fails("judge", tmp_path, *rest)
    Image.new("RGB", (24, 24)).save(tmp_path / "stranger-0-0.png")
    assert "stranger" in fails("judge", tmp_path, *rest)
    with pytest.raises(ValueError, match="no 'text_zh'"):
        list(probes.prompt_rows([("x", {})], "text_zh"))


def test_probes_of_another_extractor_are_refused(data, tmp_path, extractor, monkeypatch, capsys):
    judge = tmp_path / "probes.npz"
    monkeypatch.setattr(command_line, "load_extractor", lambda *_, **__: extractor)
    assert (
        probes.main(["fit", str(data), "-o", str(judge), "--size", "24", "--attribute", "type"])
        == 0
    )
    other = SimpleNamespace(name="another", about="another network")
    monkeypatch.setattr(command_line, "load_extractor", lambda *_, **__: other)
    command = ["judge", str(tmp_path), "--data", str(data), "--probes", str(judge)]
    assert probes.main(command) == 2
    assert "another network" in capsys.readouterr().err
