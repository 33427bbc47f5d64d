"""Drawing a list of requests into a folder: what `generate` and `edit` both do.

All that can be wrong with the input is found before the first picture; what goes wrong with one
picture afterwards marks that picture as failed and lets the others be drawn.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from ufc.checks import RequestError
from ufc.commands.flags import DrawFlags
from ufc.commands.model import choose_settings, load, tell_differences
from ufc.commands.terminal import DONE, SOME_FAILED, Terminal
from ufc.gallery import write_log, write_sheet
from ufc.jobs import Job, form_batches, plan, with_recipe
from ufc.outputs import (
    MANIFEST,
    Manifest,
    open_folder,
    read_manifest,
    refuse_changed,
    refuse_existing,
)
from ufc.prompts import Row
from ufc.request import Request


def run(flags: DrawFlags, rows: Sequence[Row]) -> int:
    """Check, load, draw and write; returns the exit code.

    Raises:
        ValueError: bad input; nothing has been drawn or overwritten.
        OSError: a full disk, say; finished pictures and the manifest are there.
    """
    if flags.resume and flags.overwrite:
        raise RequestError("got both --resume and --overwrite; give one of them")
    folder = Path(flags.output_dir or Path("outputs") / date.today().isoformat())
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        jobs = plan_in(folder, flags, rows)
        settings = choose_settings(flags, rows)

        from ufc.commands.easel import Easel, check_jobs

        loaded = load(settings)
        tell_differences(loaded, rows, terminal)
        jobs = [with_recipe(job, loaded.pipe.defaults) for job in jobs]
        check_jobs(jobs, loaded.pipe)
        easel = Easel(
            loaded,
            folder,
            terminal,
            with_metadata=not flags.no_metadata,
            overwrite=flags.overwrite or flags.resume,
        )
        groups = name_groups(form_batches(jobs, flags.batch_size))
        pending = [easel.row(job, group) for group, batch in groups.items() for job in batch]
        if flags.resume:
            refuse_changed(folder, pending, [field.name for field in fields(Request)])
        if flags.dry_run:
            for row in pending:
                terminal.result(f"{folder / row['file_name']}  would be drawn", row)
            return DONE
        manifest = Manifest(open_folder(folder))
        wanted = {job.file_name for job in jobs}
        if flags.resume:
            wanted -= done_before(manifest, folder)
        manifest.begin(row for row in pending if row["file_name"] in wanted)
        terminal.start(len(wanted), "drawing")
        with closing_books(manifest, folder):
            for group, batch in groups.items():
                if any(job.file_name in wanted for job in batch):
                    easel.draw(batch, group, wanted, manifest)
        if flags.grid:
            write_sheet(folder, [job.file_name for job in jobs])
        skipped = len(jobs) - len(wanted)
        terminal.notice(
            f"{easel.drawn} drawn, {skipped} done before, {easel.failed} failed; see {folder}"
        )
    return SOME_FAILED if easel.failed else DONE


def plan_in(folder: Path, flags: DrawFlags, rows: Sequence[Row]) -> list[Job]:
    """The pictures to draw; a resumed run finds the random seeds of the first one again.

    Raises:
        RequestError: names that meet, or pictures that are there already.
    """
    old = read_manifest(folder / MANIFEST) if flags.resume else {}
    suffix = f".{flags.format}" if flags.format else None
    jobs = plan(rows, suffix=suffix, known_seeds=first_seeds(old.values()))
    if not flags.overwrite:
        refuse_existing(folder, (job.file_name for job in jobs if job.file_name not in old))
    groups = {name: row.get("group") for name, row in old.items()}
    return [replace(job, group=groups.get(job.file_name) or job.group) for job in jobs]


def name_groups(batches: Sequence[list[Job]]) -> dict[str, list[Job]]:
    """Batches by name: the one that a manifest recorded for all of its pictures, or a new one."""
    run = secrets.token_hex(3)
    groups: dict[str, list[Job]] = {}
    for number, batch in enumerate(batches):
        recorded = {job.group for job in batch}
        name = recorded.pop() if len(recorded) == 1 else None
        groups[f"{run}-{number}" if name is None or name in groups else name] = batch
    return groups


def first_seeds(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The seed of each request's first picture, by id."""
    return {
        row["id"]: row["seed"] - row.get("index", 0)
        for row in rows
        if isinstance(row.get("seed"), int) and isinstance(row.get("id"), str)
    }


@contextmanager
def closing_books(manifest: Manifest, folder: Path) -> Iterator[None]:
    """Tidy the manifest and write the log at the end, however it comes."""
    try:
        yield
    except BaseException:
        with suppress(OSError, ValueError):  # the disk may be full; what was appended counts
            manifest.close()
            write_log(folder, manifest.rows.values())
        raise
    manifest.close()
    write_log(folder, manifest.rows.values())


def done_before(manifest: Manifest, folder: Path) -> set[str]:
    """Pictures that a manifest calls done and that are there."""
    return {
        name
        for name, row in manifest.rows.items()
        if row.get("status") == "done" and os.path.isfile(folder / name)
    }
