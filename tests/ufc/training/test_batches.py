"""Reading samples, and drawing a step's batch from its number alone."""

from __future__ import annotations

import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_VQGAN, tiny_tokenizer
from toy_data import write_folder, write_shards

from ufc.conditioning.sequence import ControlItem
from ufc.conditioning.text import TextTokenizer
from ufc.training.batches import Batches
from ufc.training.codes.cache import CodeCache
from ufc.training.conditioning_dropout import (
    ControlOdds,
    Rivals,
    attribute_neighbours,
    captions,
    training_texts,
)
from ufc.training.masks import training_masks
from ufc_base.data.datasets import DataError, Pixels, batch_indices, open_dataset
from vqgan.metrics import reconstruction_report
from vqgan.model import VQGAN
from vqgan.training.augmentation import varied
from vqgan.training.data import Ahead


def seeded(step: int) -> torch.Generator:
    return torch.Generator().manual_seed(step)


def test_pictures_are_mirrored_and_moved_by_their_places_in_the_batch() -> None:
    """Every one is a window of the picture, or of its mirror image, with its border repeated."""
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = varied(x, 6, range(6), seeded(3), 2)
    assert torch.equal(varied(x[2:5], 6, range(2, 5), seeded(3), 2), whole[2:5])
    assert not torch.equal(varied(x, 6, range(6), seeded(4), 2), whole)
    for before, after in zip(x, whole, strict=True):
        windows = [
            F.pad(way, (2, 2, 2, 2), mode="replicate")[:, top : top + 8, left : left + 8]
            for way in (before, before.flip(-1))
            for top in range(5)
            for left in range(5)
        ]
        assert sum(torch.equal(after, window) for window in windows) == 1
    for before, after in zip(x, varied(x, 6, range(6), seeded(3), 0), strict=True):
        assert torch.equal(after, before) or torch.equal(after, before.flip(-1))


def test_shards_and_folder_hold_the_same(tmp_path: Path) -> None:
    folder = open_dataset(write_folder(tmp_path / "f"))
    shards = open_dataset(write_shards(tmp_path / "s"))
    assert len(folder) == len(shards) == 8
    by_id = {shards[i].id: shards[i] for i in range(8)}
    for index in range(8):
        sample = folder[index]
        assert by_id[sample.id].record == sample.record
        assert by_id[sample.id].image.tobytes() == sample.image.tobytes()


def test_folder_without_metadata_and_single_shard(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f")
    (folder / "metadata.jsonl").unlink()
    assert len(open_dataset(folder)) == 8
    shards = write_shards(tmp_path / "s")
    assert len(open_dataset(shards / "toy-000.tar")) == 4


def test_any_text_may_stand_in_metadata(tmp_path: Path) -> None:
    """Line separators of Unicode's are part of a text, and some editors write a mark in front."""
    folder = write_folder(tmp_path / "f", 2)
    lines = [json.dumps({"file_name": f"p00{n}.png", "text": "a\u2028\u0085b"}, ensure_ascii=False)
             for n in range(2)]  # fmt: skip
    (folder / "metadata.jsonl").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    assert [open_dataset(folder).record(n)["text"] for n in range(2)] == ["a\u2028\u0085b"] * 2
    assert captions({"text": 5, "text_zh": "包", "captions": "a bag"}) == ["包", "a bag", "包"]


@pytest.mark.parametrize(("suffix", "data"), [("webp", b"RIFF"), ("json", b"[1]"), ("json", b"{")])
def test_a_damaged_sample_of_a_shard_is_named(tmp_path: Path, suffix: str, data: bytes) -> None:
    shard = write_shards(tmp_path / "s", 1, shards=1) / "toy-000.tar"
    (tmp_path / "x").write_bytes(data)
    with tarfile.open(shard, "a") as archive:  # the later one of a name counts
        archive.add(tmp_path / "x", f"p000.{suffix}")
    with pytest.raises(DataError, match=r"toy-000\.tar, p000"):
        open_dataset(shard)[0]


@pytest.mark.parametrize("case", ["missing", "empty", "line", "picture", "tar", "latin"])
def test_unusable_data_is_named(tmp_path: Path, case: str) -> None:
    folder = tmp_path / "d"
    if case != "missing":
        folder.mkdir()
    if case == "line":
        (folder / "metadata.jsonl").write_text('{"text": "x"}\n')
    if case == "picture":
        (folder / "metadata.jsonl").write_text('{"file_name": "no.png"}\n')
    if case == "latin":
        (folder / "metadata.jsonl").write_bytes(b'{"file_name": "\xe9.png"}')
    if case == "tar":
        (folder / "x.tar").write_bytes(b"not a tar" * 100)
    wanted = {
        "missing": "no data at", "empty": "neither", "line": "line 1", "picture": "no picture",
        "tar": "tar file", "latin": "not UTF-8",
    }  # fmt: skip
    with pytest.raises(DataError, match=wanted[case]):
        open_dataset(folder)


def test_pixels_with_and_without_cache_agree(tmp_path: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "f"))
    cached, streamed = Pixels(samples, 16), Pixels(samples, 16, cache_bytes=0)
    x = cached.batch([0, 3])
    assert x.shape == (2, 3, 16, 16) and x.min() >= -1 and x.max() <= 1
    assert torch.equal(x, cached.batch([0, 3]))
    assert torch.equal(x, streamed.batch([0, 3]))


def test_every_epoch_visits_everything_once() -> None:
    seen = [index for step in range(9) for index in batch_indices(12, 4, step, seed=3)]
    for epoch in range(3):
        assert sorted(seen[epoch * 12 : (epoch + 1) * 12]) == list(range(12))
    assert seen[:12] != seen[12:24]
    assert batch_indices(12, 4, 7, seed=3) == seen[28:32]


def batches(tmp_path: Path, **settings: object) -> Batches:
    samples = open_dataset(write_folder(tmp_path / "f"))
    text = TextTokenizer.train(training_texts(samples), 300)
    cache = CodeCache.build(
        tiny_tokenizer(), Pixels(samples, TINY_VQGAN.resolution), tmp_path / "codes.safetensors",
        augmentations=2, seed=0,
    )  # fmt: skip
    return Batches(
        cache, samples, text, batch_size=6, seed=1, neighbour_keys=("type", "colour"), **settings
    )  # type: ignore[arg-type]


def test_codes_are_cached_and_made_again_for_another_tokenizer(tmp_path: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "f"))
    pixels, file = Pixels(samples, 16), tmp_path / "codes.safetensors"
    settings = {"augmentations": 1, "seed": 0}
    first = CodeCache.build(tiny_tokenizer(), pixels, file, **settings)
    written = file.stat().st_mtime_ns
    again = CodeCache.build(tiny_tokenizer(), pixels, file, **settings)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(first.codes_NVT, again.codes_NVT)
    CodeCache.build(tiny_tokenizer(5), pixels, file, **settings)
    assert file.stat().st_mtime_ns != written
    direct = tiny_tokenizer().encode(pixels.batch([2])).flatten()
    assert torch.equal(first.target(2, flipped=False), direct)
    file.write_bytes(file.read_bytes()[:100])  # as a kill or a full disk may leave it
    once_more = CodeCache.build(tiny_tokenizer(), pixels, file, **settings)
    assert torch.equal(once_more.codes_NVT, first.codes_NVT)


def test_codes_of_a_large_codebook_are_kept_whole(tmp_path: Path) -> None:
    tokenizer = VQGAN(replace(TINY_VQGAN, n_embed=2**15 + 4)).eval()
    torch.nn.init.constant_(tokenizer.quantize.embedding.weight[: 2**15], 99.0)
    pixels = Pixels(open_dataset(write_folder(tmp_path / "f", 2)), 16)
    cache = CodeCache.build(tokenizer, pixels, tmp_path / "codes", augmentations=0, seed=0)
    assert torch.equal(cache.target(1, False), tokenizer.encode(pixels.batch([1])).flatten())
    assert cache.target(1, False).min() >= 2**15


def test_pictures_are_measured_where_the_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = Pixels(open_dataset(write_folder(tmp_path / "f", 2)), 16)
    batch, devices = pixels.batch, []
    monkeypatch.setattr(
        pixels, "batch", lambda rows, device=None: (devices.append(device), batch(rows))[1]
    )
    report = reconstruction_report(tiny_tokenizer(), pixels, lambda x, y: torch.ones(len(x)))
    assert devices == [torch.device("cpu")]
    assert (report["pictures"], report["lpips"], report["codes"]) == (2, 1.0, 16)


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    draw = batches(tmp_path)
    one, two, other = draw(4), draw(4), draw(5)
    assert torch.equal(one.codes_BT, two.codes_BT) and torch.equal(one.masks_BT, two.masks_BT)
    assert [i.text for i in one.items] == [i.text for i in two.items]
    assert not torch.equal(one.masks_BT, other.masks_BT)


def test_slices_and_worker_processes_give_the_same_batch(tmp_path: Path) -> None:
    whole = batches(tmp_path)
    samples, cache, text = open_dataset(tmp_path / "f"), whole.cache, whole.text
    parts = [
        Batches(
            cache, samples, text, batch_size=6, seed=1, neighbour_keys=("type", "colour"),
            places=places,
        )
        for places in (range(0, 2), range(2, 6))
    ]  # fmt: skip
    ahead = Ahead(whole, workers=1)
    for step in (3, 4, 0):
        batch = whole(step)
        drawn = [part(step) for part in parts]
        assert torch.equal(batch.codes_BT, torch.cat([d.codes_BT for d in drawn]))
        assert torch.equal(batch.masks_BT, torch.cat([d.masks_BT for d in drawn]))
        assert [i.text for i in batch.items] == [i.text for d in drawn for i in d.items]
        assert batch.text_labels == ahead(step).text_labels
        assert torch.equal(batch.codes_BT, ahead(step).codes_BT)


def test_every_combination_of_controls_is_drawn(tmp_path: Path) -> None:
    draw = batches(tmp_path)
    kinds: dict[tuple[bool, int], int] = {}
    masked = dropped = 0
    for step in range(150):
        batch = draw(step)
        for item, labels in zip(batch.items, batch.text_labels, strict=True):
            kind = (bool(item.text), len(item.references))
            kinds[kind] = kinds.get(kind, 0) + 1
            masked += any(label >= 0 for label in labels)
            dropped += not item.text and bool(item.references)
            assert len(labels) == len(item.text)
            for token, label in zip(item.text, labels, strict=True):
                assert (token == draw.text.size) == (label >= 0)
    assert set(kinds) == {(t, r) for t in (False, True) for r in (0, 1, 2)}
    assert min(kinds.values()) >= 5
    assert masked > 10 and dropped > 10


def test_without_augmentations_there_are_no_references(tmp_path: Path) -> None:
    samples = open_dataset(write_folder(tmp_path / "f"))
    text = TextTokenizer.train(training_texts(samples), 300)
    cache = CodeCache.build(
        tiny_tokenizer(), Pixels(samples, 16), tmp_path / "c.safetensors", augmentations=0, seed=0
    )
    draw = Batches(cache, samples, text, batch_size=4, seed=0, odds=ControlOdds((0.0, 1.0)))
    assert not any(item.references for item in draw(0).items)


def test_neighbours_share_all_attributes() -> None:
    records = [{"type": "a", "colour": "x"}, {"type": "a", "colour": "x"}, {"type": "b"}]
    assert attribute_neighbours(records, ("type", "colour")) == [[0, 1], [0, 1], []]


def test_masks_have_the_four_strategies() -> None:
    masks = training_masks(400, (8, 8), torch.Generator().manual_seed(0))
    shares = masks.float().mean(1)
    assert (shares > 0).all()
    assert 0.1 < (shares == 1).float().mean() < 0.35
    assert (shares < 0.3).float().mean() > 0.05


def test_text_of_any_script_survives(text: TextTokenizer) -> None:
    for words in ("men's blue shirt", "女士粉色上衣", "👗 naïve Ω mixed 红色", "never seen words"):
        assert text.decode(text.encode_all(words)) == words.lower().replace("ω", "ω")
    assert text.encode("   ") == []
    assert len(text.encode("word " * 500)) == text.max_tokens
    assert max(text.encode_all("[MASK] <mask> [PAD]")) < text.size


def test_chinese_words_are_the_same_in_any_company() -> None:
    """Merged across words they would not be: a phrase heard often would become one id."""
    text = TextTokenizer.train(["红色衬衫", "红色衬衫", "蓝色的包", "red shirt"] * 20, 300)
    red, bag = text.encode("红色"), text.encode("包")
    assert text.encode("红色的包") == [*red, *text.encode("的")[1:], *bag[1:]]
    assert text.encode("红色衬衫")[: len(red)] == red
    assert len(text.encode("red shirt")) == 2


def test_a_rival_is_wrong_in_one_thing(tmp_path: Path) -> None:
    draw = batches(tmp_path, odds=ControlOdds(text=(1.0, 1.0), word_drop=0.0, masked_text=0.0))
    seen = 0
    for step in range(6):
        batch = draw(step)
        for item, rival in zip(batch.items, batch.rivals, strict=True):
            own = draw.text.decode(item.text).split()
            other = draw.text.decode(rival).split()
            if len(own) == 2 and rival:  # English: a colour and a kind
                assert len(set(own) & set(other)) == 1
                seen += 1
    assert seen > 8
    records = [{"type": "bag"}, {"type": "bag"}, {"type": "hat"}]
    rivals = Rivals(records, ("type",), [[[1]], [[2]], [[1]]])
    assert not any(
        rivals.sample(0, 0, random.Random(seed)) for seed in range(9)
    )  # the hat's text is the bag's own
    assert [1] in [rivals.sample(1, 0, random.Random(seed)) for seed in range(9)]


def test_an_item_without_controls_is_empty() -> None:
    assert ControlItem().empty and not ControlItem([1]).empty
