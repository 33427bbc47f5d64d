"""What every part of the page is handed: the studio, the visitor's session, and the words."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import streamlit as st
from PIL import Image

from ufc.io.validation import AllKeptError, NothingAskedError, RequestError
from ufc_base.images import load_image
from webui.page.choices import in_language
from webui.sessions.state import (
    MAY_BE_NONE,
    RANGES,
    Picture,
    Session,
    Settings,
    further_settings,
    word_controls,
)
from webui.sessions.studio import Studio
from webui.sessions.worker import BusyError, Progress
from webui.strings import Say, speak

DERIVED = ("controls", "sampling")  # fields of settings that hold values by name
CHOICES = ("order", "shape")  # settings whose widgets offer options by words
SHOWN_SIDE = 512  # pixels of the picture on the canvas


@dataclass(frozen=True)
class Page:
    """One run of the page for one visitor; `running` is whether it began with a drawing on."""

    studio: Studio
    key: str
    running: bool = False

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
        return speak(self.session.settings.lang)

    def update(self, change: Callable[[Session], Session]) -> None:
        """Apply a transition."""
        self.studio.store.update(self.key, change)

    def progress(self) -> Progress | None:
        """How far the visitor's drawing is, None where none is under way."""
        progress = self.studio.worker.progress(self.key)
        return progress if progress is not None and progress.active else None

    def details(self, picture: Picture | None) -> dict[str, Any]:
        """What is known of a picture block by block and step by step."""
        return {} if picture is None else self.studio.store.read_details(self.key, picture.id)

    def source(self, picture: Picture) -> str:
        """A picture as an address that needs no further request."""
        return data_url(self.studio.store.read(self.key, picture.file))

    def enlarged(self, picture: Picture) -> str:
        """The same, large and smooth, for the canvas."""
        return enlarge(self.studio.store.read(self.key, picture.file))

    def attempt(self, act: Callable[[], object], file: str | None = None) -> None:
        """Do something that a visitor may have asked wrongly, or with a bad `file`; say so."""
        try:
            act()
        except BusyError:
            self.tell(self.say("busy"))
        except (ValueError, OSError) as error:
            said = " ".join(str(error).split())
            if file is None:
                self.tell(self.say("failed", error=said))
            else:
                name = re.sub(r"[^\w .-]", "_", file)[:60]  # messages are Markdown
                self.tell(self.say("refused", name=name, error=said.removeprefix("image: ")))

    def tell(self, message: str) -> None:
        """Show a message above the page in its next run."""
        st.session_state.setdefault("messages", []).append(message)

    def widget(self, name: str) -> str:
        """The key of the widget that holds a setting."""
        return widget(name, self.session.settings.lang)

    def problem(self) -> str | None:
        """Why nothing can be generated now, in words."""
        try:
            self.studio.request(self.session)
        except AllKeptError:
            return self.say("all_kept")
        except NothingAskedError:
            return self.say("nothing_to_draw")
        except RequestError as error:
            return self.say("failed", error=" ".join(str(error).split()))
        return None


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


def read_widgets(page: Page) -> None:
    """Take over into the session what the widgets hold."""
    said: dict[str, Any] = {}
    held = page.session.settings
    names = {one.name: widget(one.name, held.lang) for one in fields(Settings)}
    for name, key in names.items():
        if name not in DERIVED and key in st.session_state:
            value = st.session_state[key]
            if name in MAY_BE_NONE:
                value = value or None
            if value is not None or name in MAY_BE_NONE:
                said[name] = value
    for group, further in (("controls", word_controls()), ("sampling", further_settings())):
        values = dict(getattr(held, group))
        keys = {name: widget(name, held.lang) for name in further}
        values |= {n: st.session_state[key] for n, key in keys.items() if key in st.session_state}
        said[group] = {name: value for name, value in values.items() if value not in (None, "")}
    page.update(lambda session: replace(session, settings=replace(session.settings, **said)))
    st.session_state["settings_seen"] = page.session.settings


def data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@lru_cache(maxsize=256)
def enlarge(png: bytes) -> str:
    """A small picture made large for the eye; browsers' own enlarging shows their grid."""
    image = load_image(png)
    factor = max(1, SHOWN_SIDE // max(image.size))
    size = image.width * factor, image.height * factor
    large = image.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    large.save(stream, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
