"""A session and every way it may change, without a page and without a model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ufc.request import RequestError
from webui.sessions import state
from webui.sessions.state import Picture, ReferenceItem, Session, Settings, View

ONE = Picture("0001", "pictures/0001.png", group="0001", codes=(1, 2, 3, 4))
TWO = Picture("0002", "pictures/0002.png", group="0001", compliance=0.5, fidelity=0.7)
THREE = Picture("0003", "pictures/0003.png", "upload")


def drawn() -> Session:
    return state.add(Session(Settings(prompt="bag")), [ONE, TWO])


def test_new_pictures_come_with_the_first_on_the_canvas() -> None:
    session = drawn()
    assert session.current == ONE
    assert state.next_id(session) == "0003"
    assert state.group_of(session, ONE) == (ONE, TWO)
    assert state.group_of(state.add(session, [THREE]), THREE) == (THREE,)


def test_marks_survive_drawing_and_are_undone_one_by_one() -> None:
    session = state.mark(state.mark(drawn(), (2, 1)), (1, 2, 3))
    session = state.add(session, [THREE])
    assert session.view == View("0003", (1, 2, 3))
    session = state.undo(session)
    assert session.view == View("0001", (1, 2, 3))
    session = state.undo(session)
    assert session.view.marks == (1, 2)
    assert THREE in session.pictures  # a picture is never taken away
    assert state.redo(state.redo(session)).view == View("0003", (1, 2, 3))


def test_what_was_just_drawn_is_to_be_seen_until_other_blocks_are_marked() -> None:
    edited = replace(THREE, kept=(0, 1, 2))
    session = state.add(state.mark(drawn(), (3,)), [edited])
    assert state.just_drawn(session, 2)
    assert state.just_drawn(state.set_keep(state.mark(session, (0, 1, 2)), True), 2)
    assert not state.just_drawn(state.mark(session, (2, 3)), 2)
    assert not state.just_drawn(state.mark(session, ()), 2)
    assert not state.just_drawn(state.show(session, ONE.id), 2)


def test_marks_that_come_with_a_picture_go_with_it() -> None:
    session = state.mark(drawn(), (0,))
    after = state.marked_to_change(state.add(session, [THREE]), (1, 3), 2)
    assert after.view == View("0003", (1, 3))
    assert state.undo(after).view == session.view


def test_undo_ends_where_it_began_and_a_new_act_ends_redo() -> None:
    session = Session()
    assert state.undo(session) is session
    assert state.redo(session) is session
    session = state.mark(state.undo(state.mark(drawn(), (1,))), (2,))
    assert session.future == ()
    assert state.mark(session, (2,)) is session  # what changes nothing is not to be undone


def test_looking_at_other_pictures_does_not_end_redo() -> None:
    session = state.undo(drawn())  # the empty canvas
    assert session.current is None
    session = state.show(session, "0002")
    assert state.redo(session).current == ONE
    assert state.undo(session).current is None


def test_undo_reaches_back_only_so_far() -> None:
    session = drawn()
    for number in range(state.MOST_UNDONE + 50):
        session = state.mark(session, (number % 4,))
    assert len(session.past) == state.MOST_UNDONE


def test_marks_are_to_change_or_to_keep() -> None:
    session = state.mark(drawn(), (0, 1))
    assert state.blocks_to_change(session.view, 2) == (0, 1)
    session = state.set_keep(session, True)
    assert session.view.marks == (0, 1)
    assert state.blocks_to_change(session.view, 2) == (2, 3)
    session = state.mark_to_change(session, (3,), 2)
    assert session.view.marks == (0, 1, 2)
    assert state.blocks_to_change(session.view, 2) == (3,)
    assert state.blocks_to_change(View("0001"), 2) == (0, 1, 2, 3)
    assert state.blocks_to_change(View(None, (1,)), 2) == (0, 1, 2, 3)


def test_what_is_shown_must_be_there() -> None:
    session = drawn()
    assert state.show(session, "0099") is session
    assert state.show(session, "0002").current == TWO
    assert state.set_favourite(session, "0002", True).pictures[1].favourite


def test_references_are_added_once_weighed_and_moved() -> None:
    a, b, c = (ReferenceItem(f"references/{name}.png", name) for name in "abc")
    session = Session()
    for item in (a, b, c, a):
        session = state.add_reference(session, item)
    assert session.references == (a, b, c)
    session = state.move_reference(session, c.file, -1)
    assert session.references == (a, c, b)
    assert state.move_reference(session, a.file, -1).references == (a, c, b)
    assert state.move_reference(session, "x", 1) is session
    session = state.change_reference(session, b.file, on=False, weight=0.5)
    assert session.references[2] == replace(b, on=False, weight=0.5)
    assert state.remove_reference(session, a.file).references[0] == c
    for number in range(5):
        session = state.add_reference(session, ReferenceItem(f"{number}", "n"))
    with pytest.raises(ValueError, match="8 reference"):
        state.add_reference(session, ReferenceItem("one more", "n"))


def test_references_of_a_request_are_used_again() -> None:
    session = Session(references=(ReferenceItem("a.png", "a"), ReferenceItem("b.png", "b", False)))
    session = state.use_references(session, {"b.png": 2.0, "c.png": 0.5})
    assert session.references == (
        ReferenceItem("a.png", "a", False),
        ReferenceItem("b.png", "b", True, 2.0),
        ReferenceItem("c.png", "c.png", True, 0.5),
    )


def test_references_that_come_back_find_room_before_those_that_are_off() -> None:
    known = [ReferenceItem(f"{n}.png", "n", on=n == 7) for n in range(state.MOST_REFERENCES)]
    before = Session(references=tuple(known))
    weights = {"7.png": 1.0, "a.png": 1.0, "b.png": 2.0}
    after = state.use_references(before, weights)
    assert [item.file for item in after.references if item.on] == ["7.png", "a.png", "b.png"]
    assert len(after.references) == state.MOST_REFERENCES
    assert (state.taken_out(before, after), state.not_used(after, weights)) == (2, 0)
    many = {f"{letter}.png": 1.0 for letter in "abcdefghijk"}
    assert state.not_used(state.use_references(before, many), many) == 3


def test_a_session_is_json_both_ways() -> None:
    session = state.mark(state.set_keep(drawn(), True), (0, 2))
    session = state.undo(state.add_reference(session, ReferenceItem("r.png", "衬衫.png")))
    text = json.dumps(session.to_json())
    assert Session.from_json(json.loads(text)) == session
    later = session.to_json() | {"invented": 1}
    later["settings"] |= {"invented": 2}
    assert Session.from_json(later) == session


def test_the_request_says_what_the_page_shows() -> None:
    session = state.mark(drawn(), (1, 2))
    session = state.add_reference(session, ReferenceItem("references/a.png", "a", weight=0.5))
    session = state.add_reference(session, ReferenceItem("references/b.png", "b", on=False))
    request = state.to_request(session, 2)
    assert request.image == "pictures/0001.png"
    assert request.preserve_blocks == (0, 3)
    assert [item.picture for item in request.reference_images] == ["references/a.png"]
    assert request.prompt == "bag"
    whole = state.to_request(state.mark(session, ()), 2)
    assert whole.image is None
    assert whole.preserve_blocks is None


def test_requests_that_ask_for_nothing() -> None:
    with pytest.raises(RequestError, match="nothing says"):
        state.to_request(Session(), 2)
    kept = state.set_keep(state.mark(drawn(), (0, 1, 2, 3)), True)
    with pytest.raises(RequestError, match="all 4"):
        state.to_request(kept, 2)


def test_settings_come_back_from_a_request() -> None:
    asked = state.to_request(drawn(), 2).to_json()
    before = Settings(
        prompt="x", negative_prompt="y", patience=3, pictures=4, steps=99, shape="square"
    )
    after = state.from_request(before, asked)
    assert (after.prompt, after.negative_prompt, after.steps) == ("bag", "", 12)
    assert (after.patience, after.pictures, after.seed_locked) == (None, 1, True)
    assert after.shape == "same"


def test_settings_from_a_file_are_brought_into_range_or_refused() -> None:
    wild = {"prompt": "x" * 5_000, "num_inference_steps": 900, "guidance_scale": 0.0, "seed": 2**60}
    tame = state.from_request(Settings(), wild)
    assert len(tame.prompt) == state.MOST_LETTERS
    assert (tame.steps, tame.guidance_scale, tame.seed) == (40, 1.0, state.MAX_SEED)
    for wrong in ({"prompt": 3}, {"order": "sideways"}, {"seed": "7"}, {"temperature": "hot"}):
        with pytest.raises(RequestError):
            state.from_request(Settings(), wrong)
    assert state.within(tame) == tame


@pytest.mark.parametrize("number", ["000%", "", "-1", "1" * 20])
def test_a_picture_without_a_number_is_of_no_session_of_ours(number: str) -> None:
    with pytest.raises(ValueError, match="id"):
        Session.from_json({"pictures": [{"id": number, "file": "a.png"}]})
