"""What each control adds: named, equal to the score with it left out, and told by `ufc info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pipeline, picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ufc.captioning.known_tasks import KnownTasks
from ufc.cli.main import main
from ufc.conditioning.conditioning import Conditioning
from ufc.conditioning.kinds import Reference
from ufc.control_shares import control_shares
from ufc.pipeline import UFCPipeline
from ufc.token_confidence import assess

CAPTIONS = "describe this: [IMAGE:picture] -> [TEXT:caption]"
MADE = "out/bags/red.png"


@pytest.fixture(scope="module")
def pipe() -> UFCPipeline:
    return make_pipeline()


def test_a_share_is_the_score_with_its_control_left_out(pipe: UFCPipeline) -> None:
    references = [picture(1), picture(2)]
    made = pipe("red bag", reference_images=references, seed=0, num_inference_steps=2).images[0]
    found = pipe.control_shares(made, prompt="red bag", reference_images=references)
    codes = pipe.encode([made])[0].flatten().tolist()
    left = {
        "prompt": (None, references),
        "reference_images 1": ("red bag", references[1:]),
        "reference_images 2": ("red bag", references[:1]),
    }
    assert [share.name for share in found.shares] == list(left)
    assert found.compliance == pytest.approx(assess(pipe, codes, "red bag", references).compliance)
    for share in found.shares:
        without = assess(pipe, codes, *left[share.name]).compliance
        assert share.without == pytest.approx(without, abs=1e-5)
        assert share.adds == pytest.approx(found.compliance - share.without)


def test_weights_count_and_a_lone_reference_has_no_number(pipe: UFCPipeline) -> None:
    asked = {"prompt": "red bag", "reference_images": [picture(1)]}
    light = pipe.control_shares(picture(3), reference_weights=[0.1], **asked)
    heavy = pipe.control_shares(picture(3), reference_weights=[9.0], **asked)
    assert [share.name for share in light.shares] == ["prompt", "reference_images"]
    assert light.compliance != heavy.compliance
    assert light.shares[1].without == pytest.approx(heavy.shares[1].without)


def test_a_single_control_has_no_share(pipe: UFCPipeline) -> None:
    alone = pipe.control_shares(picture(3), prompt="red bag")
    assert alone.shares == () and alone.compliance is not None
    assert pipe.control_shares(picture(3)).compliance is None
    with pytest.raises(TypeError, match="takes controls alone, got order"):
        pipe.control_shares(picture(3), prompt="bag", order="pnag")
    with pytest.raises(ValueError, match="reference_images"):
        pipe.control_shares(picture(3), prompt="bag", reference_images=[""])


def test_the_codes_of_a_picture_are_scored_where_they_are_known(pipe: UFCPipeline) -> None:
    references = (Reference(picture(1)),)
    given = Conditioning(prompt="red bag", reference_images=references)
    codes = torch.arange(16).view(4, 4)
    found = control_shares(pipe, picture(3), given, codes_HW=codes)
    told = assess(pipe, codes.flatten().tolist(), "red bag", [picture(1)])
    assert found.compliance == pytest.approx(told.compliance)
    assert found.compliance != control_shares(pipe, picture(3), given).compliance


class TestInfo:
    """What `ufc info --check` tells of pictures of two references, in a folder of the run's."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        teller = make_pipeline()
        teller.tasks = KnownTasks({"captioning": CAPTIONS})
        teller.save_pretrained(tmp_path / "model")
        make_pipeline().save_pretrained(tmp_path / "silent")
        for name, seed in (("a.png", 1), ("b.png", 2)):
            picture(seed).save(name)
        asked = {"prompt": "red bag", "reference_images": ["a.png", "b.png"], "output": MADE[4:]}
        Path("asked.jsonl").write_text(json.dumps(asked), encoding="utf-8")
        flags = ["--output-dir", "out", "--seed", "1", "--num-inference-steps", "2"]
        assert main(["generate", "--model", "model", "--prompts-file", "asked.jsonl", *flags]) == 0

    @pytest.fixture
    def told(self, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[Any], str]]:
        def told(*pictures: str, check: str = "model") -> tuple[int, list[Any], str]:
            capsys.readouterr()
            code = main(["info", *pictures, "--check", check, "--json"])
            said = capsys.readouterr()
            return code, [json.loads(line) for line in said.out.splitlines()], said.err

        return told

    def test_the_files_are_where_the_manifest_says(
        self, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, [found], _ = told(MADE)
        names = [share["name"] for share in found["controls"]["shares"]]
        assert code == 0 and names == ["prompt", "reference_images 1", "reference_images 2"]
        assert main(["info", MADE, "--check", "model"]) == 0
        said = capsys.readouterr().out
        assert "\ncompliance: " in said and ", of which prompt " in said

    def test_it_is_of_the_codes_that_the_picture_carries(
        self, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, [found], _ = told(MADE)
        assert found["controls"]["encoded_again"] is False
        made_with = found["ufc_metadata"]["compliance"]
        assert found["controls"]["compliance"] == pytest.approx(made_with, abs=0.005)  # int8
        stored = Image.open(MADE)
        stored.load()
        bare = PngInfo()
        bare.add_itxt("ufc_metadata", stored.info["ufc_metadata"])
        stored.save(MADE, pnginfo=bare)
        assert told(MADE)[1][0]["controls"]["encoded_again"] is True
        assert main(["info", MADE, "--check", "model"]) == 0
        assert "\ncompliance as encoded again: " in capsys.readouterr().out

    def test_why_it_cannot_be_told(
        self, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        def why() -> str:
            code, [found], _ = told(MADE)
            assert code == 0 and found["check"]["caption"] and found["controls"] is None
            return str(found["controls_unknown"])

        picture(5).save("b.png")  # another picture under the old name
        assert "was made from other reference_images" in why()
        Path("b.png").write_bytes(b"no picture")
        assert "b.png: not a picture" in why()
        Path("b.png").unlink()
        assert "b.png: no such file" in why()
        assert main(["info", MADE, "--check", "model"]) == 0
        assert "is not known: " in capsys.readouterr().out
        Path("out/manifest.jsonl").unlink()
        assert "no manifest.jsonl in its folder or above" in why()

    def test_a_picture_of_another_program_has_no_controls(self, told: Callable[..., Any]) -> None:
        words = PngInfo()
        words.add_text("parameters", "a bag\nSteps: 20, Seed: 1")
        picture(7).save("other.png", pnginfo=words)
        odd = PngInfo()
        odd.add_itxt("ufc_metadata", json.dumps({"request": "red bag"}))
        picture(7).save("odd.png", pnginfo=odd)
        code, found, _ = told("other.png", "odd.png")
        assert code == 0 and len(found) == 2
        assert not any({"check", "controls"} & one.keys() for one in found)

    def test_what_fails_for_a_picture_ends_neither_the_rest_of_it_nor_the_others(
        self, told: Callable[..., Any]
    ) -> None:
        code, found, errors = told(MADE, MADE, check="silent")
        assert code == 2 and errors.count(f"ufc: {MADE}: the model ") == 2
        assert errors.count("writes no captions") == 2
        assert [len(one["controls"]["shares"]) for one in found] == [3, 3]
        assert not any("check" in one for one in found)
