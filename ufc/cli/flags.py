"""Flags as dataclasses: one field, one flag, said once for every command that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from ufc.conditioning.controls import further_controls
from ufc.sampling.generation_config import SETTINGS, kind_of
from ufc.sampling.orders import ORDERS
from ufc_base.program import flag_types, option, switch, with_flags

Flags = TypeVar("Flags")

Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Attention = Literal["auto", "sdpa", "xformers", "math"]
Language = Literal["en", "zh"]
PictureFormat = Literal["png", "jpg", "webp"]


CONTROLS, SAMPLING, MODEL, OUTPUT = "Controls", "Sampling", "Model and device", "Output"

OF_THE_CONTROLS = (
    "feather",
    "height",
    "width",
    "original_size",
)  # settings that are listed with them
NO_FLAG = ("score_steps",)  # what it brings is in no file


def orders_beginning(incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in ORDERS if name.startswith(incomplete)]


@dataclass(kw_only=True)
class GenerationFlags:
    """What `generate` and `edit` have in common. None means "not said".

    `settings` are those of `GenerationConfig` and `controls` the further controls, by name: each
    is a flag that is derived from there.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    prompt: Annotated[str | None, option("Words, English or Chinese.", CONTROLS)] = None
    negative_prompt: Annotated[str | None, option("What to keep away from.", CONTROLS)] = None
    lang: Annotated[Language | None, option("Language of the prompt; a note.", CONTROLS)] = None
    reference_image: Annotated[
        list[str] | None,
        option("A picture to follow; may be given several times.", CONTROLS, metavar="FILE"),
    ] = None
    reference_weight: Annotated[
        list[float] | None,
        option("How much each reference counts, in their order (1).", CONTROLS, metavar="NUMBER"),
    ] = None
    image: Annotated[
        str | None,
        option(
            "A picture to keep parts of. It is fitted into the grid of blocks that is nearest to "
            "its proportions (a model of squares lays it into its square, white beside it).",
            CONTROLS,
            metavar="FILE",
        ),
    ] = None
    mask_image: Annotated[
        str | None,
        option(
            "White is regenerated, black is kept; the image's size or proportions.",
            CONTROLS,
            metavar="FILE",
        ),
    ] = None
    invert_mask: Annotated[
        bool, switch("--invert-mask", "Black is regenerated, white is kept.", CONTROLS)
    ] = False
    preserve_blocks: Annotated[
        str | None,
        option(
            "Blocks to keep, such as 0-47,60: cells of the model's grid, counted row by row "
            "from 0 at the top left.",
            CONTROLS,
            metavar="BLOCKS",
        ),
    ] = None
    outpaint: Annotated[
        str | None,
        option(
            "Blocks to add to the image at top, right, bottom and left, such as 0,2,0,2.",
            CONTROLS,
            metavar="T,R,B,L",
        ),
    ] = None

    batch_size: Annotated[
        int | None,
        option("Pictures of a batch (1; a manifest fed back keeps its own).", SAMPLING, min=1),
    ] = None

    model: Annotated[
        str | None,
        option("A bundled name, a folder, or a hub id.", MODEL, envvar="UFC_MODEL"),
    ] = None
    revision: Annotated[str | None, option("Version of a hub model.", MODEL)] = None
    variant: Annotated[
        str | None,
        option("Such as fp16: take model.fp16.safetensors where the model has it.", MODEL),
    ] = None
    model_dir: Annotated[
        str | None,
        option(
            "Folder of models to find names in.", MODEL, envvar="UFC_MODEL_DIR", metavar="FOLDER"
        ),
    ] = None
    cache_dir: Annotated[
        str | None, option("Where hub downloads are kept.", MODEL, metavar="FOLDER")
    ] = None
    local_files_only: Annotated[bool, switch("--local-files-only", "Download nothing.", MODEL)] = (
        False
    )
    device: Annotated[Device | None, option("auto, cpu or cuda.", MODEL, envvar="UFC_DEVICE")] = (
        None
    )
    dtype: Annotated[
        DType | None,
        option(
            "auto (on a CPU int8 or bf16 where it has instructions for them), fp32, bf16, fp16 or "
            "int8. A seed gives another picture in each.",
            MODEL,
            envvar="UFC_DTYPE",
        ),
    ] = None
    attention_backend: Annotated[
        Attention | None,
        option("auto, sdpa, xformers or math.", MODEL, envvar="UFC_ATTENTION_BACKEND"),
    ] = None
    compile: Annotated[
        bool,
        switch("--compile", "Write code for this machine first; pays for long runs.", MODEL),
    ] = False
    low_mem: Annotated[
        bool, switch("--low-mem", "Less memory, more time: picture by picture.", MODEL)
    ] = False
    cpu_offload: Annotated[
        bool,
        switch("--cpu-offload", "Tokenizer and transformer take turns on the GPU.", MODEL),
    ] = False
    deterministic: Annotated[
        bool,
        switch(
            "--deterministic",
            "The same picture alone or in a batch in every precision, and exactly repeatable "
            "operations; slower.",
            MODEL,
        ),
    ] = False
    output_dir: Annotated[
        str | None,
        option(
            "Folder for the pictures (outputs/YYYY-MM-DD).",
            OUTPUT,
            envvar="UFC_OUTPUT_DIR",
            metavar="FOLDER",
        ),
    ] = None
    format: Annotated[PictureFormat | None, option("png (default), jpg or webp.", OUTPUT)] = None
    resume: Annotated[bool, switch("--resume", "Keep what is done, do the rest.", OUTPUT)] = False
    overwrite: Annotated[bool, switch("--overwrite", "Replace what is there.", OUTPUT)] = False
    grid: Annotated[
        bool, switch("--grid", "Also write grid.png, all pictures on one sheet.", OUTPUT)
    ] = False
    no_metadata: Annotated[
        bool, switch("--no-metadata", "Leave the request out of the pictures.", OUTPUT)
    ] = False
    dry_run: Annotated[bool, switch("--dry-run", "Check everything, do nothing.", OUTPUT)] = False
    json: Annotated[bool, switch("--json", "Results as JSON lines.", OUTPUT)] = False
    quiet: Annotated[bool, switch("--quiet", "No progress and no notices.", OUTPUT)] = False


@dataclass(kw_only=True)
class GenerateFlags(GenerationFlags):
    """Flags of `ufc generate`."""

    prompts_file: Annotated[
        str | None,
        option(
            "A .jsonl or .txt file; or a manifest.jsonl, or a picture, to generate it again in the "
            "precision that it records. Its lines go before flags, which fill in what they leave "
            "open.",
            CONTROLS,
            metavar="FILE",
        ),
    ] = None
    limit: Annotated[int | None, option("Only the first N lines.", CONTROLS, min=1)] = None


def command(
    flags: type[Flags], run: Callable[[Flags], int], help: str, without: Sequence[str] = ()
) -> Callable[..., int]:
    """A function that typer can read, with one option for each field of `flags` not `without`."""

    derived = {} if not issubclass(flags, GenerationFlags) else derived_flags()

    def invoke(**values: Any) -> int:
        groups = {
            group: {name: values.pop(name) for name in kinds} for group, kinds in derived.items()
        }
        said = {
            group: {name: value for name, value in given.items() if value is not None}
            for group, given in groups.items()
        }
        return run(flags(**values, **said))

    types = flag_types(flags, without=[*derived, *without])
    for kinds in derived.values():
        types |= {name: (kind, None) for name, kind in kinds.items()}
    return with_flags(invoke, types, help)


def derived_flags() -> dict[str, dict[str, Any]]:
    """Types of the flags of sampling settings and of further controls, by the fields they fill."""
    settings = {name: setting_flag(name) for name in SETTINGS if name not in NO_FLAG}
    controls = {
        name: Annotated[
            str | None,
            option(control.help, CONTROLS, metavar="FILE" if control.kind == "picture" else None),
        ]
        for name, control in further_controls().items()
    }
    return {"settings": settings, "controls": controls}


def setting_flag(name: str) -> Any:
    """The type of the flag of a sampling setting, with the help of `GenerationConfig`."""
    help = SETTINGS[name].description or ""
    panel = CONTROLS if name in OF_THE_CONTROLS else SAMPLING
    if name == "order":
        named = option(help, panel, metavar="|".join(ORDERS), autocompletion=orders_beginning)
        return Annotated[str | None, named]
    kind = kind_of(name)
    if kind is bool:
        return Annotated[bool | None, switch("--" + name.replace("_", "-"), help, panel)]
    return Annotated[kind | None, option(help, panel)]
