"""Every sampling setting once: the same values pass, and the same are refused, everywhere."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture

from ufc.cli.flags import setting_flags
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.request import Request, request_names
from ufc.sampling.generation_config import (
    BATCH_SETTINGS,
    DEFAULTS,
    SETTINGS,
    GenerationConfig,
    kind_of,
    range_of,
)
from ufc_base.checkpoint import CheckpointError

WRONG = [
    ("guidance_scale", float("nan"), "got nan, wanted 0 to 100; leave it out for the default"),
    ("guidance_scale", np.float32("inf"), "got inf, wanted 0 to 100"),
    ("guidance_scale", 1e9, "got 1000000000.0, wanted 0 to 100"),
    ("guidance_scale", "3", 'got the text "3", wanted a number from 0 to 100'),
    ("guidance_scale", [3.0, 2.0], "got a list, wanted a number"),
    ("guidance_scale", np.array([3.0]), "got a ndarray, wanted a number"),
    ("temperature", -float("inf"), "got -inf, wanted 0 to 100"),
    ("temperature", True, "got true, wanted a number"),
    ("choice_temperature", -1, "wanted 0 to 100"),
    ("time_budget", -1, "got -1, wanted 0.001 to 86400"),
    ("feather", -4, "got -4, wanted 0 to 1024"),
    ("feather", 1.5, "got 1.5, wanted a whole number from 0 to 1024"),
    ("num_inference_steps", 0, "got 0, wanted 1 to 1000"),
    ("num_candidates", 65, "got 65, wanted 1 to 64"),
    ("best_of", 0, "got 0, wanted 1 to 64"),
    ("patience", 0, "got 0, wanted 1 to 1000"),
    ("compliance_weight", 1.5, "got 1.5, wanted 0 to 1"),
    ("contrastive_weight", 1e9, "wanted 0 to 1"),
    ("num_images_per_prompt", 10_001, "wanted 1 to 10000"),
    ("seed", -1, "got -1, wanted 0 to 9223372036854775807"),
    ("order", "spiral", 'got the text "spiral", wanted one of pnag, maskgit'),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_what_is_refused_is_refused_everywhere(
    pipeline: UFCPipeline, name: str, value: object, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        GenerationConfig(**{name: value})
    assert str(caught.value).startswith(f"{name}: ") and message in str(caught.value)
    for ask in (lambda v: Request(prompt="a", **v), lambda v: pipeline("a", **v)):
        with pytest.raises(ValueError, match=f"^{re.escape(str(caught.value))}$"):
            ask({name: value})


@pytest.mark.parametrize("name", [name for name in SETTINGS if kind_of(name) in (int, float)])
def test_both_ends_of_a_range_are_in_it(name: str) -> None:
    low, high = range_of(name)
    assert GenerationConfig(**{name: low}).explicit() == {name: low}
    assert GenerationConfig(**{name: high}).explicit() == {name: high}
    for wrong in (low - 1, high + 1):
        with pytest.raises(RequestError, match="wanted"):
            GenerationConfig(**{name: wrong})


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    config = GenerationConfig(
        seed=np.int64(7),
        guidance_scale=np.float32(2.5),
        best_of=torch.tensor(3),
        score_steps=np.bool_(True),
        order=np.str_("pnag"),
    )
    assert config.explicit() == {
        "seed": 7, "guidance_scale": 2.5, "best_of": 3, "score_steps": True, "order": "pnag",
    }  # fmt: skip
    assert {type(value) for value in config.explicit().values()} == {int, float, bool, str}
    written = Request(prompt="a", seed=np.int64(7), temperature=np.float64(0.5)).to_json()
    assert json.loads(json.dumps(written)) == {"prompt": "a", "seed": 7, "temperature": 0.5}


def test_what_is_not_said_is_the_default() -> None:
    assert GenerationConfig(seed=None, guidance_scale=None).explicit() == {}
    assert GenerationConfig.over({"guidance_scale": 2.0}, {}).guidance_scale == 2.0
    over = GenerationConfig.over({"guidance_scale": 2.0, "best_of": 2}, {"best_of": 1})
    assert (over.guidance_scale, over.best_of, over.num_inference_steps) == (2.0, 1, 12)
    with pytest.raises(RequestError, match="unknown setting steps; known are seed"):
        GenerationConfig(steps=3)


def test_nobody_has_fewer_settings() -> None:
    """Flags, requests and batches have what the model has."""
    called = inspect.signature(UFCPipeline.__call__).parameters
    of_requests = SETTINGS.keys() - {"score_steps"}
    assert of_requests <= set(request_names()) and of_requests == setting_flags().keys()
    assert set(BATCH_SETTINGS) == of_requests - {"seed", "num_images_per_prompt"}
    assert DEFAULTS.keys() <= set(BATCH_SETTINGS)
    for name in SETTINGS:
        default = called[name].default
        assert default is None or default == SETTINGS[name].default


class TestOldNames:
    def test_in_requests_and_prompts_files(self, tmp_path: Path) -> None:
        assert Request.from_json({"num_drafts": 3}).to_json() == {"best_of": 3}
        (tmp_path / "p.txt").write_text("a bag --num-drafts 4\n")
        (tmp_path / "p.jsonl").write_text('{"prompt": "a bag", "num_drafts": 4}\n')
        for name in ("p.txt", "p.jsonl"):
            (row,) = read_rows(tmp_path / name)
            assert row.request.best_of == 4
        with pytest.raises(RequestError, match="both best_of and num_drafts"):
            Request.from_json({"num_drafts": 3, "best_of": 3})

    def test_in_model_folders(self, pipeline: UFCPipeline, tmp_path: Path) -> None:
        folder = tmp_path / "old"
        pipeline.save_pretrained(folder)
        index = json.loads((folder / "model_index.json").read_text())
        index["defaults"] = {"num_drafts": 3, "guidance_scale": 2.0, "of_tomorrow": 1}
        (folder / "model_index.json").write_text(json.dumps(index))
        defaults = UFCPipeline.from_pretrained(folder).defaults
        assert defaults == DEFAULTS | {"best_of": 3, "guidance_scale": 2.0}
        index["defaults"] = {"guidance_scale": "strong"}
        (folder / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match="defaults are damaged: guidance_scale: got the"):
            UFCPipeline.from_pretrained(folder)


class TestArraysInCalls:
    def test_are_what_lists_are(self, pipeline: UFCPipeline) -> None:
        base = picture(3)
        lists = {"preserve_blocks": [[0, 5], [1]], "seed": [4, 5], "reference_weights": [0.5]}
        arrays = {
            "preserve_blocks": [np.array([0, 5]), range(1, 2)],
            "seed": np.array([4, 5]),
            "reference_weights": torch.tensor([0.5]),
        }
        given = {"image": base, "reference_images": [picture(1)]}
        one = pipeline(["red bag", "shirt"], **given, **lists)
        two = pipeline(np.array(["red bag", "shirt"]), **given, **arrays)
        assert torch.equal(one.codes, two.codes)
        assert two.seeds == [4, 5] and all(type(seed) is int for seed in two.seeds)
        again = pipeline("shirt", image=base, preserve_blocks=torch.tensor([1]), seed=np.int64(5),
                         reference_images=[picture(1)], reference_weights=np.array([0.5]),
                         codes=None)  # fmt: skip
        assert torch.equal(again.codes[0], one.codes[1])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"prompt": 5}, "prompt: got 5, wanted text"),
            ({"prompt": np.zeros(2)}, "prompt: got 0.0, wanted text"),
            ({"prompt": ["a", b"b"]}, "prompt: got a bytes, wanted text"),
            ({"prompt": "a", "negative_prompt": 3.0}, "negative_prompt: got 3.0, wanted text"),
            ({"prompt": "\ud800"}, "prompt: the text is not valid Unicode"),
            ({"prompt": "a", "seed": "1"}, "seed: got the text"),
            ({"prompt": "a", "seed": [1.5]}, "seed: got 1.5, wanted a whole number"),
            ({"prompt": "a", "seed": np.array([-1])}, "seed: got -1, wanted 0 to"),
            (
                {"prompt": "a", "seed": 2**63 - 1, "num_images_per_prompt": 2},
                "leaves no seeds",
            ),
            ({"prompt": "a", "preserve_blocks": 1.5}, "preserve_blocks: got 1.5, wanted a whole"),
            ({"prompt": "a", "preserve_blocks": ["a"]}, "preserve_blocks: got the text"),
            ({"prompt": "a", "preserve_blocks": [16]}, "preserve_blocks: got 16, wanted 0 to 15"),
            ({"prompt": "a", "preserve_blocks": np.ones(16, bool)}, "preserve_blocks: got true"),
            ({"reference_images": picture(), "reference_weights": 1e9}, "wanted 0 to 10"),
            ({"reference_images": picture(), "reference_weights": "1"}, "reference_weights: got"),
        ],
    )
    def test_are_refused_in_words(
        self, pipeline: UFCPipeline, arguments: dict, message: str
    ) -> None:
        if "preserve_blocks" in arguments:
            arguments = arguments | {"image": picture()}
        with pytest.raises(ValueError, match=re.escape(message)):
            pipeline(**arguments)


class TestOneSeedRule:
    def test_every_prompt_counts_from_the_seed(self, pipeline: UFCPipeline) -> None:
        both = pipeline(["bag", "shirt"], seed=1)
        assert both.seeds == [1, 1]
        assert torch.equal(both.codes[1], pipeline("shirt", seed=1).codes[0])
        assert pipeline(["bag", "shirt"], seed=1, num_images_per_prompt=2).seeds == [1, 2, 1, 2]
        own = pipeline(["bag", "shirt"], seed=[1, 7], num_images_per_prompt=2)
        assert own.seeds == [1, 2, 7, 8]
        first, second = pipeline("bag", num_images_per_prompt=2).seeds
        assert second == first + 1

    def test_a_prompts_file_does_the_same(self, ufc, tmp_path: Path, pipeline: UFCPipeline) -> None:
        (tmp_path / "p.txt").write_text("red bag\nblue shirt\n")
        flags = ("--seed", 1, "--num-images-per-prompt", 2, "--batch-size", 4)
        assert ufc("generate", "--prompts-file", "p.txt", *flags)[0] == 0
        lines = (tmp_path / "out/manifest.jsonl").read_text().splitlines()
        seeds = [json.loads(line)["seed"] for line in lines]
        prompts = ["red bag", "blue shirt"]
        assert seeds == pipeline(prompts, seed=1, num_images_per_prompt=2).seeds == [1, 2, 1, 2]
