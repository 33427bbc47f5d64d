"""Windows on one session know of each other's changes."""

from __future__ import annotations

from webui.sessions.tabs import MOST_SEEN, REMEMBERED, Tabs


def test_only_the_changes_of_others_count() -> None:
    tabs = Tabs()
    assert tabs.latest_of_others("a", "one") == 0
    tabs.changed("a", "one")
    assert tabs.latest_of_others("a", "one") == 0
    before = tabs.latest_of_others("a", "two")
    assert before > 0
    assert tabs.latest_of_others("b", "two") == 0
    tabs.changed("a", "one")
    assert tabs.latest_of_others("a", "two") > before


def test_it_is_known_for_how_long_no_window_showed_a_session() -> None:
    tabs = Tabs()
    for number in range(MOST_SEEN + 1):
        tabs.seen(str(number))
    assert tabs.seen_within(str(MOST_SEEN), 60)
    assert not tabs.seen_within(str(MOST_SEEN), 0)
    assert not tabs.seen_within("0", 60)  # too many came after it
    assert not tabs.seen_within("another", 60)


def test_windows_that_were_closed_are_forgotten() -> None:
    tabs = Tabs()
    for number in range(3 * REMEMBERED):
        tabs.changed("a", str(number))
    assert len(tabs._known["a"].changes) == REMEMBERED


def test_sessions_that_no_window_shows_any_more_are_forgotten() -> None:
    tabs = Tabs()
    tabs.changed("open", "one")
    for number in range(2 * MOST_SEEN):
        tabs.changed(str(number), "one")
        if number % 1000 == 0:
            tabs.seen("open")
    assert len(tabs._known) == MOST_SEEN
    assert tabs.latest_of_others("open", "two") == 1
    assert tabs.latest_of_others("0", "two") == 0
