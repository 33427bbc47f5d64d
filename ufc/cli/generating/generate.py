"""`ufc generate`: pictures from flags or from a prompts file; and what `edit` and `run` share.

All that can be wrong with the input is found before the first picture; what goes wrong with one
picture afterwards marks that picture as failed and lets the others be generated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ufc.cli.flags import GenerateFlags, GenerationFlags, flag_of, request_from_flags
from ufc.cli.generating.expansion import expand_prompts
from ufc.cli.generating.model_choice import load_for
from ufc.cli.terminal import DONE, SOME_FAILED, Terminal, report, say
from ufc.io.batch_plan import (
    agreed_seeds,
    first_seeds,
    form_batches,
    plan,
    with_defaults,
)
from ufc.io.contact_sheet import write_sheet
from ufc.io.manifest import (
    Manifest,
    manifest_parts,
    open_folder,
    place_inside,
    read_folder,
    refuse_changed,
    refuse_existing,
    refuse_new_folder,
)
from ufc.io.png.picture_row import is_picture, read_picture_row
from ufc.io.prompts_file import read_rows
from ufc.io.validation import RequestError
from ufc.request import Request, Row, request_names
from ufc.requests.loading import MODEL_FLAGS
from ufc_base.training.ranks import Ranks, ranks_from_environment

if TYPE_CHECKING:
    from ufc.cli.generating.batch_runner import BatchRunner

HELP = """Generate pictures from words, reference images and kept blocks, in any combination.

Each picture is written at once as {id}-{seed}-{index}.png, with its request inside, and
manifest.jsonl tells them all; given as --prompts-file it makes the same pictures again."""


def run(flags: GenerateFlags) -> int:
    """Carry out the command; returns the exit code."""
    if flags.prompts_file is None:
        if flags.limit is not None:
            raise RequestError("--limit: counts the lines of a --prompts-file; give one")
        return run_batch(flags)
    if flags.controls.get("prompt") is not None:
        raise RequestError("got both --prompt and --prompts-file; give one of them")
    path = flags.prompts_file
    defaults = request_from_flags(flags)
    if is_picture(path):
        rows = [read_picture_row(path)]
    else:
        rows = read_rows(path, defaults)[: flags.limit]
    if not flags.quiet:
        for line in flags_without_effect(rows, defaults):
            say(line)
    rows = [replace(row, request=with_defaults(row.request, defaults)) for row in rows]
    return run_batch(flags, rows)


def flags_without_effect(rows: list[Row], defaults: Request) -> list[str]:
    """A line for each flag that lines of a prompts file override."""
    lines = []
    given = [row.request.to_json() for row in rows]
    for name, value in defaults.to_json().items():
        own = [fields.get(name) for fields in given]
        kept = sum(bool(mine) and mine != value for mine in own)
        if kept:
            flag = "--" + flag_of(name).replace("_", "-")
            lines.append(f"{flag}: {kept} of {len(rows)} lines have their own and keep it")
    return lines


def run_batch(flags: GenerationFlags, rows: Sequence[Row] | None = None) -> int:
    """Plan, load, check, generate and write; returns the exit code.

    Without `rows` the flags make the one request. Under `torchrun` or `accelerate launch` every
    process generates its share of the batches.

    Raises:
        ValueError: bad input; nothing has been generated or overwritten.
        OSError: a full disk, say; finished pictures and the manifest are there.
    """
    if flags.resume and flags.overwrite:
        raise RequestError("got both --resume and --overwrite; give one of them")
    if flags.low_mem and (flags.batch_size or 1) > 1:
        raise RequestError("got both --low-mem and --batch-size; give one of them")
    if rows is None:
        request = request_from_flags(flags)
        request.check_controls()
        rows = [Row(request, where="")]
    folder = Path(flags.output_dir or Path("outputs") / date.today().isoformat())
    if flags.resume and not flags.output_dir:
        refuse_new_folder(folder)
    try:
        return run_in(folder, flags, rows)
    except KeyboardInterrupt as error:  # tomorrow another folder is the one of the day
        raise SystemExit(report(error, f"--resume --output-dir {quote(str(folder))}")) from None


def run_in(folder: Path, flags: GenerationFlags, rows: Sequence[Row]) -> int:
    """`run_batch` into a folder."""
    ranks = ranks_from_environment()
    with Terminal(quiet=flags.quiet or not ranks.first, as_json=flags.json) as terminal:
        old = read_folder(folder) if flags.resume else {}
        pictures = plan_in(folder, flags, rows, ranks, old)
        choose_device(ranks)
        results = [row.result for row in rows if row.result]
        asked = {name: getattr(flags, name) for name in MODEL_FLAGS}
        settings, loaded = load_for(asked, results, terminal)

        from ufc.cli.generating.batch_runner import BatchRunner
        from ufc.requests.checks import check_rows

        runner = BatchRunner(
            loaded,
            folder,
            terminal,
            with_metadata=not flags.no_metadata,
            overwrite=flags.overwrite or flags.resume,
        )
        pictures = check_rows(pictures, loaded.pipe, runner.files)
        if any(one.request.expand_prompt for one in pictures):
            pictures = expand_prompts(pictures, old, settings, terminal, alone=ranks.alone)
        batches = form_batches(pictures, 1 if flags.low_mem else flags.batch_size)
        return carry_out(runner, batches, flags, ranks)


def plan_in(
    folder: Path,
    flags: GenerationFlags,
    rows: Sequence[Row],
    ranks: Ranks,
    old: Mapping[str, Mapping[str, Any]],
) -> list[Row]:
    """The pictures to generate, by all processes; a resumed run finds its random seeds again.

    Raises:
        RequestError: names that meet or that links lead elsewhere, pictures that are there already,
            or no way to random seeds.
    """
    seeds = first_seeds(old.values())
    if not ranks.alone:
        seeds = agreed_seeds(rows, ranks.run, seeds)
    suffix = f".{flags.format}" if flags.format else None
    groups = {name: line.get("group") for name, line in old.items()}
    pictures = plan(rows, suffix=suffix, known_seeds=seeds, groups=groups)
    names = [one.picture.file_name for one in pictures]
    for name in names:
        place_inside(folder, name)
    if ranks.alone and not flags.overwrite:
        refuse_existing(folder, (name for name in names if name not in old))
    return pictures


def carry_out(
    runner: BatchRunner, batches: Sequence[Sequence[Row]], flags: GenerationFlags, ranks: Ranks
) -> int:
    """Generate this process's share of the batches into the folder; returns the exit code."""
    folder, terminal = runner.folder, runner.terminal
    pending = [
        runner.line(one, runner.files.hashes(one.request.conditioning.pictures))
        for batch in batches
        for one in batch
    ]
    mine = [batches[number] for number in ranks.share(range(len(batches)))]
    names = [one.picture.file_name for batch in mine for one in batch]
    if not ranks.alone and not flags.overwrite:  # the others may be generating theirs already
        old = read_folder(folder) if flags.resume else {}
        refuse_existing(folder, [name for name in names if name not in old])
    if flags.resume:
        refuse_changed(folder, pending, request_names())
    if flags.dry_run:
        for row in pending if ranks.first else ():
            terminal.result(f"{folder / row['file_name']}  would be generated", row)
        return DONE
    with open_manifest(open_folder(folder), ranks, pending) as manifest:
        done = done_before(manifest, folder) if flags.resume else set[str]()
        wanted = set(names) - done
        manifest.begin(row for row in pending if row["file_name"] in wanted)
        terminal.start(len(wanted), "generating")
        for batch in mine:
            if any(one.picture.file_name in wanted for one in batch):
                runner.generate(batch, wanted, manifest)
    if flags.grid:  # of several processes the last one to end has all pictures
        write_sheet(folder, [row["file_name"] for row in pending])
    skipped = len(names) - len(wanted)
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


def done_before(manifest: Manifest, folder: Path) -> set[str]:
    """Pictures that a manifest calls done and that are there."""
    return {
        name
        for name, row in manifest.rows.items()
        if row.get("status") == "done" and os.path.isfile(folder / name)
    }
