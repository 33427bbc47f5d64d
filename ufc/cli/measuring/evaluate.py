"""`ufc evaluate`: figures of pictures, of the model's own scores, of its controls, and the tables.

ufc evaluate FAKE --real DATA      pictures against real ones
ufc evaluate tokenizer TOKENIZER --real DATA --train-data-dir DATA
ufc evaluate distances|estimators|controls|ablation|report --real DATA --train-data-dir DATA
ufc evaluate phrasings --train-data-dir DATA
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ufc.cli.flags import command
from ufc.cli.measuring.flags import (
    AblationFlags,
    ControlFlags,
    EstimatorFlags,
    ModelFlags,
    PhrasingFlags,
    PictureFlags,
    ReportFlags,
    TokenizerFlags,
    VerdictFlags,
    picture_flags,
)
from ufc.cli.measuring.opening import (
    cache_folder,
    generate_for,
    is_model,
    measuring_by,
    measuring_of,
    open_context,
    probed_sets,
    reading_of,
)
from ufc.cli.program import Later, command_of
from ufc.cli.terminal import DONE, Terminal
from ufc.io.manifest import write_json

if TYPE_CHECKING:
    from ufc.evaluation.context import Context


PICTURES_HELP = """Measure pictures against real ones; --fid, --kid and --prc where none is chosen.

Further forms, each with its own --help: `ufc evaluate tokenizer` (are its reconstructions seen for
what they are), `distances` (real halves, reconstructions, generated pictures), `estimators` (can
compliance and fidelity be trusted), `controls` (every subset of text, reference, kept blocks),
`memory` (is anything copied), `words` (captions and answers), `verdicts` (contradictions against
probes), `phrasings` (words that captions never use), `ablation` (every order at equal forward
passes), `report` (one page)."""


def build(arguments: list[str]) -> tuple[Any, str, list[str]]:
    """The command of the form that the first word names, else the one that measures pictures."""
    if arguments and arguments[0] in FORMS:
        form, *rest = arguments
        return command_of(command(*FORMS[form])), f"evaluate {form}", rest
    return command_of(command(picture_flags(), pictures, PICTURES_HELP)), "evaluate", arguments


LATER = Later(
    "Figures of pictures, of the model's scores and controls; ablation and report.", build
)


def pictures(flags: PictureFlags) -> int:
    """Carry out `ufc evaluate FAKE`."""
    from estimators.metrics.base import Options, find_metrics
    from estimators.metrics.fid import is_statistics
    from estimators.metrics.sets.picture_set import open_set
    from ufc.contrastive_scorer import ContrastiveEstimator
    from ufc.evaluation.set_metrics import (
        chosen_metrics,
        measure_set,
        needs_of,
        table,
        warning,
    )

    metrics = chosen_metrics([name for name in find_metrics() if getattr(flags, name, False)])
    options = Options(
        flags.caption_column,
        lambda: ContrastiveEstimator.from_pretrained(flags.contrastive),
        clip_model=flags.clip_model,
        clip_checkpoint=flags.clip_checkpoint,
        device=flags.device,
    )
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        measuring = measuring_of(flags, terminal, flags.size, logits="logits" in needs_of(metrics))
        statistics_file = flags.real is not None and is_statistics(flags.real)
        if is_model(flags.fake):
            fake, own = generate_for(flags, terminal)
            measuring = replace(measuring, fit=flags.fit or own.fit)
            if flags.size is None:  # a small model is not to be blamed for being small
                measuring = replace(measuring, size=own.size)
        elif Path(flags.fake).exists() or set("{*:").intersection(flags.fake):  # shards' names
            fake = open_set(flags.fake, flags.limit, measuring.reading)
        else:
            raise ValueError(
                f"{flags.fake!r} is neither pictures nor a model; give a folder, shards, a model, "
                f"or one of {', '.join(FORMS)}"
            )
        real: Any = None
        if flags.real is not None:
            real = (
                Path(flags.real)
                if statistics_file
                else open_set(flags.real, reading=measuring.reading)
            )
        found = measure_set(metrics, fake, real, measuring, options, flags.save_stats, flags.seed)
        terminal.result(table(found), found)
        for line in (*found["left_out"], *found["real_left_out"], warning(found)):
            if line:
                terminal.notice(line)
    return DONE


def tokenizer(flags: TokenizerFlags) -> int:
    """Carry out `ufc evaluate tokenizer`."""
    from estimators.metrics.extractors.choice import other_judges
    from estimators.metrics.extractors.networks import SIZED, load_extractor
    from estimators.metrics.probes.reconstruction import tokenizer_report, tokenizer_table
    from estimators.metrics.sets.picture_set import open_set
    from ufc.io.hub import resolve_tokenizer
    from ufc_base.training.processes import pick_device
    from vqgan.model import VQGAN
    from vqgan.perceptual import lpips_model

    if flags.real is None or flags.train_data_dir is None:
        raise ValueError(
            "give held-out pictures by --real, and by --train-data-dir the training pictures, "
            "which probes learn from and distances are to"
        )
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        folder = resolve_tokenizer(flags.tokenizer)
        device = pick_device(flags.device)
        model = VQGAN.from_pretrained(folder).to(device)
        fit = flags.fit or model.config.fit
        measurings = [
            measuring_by(
                load_extractor(
                    name, flags.input_size if name in SIZED else None, device=flags.device
                ),
                flags,
                None,
                fit,
            )
            for name in flags.extractor or other_judges()
        ]
        found = tokenizer_report(
            model,
            open_set(flags.real, flags.limit, reading_of(flags)),
            open_set(flags.train_data_dir, reading=reading_of(flags)),
            measurings,
            lpips_model("alex").to(device),
            terminal.notice,
            fit,
        ) | {"tokenizer": str(folder)}
        if flags.output_dir:
            write_json(Path(flags.output_dir) / "tokenizer.json", found)
        terminal.result(tokenizer_table(found), found)
    return DONE


def distances(flags: ModelFlags) -> int:
    """Carry out `ufc evaluate distances`."""
    from ufc.evaluation.distances import distance_report, distance_table

    return _measure(
        flags,
        "distances",
        lambda context: distance_report(
            context.pipeline, context.judges, context.real, context.pictures(context.generate())
        ),
        distance_table,
    )


def memory(flags: ModelFlags) -> int:
    """Carry out `ufc evaluate memory`."""
    from estimators.metrics.sets.picture_set import open_set
    from ufc.evaluation.memory import memory_report, memory_sheet, memory_table

    def run(context: Context) -> dict[str, Any]:
        generated = context.pictures(context.generate())
        found = memory_report(context.judges, generated)
        if flags.output_dir and flags.train_data_dir:
            training = open_set(flags.train_data_dir, None, reading_of(flags)).samples
            sheet = Path(flags.output_dir) / "memory.png"
            memory_sheet(sheet, found, generated, lambda row: training[row].image)
        return found

    return _measure(flags, "memory", run, memory_table)


def estimators(flags: EstimatorFlags) -> int:
    """Carry out `ufc evaluate estimators`."""
    from ufc.evaluation.scores import estimator_report, estimator_table

    def run(context: Context) -> dict[str, Any]:
        return estimator_report(
            context.pipeline,
            context.judges,
            context.real,
            choices=flags.choices,
            seed=flags.seed,
            folder=context.folder,
            progress=context.progress("generating"),
        )

    return _measure(flags, "estimators", run, estimator_table)


def controls(flags: ControlFlags) -> int:
    """Carry out `ufc evaluate controls`."""
    from ufc.evaluation.controls import control_report, control_table, make_task
    from ufc.sampling.generation_config import GenerationConfig

    settings = GenerationConfig(order=flags.order).explicit()  # an unknown one is refused at once

    def run(context: Context) -> dict[str, Any]:
        task = make_task(context.pipeline, context.real, context.types(), flags.seed, flags.kept)
        rows = control_report(
            context.pipeline,
            context.judges,
            task,
            flags.seed,
            context.progress("subsets"),
            **settings,
        )
        said = {"captions": len(task.captions), "kept": flags.kept, **settings}
        return said | {"subsets": rows}

    return _measure(flags, "controls", run, lambda found: control_table(found["subsets"]))


def ablation(flags: AblationFlags) -> int:
    """Carry out `ufc evaluate ablation`."""
    from ufc.evaluation.ablation import run_ablation, table, variants, verdict, write_results

    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        context = open_context(flags, terminal)
        scale = context.pipeline.defaults["guidance_scale"]
        rows, comparisons = run_ablation(
            context.pipeline,
            context.judges,
            context.real.captions,
            variants(
                flags.passes,
                flags.candidates,
                scale,
                flags.seed,
                context.pipeline.transformer.config.autoregressive,
            ),
            context.folder,
            context.tell,
        )
        about = context.about() | {
            "passes": flags.passes,
            "candidates": flags.candidates,
            "guidance_scale": scale,
            "passes_a_prediction": 1 if scale == 1 else 2,
        }
        write_results(Path(flags.output_dir), rows, comparisons, about)
        text = "\n".join([table(rows), "", *map(verdict, comparisons)])
        found = [asdict(comparison) for comparison in comparisons]
        terminal.result(text, {"about": about, "rows": rows, "comparisons": found})
    return DONE


def words(flags: ModelFlags) -> int:
    """Carry out `ufc evaluate words`."""
    from ufc.evaluation.language.words import words_report, words_table

    def report(pipeline: Any, real: Any, training: Any, measuring: Any, say: Any, fit: str) -> Any:
        return words_report(pipeline, real, training, measuring, say, fit, flags.seed)

    return of_a_describing_model(flags, "words", report, words_table)


def verdicts(flags: VerdictFlags) -> int:
    """Carry out `ufc evaluate verdicts`."""
    from ufc.captioning.contradictions import load_judge
    from ufc.evaluation.language.verdicts import verdicts_report, verdicts_table

    judge = load_judge(flags.contradiction_model)

    def report(pipeline: Any, real: Any, training: Any, measuring: Any, say: Any, fit: str) -> Any:
        return verdicts_report(
            pipeline, real, training, measuring, judge, say,
            fit=fit, seed=flags.seed, folder=cache_folder(flags),
        )  # fmt: skip

    return of_a_describing_model(flags, "verdicts", report, verdicts_table)


def of_a_describing_model(
    flags: ModelFlags,
    form: str,
    report: Callable[..., dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> int:
    """Measure what a model says of held-out pictures.

    `report` gets the model, held-out and training pictures, how features are measured, where to
    tell how far it is, and how pictures get the model's shape.
    """
    from estimators.metrics.sets.picture_set import open_set
    from ufc.io.hub import DEFAULT_MODEL
    from ufc.pipeline import UFCPipeline

    real, training = probed_sets(flags)
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        pipeline = UFCPipeline.from_pretrained(flags.model or DEFAULT_MODEL, device=flags.device)
        fit = flags.fit or pipeline.tokenizer.config.fit
        found = report(
            pipeline,
            open_set(real, flags.limit, reading_of(flags)),
            open_set(training, reading=reading_of(flags)),
            measuring_of(flags, terminal, None, fit),
            terminal.notice,
            fit,
        )
        if flags.output_dir:
            write_json(Path(flags.output_dir) / f"{form}.json", found)
        terminal.result(table(found), found)
    return DONE


def phrasings(flags: PhrasingFlags) -> int:
    """Carry out `ufc evaluate phrasings`."""
    from estimators.metrics.sets.picture_set import open_set
    from ufc.evaluation.language.phrasings import (
        PACKAGED,
        phrasings_report,
        phrasings_table,
        read_phrasings,
    )
    from ufc.io.hub import DEFAULT_MODEL
    from ufc.pipeline import UFCPipeline

    if flags.train_data_dir is None:
        raise ValueError(
            "give by --train-data-dir the training pictures, which the probes learn from"
        )
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        asked = read_phrasings(Path(flags.phrasings) if flags.phrasings else PACKAGED)
        found = phrasings_report(
            UFCPipeline.from_pretrained(flags.model or DEFAULT_MODEL, device=flags.device),
            asked[: flags.limit],
            open_set(flags.train_data_dir, reading=reading_of(flags)),
            measuring_of(flags, terminal, None),
            terminal.notice,
            seed=flags.seed,
            pictures=flags.num_images_per_prompt,
            folder=cache_folder(flags),
        )
        if flags.output_dir:
            write_json(Path(flags.output_dir) / "phrasings.json", found)
        terminal.result(phrasings_table(found), found)
    return DONE


def report(flags: ReportFlags) -> int:
    """Carry out `ufc evaluate report`."""
    from ufc.evaluation.report import write_report

    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        context = open_context(flags, terminal)
        page = write_report(context, Path(flags.output_dir), flags.choices)
        text = page.with_name("report.md").read_text(encoding="utf-8")
        terminal.result(f"{text}\n{page}", {"page": str(page)})
    return DONE


def _measure(
    flags: ModelFlags,
    name: str,
    run: Callable[[Context], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> int:
    """Open what is needed, run, print, and keep the JSON if a folder is given."""
    with Terminal(quiet=flags.quiet, as_json=flags.json) as terminal:
        context = open_context(flags, terminal)
        found = run(context) | {"about": context.about()}
        if flags.output_dir:
            write_json(Path(flags.output_dir) / f"{name}.json", found)
        terminal.result(table(found), found)
    return DONE


FORMS: dict[str, tuple[type, Callable[[Any], int], str]] = {
    "tokenizer": (TokenizerFlags, tokenizer, "Are reconstructions seen for what they are?"),
    "distances": (ModelFlags, distances, "FD of real halves, reconstructions, generated pictures."),
    "estimators": (EstimatorFlags, estimators, "Can compliance and fidelity be trusted?"),
    "controls": (ControlFlags, controls, "Every subset of text, reference and kept blocks."),
    "memory": (ModelFlags, memory, "Is anything copied? The nearest training pictures."),
    "words": (ModelFlags, words, "Captions, answers and found blocks, beside probes."),
    "verdicts": (VerdictFlags, verdicts, "Contradictions of prompts, against probes; and as AUC."),
    "phrasings": (PhrasingFlags, phrasings, "Words that captions never use, beside their own."),
    "ablation": (AblationFlags, ablation, "Every order at equal numbers of forward passes."),
    "report": (ReportFlags, report, "All of it, with example pictures, on one HTML page."),
}
