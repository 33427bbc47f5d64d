"""Who sees whom, and that computing controls once changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import tiny_transformer

from ufc.conditioning.sequence import ControlItem, assemble
from ufc.model.embedding import MOST_PLACES
from ufc.model.transformer import UFCConfig, UFCTransformer
from ufc.sampling.guidance import make_predict
from ufc_base.checkpoint import CheckpointError

GRID = torch.arange(16).view(4, 4) % 16
MASK = 16


def target(*rows: int) -> torch.Tensor:
    codes = torch.randint(
        0, 16, (max(1, len(rows)), 16), generator=torch.Generator().manual_seed(3)
    )
    codes[:, 5:9] = MASK
    return codes


def prefix(model: UFCTransformer, *items: ControlItem):  # type: ignore[no-untyped-def]
    return model.encode_controls(assemble(items, model.vocabulary))


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_controls_change_the_prediction(attention: str) -> None:
    model = tiny_transformer(50, control_attention=attention)
    outputs = [
        model(target(), prefix(model, item)).target
        for item in (ControlItem(), ControlItem([1, 2]), ControlItem([1, 2], [GRID]))
    ]
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-4)
    assert not torch.allclose(outputs[1], outputs[2], atol=1e-4)


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_padding_is_never_seen(attention: str) -> None:
    model = tiny_transformer(50, control_attention=attention)
    short, long = ControlItem([4, 5]), ControlItem([1, 2, 3], [GRID, GRID.flip(0)])
    together = model(target(0, 1), prefix(model, short, long), scores=True)
    alone = model(target(0, 1)[:1], prefix(model, short), scores=True)
    torch.testing.assert_close(together.target[:1], alone.target, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(together.rel[:1], alone.rel, atol=2e-4, rtol=1e-4)


def test_no_controls_is_the_same_as_no_prefix() -> None:
    model = tiny_transformer(50)
    empty = model(target(), prefix(model, ControlItem())).target
    torch.testing.assert_close(empty, model(target(), None).target)
    beside = model(target(0, 1), prefix(model, ControlItem(), ControlItem([1, 2, 3]))).target
    torch.testing.assert_close(beside[:1], empty, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_score_tokens_do_not_disturb_the_prediction(attention: str) -> None:
    model = tiny_transformer(50, control_attention=attention)
    controls = prefix(model, ControlItem([1, 2]))
    torch.testing.assert_close(
        model(target(), controls, scores=True).target, model(target(), controls).target,
        atol=2e-4, rtol=1e-4,
    )  # fmt: skip


def test_controls_in_prefix_mode_do_not_see_the_target() -> None:
    model = tiny_transformer(50)
    controls = prefix(model, ControlItem([1, 2]))
    assert len(controls.layers) == model.config.depth
    assert controls.hidden_BCD is not None


def test_fidelity_token_looks_at_no_control_itself() -> None:
    """One block deep, where nothing can have travelled through the target."""
    model = tiny_transformer(50, depth=1)
    with_text = model(target(), prefix(model, ControlItem([1, 2])), scores=True)
    without = model(target(), None, scores=True)
    torch.testing.assert_close(with_text.fdl, without.fdl, atol=2e-4, rtol=1e-4)
    assert not torch.allclose(with_text.rel, without.rel, atol=1e-3)


def test_a_weight_of_zero_hides_a_reference_and_one_changes_nothing() -> None:
    model = tiny_transformer(50)

    def run(item: ControlItem) -> torch.Tensor:
        return model(target(), prefix(model, item)).target

    plain = run(ControlItem([1], [GRID]))
    torch.testing.assert_close(run(ControlItem([1], [GRID], [1.0])), plain)
    stronger = run(ControlItem([1], [GRID], [3.0]))
    assert not torch.allclose(stronger, plain, atol=1e-4)
    hidden = run(ControlItem([1], [GRID], [0.0]))
    torch.testing.assert_close(hidden, run(ControlItem([1])), atol=2e-4, rtol=1e-4)


def test_rows_of_a_prefix_can_be_repeated() -> None:
    model = tiny_transformer(50)
    pair = prefix(model, ControlItem([1, 2]), ControlItem([3]))
    codes = target(0, 1, 2)
    taken = model(codes, pair.take(torch.tensor([1, 0, 1]))).target
    alone = model(codes[1:2], prefix(model, ControlItem([1, 2]))).target
    torch.testing.assert_close(taken[1:2], alone, atol=2e-4, rtol=1e-4)


def test_candidates_share_their_prefix_without_storing_it_again() -> None:
    model = tiny_transformer(50)
    items = [ControlItem([1, 2, 3, 4] * 3, [GRID]), ControlItem([3])]
    codes = target(*range(6))
    with torch.no_grad():
        pair = prefix(model, *items)
        shared = pair.take(torch.tensor([0, 0, 0, 1, 1, 1]))
        assert shared.copies == 3 and shared.layers[0][0] is pair.layers[0][0]
        for scores in (False, True):
            together = model(codes, shared, scores=scores)
            for row in (1, 4):
                alone = model(codes[row : row + 1], prefix(model, items[row // 3]), scores=scores)
                torch.testing.assert_close(
                    together.target[row : row + 1], alone.target, atol=2e-4, rtol=1e-4
                )
                if scores:
                    torch.testing.assert_close(
                        together.rel[row : row + 1], alone.rel, atol=2e-4, rtol=1e-4
                    )


@pytest.mark.parametrize("backend", ["sdpa", "math"])
@pytest.mark.parametrize("weights", [(), (2.0,)])
def test_padding_and_runs_of_one_length_give_the_same(
    backend: str, weights: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_transformer(50)
    model.backend = backend
    short, long = ControlItem([4, 5]), ControlItem([1, 2, 3], [GRID], weights)
    outputs = []
    for share in (1.0, 0.0):
        monkeypatch.setattr("ufc.model.prefix_cache.PADDING", share)
        with torch.no_grad():
            controls = prefix(model, short, short, long)
            outputs.append(model(target(0, 1, 2), controls, scores=True))
    for name in ("target", "rel", "fdl"):
        one, other = (getattr(hidden, name) for hidden in outputs)
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_the_last_block_spares_only_what_is_not_asked(attention: str) -> None:
    model = tiny_transformer(50, control_attention=attention)
    controls = prefix(model, ControlItem([1, 2]), ControlItem([1]))
    codes, asked = target(0, 1), torch.tensor([5, 8, 16, 31])
    whole = model(codes, controls, scores=True)
    some = model(codes, controls, ask_N=asked).target
    torch.testing.assert_close(some, whole.target.flatten(0, 1)[asked], atol=2e-4, rtol=1e-4)
    scores = model(codes, controls, scores=True, ask_N=asked[:0])
    torch.testing.assert_close(scores.rel, whole.rel, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(scores.fdl, whole.fdl, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("attention", ["prefix", "full"])
def test_guidance_in_one_batch_is_guidance_in_two(attention: str) -> None:
    model = tiny_transformer(50, control_attention=attention)
    items = [ControlItem([1, 2], [GRID]), ControlItem([3])]
    with_controls, without = prefix(model, *items), prefix(model, *[ControlItem()] * 2)
    codes = torch.cat([target(0)] * 3 + [target(0, 1)[1:]])
    owner, ask = torch.tensor([0, 0, 0, 1]), torch.zeros(4, 16, dtype=torch.bool)
    ask[:, 5:9] = True
    codes[2, 0] = 7
    with torch.no_grad():
        guided = make_predict(model, with_controls, without, 3.0, (4, 4))(codes, owner, ask)
        branches = [
            model.code_logits(model(codes, controls.take(owner)).target[ask])
            for controls in (with_controls, without)
        ]
    expected = branches[1] + 3.0 * (branches[0] - branches[1])
    torch.testing.assert_close(guided, expected, atol=2e-3, rtol=1e-3)


def test_equal_canvases_are_predicted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_transformer(50)
    predict = make_predict(model, prefix(model, ControlItem([1])), None, 1.0, (4, 4))
    rows: list[int] = []
    whole = model.forward
    monkeypatch.setattr(
        model, "forward", lambda codes, *a, **k: (rows.append(len(codes)), whole(codes, *a, **k))[1]
    )
    codes = target(0).repeat(4, 1)
    codes[3, 0] = (codes[3, 0] + 1) % 16
    logits = predict(codes, torch.zeros(4, dtype=torch.int64), codes == MASK)
    assert rows == [2] and logits.shape == (16, 16)
    torch.testing.assert_close(logits[:4], logits[8:12])
    assert not torch.allclose(logits[:4], logits[12:])


def test_cells_know_their_place_when_all_are_masked() -> None:
    model = tiny_transformer(50)
    hidden = model(torch.full((1, 16), MASK), None).target[0]
    apart = torch.cdist(hidden, hidden) + torch.eye(16)
    assert apart.min() > 1e-3


def test_what_is_learnt_of_a_code_serves_codes_that_look_like_it() -> None:
    model = UFCTransformer(UFCConfig(codes=6, code_width=2, text_vocabulary=5, width=16, heads=2))
    model.know_codebook(torch.tensor([[0.0, 0], [0.01, 0], [0, 3], [3, 0], [-3, 0], [0, -3]]))
    optimizer = torch.optim.SGD(model.look.parameters(), 1.0)
    before = model.code_rows().detach().clone()
    rows = model.code_rows()
    (rows[0] - rows[2]).square().sum().backward()
    optimizer.step()
    moved = model.code_rows().detach() - before
    away = (moved - moved[0]).norm(dim=1)
    assert away[1] < 0.05 * away[2]


def test_kept_rows_follow_the_weights() -> None:
    model = tiny_transformer(50)
    with torch.no_grad():
        first = model(target(), None).target
        assert model.derived.kept
        model.bfloat16()
        half = model(target(), None).target.float()
        torch.testing.assert_close(half, first, atol=0.2, rtol=0.1)
    model.train()
    assert not model.derived.kept


def test_runs_on_another_grid() -> None:
    model = tiny_transformer(50)
    for rows, columns in ((6, 6), (5, 3)):
        codes = torch.zeros(1, rows * columns, dtype=torch.int64)
        states = model(codes, None, grid=(rows, columns)).target
        assert states.shape == (1, rows * columns, 32)
    with pytest.raises(ValueError, match="15 cells"):
        model(torch.zeros(1, 15, dtype=torch.int64), None)


def test_saved_and_loaded_model_is_the_same(tmp_path: Path) -> None:
    model = tiny_transformer(50)
    model.save_pretrained(tmp_path)
    loaded = UFCTransformer.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(target(), None).target, model(target(), None).target)


def test_a_config_that_does_not_fit_lists_every_key(tmp_path: Path) -> None:
    tiny_transformer(50).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"depth": 2', '"depth": 3'))
    with pytest.raises(CheckpointError, match=r"missing keys.*blocks\.2\..*unexpected keys none"):
        UFCTransformer.from_pretrained(tmp_path)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width 30"):
        UFCConfig(width=30, heads=4)
    with pytest.raises(ValueError, match="control_attention"):
        UFCConfig(control_attention="half")
    with pytest.raises(ValueError, match="at most 8"):
        assemble([ControlItem([], [GRID] * 9)], UFCConfig().vocabulary)


def test_places_of_few_grids_are_kept() -> None:
    model = tiny_transformer(300)
    with torch.no_grad():
        wanted = [model.places((1, columns), True)[0] for columns in range(1, 80)]
        for columns, places in enumerate(wanted, start=1):
            assert torch.equal(model.kept_places((1, columns), True)[0], places)
    assert sum(name[0] == "places" for name in model.derived.kept) == MOST_PLACES
