"""Flags as dataclasses: one field, one flag, said once for every command that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args

from ufc.conditioning.conditioning import ControlField, request_controls
from ufc.conditioning.kinds import Blocks, Picture, Reference, References, Sides, Switch
from ufc.io.validation import RequestError
from ufc.request import Request
from ufc.sampling.generation_config import REQUEST_SETTINGS, SETTINGS, kind_of
from ufc.sampling.orders import ORDERS
from ufc_base.program import flag_types, option, switch, with_flags

Flags = TypeVar("Flags")

Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Attention = Literal["auto", "sdpa", "xformers", "math"]
Language = Literal["en", "zh"]
PictureFormat = Literal["png", "jpg", "webp"]


CONTROLS, SAMPLING, MODEL, OUTPUT = "Controls", "Sampling", "Model and device", "Output"
LORA = (
    "Low-rank adapter to add, file, folder or hub id (weight 1 is as it learnt); may be repeated."
)

# Settings that are listed with the controls.
OF_THE_CONTROLS = ("feather", "height", "width", "original_size", "upscale")


def orders_beginning(incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in ORDERS if name.startswith(incomplete)]


@dataclass(kw_only=True)
class GenerationFlags:
    """What `generate` and `edit` have in common. None means "not said".

    `controls` and `settings` hold those that are derived from the controls of `Conditioning` and
    the settings of `GenerationConfig`, by the flags' names.
    """

    controls: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    expand_prompt: Annotated[
        str | None,
        option(
            "Chat model (folder or hub id) that rewrites the prompt, a free wish, as a caption.",
            CONTROLS,
            metavar="MODEL",
        ),
    ] = None
    lang: Annotated[Language | None, option("Language of the prompt; a note.", CONTROLS)] = None
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
    lora: Annotated[list[str] | None, option(LORA, MODEL, metavar="FILE[=WEIGHT]")] = None
    clip_model: Annotated[
        str | None,
        option(
            "With --clip-weight or --min-score clip=X: CLIP's name (ViT-B-32; with --clip-lang zh "
            "ViT-B-16, or VISION@TEXT@PIXELS).",
            MODEL,
            metavar="NAME",
        ),
    ] = None
    clip_checkpoint: Annotated[
        str | None, option("CLIP's weights: a file, or a tag of open_clip's.", MODEL)
    ] = None
    clip_lang: Annotated[
        Language | None, option("Language of CLIP: en, or zh for Chinese-CLIP (en).", MODEL)
    ] = None
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
    resume: Annotated[
        bool,
        switch(
            "--resume",
            "Keep what is done, do the rest; without --output-dir, of today's folder.",
            OUTPUT,
        ),
    ] = False
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
    derived: dict[str, dict[str, Any]] = {}
    if issubclass(flags, GenerationFlags):
        derived = {"controls": control_flags(), "settings": setting_flags()}

    def invoke(**values: Any) -> int:
        groups = {
            group: {name: values.pop(name) for name in kinds if name in values}
            for group, kinds in derived.items()
        }
        said = {
            group: {name: v for name, v in given.items() if v is not None and v is not False}
            for group, given in groups.items()
        }
        return run(flags(**values, **said))

    types = {
        name: (kind, False if get_args(kind)[0] is bool else None)
        for kinds in derived.values()
        for name, kind in kinds.items()
        if name not in without
    }
    types |= flag_types(flags, without=[*derived, *without])
    return with_flags(invoke, types, help)


def request_from_flags(flags: GenerationFlags) -> Request:
    """What the flags say, as a request without id.

    Raises:
        RequestError: a value out of range, or weights that do not match the references.
    """
    given: dict[str, Any] = {}
    for name, control in request_controls().items():
        value = flags.controls.get(flag_of(name, control))
        if isinstance(control.kind, References):
            weights = flags.controls.get(weight_of(name)) or []
            value = _weighed(name, value or [], weights)
        given[name] = value
    given |= {"lang": flags.lang, "expand_prompt": flags.expand_prompt}
    return Request(**given, **flags.settings)


def _weighed(name: str, paths: list[str], weights: list[float]) -> tuple[Reference, ...]:
    if weights and len(weights) != len(paths):
        flag = weight_of(name).replace("_", "-")
        raise RequestError(
            f"--{flag}: got {len(weights)} for {len(paths)} reference images; give one for each"
        )
    return tuple(map(Reference, paths, weights or [1.0] * len(paths)))


def flag_of(name: str, control: ControlField | None = None) -> str:
    """The flag of a field of requests, with underscores: one of several is given at a time."""
    control = control or request_controls().get(name)
    several = control is not None and isinstance(control.kind, References)
    return name.removesuffix("s") if several else name


def weight_of(name: str) -> str:
    """The flag of the weights of pictures that are weighed."""
    return name.removesuffix("images") + "weight"


def setting_flags() -> dict[str, Any]:
    """Types of the flags of sampling settings, by name."""
    return {name: setting_flag(name) for name in REQUEST_SETTINGS}


def control_flags() -> dict[str, Any]:
    """Types of the flags of controls, by the flags' names."""
    flags: dict[str, Any] = {}
    for name, control in request_controls().items():
        flags[flag_of(name, control)] = control_flag(name, control)
        if isinstance(control.kind, References):
            help = "How much each reference counts, in their order (1)."
            weights = option(help, CONTROLS, metavar="NUMBER")
            flags[weight_of(name)] = Annotated[list[float] | None, weights]
    return flags


def control_flag(name: str, control: ControlField) -> Any:
    """The type of the flag of a control, with the help of `Conditioning`."""
    kind, help = control
    if isinstance(kind, Switch):
        return Annotated[bool, switch("--" + name.replace("_", "-"), help, CONTROLS)]
    if isinstance(kind, References):
        return Annotated[list[str] | None, option(help, CONTROLS, metavar="FILE")]
    named = {Picture: "FILE", Blocks: "BLOCKS", Sides: "T,R,B,L"}.get(type(kind))
    return Annotated[str | None, option(help, CONTROLS, metavar=named)]


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
