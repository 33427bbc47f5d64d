"""`ufc run`: carry out a task that is written as one line of instruction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated

from ufc.cli.flags import GenerationFlags
from ufc.cli.generating.generate import run_batch
from ufc.cli.terminal import DONE, Terminal
from ufc.conditioning.conditioning import OF_AN_EDIT
from ufc.io.validation import RequestError, listed
from ufc.requests.loading import MODEL_FLAGS
from ufc.tasks.attributes import IMAGE
from ufc.tasks.describe import describe
from ufc.tasks.families import make_plan
from ufc.tasks.mixture import find_instruction
from ufc.tasks.plan import Plan
from ufc.tasks.slot_values import read_slots, refuse_missing, words_of
from ufc_base.program import argument, option, switch

HELP = """Carry out one line of instruction, such as "[TEXT:caption] [IMAGE:ref] -> [IMAGE:out]".

Left of the arrow stands what is given, each slot by --slot NAME=VALUE; right of it what is wanted.
The name of a built-in task does as well: ufc run text-to-image --slot caption="red bag". An image
called base is one to keep parts of: say which with --mask-image or --preserve-blocks, or add
blocks around it with --outpaint, or change all of it as far as --strength says."""

FROM_SLOTS = ("prompt", "reference_image", "image")  # flags that an instruction's slots stand for


@dataclass(kw_only=True)
class RunFlags(GenerationFlags):
    """Flags of `ufc run`."""

    instruction: Annotated[
        str, argument("An instruction in quotation marks, or the name of a built-in task.")
    ]
    slot: Annotated[
        list[str] | None,
        option(
            "What is given for a slot: words, or the path of a picture; once for each slot.",
            "Controls",
            metavar="NAME=VALUE",
        ),
    ] = field(default=None)
    plan: Annotated[
        bool, switch("--plan", "Show how the instruction would be served; do nothing.", "Output")
    ] = False


def run(flags: RunFlags) -> int:
    """Carry out the command; returns the exit code.

    Raises:
        InstructionError: the instruction cannot be read, or nothing serves it.
        RequestError: slots, masks or settings that do not fit it.
    """
    plan = make_plan(find_instruction(flags.instruction))
    values = read_slots(flags.slot or [], plan.instruction)
    if flags.plan:
        with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
            terminal.result(describe(plan, values), plan.to_json())
        return DONE
    refuse_missing(plan.instruction, values)
    if plan.target.kind != IMAGE:
        return answer(plan, values, flags)
    if unused := plan.training_only():
        with Terminal(quiet=flags.quiet) as terminal:
            terminal.notice(f"{listed(unused)}: training alone uses it")
    return run_batch(generation_flags(flags, plan, values))


def generation_flags(flags: RunFlags, plan: Plan, values: Mapping[str, str]) -> GenerationFlags:
    """The flags of `ufc generate` or `ufc edit` that ask for the same as an instruction.

    This is all that a task whose target is an image knows of requests.
    """
    check_mask(flags, plan)
    given = {one.name: getattr(flags, one.name) for one in fields(GenerationFlags)}
    return replace(
        GenerationFlags(**given),
        controls={
            **flags.controls,
            "prompt": words_of(plan.instruction, values) or None,
            "reference_image": [values[slot.name] for slot in plan.references] or None,
            "image": values[plan.base.name] if plan.base else None,
        },
        settings=settings_with_order(flags, plan),
    )


def check_mask(flags: RunFlags, plan: Plan) -> None:
    """Raise `RequestError` where a base has neither mask nor strength, or a mask no base."""
    masks = [name for name in OF_AN_EDIT if name in flags.controls]
    if plan.base is not None and not masks and "strength" not in flags.settings:
        raise RequestError(
            f"nothing says what to keep of {plan.base.name}; give --mask-image or "
            "--preserve-blocks, or --outpaint, or --strength to change all of it in part"
        )
    if plan.base is None and masks:
        raise RequestError(
            f"--{masks[0].replace('_', '-')}: the instruction has no image to keep parts of; "
            "give it a slot [IMAGE:base]"
        )


def settings_with_order(flags: RunFlags, plan: Plan) -> Mapping[str, object]:
    """The sampling settings, with the order that the instruction asks for.

    Raises:
        RequestError: a flag asks for another one.
    """
    if plan.order is None:
        return flags.settings
    if flags.settings.get("order", plan.order) != plan.order:
        raise RequestError(
            f"--order: got {flags.settings['order']}, and the instruction says order={plan.order}; "
            "leave one of them out"
        )
    return {**flags.settings, "order": plan.order}


def answer(plan: Plan, values: Mapping[str, str], flags: RunFlags) -> int:
    """Carry out a task whose target is no image; returns the exit code.

    Raises:
        RequestError: the model does not know the task, or a picture cannot be read.
    """
    from ufc.captioning.tell import carry_out, refuse_unlearnt
    from ufc.requests.loading import choose_settings, load
    from ufc_base.reading import load_image

    given = plan.instruction.given.values()
    paths = [values[slot.name] for slot in given if slot.kind == IMAGE]
    words = {slot.name: values[slot.name] for slot in given if slot.kind != IMAGE}
    pictures = [load_image(path) for path in paths]
    pipeline = load(choose_settings(vars(flags), [])).pipe
    refuse_unlearnt(pipeline, plan)
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        for flag in flags_of_pictures(flags):
            terminal.notice(f"{flag}: has no effect, {plan.task} makes no picture")
        if flags.dry_run:
            terminal.result(f"{plan.task} would be carried out", {"task": plan.task})
            return DONE
        told = carry_out(pipeline, plan, words, pictures or [None])[0]
        terminal.result(told.as_text(), {"task": plan.task, **told.to_json()})
    return DONE


def flags_of_pictures(flags: RunFlags) -> list[str]:
    """The flags that were given and that only the making of pictures heeds."""
    heeded = (*MODEL_FLAGS, "controls", "settings", "dry_run", "json", "quiet")
    given = [
        one.name
        for one in fields(GenerationFlags)
        if one.name not in heeded and getattr(flags, one.name) != one.default
    ]
    if flags.output_dir == os.environ.get("UFC_OUTPUT_DIR"):  # said for all commands, not here
        given = [name for name in given if name != "output_dir"]
    return ["--" + name.replace("_", "-") for name in (*flags.controls, *flags.settings, *given)]
