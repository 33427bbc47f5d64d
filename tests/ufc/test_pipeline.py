"""The one call users make, on a tiny untrained pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_pipeline, picture, tiny_tokenizer
from PIL import Image

from ufc.io.hub import MANIFEST, manifest
from ufc.pipeline import UFCPipeline
from ufc_base.checkpoint import CheckpointError
from ufc_base.images import fit_square


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("words", [None, "men's blue shirt", "女士粉色上衣 👗"])
@pytest.mark.parametrize("references", [None, [picture(1)], [picture(1), picture(2)]])
@pytest.mark.parametrize("keep", [None, [0, 1, 2, 3]])
def test_any_subset_of_controls(
    pipeline: UFCPipeline, words: str | None, references: list | None, keep: list | None
) -> None:
    base = picture(3) if keep else None
    out = pipeline(words, reference_images=references, image=base, preserve_blocks=keep, seed=1)
    assert out.images[0].size == (16, 16)
    assert 0 <= out.fidelity[0] <= 1
    assert (out.compliance[0] is None) == (words is None and references is None)
    assert out.confidence.shape == (1, 4, 4)
    kept = [n for n, block in enumerate(out.provenance[0]) if block["kept"]]
    assert kept == (keep or [])


@pytest.mark.parametrize("order", ["pnag", "maskgit", "mask-predict", "halton"])
def test_kept_pixels_do_not_change_at_all(pipeline: UFCPipeline, order: str) -> None:
    base, keep = picture(3), [0, 5, 6, 15]
    out = pipeline("bag", image=base, preserve_blocks=keep, seed=1, order=order, num_candidates=2)
    difference = np.abs(pixels(out.images[0]) - pixels(base)).max(-1)
    blocks = difference.reshape(4, 4, 4, 4).max((1, 3)).flatten()
    assert blocks[keep].max() == 0
    assert blocks.max() > 0


def test_a_mask_keeps_black_and_draws_white(pipeline: UFCPipeline) -> None:
    base = picture(3, (40, 40))
    mask = Image.new("L", (40, 40), 255)
    mask.paste(0, (0, 0, 40, 20))
    out = pipeline("bag", image=base, mask_image=mask, seed=1)
    square = pixels(fit_square(base, 16))
    assert (pixels(out.images[0])[:8] == square[:8]).all()
    assert (pixels(out.images[0])[8:] != square[8:]).any()


def test_what_is_drawn_anew_does_not_depend_on_what_was_there(pipeline: UFCPipeline) -> None:
    one, two = picture(3), picture(3)
    two.paste((255, 0, 0), (0, 8, 16, 16))
    keep = list(range(8))
    outs = [pipeline("bag", image=i, preserve_blocks=keep, seed=4).images[0] for i in (one, two)]
    assert (pixels(outs[0]) == pixels(outs[1])).all()


@pytest.mark.parametrize("order", ["pnag", "maskgit"])
def test_the_same_picture_alone_or_in_a_batch(pipeline: UFCPipeline, order: str) -> None:
    prompts = ["men's blue shirt", "bag", "男士黑色手表"]
    settings = {"order": order, "num_candidates": 2, "num_inference_steps": 4}
    batch = pipeline(prompts, seed=[1, 2, 3], **settings)
    alone = pipeline("bag", seed=2, **settings)
    assert torch.equal(batch.codes[1], alone.codes[0])
    assert np.abs(pixels(batch.images[1]) - pixels(alone.images[0])).max() <= 1


def test_seeds_count_up_and_repeat(pipeline: UFCPipeline) -> None:
    pair = pipeline("bag", seed=5, num_images_per_prompt=2)
    assert pair.seeds == [5, 6]
    again = pipeline("bag", seed=6)
    assert torch.equal(pair.codes[1], again.codes[0])
    drawn = pipeline("bag")
    assert torch.equal(pipeline("bag", seed=drawn.seeds[0]).codes, drawn.codes)
    zero = [pipeline("bag", seed=0).codes for _ in range(2)]
    assert torch.equal(*zero)
    own = pipeline("bag", seed=[9, 6], num_images_per_prompt=2)
    assert own.seeds == [9, 6] and torch.equal(own.codes[1], again.codes[0])
    generator = torch.Generator().manual_seed(5)
    assert pipeline("bag", generator=generator).seeds == [None]


def test_pictures_are_taken_as_their_files_would_be(pipeline: UFCPipeline) -> None:
    """Alpha lies on white whatever colour hides below it, and EXIF says which side is up."""
    cut_out = picture(3).convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (0, 0, 16, 8))
    on_white = picture(3)
    on_white.paste((255, 255, 255), (0, 0, 16, 8))
    turned = on_white.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    drawn = [
        pipeline("bag", reference_images=one, image=one, preserve_blocks=[5], seed=1)
        for one in (on_white, cut_out, turned)
    ]
    assert torch.equal(drawn[0].codes, drawn[1].codes) and torch.equal(
        *(d.codes for d in drawn[::2])
    )
    assert (pixels(drawn[1].images[0]) == pixels(drawn[0].images[0])).all()


def test_a_list_of_masks_makes_a_picture_each(pipeline: UFCPipeline) -> None:
    masks = [Image.new("L", (16, 16), 255) for _ in range(2)]
    masks[0].paste(0, (0, 0, 16, 8))
    out = pipeline("bag", image=picture(3), mask_image=masks, seed=1)
    assert [sum(block["kept"] for block in blocks) for blocks in out.provenance] == [8, 0]


def test_guidance_and_negative_prompt_matter(pipeline: UFCPipeline) -> None:
    def codes(**settings: object) -> torch.Tensor:
        return pipeline("men's blue shirt", seed=3, **settings).codes  # type: ignore[arg-type]

    plain = codes(guidance_scale=1.0)
    assert not torch.equal(plain, codes(guidance_scale=4.0))
    assert not torch.equal(
        codes(guidance_scale=4.0), codes(guidance_scale=4.0, negative_prompt="women's red bag")
    )
    assert torch.equal(plain, codes(guidance_scale=1.0, negative_prompt="women's red bag"))


def test_reference_weight_matters_and_zero_leaves_it_out(pipeline: UFCPipeline) -> None:
    def codes(weights: list[float] | None, references: list | None) -> torch.Tensor:
        return pipeline(
            "bag", reference_images=references, reference_weights=weights, seed=3,
            temperature=0.5,
        ).codes  # fmt: skip

    refs = [picture(1)]
    assert torch.equal(codes(None, refs), codes([1.0], refs))
    assert torch.equal(codes([0.0], refs), codes(None, None))
    assert not torch.equal(codes([8.0], refs), codes([1.0], refs))


def test_callback_sees_steps_previews_and_can_stop(pipeline: UFCPipeline) -> None:
    seen = []

    def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict) -> None:
        seen.append((step, state["image"]()[0].size, state["confidence"].shape))
        pipe._interrupt = step == 1

    out = pipeline("bag", seed=1, num_inference_steps=6, callback_on_step_end=watch)
    assert [s[0] for s in seen] == [0, 1]
    assert seen[0][1:] == ((16, 16), (1, 16))
    assert out.steps == [2]
    assert pipeline("bag", seed=1, num_inference_steps=6).steps == [6]


def test_a_long_prompt_is_shortened_with_a_notice(pipeline: UFCPipeline) -> None:
    long = "very " * 200 + "blue shirt"
    out = pipeline(["bag", long, "bag"], negative_prompt=[None, None, long], seed=1)
    assert [len(notices) for notices in out.notices] == [0, 1, 1]
    assert out.notices[1][0].startswith("prompt has ") and "used the first 48" in out.notices[1][0]
    assert out.notices[2][0].startswith("negative prompt has ")


def test_an_unknown_output_type_is_refused(
    pipeline: UFCPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ufc.pipeline.generation.generate_tokens", None
    )  # refused before anything is generated
    with pytest.raises(ValueError, match="gif"):
        pipeline("bag", seed=1, output_type="gif")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ["a", "b"], "seed": [1, 2, 3]}, "different lengths"),
        ({"prompt": "a", "preserve_blocks": [1]}, "no image"),
        ({"prompt": "a", "reference_images": [picture()], "reference_weights": [1, 2]}, "weights"),
        ({"prompt": "a", "seed": 1, "generator": torch.Generator()}, "both seed and generator"),
        ({"prompt": "a", "order": "spiral"}, "spiral"),
        ({"prompt": []}, "is empty"),
        ({"prompt": "a", "num_images_per_prompt": 0}, "wanted 1 to 10000"),
        ({"reference_images": picture(), "reference_weights": -1.0}, "wanted 0 to 10"),
        ({"reference_images": picture(), "reference_weights": float("nan")}, "wanted 0 to 10"),
        ({"reference_images": "bag.png"}, "load_image"),
    ],
)
def test_what_does_not_fit_is_refused(pipeline: UFCPipeline, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(**arguments)


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_saved_and_loaded_pipeline_draws_the_same(
    pipeline: UFCPipeline, tmp_path: Path, dtype: torch.dtype | None
) -> None:
    pipeline.save_pretrained(tmp_path / "m", dtype)
    loaded = UFCPipeline.from_pretrained(tmp_path / "m", dtype="fp32")
    assert loaded.name == "m"
    if dtype is None:
        assert torch.equal(loaded("bag", seed=2).codes, pipeline("bag", seed=2).codes)


def test_a_variant_is_taken_where_a_part_has_it(pipeline: UFCPipeline, tmp_path: Path) -> None:
    for name, dtype in (("half", torch.float16), ("whole", None)):
        pipeline.save_pretrained(tmp_path / name, dtype)
    other = tmp_path / "half" / "transformer" / "model.safetensors"
    other.rename(tmp_path / "whole" / "transformer" / "model.fp16.safetensors")
    whole = UFCPipeline.from_pretrained(tmp_path / "whole", dtype="fp32")
    half = UFCPipeline.from_pretrained(tmp_path / "whole", variant="fp16", dtype="fp32")
    weight, exact = half.transformer.embedding.weight, whole.transformer.embedding.weight
    assert torch.equal(weight, exact.half().float()) and not torch.equal(weight, exact)
    assert torch.equal(half.tokenizer.quantize.codebook(), whole.tokenizer.quantize.codebook())
    with pytest.raises(CheckpointError, match=r"has a model\.bf16\.safetensors: leave"):
        UFCPipeline.from_pretrained(tmp_path / "whole", variant="bf16")


@pytest.mark.parametrize("switch", ["low_mem", "cpu_offload"])
def test_sparing_memory_changes_no_picture(pipeline: UFCPipeline, switch: str) -> None:
    sparing = make_pipeline()
    setattr(sparing, switch, True)
    request = {"prompt": ["bag", "shirt"], "seed": [1, 2], "image": picture(3),
               "preserve_blocks": [0, 1], "reference_images": [[picture(1)], None]}  # fmt: skip
    usual, spared = pipeline(**request), sparing(**request)
    assert torch.equal(usual.codes, spared.codes)
    for a, b in zip(usual.images, spared.images, strict=True):
        assert abs(pixels(a) - pixels(b)).max() <= 1


def test_offloaded_parts_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline()
    assert not pipe.to("cpu", cpu_offload=True).cpu_offload  # there is nothing to spare
    pipe.cpu_offload, moves = True, []
    for name in ("tokenizer", "transformer"):
        part = getattr(pipe, name)
        monkeypatch.setattr(part, "to", lambda place, name=name: moves.append((name, place)))
    pipe("bag", reference_images=picture(), seed=1)
    there, back = pipe.device, "cpu"
    order = ["tokenizer", "transformer", "tokenizer"]
    assert moves == [(name, place) for name in order for place in (there, back)]


class TestDamagedModels:
    @pytest.fixture
    def folder(self, pipeline: UFCPipeline, tmp_path: Path) -> Path:
        pipeline.save_pretrained(tmp_path / "m")
        (tmp_path / MANIFEST).write_text(json.dumps(manifest(tmp_path)))
        return tmp_path / "m"

    def test_a_changed_file_is_found_by_its_hash(self, folder: Path) -> None:
        UFCPipeline.from_pretrained(folder)
        path = folder / "transformer" / "config.json"
        path.write_text(path.read_text() + " ")
        with pytest.raises(CheckpointError, match=r"m/transformer/config\.json differ"):
            UFCPipeline.from_pretrained(folder)

    def test_truncated_weights(self, folder: Path) -> None:
        (folder.parent / MANIFEST).unlink()
        path = folder / "tokenizer" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            UFCPipeline.from_pretrained(folder)

    def test_a_pickle_is_never_read(self, folder: Path) -> None:
        (folder.parent / MANIFEST).unlink()
        path = folder / "tokenizer" / "model.safetensors"
        torch.save({"a": torch.zeros(1)}, path)
        with pytest.raises(CheckpointError, match="pickle"):
            UFCPipeline.from_pretrained(folder)

    def test_parts_of_two_models(self, folder: Path) -> None:
        (folder.parent / MANIFEST).unlink()
        make_pipeline(depth=1).transformer.save_pretrained(folder / "transformer")
        UFCPipeline.from_pretrained(folder)
        config = folder / "transformer" / "config.json"
        config.write_text(config.read_text().replace('"depth": 1', '"depth": 2'))
        with pytest.raises(CheckpointError, match="missing keys"):
            UFCPipeline.from_pretrained(folder)

    def test_no_model_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="bundled are"):
            UFCPipeline.from_pretrained("no-such-model")
        with pytest.raises(CheckpointError, match=r"model_index\.json"):
            UFCPipeline.from_pretrained(tmp_path)


def test_a_tokenizer_of_another_size_is_refused(pipeline: UFCPipeline) -> None:
    other = tiny_tokenizer()
    object.__setattr__(other.config, "n_embed", 17)
    try:
        with pytest.raises(CheckpointError, match="17 codes"):
            UFCPipeline(other, pipeline.transformer, pipeline.text)
    finally:
        object.__setattr__(other.config, "n_embed", 16)
