"""The network: its arithmetic, its files, what it learns; verdicts and their explanation."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from toy_data import write_folder

from estimators.contradiction.meaning import LABELS, OUTPUTS
from estimators.contradiction.model import (
    ContradictionConfig,
    ContradictionModel,
    flatten,
    grams,
    known_words,
    match,
    pooled,
)
from estimators.contradiction.pairs import Style, items_of, tied_pair
from estimators.contradiction.training import (
    ContradictionTrainConfig,
    Examples,
    accuracy,
    learn,
    main,
    make_optimizer,
)
from estimators.contradiction.trees import RELATIONS, parse
from estimators.contradiction.verdicts import (
    Verdict,
    Verdicts,
    contradiction,
    contradictions,
    explain,
)
from ufc_base.checkpoint import CheckpointError
from ufc_base.data.names import DataError

SIZES = {"embedding": 8, "channels": 16, "hidden": 12, "buckets": 64}
ITEMS = items_of(["men's navy blue casual shirt", "women's red party dress", "black belt"])


def tiny(**sizes) -> ContradictionModel:
    torch.manual_seed(0)
    values = SIZES | {"vocabulary": known_words()} | sizes
    return ContradictionModel(ContradictionConfig(**values)).eval()


def captioned(folder: Path, captions: list[str]) -> Path:
    """An ImageFolder with these captions."""
    metadata = write_folder(folder, len(captions)) / "metadata.jsonl"
    lines = metadata.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) | {"text": c} for line, c in zip(lines, captions, strict=True)]
    metadata.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def verdicts(**labels: str) -> Verdicts:
    """Sure verdicts, neutral where nothing is said."""
    made = {}
    for output in OUTPUTS:
        label = labels.get(output, "neutral")
        made[output] = Verdict(label, {name: float(name == label) for name in LABELS})
    return Verdicts(made.pop("overall"), made)


def test_a_pair_has_probabilities_for_every_output() -> None:
    trees = [parse("red dress"), parse("")]
    found = tiny().probabilities(trees, [parse("红色连衣裙"), parse("🙂 zzz")])
    assert found.shape == (2, len(OUTPUTS), len(LABELS))
    assert torch.allclose(found.sum(-1), torch.ones(2, len(OUTPUTS)))


def test_a_window_is_a_node_and_its_children_each_by_its_relation() -> None:
    model = tiny()
    batch = model.words.assemble([flatten(parse("red dress with gold chain"))])
    x = model.words(batch)
    windows = model.encoder.windows(x, batch)
    width = x.shape[1]
    at = {flatten(parse("red dress with gold chain")).words[i]: i for i in range(len(x))}
    weight = model.encoder.modifiers.weight.unflatten(1, (len(RELATIONS), width))
    expected = model.encoder.node(x[at["dress"]])
    for word, relation in (("red", "colour"), ("chain", "part")):
        expected = expected + weight[:, RELATIONS.index(relation)] @ x[at[word]]
    assert torch.allclose(windows[at["dress"]], expected.relu(), atol=1e-6)
    assert torch.allclose(pooled(windows, batch)[0], windows.amax(0))


def test_the_order_of_siblings_does_not_matter() -> None:
    model = tiny()
    tree, turned = (
        parse("men's red casual shirt, black belt"),
        parse("men's red casual shirt, black belt"),
    )
    turned.children.reverse()
    for child in turned.children:
        child.children.reverse()
    found = [model.probabilities([t], [parse("blue shirt")]) for t in (tree, turned)]
    assert torch.allclose(*found, atol=1e-6)


def test_a_pair_does_not_depend_on_its_batch() -> None:
    model = tiny()
    alone = contradiction("red dress", "blue dress", model).as_dict()
    beside = contradictions(["黑色手提包 很长的一句话", "red dress"], ["x", "blue dress"], model)[
        1
    ].as_dict()
    for name, values in alone.items():
        assert values == pytest.approx(beside[name], abs=1e-6)


def test_matching_features_side_by_side() -> None:
    first, second = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    assert match(first, second).tolist() == [[1, 2, 3, 5, -2, -3, 3, 10]]
    assert match(first, second, ("difference",)).tolist() == [[-2, -3]]


def test_words_that_are_unknown_share_their_n_grams() -> None:
    assert set(grams("reddish", 10**6)) & set(grams("redd", 10**6))
    assert set(grams("燕麦色", 10**6)) & set(grams("麦色", 10**6))
    assert len(grams("", 64)) == 1


def test_a_model_comes_back_from_its_folder(tmp_path: Path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path, dtype=None)
    again = ContradictionModel.from_pretrained(tmp_path)
    assert again.config == model.config
    before = contradiction("red dress", "blue dress", model)
    assert contradiction("red dress", "blue dress", tmp_path) == before


def test_the_usual_sizes_make_a_small_file(tmp_path: Path) -> None:
    ContradictionModel(ContradictionConfig(vocabulary=known_words())).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 300_000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"relations": ["head"]}, "ufc train-contradiction"),
        ({"matching": ["sum"]}, "first, second, difference, product"),
        ({"widht": 3}, "widht"),
    ],
)
def test_a_config_of_another_kind_is_refused(values, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        ContradictionConfig.from_dict(values)


def test_sixty_pairs_that_tie_are_learnt_by_heart() -> None:
    rng = random.Random(0)
    examples = Examples([tied_pair(ITEMS, rng, Style()) for _ in range(60)])
    model = tiny(channels=64, hidden=32)
    config = ContradictionTrainConfig(train_data_dir="x", learning_rate=0.01)
    optimizer = make_optimizer(model, config)
    for step in range(80):
        trees, labels = examples.draw(60, step)
        learn(model, optimizer, model.words.assemble(trees), labels, 0.01, step)
    found = accuracy(model, [*examples.asked, *examples.shown], examples.labels)
    assert found["overall"] > 0.95
    assert found["type"] == 1


def test_a_run_writes_a_model_that_resumes_and_reports(tmp_path: Path) -> None:
    captions = ["red dress", "men's black shirt", "女士蓝色手提包", "a day"]
    data = captioned(tmp_path / "data", captions)

    def run(folder: str, **settings) -> dict[str, torch.Tensor]:
        config = ContradictionTrainConfig(
            train_data_dir=str(data), output_dir=str(tmp_path / folder), pairs=20, embedding=4,
            channels=4, hidden=4, train_batch_size=8, checkpointing_steps=2, max_train_steps=4,
            **settings,
        )  # fmt: skip
        return main(config).state_dict()

    whole = run("a")
    assert (tmp_path / "a" / "model.safetensors").is_file()
    (tmp_path / "a" / "config.json").unlink()
    again = run("a", resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_captions_without_a_known_word_are_refused(tmp_path: Path) -> None:
    data = captioned(tmp_path / "data", ["a sunny day", "a shirt", "red", "海边"])
    config = ContradictionTrainConfig(train_data_dir=str(data), output_dir=str(tmp_path / "out"))
    with pytest.raises(DataError, match="lexicon"):
        main(config)


@pytest.mark.parametrize(
    ("prompt", "caption", "attribute", "told"),
    [
        ("a navy shirt for men", "black casual shirt", "colour", "asked navy, looks black"),
        ("藏青色衬衫", "黑色衬衫", "colour", "要藏青色，看起来是黑色"),
        ("藏青色衬衫", "black shirt", "colour", "要藏青色，看起来是黑色"),
        ("navy shirt", "黑色衬衫", "colour", "asked navy, looks black"),
        ("navy shirt", "navy jeans", "type", "asked shirt, looks jeans"),
        ("men's shirt", "女士衬衫", "gender", "asked men's, looks women"),
        ("formal shirt", "casual shirt", "occasion", "asked formal, looks casual"),
        (
            "black dress, white belt",
            "white dress, white belt",
            "colour",
            "dress: asked black, looks white",
        ),
        ("黑色连衣裙和白色皮带", "黑色连衣裙和红色皮带", "colour", "皮带：要白色，看起来是红色"),
        ("something nice", "red dress", "colour", "colour differs"),
        ("好看的", "红色连衣裙", "colour", "颜色不符"),
    ],
)
def test_explanations(prompt: str, caption: str, attribute: str, told: str) -> None:
    found = verdicts(overall="contradiction", **{attribute: "contradiction"})
    assert explain(prompt, caption, found) == told


def test_several_contradictions_are_told_and_none_is_silence() -> None:
    found = verdicts(colour="contradiction", type="contradiction")
    assert found.contradicted == ["type", "colour"]
    assert explain("red shirt", "blue jeans", found) == (
        "asked shirt, looks jeans; asked red, looks blue"
    )
    assert explain("red shirt", "red shirt", verdicts(colour="entailment")) == ""


def test_prompts_and_captions_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="2 prompts and 1 captions"):
        contradictions(["a", "b"], ["c"], tiny())
