"""What is laid over the picture and drawn beside it."""

from __future__ import annotations

import re

from webui.drawing.charts import curves, svg
from webui.drawing.layers import doubt, labels, layer, sources
from webui.drawing.origins import to_origins, to_stories
from webui.strings import speak

SAY = speak("en")
ORIGIN = [
    {"picture": "0002", "seed": 7, "step": 0, "candidate": 0},
    {"picture": "0002", "seed": 7, "step": 3, "candidate": 1},
    {"picture": "0001", "seed": 5, "step": 2, "candidate": 0},
    {"picture": "0001", "kind": "upload"},
]


def opacity(colour: str | None) -> float:
    return 0.0 if colour is None else float(re.findall(r"[\d.]+", colour)[-1])


def test_the_least_sure_block_is_the_strongest_and_kept_ones_are_clear() -> None:
    found = doubt([0.02, 0.5, 0.01, None], SAY).colours
    assert found[3] is None
    assert found[1] is None
    assert opacity(found[2]) > opacity(found[0]) > 0
    assert doubt([None, None], SAY).colours == [None, None]


def test_blocks_are_coloured_by_their_step_or_as_kept() -> None:
    found = sources(ORIGIN, "0002", SAY).colours
    assert opacity(found[1]) > opacity(found[0]) > 0
    assert found[2] == found[3]
    assert layer("none", {"origin": ORIGIN}, "0002", SAY).legend is None
    assert layer("confidence", {}, "0002", SAY).colours == []


def test_every_block_has_a_line_of_its_own() -> None:
    lines = labels({"origin": ORIGIN, "confidence": [0.5, 0.25, None, None]}, "0002", 2, SAY)
    assert lines[0] == ("Block 0 (row 1, column 1) · sampled in step 1, seed 7 · confidence 0.50")
    assert "step 4, try 2" in lines[1]
    assert "kept from picture 0001, sampled in step 3, seed 5" in lines[2]
    assert "from your picture 0001" in lines[3]


def test_an_upload_has_no_numbers_of_the_session_that_it_comes_from() -> None:
    told = to_stories(to_origins(ORIGIN, "0002"), "0009", 4)
    assert {story["picture"] for story in told} == {"0009"}
    assert [story.get("seed") for story in told] == [7, 7, 5, None]
    lines = labels({"origin": told}, "0009", 2, SAY)
    assert not [line for line in lines if "000" in line.replace("0009", "")]
    assert {one.picture for one in to_origins(told, "0010")} == {"0009"}


def test_curves_leave_out_what_there_is_not() -> None:
    names = {"compliance": "obeys <b>", "fidelity": "looks real"}
    points = [{"compliance": None, "fidelity": 0.25}, {"compliance": None, "fidelity": 0.75}]
    drawn = svg(points, 5)
    assert 'class="fidelity"' in drawn
    assert 'class="compliance"' not in drawn
    shown = curves(points, 5, names)
    assert "looks real 0.75" in shown
    assert "<b>" not in shown
