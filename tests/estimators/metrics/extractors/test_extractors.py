"""Extractors: the standard Inception, factories, resizing, and caches keyed by content."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from toy_data import write_folder, write_shards
from toy_extractor import tiny_extractor

from estimators.metrics.extractors.features import extract, resize_clean, resize_legacy
from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.extractors.networks import load_extractor, read_tensors
from estimators.metrics.fid import count_warning
from estimators.metrics.sets.picture_set import open_set
from ufc_base.data.datasets import DataError
from vqgan.perceptual import import_torchvision


def picture(side: int = 40, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def inception_state() -> dict[str, torch.Tensor]:
    """Random tensors of the names and shapes of the standard network."""
    import_torchvision()
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    class Blank(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        torch.manual_seed(0)
        state: dict[str, torch.Tensor] = Blank("blank", ["2048"]).state_dict()
    return state


def test_inception_is_torch_fidelitys_network_with_weights_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "inception.safetensors"
    save_file({k: v.contiguous() for k, v in inception_state().items()}, path)
    extractor = load_extractor("inception", weights=path)
    assert (extractor.input_size, extractor.frechet) == (299, slice(0, 2048))
    features = extract(extractor, [picture(seed=1), picture(seed=2)])
    assert features.shape == (2, 2048 + 1008)
    pixels = ((resize_clean(picture(seed=1), 299) + 1) * 127.5).round().to(torch.uint8)
    theirs = extractor.net.inner(pixels[None])  # type: ignore[attr-defined]
    np.testing.assert_allclose(features[0], torch.cat(theirs, 1)[0].numpy(), rtol=1e-4, atol=1e-6)


def test_inception_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not torch-fidelity's Inception weights"):
        load_extractor("inception", weights=tmp_path / "w.safetensors")


def test_inception_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(fidelity, "load_state_dict_from_url", offline)
    with pytest.raises(RuntimeError, match="--extractor-weights"):
        load_extractor("inception")


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"a": Hostile()}, protocol=2))
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_tensors(path)
    assert not (tmp_path / "ran").exists()
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ValueError, match="wanted tensors by name"):
        read_tensors(path)


def test_a_factory_of_ones_own_is_called_by_name() -> None:
    name = f"{__name__}:tiny_extractor"
    assert load_extractor(name).about == tiny_extractor().about
    with pytest.raises(ValueError, match="can be imported"):
        load_extractor("no.such.module:thing")
    with pytest.raises(ValueError, match="wanted an estimators"):
        load_extractor("builtins:repr")
    with pytest.raises(ValueError, match="choose one of alexnet, vgg16, inception"):
        load_extractor("resnet")
    with pytest.raises(ValueError, match="has its own"):
        load_extractor(name, 64)


def test_features_do_not_depend_on_the_batch_size_threads_or_order() -> None:
    pictures = [picture(20 + 7 * number, number) for number in range(9)]
    one = extract(tiny_extractor(), pictures, batch_size=1)
    np.testing.assert_allclose(extract(tiny_extractor(), pictures, batch_size=9), one, atol=1e-5)
    threaded = extract(tiny_extractor(), pictures, batch_size=4, num_workers=3)
    np.testing.assert_allclose(threaded, one, atol=1e-5)
    np.testing.assert_allclose(extract(tiny_extractor(), pictures[::-1]), one[::-1], atol=1e-5)


def test_clean_resizing_is_antialiased_and_legacy_is_not() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    image = Image.fromarray(stripes)
    assert resize_clean(image, 16).abs().max() < 0.1  # the mean of black and white
    assert resize_legacy(image, 15).abs().max() > 0.5  # some stripes are hit, others missed
    assert torch.equal(resize_clean(image, 64), resize_legacy(image, 64))
    with pytest.raises(ValueError, match="clean, legacy"):
        extract(tiny_extractor(), [image], mode="nearest")


def test_what_is_not_square_is_stretched_or_padded_if_asked() -> None:
    tall = Image.new("RGB", (12, 16), (255, 0, 0))
    assert torch.equal(resize_clean(tall, 16), resize_clean(tall.resize((16, 16)), 16))
    assert torch.equal(resize_legacy(tall, 16), resize_clean(tall, 16))
    assert resize_clean(tall, 16, pad=True)[1].max() == 1  # white beside the red
    stretched, padded = Measuring(tiny_extractor()), Measuring(tiny_extractor(), pad=True)
    assert stretched.recipe != padded.recipe
    features = [extract(tiny_extractor(), [tall], pad=pad) for pad in (False, True)]
    assert not np.allclose(*features)
    np.testing.assert_array_equal(extract(tiny_extractor(), [tall.resize((16, 16))]), features[0])


def test_features_are_kept_by_content_extractor_resize_and_number(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    for number in range(3):
        picture(seed=number).save(folder / f"{number}.png")
    passes = []
    measuring = Measuring(tiny_extractor(), cache_dir=str(cache), on_batch=passes.append)
    first = measuring.folder_features(folder)
    np.testing.assert_array_equal(measuring.folder_features(folder), first)
    assert passes == [3]
    measuring.folder_features(folder, count=2)
    Measuring(tiny_extractor(), mode="legacy", cache_dir=str(cache)).folder_features(folder)
    picture(seed=9).save(folder / "0.png")  # the same name, other bytes
    changed = measuring.folder_features(folder)
    assert passes == [3, 2, 3]
    assert not np.array_equal(changed[0], first[0])
    assert len(list(cache.glob("*.npy"))) == 4


def test_shards_by_any_name_and_pictures_from_elsewhere_are_known_by_their_bytes(
    tmp_path: Path,
) -> None:
    shards = write_shards(tmp_path / "shards", 8, shards=4)
    first, second = open_set(f"{shards}/toy-{{000..001}}.tar"), open_set(f"{shards}/toy-00[23].tar")
    assert len(first.samples) == 4
    assert first.formats == second.formats == "tar 2"
    assert first.content != second.content
    other = tmp_path / "other"
    other.mkdir()
    picture(seed=1).save(other / "a.png")
    rows = '{"file_name": "../other/a.png"}\n{"file_name": "../other/a.png"}\n'
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "metadata.jsonl").write_text(rows)
    before = open_set(tmp_path / "list").content
    picture(seed=2).save(other / "a.png")
    assert open_set(tmp_path / "list").content != before


def test_of_what_generate_wrote_the_finished_pictures_count(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "drawn", 4)
    (folder / "metadata.jsonl").unlink()
    said = [("p000.png", "done"), ("p001.png", "pending"), ("p001.png", "done"), ("x.png", "done"),
            ("p002.png", "failed")]  # fmt: skip
    rows = [
        {"file_name": name, "status": status, "prompt": "red bag", "seed": 3, "order": "maskgit",
         "versions": {"weights": "abc"}}
        for name, status in said
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest.jsonl").write_text(lines + '{"file_name": "p0')  # cut short by a kill
    part = {"file_name": "p003.png", "status": "done", "prompt": "blue bag", "seed": 3}
    (folder / "manifest.part-00001-ab.jsonl").write_text(json.dumps(part) + "\n")
    found = open_set(folder)
    assert found.captions("text") == ["red bag", "red bag", "blue bag"]
    assert (found.recipe, found.formats) == ({"seed": 3}, "png 3")
    (folder / "manifest.part-00001-ab.jsonl").unlink()
    assert open_set(folder).recipe == {"weights": "abc", "order": "maskgit", "seed": 3}
    (folder / "manifest.jsonl").write_text("[]\n" + lines)
    with pytest.raises(DataError, match="line 1: is not a manifest line"):
        open_set(folder)


def test_reports_say_file_formats_and_warn_of_few_pictures(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    picture().save(tmp_path / "b.JPG")
    assert open_set(tmp_path).formats == "jpg 1, png 1"
    assert "biased upwards" in count_warning(2047, 2048)
    assert count_warning(2048, 2048) == ""
