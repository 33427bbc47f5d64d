"""One tiny model trained on a mixture of instructions describes, answers, fills in and points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_tokenizer
from PIL import Image
from toy_data import toy_samples, write_folder
from toy_training import model_config

from estimators.contradiction.model import (
    ContradictionConfig,
    ContradictionModel,
    known_words,
)
from ufc.captioning.contradictions import BUNDLED, compare_with_prompts, load_judge
from ufc.captioning.tell import Answer, Located, ToldText, carry_out
from ufc.cli.main import main
from ufc.evaluation.language.words import named, named_right
from ufc.io.validation import RequestError
from ufc.pipeline import UFCPipeline
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.training.lexicon.words import load_lexicon
from ufc.training.trainer import main as train
from ufc_base.checkpoint import CheckpointError

MIXTURE = """
text-to-image: 0.1
captioning: {instruction: "describe: [IMAGE:picture] -> [TEXT:caption,max_length=6]", weight: 2}
captioning-zh: {instruction: "描述[IMAGE:picture] -> [TEXT:text_zh,max_length=6]", weight: 2}
question-colour: 1
question-type-zh: 1
caption-infilling: 1
grounding: 0.5
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a few seconds."""
    root = tmp_path_factory.mktemp("one-model")
    tiny_tokenizer(2).save_pretrained(root / "tokenizer")
    (root / "mix.yaml").write_text(MIXTURE)
    config = model_config(
        write_folder(root / "data", 8), root / "tokenizer", root / "run",
        tasks=str(root / "mix.yaml"), text_target_weight=1.0, grounding_weight=1.0,
        max_train_steps=400, train_batch_size=8,
        learning_rate=3e-3, width=48, depth=2, checkpointing_steps=1000, validation_steps=1000,
        estimator_weight=0.0, validation_prompts=(), val_data_dir=None,
    )  # fmt: skip
    train(config)
    return root / "run"


@pytest.fixture(scope="module")
def knowing(trained: Path) -> UFCPipeline:
    return UFCPipeline.from_pretrained(trained, dtype="fp32")


def pictures() -> list[Image.Image]:
    return [image for _, image, _ in toy_samples(4)]


def test_captions_in_both_languages(knowing: UFCPipeline) -> None:
    assert [told.text for told in knowing.caption(pictures())] == [
        "red bag", "blue bag", "red shirt", "blue shirt",
    ]  # fmt: skip
    told = knowing.caption(pictures(), "zh")
    assert [one.text.replace(" ", "") for one in told] == [
        "红色包",
        "蓝色包",
        "红色衬衫",
        "蓝色衬衫",
    ]
    first = knowing.caption(pictures()[:1])[0]
    assert [word for word, _ in first.words] == ["red", "bag"]
    assert all(0.5 < sure <= 1 for _, sure in first.words)


def tell(pipeline: UFCPipeline, instruction: str, picture: Image.Image | None, **words: str):  # type: ignore[no-untyped-def]
    return carry_out(pipeline, make_plan(parse(instruction)), words, [picture])[0]


def test_questions_are_answered_from_their_closed_set(knowing: UFCPipeline) -> None:
    colour = "what colour is this? [IMAGE:picture] -> [TEXT:answer,closed_set=colour]"
    found = [tell(knowing, colour, picture) for picture in pictures()]
    assert [one.text for one in found] == ["red", "blue", "red", "blue"]
    assert isinstance(found[0], Answer)
    assert sum(p for _, p in found[0].probabilities) == pytest.approx(1, abs=1e-4)
    kind = "这是什么？[IMAGE:picture] -> [TEXT:answer,closed_set=type]"
    assert [tell(knowing, kind, one).text for one in pictures()] == ["bag", "bag", "shirt", "shirt"]


def test_blanks_are_filled_in(knowing: UFCPipeline) -> None:
    fill = "[TEXT:caption] [IMAGE:picture] -> [TEXT:caption]"
    told = tell(knowing, fill, pictures()[1], caption="___ bag")
    assert isinstance(told, ToldText) and told.text == "blue bag"
    with pytest.raises(RequestError, match="___"):
        tell(knowing, fill, pictures()[1], caption="blue bag")


def test_blocks_of_a_word_are_a_probability_each(knowing: UFCPipeline) -> None:
    where = "where is [TEXT:word] in [IMAGE:picture]? -> [BOX:blocks]"
    found = tell(knowing, where, pictures()[0], word="shirt")
    assert isinstance(found, Located) and tuple(found.blocks.shape) == knowing.grid_size
    assert float(found.blocks.min()) >= 0 and float(found.blocks.max()) <= 1
    assert len(found.as_text().splitlines()) == knowing.grid_size[0]


def test_what_was_not_learnt_is_refused(knowing: UFCPipeline, pipeline: UFCPipeline) -> None:
    usage = "what for? [IMAGE:picture] -> [TEXT:answer,closed_set=usage]"
    with pytest.raises(RequestError, match=r"closed_set=usage.*colour, type"):
        tell(knowing, usage, pictures()[0])
    with pytest.raises(RequestError, match="does not know the task question"):
        tell(pipeline, usage, pictures()[0])
    with pytest.raises(RequestError, match="images alone"):
        pipeline.caption(pictures()[:1])


def test_from_the_command_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    pictures()[0].save(file)
    (tmp_path / "b.png").write_bytes(b"no picture")
    fixed = ["--model", str(trained), "--dtype", "fp32"]
    code = main(["caption", str(file), str(tmp_path / "b.png"), "--json", *fixed])
    captured = capsys.readouterr()
    line = json.loads(captured.out)
    assert code == 2 and "b.png" in captured.err
    assert line["image"] == str(file) and line["caption"] == "red bag"
    assert [word for word, _ in line["confidence"]] == ["red", "bag"]
    asked = ["run", "question-colour", "--slot", f"picture={file}", "--json", *fixed]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "red"


def test_the_run_says_how_well_it_tells(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["text_target_accuracy"] > 0.8
    overlaps = [line["grounding_iou"] for line in lines if "grounding_iou" in line]
    assert overlaps and all(0 <= overlap <= 1 for overlap in overlaps)  # and no nan
    index = json.loads((trained / "model_index.json").read_text())
    assert index["tasks"]["closed_sets"] == {"colour": ["blue", "red"], "type": ["bag", "shirt"]}


def test_lone_threads_tell_the_same(knowing: UFCPipeline) -> None:
    together = knowing.caption(pictures())
    alone = [knowing.caption([one])[0] for one in pictures()]
    assert [one.text for one in together] == [one.text for one in alone]
    assert torch.is_grad_enabled()


def test_what_it_tells_is_measured_beside_probes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", 8)
    asked = ["evaluate", "words", "--model", str(trained), "--real", str(data), "--no-cache"]
    asked += [
        "--train-data-dir",
        str(data),
        "--extractor",
        "toy_extractor:tiny_extractor",
        "--json",
    ]
    assert main([*asked, "--device", "cpu", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 8 and found["probes"]["colour"] > 0.9
    assert found["questions"] == {"question-colour": 1.0, "question-type-zh": 1.0}
    assert 0 <= found["grounding"]["grounding"] <= 1


def test_verdicts_are_held_against_probes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", 8)
    asked = ["evaluate", "verdicts", "--model", str(trained), "--real", str(data)]
    asked += ["--train-data-dir", str(data), "--extractor", "toy_extractor:tiny_extractor"]
    asked += ["--no-cache", "--limit", "6", "--output-dir", str(tmp_path / "out")]
    assert main([*asked, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "out" / "verdicts.json").read_text())
    assert set(found["languages"]) == {"en", "zh"}
    for of in found["languages"].values():
        assert of["captions"] == 6 and set(of["attributes"]) == {"type", "colour"}
        colour = of["attributes"]["colour"]
        assert colour["count"] == 6 and 0 <= colour["agreement"] <= 1
        for shown in ("generated", "real"):
            for area in of[shown].values():
                assert 0 <= area["low"] <= area["value"] <= area["high"] <= 1
        # The model captions the real pictures rightly, and other captions have another colour.
        assert of["real"]["one_minus_contradiction"]["value"] > 0.7
    assert main([*asked, "--quiet"]) == 0
    assert "AUC on generated pictures, one minus contradiction" in capsys.readouterr().out


def test_free_words_are_measured_beside_plain_captions(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data", 8)
    rows = [
        {"prompt": "a crimson tote", "type": "bag", "colour": "red", "out_of_lexicon": True},
        {"prompt": "蓝衬衫", "lang": "zh", "type": "shirt", "colour": "blue"},
    ]
    file = tmp_path / "free.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    asked = ["evaluate", "phrasings", "--model", str(trained), "--train-data-dir", str(data)]
    asked += ["--phrasings", str(file), "--extractor", "toy_extractor:tiny_extractor"]
    asked += ["--num-images-per-prompt", "2", "--no-cache", "--output-dir", str(tmp_path / "out")]
    assert main([*asked, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "out" / "phrasings.json").read_text())
    assert found["phrasings"] == 2 and found["pictures"] == 2
    assert set(found["groups"]) == {"all", "en", "zh", "outside it"}
    shares = found["groups"]["all"]["phrasings"]
    assert shares.keys() == {"type", "colour"} and all(0 <= one <= 1 for one in shares.values())
    assert main([*asked, "--quiet"]) == 0
    assert "outside it" in capsys.readouterr().out


def test_a_text_names_what_its_longest_word_is_of() -> None:
    lexicon = load_lexicon()
    assert named("women's navy blue jeans", "colours", lexicon, "en") == "Navy Blue"
    assert named("women's blue jeans", "colours", lexicon, "en") == "Blue"
    assert named("women's blue jeans", "owners", lexicon, "en") == "Women"
    assert named("女士红色手提包", "owners", lexicon, "zh") == "Women"
    assert named("something", "types", lexicon, "en") is None
    records = [{"type": "Jeans", "colour": "Blue"}, {"type": "Jeans", "colour": "Red"}]
    right = named_right(["blue jeans", "blue jeans"], records, lexicon, "en")
    assert right == {"type": 1.0, "colour": 0.5}


def judge(folder: Path) -> Path:
    ContradictionModel(ContradictionConfig(vocabulary=known_words())).save_pretrained(folder)
    return folder


def test_pictures_are_compared_with_their_prompts(knowing: UFCPipeline, tmp_path: Path) -> None:
    prompts = ["red bag", "红色包"]
    found = compare_with_prompts(
        knowing, prompts, pictures()[:1] * 2, load_judge(str(judge(tmp_path / "judge")))
    )
    assert [one.caption.replace(" ", "") for one in found] == ["redbag", "红色包"]
    assert all("overall" in one.to_json() for one in found)


def test_info_says_what_contradicts_a_prompt(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, fixed = tmp_path / "out", ["--model", str(trained), "--num-inference-steps", "2"]
    assert main(["generate", "--prompt", "red bag", "--output-dir", str(out), *fixed]) == 0
    made = next(out.glob("*.png")).name
    capsys.readouterr()
    checking = ["--check", str(trained), "--contradiction-model", str(judge(tmp_path / "judge"))]
    assert main(["info", str(out / made), "--json", *checking]) == 0
    check = json.loads(capsys.readouterr().out)["check"]
    assert check["caption"] and check["colour"]["verdict"] in (
        "entailment", "contradiction", "neutral",
    )  # fmt: skip
    assert main(["info", str(out / made), *checking]) == 0
    assert "\ncheck: " in capsys.readouterr().out


def test_the_bundled_judge_is_found_by_its_name_and_others_by_their_folder(tmp_path: Path) -> None:
    assert load_judge(BUNDLED).config == load_judge().config
    assert load_judge(str(judge(tmp_path / "judge"))).config.vocabulary
    with pytest.raises(CheckpointError, match="no contradiction model"):
        load_judge(str(tmp_path / "nothing"))
