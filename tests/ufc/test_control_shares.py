"""What each control adds: named, equal to the score with it left out, and told by `ufc info`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import make_pipeline, picture

from ufc.captioning.known_tasks import KnownTasks
from ufc.cli.main import main
from ufc.pipeline import UFCPipeline
from ufc.token_confidence import assess

CAPTIONS = "describe this: [IMAGE:picture] -> [TEXT:caption]"


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


def test_info_tells_it_where_the_manifest_says_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    teller = make_pipeline()
    teller.tasks = KnownTasks({"captioning": CAPTIONS})
    teller.save_pretrained(tmp_path / "model")
    for name, seed in (("a.png", 1), ("b.png", 2)):
        picture(seed).save(name)
    asked = ["generate", "--model", "model", "--prompt", "red bag", "--output-dir", "out"]
    asked += ["--reference-image", "a.png", "--reference-image", "b.png", "--seed", "1"]
    assert main([*asked, "--num-inference-steps", "2"]) == 0
    made = str(next(Path("out").glob("*.png")))
    capsys.readouterr()
    assert main(["info", made, "--check", "model", "--json"]) == 0
    controls = json.loads(capsys.readouterr().out)["controls"]
    names = [share["name"] for share in controls["shares"]]
    assert names == ["prompt", "reference_images 1", "reference_images 2"]
    assert main(["info", made, "--check", "model"]) == 0
    assert ", of which prompt " in capsys.readouterr().out
    picture(5).save("b.png")  # another picture under the old name
    assert main(["info", made, "--check", "model"]) == 0
    assert "not where its manifest says" in capsys.readouterr().out
    Path("out/manifest.jsonl").unlink()
    assert main(["info", made, "--check", "model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["controls"] is None
