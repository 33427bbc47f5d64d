"""Control metrics: retrieval, preservation, diversity, and CLIPScore by the real loading code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from toy_clip import small_clip

from estimators.metrics import clip_score as clip
from estimators.metrics.base import Options
from estimators.metrics.lpips_diversity import caption_diversity, spread
from estimators.metrics.pairs.preservation import exact_rate, seam_ratio
from estimators.metrics.pairs.similarity import cosine_to, lpips_of_pairs, ssim
from estimators.metrics.r_precision import own_first, r_precision, recall_at
from vqgan.perceptual import import_torchvision


def plain(value: int, side: int = 32) -> Image.Image:
    return Image.new("RGB", (side, side), (value, value, value))


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Stands for LPIPS: the mean absolute difference."""
    return (x - y).abs().flatten(1).mean(1)


def test_own_caption_first_is_right_and_equal_captions_are_no_rivals() -> None:
    captions = ["a", "b", "a", "c"]
    similarity = torch.eye(4) + torch.tensor([[0, 0, 5.0, 0]] + [[0.0] * 4] * 3)
    first = own_first(similarity, captions)  # the 5 is for the same words, so it does not count
    assert first.tolist() == [1, 1, 1, 1]
    assert r_precision(first) == (1, 0)
    assert r_precision(own_first(-torch.eye(4), captions)) == (0, 0)


def test_r_precision_of_noise_is_chance_and_a_tie_is_shared() -> None:
    captions = [str(number) for number in range(120)]
    noise = torch.randn(120, 120, generator=torch.Generator().manual_seed(0))
    found, width = r_precision(own_first(noise, captions, rivals=4))
    assert found == pytest.approx(0.2, abs=0.1)
    assert width == pytest.approx(1.96 * (found * (1 - found) / 120) ** 0.5)
    for count in (2, 3, 120):  # what cannot be told apart is right as often as by chance
        tied = own_first(torch.zeros(count, count), captions[:count])
        assert r_precision(tied)[0] == pytest.approx(1 / min(count, 100))
    with pytest.raises(ValueError, match="2 different"):
        own_first(torch.zeros(2, 2), ["a", "a"])


def test_recall_looks_among_the_first_k() -> None:
    similarity = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    right = torch.tensor([[False, True, False], [False, False, True]])
    assert [recall_at(similarity, right, k) for k in (1, 2, 3)] == [0, 0.5, 1]


def test_exact_rate_counts_kept_pixels_only() -> None:
    base = torch.zeros(3, 4, 4, dtype=torch.uint8)
    result = base.clone()
    result[:, 2:] = 9  # regenerated
    result[0, 0, 0] = 1  # one kept pixel changed in one channel
    kept = torch.zeros(4, 4, dtype=torch.bool)
    kept[:2] = True
    assert exact_rate(result, base, kept) == pytest.approx(7 / 8)
    assert exact_rate(result, base, torch.zeros(4, 4, dtype=torch.bool)) == 1


def test_seam_ratio_is_one_without_and_large_with_a_seam() -> None:
    kept = torch.zeros(4, 4, dtype=torch.bool)
    kept[:2] = True
    ramp = torch.arange(16.0).view(1, 16, 1).expand(3, 16, 16) + torch.arange(16.0)
    assert seam_ratio(ramp, kept) == pytest.approx(1)
    torn = ramp.clone()
    torn[:, 8:] += 9
    assert seam_ratio(torn, kept) == pytest.approx(10)
    assert seam_ratio(torn.transpose(1, 2), kept.T) == pytest.approx(10)
    assert seam_ratio(ramp, torch.ones(4, 4, dtype=torch.bool)) is None
    assert seam_ratio(torch.zeros(3, 16, 16), kept) is None


def test_diversity_is_between_pictures_of_one_caption() -> None:
    same, other = [plain(0), plain(0)], [plain(0), plain(255)]
    assert caption_diversity(distance, same, ["a", "a"]) == 0
    found = caption_diversity(distance, same + other, ["a", "a", "b", "b"])
    assert found == pytest.approx(1)
    assert lpips_of_pairs(distance, [(plain(0), plain(255))]) == pytest.approx([2.0])
    assert caption_diversity(distance, [plain(0), plain(9)], ["a", "b"]) is None


def test_a_pair_is_compared_at_its_own_size_whatever_else_is_in_the_batch() -> None:
    sides: list[int] = []

    def noted(x: Tensor, y: Tensor) -> Tensor:
        sides.extend([x.shape[-1]] * len(x))
        return distance(x, y)

    pairs = [(plain(0), plain(9)), (plain(0, 100), plain(9)), (plain(0), plain(9))]
    assert len(lpips_of_pairs(noted, pairs)) == 3
    assert sides == [64, 100, 64]


def test_spread_is_between_any_two() -> None:
    pictures = [plain(0), plain(255)]
    assert spread(distance, pictures.__getitem__, 2) == pytest.approx(2)


def test_ssim_of_equal_pictures_is_one() -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(ssim(x, x), torch.ones(2))
    assert (ssim(x, -x) < 0.5).all()


def test_cosine_is_row_by_row() -> None:
    a = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert cosine_to(a, np.array([[2.0, 0.0], [-1.0, -1.0]])) == pytest.approx([1, -1])


def test_clip_score_of_english_is_open_clips_cosine(tmp_path: Path) -> None:
    import_torchvision()
    name, checkpoint = small_clip(tmp_path)
    scorer = clip.load_english(name, str(checkpoint))
    pictures = [plain(30), plain(220)]
    found = scorer.scores(pictures, ["a red bag", "shoes " * 40])
    assert len(found) == 2
    import open_clip

    model, _, images = open_clip.create_model_and_transforms(name, pretrained=str(checkpoint))
    model.eval()
    with torch.no_grad():
        a = model.encode_image(images(pictures[0])[None], normalize=True)
        b = model.encode_text(open_clip.get_tokenizer(name)(["a red bag"]), normalize=True)
    assert found[0] == pytest.approx(100 * max(0.0, float((a * b).sum())), abs=1e-3)
    with pytest.raises(ValueError, match="wanted as many"):
        scorer.scores(pictures, ["one"])


class OfOneDirection(torch.nn.Module):
    """Stands for a CLIP: every embedding is the same. Notes where its inputs are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen: list[str] = []

    def encode_image(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs.device.type)
        return torch.ones(len(inputs), 4)

    encode_text = encode_image


def test_clip_works_where_it_is_moved_to() -> None:
    network = OfOneDirection()
    scorer = clip.ClipScorer(
        "one", network, lambda _: torch.zeros(3, 8, 8), lambda texts: torch.zeros(len(texts), 5)
    )
    assert scorer.scores([plain(0)], ["a"]) == pytest.approx([100])
    assert scorer.to("meta").scores([plain(0)], ["a"]) == pytest.approx([100])
    assert network.seen == ["cpu", "cpu", "meta", "meta"]


def test_the_metrics_clip_is_on_the_device_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    name, checkpoint = small_clip(tmp_path)
    options = Options(clip_model=name, clip_checkpoint=str(checkpoint), device="meta")
    judge = clip.ClipScore().load(options)
    assert {one.device.type for one in judge.network.parameters()} == {"meta"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device here"):
        clip.ClipScore().load(replace(options, device="cuda"))


def test_missing_clip_weights_have_one_remedy(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(ValueError, match="--clip-checkpoint"):
        clip.load_english("ViT-B-32", str(tmp_path / "none.pt"))


def test_missing_package_has_one_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(clip.importlib, "import_module", missing)
    with pytest.raises(RuntimeError, match=r"pip install -e \'\.\[clip\]\'"):
        clip.load_chinese()


def test_clip_score_of_chinese_comes_from_cn_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    cn = pytest.importorskip("cn_clip.clip")
    from cn_clip.clip import utils

    configs = tmp_path / "model_configs"
    configs.mkdir()
    monkeypatch.setattr(utils, "__file__", str(tmp_path / "utils.py"))  # sizes lie beside it
    vision = {
        "embed_dim": 16, "image_resolution": 32, "vision_layers": 1, "vision_width": 64,
        "vision_patch_size": 16,
    }  # fmt: skip
    text = {
        "vocab_size": 21128, "text_attention_probs_dropout_prob": 0.1, "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1, "text_hidden_size": 16, "text_initializer_range": 0.02,
        "text_intermediate_size": 32, "text_max_position_embeddings": 64,
        "text_num_attention_heads": 2, "text_num_hidden_layers": 1, "text_type_vocab_size": 2,
    }  # fmt: skip
    for name, sizes in (("vision", vision), ("text", text)):
        (configs / f"{name}.json").write_text(json.dumps(sizes))
    torch.manual_seed(0)
    model = utils.create_model("vision@text")
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "chinese.pt")
    scorer = clip.load_chinese("vision@text@32", str(tmp_path / "chinese.pt"))
    (found,) = scorer.scores([plain(99)], ["女士红色手提包"])
    with torch.no_grad():
        model.float().eval()
        a = model.encode_image(scorer.images(plain(99))[None])
        b = model.encode_text(cn.tokenize(["女士红色手提包"], context_length=52))
    cosine = torch.nn.functional.cosine_similarity(a, b)
    assert found == pytest.approx(100 * max(0.0, float(cosine)), abs=1e-3)
    with pytest.raises(ValueError, match="--clip-checkpoint"):
        clip.load_chinese("ViT-B-16", str(tmp_path / "none.pt"))
