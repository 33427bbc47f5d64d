"""Wishes of a run as captions: before its first picture, each once, and never a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ufc.cli.terminal import Terminal
from ufc.io.validation import RequestError
from ufc.request import Request, Row
from ufc.requests.loading import ModelSettings

if TYPE_CHECKING:
    from ufc.conditioning.expansion import PromptExpander


def expand_prompts(
    jobs: Sequence[Row],
    old: Mapping[str, Mapping[str, Any]],
    settings: ModelSettings,
    terminal: Terminal,
    *,
    alone: bool = True,
) -> list[Row]:
    """The jobs with the captions that are used for their prompts, where a model is to write them.

    The pictures of a request share one, by the seed of the first. `old` are the manifest's lines,
    by file name, of a run that goes on: what was used there is used again.

    Raises:
        RequestError: several processes are at work; what each would write might differ.
        CheckpointError: the chat model cannot be used.
    """
    jobs = [used_before(job, old.get(job.picture.file_name, {})) for job in jobs]
    wishes = {key(job): job for job in reversed(jobs) if is_wish(job.request)}
    if not wishes:
        return jobs
    if not alone:
        raise RequestError(
            "--expand-prompt: several processes cannot agree on the words; expand them in one, "
            "with --dry-run --json, and give its lines to the processes as --prompts-file"
        )
    from ufc.conditioning.expansion import PromptExpander

    models: dict[str, PromptExpander] = {}
    found: dict[tuple[str | None, ...], str] = {}
    for wish, job in reversed(wishes.items()):
        request = job.request
        name, prompt = request.expand_prompt or "", request.prompt or ""
        if name not in models:
            models[name] = PromptExpander.from_pretrained(
                name,
                cache_dir=settings.cache_dir,
                local_files_only=settings.local_files_only,
                device=settings.device,
            )
        expansion = models[name].expand(prompt, request.seed or 0, request.lang)
        terminal.notice(job.of(expansion.notice))
        found[wish] = expansion.prompt
    return [with_prompt(job, found[key(job)]) if key(job) in found else job for job in jobs]


def is_wish(request: Request) -> bool:
    """Whether there are words that a model is to rewrite, and has not yet."""
    return bool(request.expand_prompt and request.prompt and not request.expanded_prompt)


def key(row: Row) -> tuple[str | None, ...]:
    request = row.request
    return request.id, request.prompt, request.expand_prompt, request.expanded_prompt


def used_before(job: Row, row: Mapping[str, Any]) -> Row:
    """The job with the caption that the manifest's line has for the same wish and model."""
    same = all(row.get(name) == getattr(job.request, name) for name in ("prompt", "expand_prompt"))
    caption = row.get("expanded_prompt")
    if not (is_wish(job.request) and same and isinstance(caption, str)):
        return job
    return with_prompt(job, caption)


def with_prompt(row: Row, caption: str) -> Row:
    return row.changed(expanded_prompt=caption)
