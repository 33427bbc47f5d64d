"""What every part of the page is handed: the studio, the visitor's session, and the words."""

from __future__ import annotations

import io
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from ufc.conditioning.frame import Frame
from ufc.io.validation import AllKeptError, NothingAskedError, RequestError
from ufc_base.images import load_image, load_original
from ufc_base.profiles import to_srgb
from ufc_base.visible_text import OneLineError
from webui.page.addresses import data_url, served
from webui.page.choices import in_language
from webui.page.markdown import plain
from webui.page.messages import tell
from webui.sessions import derived
from webui.sessions.generating.part_view import shown_frame
from webui.sessions.generating.worker import BusyError, Progress
from webui.sessions.state import (
    MAY_BE_NONE,
    RANGES,
    Picture,
    RefusedError,
    Session,
    Settings,
    further_settings,
    word_controls,
)
from webui.sessions.studio import Studio
from webui.sessions.thumbnails import thumbnail
from webui.strings import Say, speak

LOG = logging.getLogger(__name__)
DERIVED = ("controls", "sampling")  # fields of settings that hold values by name
CHOICES = ("order", "shape")  # settings whose widgets offer options by words
SHOWN_SIDE = 512  # pixels of the picture on the canvas
PHOTOGRAPH_SIDE = 1280  # the same, where there is more to see
MOST_SHOWN = 4096  # pixels a side that a browser is shown


@dataclass(frozen=True)
class Page:
    """One run of the page for one visitor; `began` is how far the generation was that was under way
    when the run began."""

    studio: Studio
    key: str
    began: Progress | None = None

    @property
    def running(self) -> bool:
        """Whether the run began with a generation under way."""
        return self.began is not None

    @property
    def front(self) -> int | None:
        """The number of that generation."""
        return None if self.began is None else self.began.number

    @property
    def session(self) -> Session:
        """The session as it is now."""
        return self.studio.store.load(self.key)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the picture on the canvas."""
        return self.studio.frame(self.session).grid

    @property
    def say(self) -> Say:
        """The words of the page; where its session is gone, in the server's language."""
        try:
            return speak(self.session.settings.lang)
        except KeyError:
            return speak(os.environ.get("UFC_LANG", "en"))

    def update(self, change: Callable[[Session], Session]) -> None:
        """Apply a transition that a visitor asked for."""
        self.attempt(lambda: self.studio.store.update(self.key, change))

    @property
    def tab(self) -> str:
        """The window that this page is in."""
        return str(st.session_state.setdefault("tab", secrets.token_hex(8)))

    def overtaken(self) -> bool:
        """Whether another window changed the session after this one was shown it."""
        latest = self.studio.tabs.latest_of_others(self.key, self.tab)
        return latest > st.session_state.get("others_seen", latest)

    def notice_others(self) -> None:
        """Say that another window changed the session, which is shown as it is now."""
        refused = st.session_state.pop("refused", False)
        if self.overtaken():
            self.tell(self.say("other_tab_refused" if refused else "other_tab"))
        self.studio.tabs.seen(self.key)
        latest = self.studio.tabs.latest_of_others(self.key, self.tab)
        st.session_state["others_seen"] = latest

    def progress(self) -> Progress | None:
        """How far the visitor's pictures are, None where none is under way."""
        progress = self.studio.worker.progress(self.key)
        return progress if progress is not None and progress.active else None

    def details(self, picture: Picture | None) -> dict[str, Any]:
        """What is known of a picture block by block and step by step."""
        return {} if picture is None else self.studio.store.read_details(self.key, picture.id)

    def source(self, picture: Picture) -> str:
        """A small picture as an address that needs no further request."""
        kind, data = thumbnail(self.studio.store.path(self.key, picture.file))
        return data_url(data, kind)

    def enlarged(self, picture: Picture) -> str:
        """The same, large and smooth, for the canvas; of a photograph as much as can be seen."""
        if picture.full:
            path = self.studio.store.path(self.key, picture.full)
            return photograph(path, path.stat().st_mtime_ns, self.studio.frame_of(picture))
        return enlarge(self.studio.store.read(self.key, picture.file))

    def at_full_size(self, picture: Picture) -> str:
        """A picture with all of its pixels, or `MOST_SHOWN` a side, as an address of the server."""
        path = self.studio.store.path(self.key, picture.best)
        kind, data = thumbnail(path, MOST_SHOWN)
        return served(data, kind, f"full_{picture.id}")

    def attempt(self, act: Callable[[], object], file: str | None = None) -> None:
        """Do something that a visitor may have asked wrongly, or with a bad `file`; say so.

        Nothing is done to what another window changed before it is seen here.
        """
        if self.overtaken():
            st.session_state["refused"] = True
            return
        if self.succeeds(act, file):
            self.studio.tabs.changed(self.key, self.tab)

    def attempt_anyway(self, act: Callable[[], object]) -> None:
        """The same whatever other windows changed: what is at work can always be stopped."""
        self.succeeds(act)

    def succeeds(self, act: Callable[[], object], file: str | None = None) -> bool:
        """Whether something can be done; where it fails, that is said: in the words of the error
        where they were written for a person, and else in the log."""
        try:
            act()
            return True
        except BusyError:
            self.tell(self.say("busy"))
        except (RefusedError, OneLineError, OSError) as error:
            if file is None:
                self.tell(self.reason(error))
            else:
                name = plain(re.sub(r"[^\w .-]", "_", file)[:60])
                self.tell(self.say("refused", name=name, error=self.why(error)))
        except Exception as error:
            LOG.exception("what a visitor asked for failed")
            # The next run begins anew where the session is gone, and says that.
            if not isinstance(error, KeyError) or self.studio.store.has(self.key):
                self.tell(self.say("failed_unknown"))
        return False

    def tell(self, message: str) -> None:
        """Show a message above the page in its next run."""
        tell(message)

    def widget(self, name: str) -> str:
        """The key of the widget that holds a setting."""
        return widget(name, self.session.settings.lang)

    def problem(self) -> str | None:
        """Why nothing can be generated now, in words."""
        try:
            self.studio.request(self.session)
        except RequestError as error:
            return self.reason(error)
        return None

    def reason(self, error: Exception) -> str:
        """Why something was not done, in words of the page where it has some."""
        if isinstance(error, AllKeptError):
            return self.say("all_kept")
        if isinstance(error, NothingAskedError):
            return self.say("nothing_to_draw")
        return self.say("failed", error=self.why(error))

    def why(self, error: Exception) -> str:
        """The message of an error, in words of the page where it has some, for Markdown."""
        if isinstance(error, RefusedError):
            facts = {name: plain(str(fact)) for name, fact in error.facts.items()}
            return self.say(error.name, **facts)
        return plain(one_line(error).removeprefix("image: "))


def one_line(error: Exception) -> str:
    """The message of an error as one line."""
    return " ".join(str(error).split())


def scrubbed_step(page: Page) -> int | None:
    """The step that the visitor went back to, counted from 0; None for the finished picture.

    Only while the tab of steps is open: elsewhere the picture is the finished one.
    """
    picture = page.session.current
    if picture is None or st.session_state.get("shelf") != "steps":
        return None
    chosen = st.session_state.get(f"scrub_{picture.id}")
    steps = len(page.details(picture).get("steps", ()))
    return chosen - 1 if isinstance(chosen, int) and chosen < steps else None


def adopt_step(page: Page) -> None:
    """Where the visitor went back to a step: that is the picture to go on from."""
    step, picture = scrubbed_step(page), page.session.current
    if step is not None and picture is not None:
        derived.continue_from(page.studio, page.key, picture.id, step)


def widget(name: str, lang: str) -> str:
    """The key of the widget that holds a setting, where the page speaks `lang`."""
    key = f"setting_{name}"
    return in_language(key, lang) if name in CHOICES else key


def widget_values(settings: Settings) -> dict[str, Any]:
    """What each widget shows, by the setting that it holds."""
    own = {one.name: getattr(settings, one.name) for one in fields(Settings)}
    for name in MAY_BE_NONE:
        own[name] = own[name] or type(RANGES[name][0])()  # the widget's way to say none
    words = {name: settings.controls.get(name, "") for name in word_controls()}
    further = {name: settings.sampling.get(name) for name in further_settings()}
    return {name: value for name, value in own.items() if name not in DERIVED} | words | further


def by_widget(settings: Settings) -> dict[str, Any]:
    """What each widget shows, by its key."""
    shown = widget_values(settings)
    return {widget(name, settings.lang): value for name, value in shown.items()}


def fill_widgets(settings: Settings) -> None:
    """Give every widget the setting's value, where that was changed by other means."""
    before = st.session_state.get("settings_seen")
    seen = by_widget(before) if before is not None else {}
    for key, value in by_widget(settings).items():
        changed = key not in seen or seen[key] != value
        if changed or key not in st.session_state:
            st.session_state[key] = value
    st.session_state["settings_seen"] = settings


def fill_widgets_of(page: Page) -> None:
    """The same for the page's session."""
    fill_widgets(page.session.settings)


def read_widgets(page: Page) -> None:
    """Take over into the session what was changed in this window's widgets, and nothing else."""
    seen = st.session_state.get("settings_seen")
    if seen is None:
        return  # they were never filled, and hold their own defaults
    held = page.session.settings
    filled = widget_values(seen)
    said: dict[str, Any] = {}
    for name, before in filled.items():
        key = widget(name, held.lang)
        if key in st.session_state and st.session_state[key] != before:
            said[name] = st.session_state[key]
    if said:
        page.studio.store.update(
            page.key, lambda session: replace(session, settings=said_by(session.settings, said))
        )
        page.studio.tabs.changed(page.key, page.tab)
    # Not the session's own: what else changed them is shown by `fill_widgets` alone.
    st.session_state["settings_seen"] = said_by(seen, said)


def said_by(settings: Settings, said: Mapping[str, Any]) -> Settings:
    """Settings with what widgets say."""
    changes: dict[str, Any] = {}
    for name in (one.name for one in fields(Settings) if one.name in said):
        value = (said[name] or None) if name in MAY_BE_NONE else said[name]
        if value is not None or name in MAY_BE_NONE:
            changes[name] = value
    for group, names in (("controls", word_controls()), ("sampling", further_settings())):
        values = dict(getattr(settings, group)) | {n: said[n] for n in names if n in said}
        changes[group] = {name: one for name, one in values.items() if one not in (None, "")}
    return replace(settings, **changes)


def guarded(draw: Callable[[Page], None], page: Page) -> bool:
    """A part of the page; where it fails (a file may be deleted as it is read), a word in its
    place, and the other parts as ever. Returns whether it is there."""
    try:
        draw(page)
        return True
    except Exception:
        LOG.exception("a part of the page failed")
        st.error(page.say("part_failed"))
        return False


@lru_cache(maxsize=16)
def photograph(path: Path, changed: int, frame: Frame) -> str:
    """A photograph as the canvas shows it: in its frame, but with more pixels."""
    shown = to_srgb(shown_frame(frame, PHOTOGRAPH_SIDE).fit(load_original(path.read_bytes())))
    return jpeg_url(shown)


def jpeg_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, subsampling=0)
    return data_url(stream.getvalue(), "image/jpeg")


@lru_cache(maxsize=256)
def enlarge(png: bytes) -> str:
    """A small picture made large for the eye; browsers' own enlarging shows their grid."""
    image = load_image(png)
    factor = max(1, SHOWN_SIDE // max(image.size))
    size = image.width * factor, image.height * factor
    large = image.resize(size, Image.Resampling.LANCZOS)
    return jpeg_url(large)
