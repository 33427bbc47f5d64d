"""What a step asks beside images: samples of text tasks, collages, and odds of image tasks."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_pipeline, tiny_tokenizer, tiny_transformer
from toy_data import write_folder
from toy_training import model_config

from ufc.captioning.known_tasks import KnownTasks
from ufc.captioning.text_target import with_end, without_end
from ufc.conditioning.text import TextTokenizer
from ufc.tasks.families import make_plan
from ufc.tasks.grammar import parse
from ufc.tasks.mixture import read_mixture
from ufc.training.conditioning_dropout import ControlOdds
from ufc.training.objectives.grounded_blocks import block_iou, grounded_blocks
from ufc.training.setup import tasks_of_run
from ufc.training.tasks.collages import Collages, foreground, grounding_sample
from ufc.training.tasks.mixture import autoregressive_share, control_odds
from ufc.training.tasks.words import words_sample
from ufc.training.trainer import main as train
from ufc_base.data.datasets import DataError

RECORD = {"text": "red bag", "text_zh": "红色包", "type": "bag", "colour": "red"}
PICTURE = torch.arange(16).view(4, 4)


def sample(instruction: str, text: TextTokenizer, record: dict[str, str] = RECORD, seed: int = 0):  # type: ignore[no-untyped-def]
    return words_sample(make_plan(parse(instruction)), record, PICTURE, text, random.Random(seed))


def test_an_end_closes_a_text_and_is_no_text(text: TextTokenizer) -> None:
    assert with_end([5, 6], 4, text.end) == [5, 6, text.end, text.end]
    assert with_end([5, 6, 7], 3, text.end) == [5, 6, text.end]
    assert without_end([5, text.end, 7], text.end) == [5] and without_end([5], text.end) == [5]
    assert text.end not in text.encode_all("\0 a \x00b")


def test_a_caption_is_told_behind_the_instruction(text: TextTokenizer) -> None:
    made = sample("describe this: [IMAGE:picture] -> [TEXT:caption,max_length=9]", text)
    before, told = text.encode("describe this:"), text.encode("red bag")
    assert list(made.item.text[: len(before)]) == before
    slots, labels = made.item.text[len(before) :], made.labels[len(before) :]
    wanted = with_end(told, 9, text.end)
    assert len(slots) == 9 and text.size in slots
    for slot, label, true in zip(slots, labels, wanted, strict=True):
        assert (slot, label) in ((true, -1), (text.size, true))
    assert torch.equal(made.item.references[0], PICTURE)


def test_answers_are_masked_whole_and_given_words_as_the_instruction_says(
    text: TextTokenizer,
) -> None:
    made = sample("what colour? [IMAGE:picture] -> [TEXT:answer,closed_set=colour]", text)
    asked = [label for label in made.labels if label >= 0]
    assert asked == with_end(text.encode("red"), 8, text.end)
    alone = sample("[TEXT:caption,mask_ratio=1] -> [TEXT:caption]", text)
    assert not alone.item.references and set(alone.item.text) == {text.size}
    assert sample("[IMAGE:picture] -> [TEXT:a,closed_set=usage]", text) is None


def tasks(tmp_path: Path, lines: str):  # type: ignore[no-untyped-def]
    file = tmp_path / "mix.yaml"
    file.write_text(lines)
    return read_mixture(file)


def test_image_tasks_are_the_odds_of_the_controls(tmp_path: Path) -> None:
    mix = tasks(
        tmp_path,
        "text-to-image: 3\nimage-and-reference: 1\nautoregressive: 1\ncaptioning: 9\n"
        'ref-alone: {instruction: "[IMAGE:ref] -> [IMAGE:out]", weight: 1}\n',
    )
    base = ControlOdds()
    odds = control_odds(mix, base)
    assert odds.references == (4.0, 2.0)
    assert odds.text == pytest.approx((base.text[0], base.text[1] / 2))
    assert autoregressive_share(mix) == pytest.approx(1 / 6)
    assert control_odds(tasks(tmp_path, "captioning: 1"), base) is base
    assert autoregressive_share(tasks(tmp_path, "captioning: 1")) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('a: "a sketch of [TEXT:caption] -> [IMAGE:out]"', "a sketch of"),
        ('a: "[IMAGE:out,mask_ratio=0.5] -> [IMAGE:out]"', "without a number"),
    ],
)
def test_image_tasks_that_training_cannot_follow_are_refused(
    line: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        control_odds(tasks(tmp_path, line), ControlOdds())


def test_foreground_is_the_box_around_what_is_not_white() -> None:
    x = torch.ones(2, 3, 16, 16)
    x[0, :, 4:6, 4:6] = 0
    x[0, 1, 12:, 9:12] = 0.5
    boxes = foreground(x, 4)
    wanted = torch.zeros(4, 4, dtype=torch.bool)
    wanted[1:, 1:3] = True
    assert torch.equal(boxes[0], wanted) and not boxes[1].any()


def things() -> tuple[list[dict[str, str]], Collages]:
    """Bags are code 3, shirts code 9, in the middle of their quarter; white is 0."""
    records = [{"text": kind, "type": kind} for kind in ("bag", "shirt") * 4]
    codes = torch.stack([torch.full((2, 2), 3 if r["type"] == "bag" else 9) for r in records])
    boxes = torch.ones(8, 2, 2, dtype=torch.bool)
    boxes[:, 1, 1] = False
    return records, Collages(codes, boxes, torch.zeros(2, 2, dtype=torch.int64))


WHERE = make_plan(parse("where is [TEXT:word] in [IMAGE:picture]? -> [BOX:blocks]"))


def test_a_collage_knows_where_its_photographs_are(text: TextTokenizer) -> None:
    records, collages = things()
    seen = set()
    for seed in range(40):
        rng = random.Random(seed)
        made = grounding_sample(WHERE, records, seed % 8, collages, text, rng)
        if made is None:
            continue
        grid, blocks = made.item.references[0], made.blocks_T.view(4, 4)
        assert grid.shape == (4, 4)
        about = {int(code) for code in grid[blocks]}
        seen |= {tuple(sorted(about))}
        assert about <= {3} or about <= {9}
        if about:  # all of them in the collage, three blocks of four of each
            code = about.pop()
            assert int(blocks.sum()) * 4 == int((grid == code).sum()) * 3
    assert seen >= {(3,), (9,)}


def test_blocks_are_learnt(text: TextTokenizer) -> None:
    records, collages = things()
    torch.manual_seed(0)
    model = tiny_transformer(text.size, grounding=True)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(120):
        made = [
            grounding_sample(WHERE, records, n, collages, text, random.Random(f"{step}/{n}"))
            for n in range(8)
        ]
        found = grounded_blocks(model, [one for one in made if one is not None])
        assert found is not None
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
    assert float(found.iou) > 0.6


def test_block_iou_counts_rows_that_have_blocks() -> None:
    said = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    truth = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    assert float(block_iou(said, truth)) == pytest.approx((1 / 3 + 0) / 2)


def test_an_odd_grid_has_no_collages() -> None:
    from ufc.training.tasks.collages import build_collages

    tokenizer = tiny_tokenizer()
    object.__setattr__(tokenizer.config, "height", 20)
    with pytest.raises(DataError, match="5 x 4 blocks"):
        build_collages(tokenizer, [], "nowhere")  # type: ignore[arg-type]
    object.__setattr__(tokenizer.config, "height", None)


def test_a_mixture_with_autoregressive_images_is_resumed_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_tokenizer(1).save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "mix.yaml").write_text("text-to-image: 4\nautoregressive: 1\n")
    config = model_config(
        write_folder(tmp_path / "data", 4), tmp_path / "tokenizer", tmp_path / "run",
        tasks=str(tmp_path / "mix.yaml"), objectives=("autoregressive=0.3",),
        max_train_steps=1, estimator_weight=0.0, validation_prompts=(), val_data_dir=None,
    )  # fmt: skip
    train(config)
    capsys.readouterr()
    train(replace(config, max_train_steps=2, resume_from_checkpoint="latest"))
    said = capsys.readouterr().err
    assert "max_train_steps 1 -> 2" in said and "autoregressive_share" not in said


def test_the_domain_of_the_base_stays(tmp_path: Path) -> None:
    base = make_pipeline()
    base.tasks = KnownTasks(domain={"en": ["bag"]})
    base.save_pretrained(tmp_path / "base")
    config = model_config(
        tmp_path, tmp_path / "base" / "tokenizer", tmp_path, init_from=str(tmp_path / "base")
    )
    assert tasks_of_run(config, tmp_path).domain == {"en": ["bag"]}
