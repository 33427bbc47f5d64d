"""The command line, `ufc`: results on standard output, everything else on standard error.

Exit codes: 0 done, 1 failure, 2 bad arguments or input, 3 some pictures failed, 130 interrupted,
143 a training ended by SIGTERM.
Flags are written with dashes; underscores are taken too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ufc.cli import app as editor
from ufc.cli import env, info, serve, training
from ufc.cli.flags import GenerateFlags, GenerationFlags, command
from ufc.cli.generating import caption, edit, generate, run_instruction
from ufc.cli.generating.run_instruction import RunFlags
from ufc.cli.measuring import bench, evaluate
from ufc.cli.program import add, add_later
from ufc.cli.terminal import DONE, FAILURE, INTERRUPTED, report
from ufc_base.entry import escape_what_cannot_be_shown, write_line
from ufc_base.program import SETTINGS, switch

app = typer.Typer(
    name="ufc",
    help="Pictures from words, reference images and kept blocks, in any combination.",
    context_settings=SETTINGS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, switch("--version", "Show the version.")] = False,
) -> int:
    """What every command goes through first."""
    if version:
        write_line(sys.stdout, f"ufc {env.ufc_version()}")
    elif context.invoked_subcommand is None:
        write_line(sys.stdout, context.get_help())
    return 0


add(app, "generate", command(GenerateFlags, generate.run, generate.HELP))
add(app, "edit", command(GenerationFlags, edit.run, edit.HELP))
add(
    app,
    "run",
    command(RunFlags, run_instruction.run, run_instruction.HELP, run_instruction.FROM_SLOTS),
)
add(app, "caption", caption.caption)
for trainer in training.TRAINERS:
    add_later(app, trainer, training.TRAINERS[trainer])
add_later(app, "evaluate", evaluate.LATER)
add(app, "info", info.info)
add(app, "bench", command(bench.BenchFlags, bench.run, bench.HELP))
add(app, "app", editor.app)
add(app, "serve", command(serve.ServeFlags, serve.run, serve.HELP))
add(app, "env", env.env)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` by default) and return its exit code."""
    escape_what_cannot_be_shown()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    resume = way_on(arguments[0] if arguments else "")
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="ufc", standalone_mode=False)
        if code == INTERRUPTED:  # typer makes an exit code of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else DONE
    except SystemExit as error:  # typer's, where whoever read our results has left
        return error.code if isinstance(error.code, int) else FAILURE
    except (KeyboardInterrupt, Exception) as error:
        return report(error, resume)


def way_on(command: str) -> str:
    """What to say again, after a break, to have the rest done."""
    if command.startswith("train"):
        return "--resume-from-checkpoint latest"
    return "--resume" if command in ("generate", "edit", "run") else "the same command"
