"""Generating a list of requests into a folder: what `generate` and `edit` both do.

All that can be wrong with the input is found before the first picture; what goes wrong with one
picture afterwards marks that picture as failed and lets the others be generated.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from ufc.cli.flags import GenerationFlags
from ufc.cli.generating.expansion import expand_prompts
from ufc.cli.generating.model_choice import choose_settings, load, tell_differences
from ufc.cli.generating.replay import have_here
from ufc.cli.terminal import DONE, SOME_FAILED, Terminal
from ufc.io.batch_plan import agreed_seed, form_batches, name_of, plan, with_model_defaults
from ufc.io.contact_sheet import write_log, write_sheet
from ufc.io.manifest import (
    Manifest,
    manifest_parts,
    open_folder,
    read_folder,
    refuse_changed,
    refuse_existing,
)
from ufc.io.validation import RequestError
from ufc.request import Row, request_names
from ufc_base.training.ranks import Ranks, ranks_from_environment


def run_batch(flags: GenerationFlags, rows: Sequence[Row]) -> int:
    """Check, load, generate and write; returns the exit code.

    Under `torchrun` or `accelerate launch` every process generates its share of the batches.

    Raises:
        ValueError: bad input; nothing has been generated or overwritten.
        OSError: a full disk, say; finished pictures and the manifest are there.
    """
    if flags.resume and flags.overwrite:
        raise RequestError("got both --resume and --overwrite; give one of them")
    if flags.low_mem and (flags.batch_size or 1) > 1:
        raise RequestError("got both --low-mem and --batch-size; give one of them")
    folder = Path(flags.output_dir or Path("outputs") / date.today().isoformat())
    ranks = ranks_from_environment()
    with Terminal(quiet=flags.quiet or not ranks.first, as_json=flags.json) as terminal:
        pictures = plan_in(folder, flags, rows, ranks)
        settings = choose_settings(flags, rows)

        from ufc.cli.generating.batch_runner import BatchRunner, check_rows
        from ufc.io.inputs import InputFiles

        choose_device(ranks)
        settings, notices = have_here(settings, vars(flags))
        for notice in notices:
            terminal.notice(notice)
        loaded = load(settings)
        tell_differences(loaded, rows, terminal)
        pictures = [with_model_defaults(one, loaded.pipe.defaults) for one in pictures]
        files = InputFiles()
        pictures = check_rows(pictures, loaded.pipe, files)
        old = read_folder(folder) if flags.resume else {}
        pictures = expand_prompts(pictures, old, settings, terminal, alone=ranks.alone)
        runner = BatchRunner(
            loaded,
            folder,
            terminal,
            files,
            with_metadata=not flags.no_metadata,
            overwrite=flags.overwrite or flags.resume,
        )
        groups = name_groups(form_batches(pictures, 1 if flags.low_mem else flags.batch_size))
        pending = runner.plan(groups)
        everything = [one.file_name for one in pictures]
        groups = {group: groups[group] for group in ranks.share(list(groups))}
        pictures = [one for batch in groups.values() for one in batch]
        if not ranks.alone:  # the other processes may be generating theirs already
            refuse_taken(folder, flags, pictures)
        if flags.resume:
            refuse_changed(folder, pending, request_names())
        if flags.dry_run:
            for row in pending if ranks.first else ():
                terminal.result(f"{folder / row['file_name']}  would be generated", row)
            return DONE
        manifest = open_manifest(open_folder(folder), ranks, pending)
        wanted = {one.file_name for one in pictures}
        if flags.resume:
            wanted -= done_before(manifest, folder)
        manifest.begin(row for row in pending if row["file_name"] in wanted)
        terminal.start(len(wanted), "generating")
        with closing_books(manifest, folder):
            for group, batch in groups.items():
                if any(one.file_name in wanted for one in batch):
                    runner.generate(batch, group, wanted, manifest)
        if flags.grid:  # of several processes the last one to end has all pictures
            write_sheet(folder, everything)
        skipped = len(pictures) - len(wanted)
        counts = f"{runner.generated} generated, {skipped} done before, {runner.failed} failed"
        told = f"{counts}; see {folder}"
        if ranks.alone:
            terminal.notice(told)
        elif not flags.quiet:
            terminal.error(f"process {ranks.rank} of {ranks.count}: {told}")
        if runner.failed and not ranks.alone:
            from ufc.io.distributed_manifest import wait_for_others

            wait_for_others(folder)  # a launcher ends all processes when one has an exit code
    return SOME_FAILED if runner.failed else DONE


def plan_in(folder: Path, flags: GenerationFlags, rows: Sequence[Row], ranks: Ranks) -> list[Row]:
    """The pictures to generate, by all processes; a resumed run finds its random seeds again.

    Raises:
        RequestError: names that meet, pictures that are there already, or no way to random seeds.
    """
    old = read_folder(folder) if flags.resume else {}
    suffix = f".{flags.format}" if flags.format else None
    seeds = first_seeds(old.values())
    if not ranks.alone:
        unseeded = {name_of(row.request) for row in rows if row.request.seed is None} - seeds.keys()
        seeds |= {name: agreed_seed(ranks.run, name) for name in sorted(unseeded)}
    pictures = plan(rows, suffix=suffix, known_seeds=seeds)
    if ranks.alone:
        refuse_taken(folder, flags, pictures)
    groups = {name: line.get("group") for name, line in old.items()}
    return [
        replace(
            one, result=replace(one.picture, group=groups.get(one.file_name) or one.picture.group)
        )
        for one in pictures
    ]


def refuse_taken(folder: Path, flags: GenerationFlags, pictures: Iterable[Row]) -> None:
    """Raise `RequestError` where pictures are there that this run may not replace."""
    if not flags.overwrite:
        old = read_folder(folder) if flags.resume else {}
        refuse_existing(folder, (one.file_name for one in pictures if one.file_name not in old))


def choose_device(ranks: Ranks) -> None:
    """Give each process of a machine a GPU of its own, where there are GPUs."""
    if not ranks.alone:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(ranks.local % torch.cuda.device_count())


def open_manifest(folder: Path, ranks: Ranks, plan: Sequence[Mapping[str, Any]]) -> Manifest:
    """The manifest of a folder, shared where others write to it or have left parts of it."""
    if ranks.alone and not manifest_parts(folder):
        return Manifest(folder)
    from ufc.io.distributed_manifest import SharedManifest

    return SharedManifest(folder, ranks, plan)


def name_groups(batches: Sequence[list[Row]]) -> dict[str, list[Row]]:
    """Batches by name: the one that a manifest recorded for all of its pictures, or a new one."""
    run = secrets.token_hex(3)
    groups: dict[str, list[Row]] = {}
    for number, batch in enumerate(batches):
        recorded = {one.picture.group for one in batch}
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
