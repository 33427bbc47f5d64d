"""What to generate: the prompt, the button, and what pressing it will do."""

from __future__ import annotations

import streamlit as st

from webui.page.choices import choice, remember
from webui.page.context import Page, adopt_step, read_widgets
from webui.page.markdown import plain
from webui.sessions import state
from webui.sessions.state import MOST_LETTERS, blocks_to_change
from webui.sessions.telling import domain, is_out_of_domain

MOST_NAMED = 8  # words of a model's domain
EXAMPLES = ("example_1", "example_2", "example_3")


def words(page: Page) -> None:
    """The prompt and the button below it."""
    say = page.say
    st.text_area(
        say("prompt"),
        key=page.widget("prompt"),
        height=96,
        max_chars=MOST_LETTERS,
        help=say("prompt_help"),
        placeholder=say("prompt_hint"),
    )
    read_widgets(page)
    earlier(page)
    st.button(
        say("generate_next" if page.running else "generate"),
        key="generate",
        type="secondary" if page.running else "primary",
        width="stretch",
        help=say("generate_next_help") if page.running else None,
        on_click=start,
        args=(page,),
        shortcut="Ctrl+Enter",
    )
    if page.running:
        stop(page)
    st.caption(plan(page))
    if is_out_of_domain(page.studio, page.session.settings.prompt):
        st.caption(f":material/info: {outside(page)}")
    if not page.session.shown and not page.running:
        examples(page)


def outside(page: Page) -> str:
    """That the prompt names nothing that the model was trained on, and what it was trained on."""
    say, known = page.say, domain(page.studio, page.session.settings.lang)
    if not known:
        return say("out_of_domain")
    listed = [*known[:MOST_NAMED], *(["…"] if len(known) > MOST_NAMED else [])]
    return say("out_of_domain_of", words=plain(say("comma").join(listed)))


def earlier(page: Page) -> None:
    """The words of earlier pictures, to be taken again."""
    now = page.session.settings.prompt.strip()
    words = [text for text in state.prompts(page.session) if text != now]
    if not words:
        return
    st.session_state["earlier"] = None
    st.selectbox(
        page.say("prompt_earlier"),
        words,
        index=None,
        key="earlier",
        placeholder=page.say("prompt_earlier"),
        label_visibility="collapsed",
        on_change=lambda: page.attempt(lambda: take_words(page)),
    )


def take_words(page: Page) -> None:
    """Words that were chosen among the earlier ones."""
    chosen = st.session_state.get("earlier")
    if chosen:
        st.session_state[page.widget("prompt")] = chosen
        read_widgets(page)


def stop(page: Page) -> None:
    """The way to end a generation: beside the button that began it."""
    stopping = page.began is not None and page.began.stopping
    waits = page.began is not None and page.began.state == "waiting"
    st.button(
        page.say("stopping" if stopping else "cancel" if waits else "stop"),
        key="stop",
        icon=":material/stop_circle:",
        disabled=stopping,
        width="stretch",
        on_click=lambda: page.attempt_anyway(lambda: page.studio.stop(page.key, page.front)),
    )


def start(page: Page) -> None:
    """Generate, by what the widgets hold now."""
    page.attempt(lambda: generate(page))


def generate(page: Page) -> None:
    """Generate, or say why that cannot be; an edit of a step that one went back to is one of the
    picture that is seen."""
    read_widgets(page)
    problem = page.problem()
    if problem:
        page.tell(problem)
        return
    if page.session.view.marks and not page.running:
        adopt_step(page)
    page.studio.generate(page.key)


def plan(page: Page) -> str:
    """What the button will do, in one sentence."""
    session, cells = page.session, page.grid[0] * page.grid[1]
    change, count = len(blocks_to_change(session.view, page.grid)), session.settings.pictures
    facts = {"change": change, "kept": cells - change, "all": cells, "count": count}
    kind = "plan_new" if change == cells else "plan_edit"
    said = page.say(f"{kind}_many" if count > 1 else kind, **facts)
    references = sum(item.on for item in session.references)
    return f"{said} {page.say('plan_references', count=references)}" if references else said


def examples(page: Page) -> None:
    """Prompts to start from, for whom the empty field says nothing."""
    say = page.say

    def take() -> None:
        chosen = st.session_state.get("examples")
        if chosen:
            st.session_state[page.widget("prompt")] = say(chosen)
            start(page)

    lang = page.session.settings.lang
    st.pills(
        say("examples"),
        EXAMPLES,
        key=choice("examples", lang, EXAMPLES, None),
        format_func=say,
        on_change=remember,
        args=("examples", lang, take),
        wrap=True,
    )
