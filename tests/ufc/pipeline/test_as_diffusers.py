"""What users of diffusers' pipelines expect of this one, on a tiny untrained pipeline."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_pipeline, picture
from PIL import Image

from ufc import UFCPipeline
from ufc.conditioning.conditioning import Conditioning

STEPS = {"num_inference_steps": 4, "seed": 1}
FREE = Image.new("L", (16, 16), 255)  # a mask of all of an image


class TestOutput:
    def test_numbers_are_from_0_to_1(self, pipeline: UFCPipeline) -> None:
        out = {
            kind: pipeline("bag", **STEPS, output_type=kind).images
            for kind in ("pil", "np", "pt", "uint8", "latent", "codes")
        }
        whole = np.asarray(out["pil"][0])
        assert out["np"].dtype == np.float32 and out["np"].shape == (1, 16, 16, 3)
        assert out["pt"].shape == (1, 3, 16, 16)
        assert 0 <= out["np"].min() < 0.2 and 0.8 < out["np"].max() <= 1
        assert np.array_equal(out["pt"][0].permute(1, 2, 0).numpy(), out["np"][0])
        assert np.array_equal(out["uint8"][0], whole)
        assert abs(out["np"][0] * 255 - whole).max() <= 0.5 + 1e-3
        assert torch.equal(out["latent"].flatten(1), out["codes"])
        assert out["latent"].shape == (1, 4, 4)

    def test_images_come_first(self, pipeline: UFCPipeline) -> None:
        out = pipeline("bag", **STEPS)
        assert out[0] is out.images is out["images"] and out.keys()[0] == "images"
        images, *_ = out.to_tuple()
        assert images is out.images
        alone = pipeline("bag", **STEPS, return_dict=False)
        assert isinstance(alone, tuple) and len(alone) == 1
        assert np.array_equal(np.asarray(alone[0][0]), np.asarray(out.images[0]))


class TestProgress:
    def test_a_terminal_sees_a_bar_and_nobody_else(
        self, pipeline: UFCPipeline, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pipe = UFCPipeline(**pipeline.components)
        pipe("bag", **STEPS)
        assert capsys.readouterr().err == ""
        pipe.set_progress_bar_config(disable=False, desc="bags")
        pipe("bag", **STEPS)
        assert "bags: 100%" in (shown := capsys.readouterr().err) and "4/4" in shown
        pipe.set_progress_bar_config(disable=True)
        pipe("bag", **STEPS)
        assert capsys.readouterr().err == ""
        with pytest.raises(ValueError, match="iterable or a total"):
            pipe.progress_bar()

    def test_on_a_terminal_it_is_there_unasked(
        self, pipeline: UFCPipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr("sys.stderr", terminal := Terminal())
        UFCPipeline(**pipeline.components)("bag", **STEPS)
        assert "100%" in terminal.getvalue() and "4/4" in terminal.getvalue()


class TestCallbacks:
    def test_only_the_tensors_that_are_asked_for(self, pipeline: UFCPipeline) -> None:
        seen: list[dict[str, Any]] = []

        def watch(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> dict:
            seen.append(state)
            return {}

        names = ["latents", "confidence"]
        pipeline(
            "bag",
            **STEPS,
            callback_on_step_end=watch,
            callback_on_step_end_tensor_inputs=names,
        )
        tensors = {name for name, value in seen[0].items() if torch.is_tensor(value)}
        assert tensors == set(names) and seen[0]["latents"].shape == (1, 4, 4)
        watch.tensor_inputs = ["codes"]  # type: ignore[attr-defined]  # as diffusers' own have
        pipeline("bag", **STEPS, callback_on_step_end=watch)
        assert "codes" in seen[-1] and "latents" not in seen[-1]
        with pytest.raises(ValueError, match=r"'unet'.*latents, codes"):
            pipeline("bag", callback_on_step_end_tensor_inputs=["unet"])

    @pytest.mark.parametrize("settings", [{}, {"best_of": 2}, {"order": "pnag"}])
    @pytest.mark.parametrize("name", ["codes", "latents"])
    def test_what_it_returns_is_used(
        self, pipeline: UFCPipeline, name: str, settings: dict[str, Any]
    ) -> None:
        def paint(pipe: UFCPipeline, step: int, timestep: int, state: dict[str, Any]) -> dict:
            return {name: torch.full_like(state[name], 7)}

        given = {"image": picture(3), "preserve_blocks": [0, 5], **STEPS, **settings}
        own = pipeline("bag", **given).codes
        painted = pipeline("bag", **given, callback_on_step_end=paint).codes
        free = torch.ones(16, dtype=torch.bool)
        free[[0, 5]] = False
        if not settings:
            assert (painted[0, free] == 7).all()
        else:
            assert (painted == 7).any() or not torch.equal(own, painted)
        assert torch.equal(painted[0, [0, 5]], own[0, [0, 5]])

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            ([1], "returned a list"),
            ({"codes": torch.zeros(3, dtype=torch.int64)}, "of shape"),
            ({"codes": torch.full((1, 16), 99)}, r"none of 0\.\.15"),
            ({"codes": torch.full((1, 16), 16)}, r"none of 0\.\.15"),
            ({"codes": torch.zeros(1, 16)}, r"none of 0\.\.15"),
        ],
    )
    def test_what_cannot_be_used_is_refused(
        self, pipeline: UFCPipeline, returned: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            pipeline("bag", **STEPS, callback_on_step_end=lambda *_: returned)
        assert pipeline.calls == []

    def test_the_older_form(self, pipeline: UFCPipeline) -> None:
        seen: list[tuple[int, int, tuple[int, ...]]] = []
        later: list[int] = []
        pipeline(
            "bag",
            **STEPS,
            callback=lambda step, timestep, latents: seen.append((step, timestep, latents.shape)),
            callback_steps=2,
            callback_on_step_end=lambda pipe, step, timestep, state: later.append(step),
        )
        assert seen == [(0, 0, (1, 4, 4)), (2, 2, (1, 4, 4))] and later == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="callback_steps is 0"):
            pipeline("bag", callback=print, callback_steps=0)


class TestLatents:
    def test_known_codes_among_masked_ones(self, pipeline: UFCPipeline) -> None:
        latents = torch.full((2, 4, 4), 16)
        latents[0, :2], latents[1, 3] = 3, 5
        out = pipeline(["bag", "shirt"], latents=latents, **STEPS)
        codes = out.codes.view(2, 4, 4)
        assert (codes[0, :2] == 3).all() and (codes[1, 3] == 5).all()
        kept = [[block["kept"] for block in blocks] for blocks in out.provenance]
        assert [sum(row) for row in kept] == [8, 4]
        nothing = pipeline("bag", latents=torch.full((1, 4, 4), 16), **STEPS)
        assert torch.equal(nothing.codes, pipeline("bag", **STEPS).codes)

    def test_they_say_the_size(self, pipeline: UFCPipeline) -> None:
        latents = torch.full((1, 3, 6), 16)
        out = pipeline("bag", latents=latents, **STEPS)
        assert out.images[0].size == (24, 12)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"latents": torch.zeros(4, 4, dtype=torch.int64)}, "rows, columns"),
            ({"latents": torch.zeros(1, 4, 4)}, "whole numbers"),
            (
                {"latents": torch.zeros(1, 4, 4, dtype=torch.int64), "codes": [0] * 16},
                "latents and also codes",
            ),
        ],
    )
    def test_what_does_not_fit(self, pipeline: UFCPipeline, arguments: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipeline("bag", **arguments)


class TestEmbeds:
    @pytest.mark.parametrize("attention", ["prefix", "full"])
    def test_they_are_the_words(self, attention: str) -> None:
        pipe = make_pipeline(control_attention=attention)
        words, other = "men's blue shirt", "women's red bag"
        given = {**STEPS, "guidance_scale": 3.0}
        by_words = pipe([words, "bag"], negative_prompt=other, **given)
        both = pipe.encode_prompt([words, "bag"])
        by_vectors = pipe(
            prompt_embeds=both, negative_prompt_embeds=pipe.encode_prompt(other), **given
        )
        assert torch.equal(by_words.codes, by_vectors.codes)
        assert by_words.compliance == pytest.approx(by_vectors.compliance)
        copies = pipe(prompt_embeds=[both[1]], num_images_per_prompt=2, **given)
        assert len(copies.images) == 2
        mixed = pipe(prompt_embeds=both[:1] * 3, negative_prompt=other, **given)
        assert not torch.equal(mixed.codes[0], by_words.codes[0])

    def test_beside_a_reference(self, pipeline: UFCPipeline) -> None:
        given = {"reference_images": [picture(1)], **STEPS}
        by_words = pipeline("bag", **given).codes
        by_vectors = pipeline(prompt_embeds=pipeline.encode_prompt("bag"), **given).codes
        assert torch.equal(by_words, by_vectors)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"prompt": "bag", "prompt_embeds": torch.ones(1, 2, 32)}, "both prompt and prompt_e"),
            ({"prompt_embeds": torch.ones(1, 2, 31)}, "2 vectors of 31 numbers, wanted at most 48"),
            ({"prompt_embeds": torch.ones(32)}, "wanted a tensor of words by width"),
            ({"negative_prompt_embeds": torch.ones(1, 90, 32)}, "negative_prompt_embeds: got 90"),
        ],
    )
    def test_what_does_not_fit(self, pipeline: UFCPipeline, arguments: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipeline(**arguments)


class TestStrength:
    def test_a_share_of_the_image_stays(self, pipeline: UFCPipeline) -> None:
        base = picture(3)
        own = pipeline.encode([base])[0].flatten()
        changed = []
        for strength in (0.0, 0.25, 0.5, 1.0):
            out = pipeline("bag", base, strength=strength, num_inference_steps=8, seed=1)
            sampled = [block["step"] is not None for block in out.provenance[0]]
            stayed = ~torch.tensor(sampled)
            assert sum(sampled) == round(16 * strength)
            assert torch.equal(out.codes[0, stayed], own[stayed])
            changed.append(out.steps[0])
        assert changed == [0, 2, 4, 8]

    def test_the_seed_says_which(self, pipeline: UFCPipeline) -> None:
        def codes(seed: Any) -> torch.Tensor:
            return pipeline(
                "bag", image=picture(3), strength=0.5, num_inference_steps=4, seed=seed
            ).codes

        assert torch.equal(codes(1), codes(1)) and torch.equal(codes([1, 2])[1:], codes(2))
        assert not torch.equal(codes(1), codes(2))

    def test_kept_pixels_stay_and_the_rest_is_changed_in_part(self, pipeline: UFCPipeline) -> None:
        base, mask = picture(3), Image.new("L", (16, 16), 255)
        mask.paste(0, (0, 0, 16, 8))
        own = pipeline.encode([base])[0].flatten()
        out = pipeline("bag", base, mask, strength=0.5, num_inference_steps=4, seed=1)
        assert torch.equal(out.decoded, pipeline.decode(out.codes))  # nothing put back in it
        assert np.array_equal(np.asarray(out.images[0])[:8], np.asarray(base)[:8])
        states = [
            "kept" if block["kept"] else "stayed" if block["step"] is None else "new"
            for block in out.provenance[0]
        ]
        assert [states.count(word) for word in ("kept", "stayed", "new")] == [8, 4, 4]
        stayed = torch.tensor([state == "stayed" for state in states])
        assert torch.equal(out.codes[0, stayed], own[stayed])

    def test_an_image_alone_is_changed_by_half(self, pipeline: UFCPipeline) -> None:
        base, given = picture(3), {"num_inference_steps": 8, "seed": 1}
        alone = pipeline("bag", base, **given)
        assert alone.steps == [4]
        assert torch.equal(alone.codes, pipeline("bag", base, strength=0.5, **given).codes)
        whole = Conditioning(prompt="bag", image=base)
        assert torch.equal(alone.codes, pipeline(conditioning=whole, **given).codes)
        masked = pipeline("bag", base, FREE, **given)
        assert masked.steps == [8]
        assert torch.equal(masked.codes, pipeline("bag", base, FREE, strength=1.0, **given).codes)
        edit = Conditioning(prompt="bag", image=base, mask_image=FREE)
        assert torch.equal(masked.codes, pipeline(conditioning=edit, **given).codes)
        coded = Conditioning(codes=tuple(alone.codes[0].tolist()), preserve_blocks=(0, 1))
        with pytest.raises(ValueError, match="needs either mask_im"):  # not half of that one too
            pipeline(conditioning=[whole, coded], **given)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"strength": 0.5}, "strength: needs the image"),
            ({"strength": 1.5, "image": picture()}, "wanted 0 to 1"),
            ({"image": [picture(), picture()], "mask_image": [FREE, None]}, "needs either mask_im"),
            ({"image": picture(), "outpaint": [0, 1, 0, 1], "strength": 0.5}, "leave the strength"),
        ],
    )
    def test_what_does_not_fit(self, pipeline: UFCPipeline, arguments: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pipeline(**{"prompt": "bag"} | arguments)


def test_batches_of_arrays_and_tensors(pipeline: UFCPipeline) -> None:
    pictures = [picture(1), picture(2)]
    masks = [Image.new("L", (16, 16), 255) for _ in pictures]
    for number, mask in enumerate(masks):
        mask.paste(0, (0, 0, 16, 8 + 4 * number))
    by_lists = pipeline("bag", pictures, masks, **STEPS).codes
    arrays = np.stack([np.asarray(one) for one in pictures])
    tensors = torch.from_numpy(arrays).permute(0, 3, 1, 2) / 255
    covers = torch.stack([torch.from_numpy(np.array(mask))[None] / 255 for mask in masks])
    assert torch.equal(by_lists, pipeline("bag", tensors, covers, **STEPS).codes)
    covers_HWC = covers.permute(0, 2, 3, 1).numpy()
    assert torch.equal(by_lists, pipeline("bag", arrays / 255, covers_HWC, **STEPS).codes)
