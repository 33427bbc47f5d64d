"""Words that captions never use: does the model hear them as well as the captions' own?

Each phrasing asks for a type, a colour and a gender in free words. Beside it stands its plain
caption, the one that a training picture with the same attributes has in that language. Probes on
deep features of the generated pictures, fitted on real ones, say what was understood of both. What
the plain caption's picture does not have is asked of neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from estimators.metrics.extractors.measuring import Measuring
from estimators.metrics.probes.attributes import Judge, score
from estimators.metrics.probes.reconstruction import judge_of
from estimators.metrics.sets.picture_set import Listed, PictureSet
from ufc.evaluation.generated_sets import Plan, generate_kept, pictures_of
from ufc.io.validation import RequestError, check_text, shown
from ufc.pipeline import UFCPipeline
from ufc_base.data.names import DataError
from ufc_base.formats.json_text import load_json

PACKAGED = Path(__file__).parents[1] / "unseen_prompts.jsonl"
CAPTIONS = {"en": "text", "zh": "text_zh"}
WANTED = ("type", "colour", "gender")

Record = Mapping[str, Any]
Say = Callable[[str], None]
Report = dict[str, Any]


def read_phrasings(file: Path = PACKAGED) -> list[Record]:
    """Phrasings, a JSON object a line: `prompt`, `type`, and if known `colour`, `gender`, `lang`
    (en or zh) and `out_of_lexicon`, by which they are also reported apart.

    Raises:
        DataError: a line is no such object.
    """
    found: list[Record] = []
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error.reason}, at byte {error.start})") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
        except ValueError as error:
            raise DataError(f"{file}, line {number}: no JSON ({error!s:.200})") from error
        if not (isinstance(row, dict) and row.get("prompt") and row.get("type")):
            raise DataError(f"{file}, line {number}: wanted an object with prompt and type")
        for name in ("prompt", *WANTED):
            if row.get(name) is not None:
                try:
                    check_text(name, row[name])
                except RequestError as error:
                    raise DataError(f"{file}, line {number}: {error}") from None
        if str(row.get("lang", "en")) not in CAPTIONS:
            said = shown(row["lang"])
            raise DataError(f"{file}, line {number}: lang is {said}, wanted en or zh")
        found.append(row)
    if not found:
        raise DataError(f"{file} has no phrasings")
    return found


def plain_record(phrasing: Record, records: Sequence[Record]) -> Record:
    """The training picture that shows what a phrasing asks for, and has a caption in its language.

    The first one with the same type, colour and gender; without one, with fewer of them the same.

    Raises:
        DataError: no training picture is of that type.
    """
    column = column_of(phrasing)
    asked = [name for name in WANTED if phrasing.get(name)]
    for count in range(len(asked), 0, -1):
        for record in records:
            same = all(record.get(name) == phrasing[name] for name in asked[:count])
            if same and record.get(column):
                return record
    raise DataError(f"no training picture of type {phrasing['type']!r} has a caption {column!r}")


def column_of(phrasing: Record) -> str:
    """The field that captions of a phrasing's language are in."""
    return CAPTIONS[phrasing.get("lang", "en")]


def in_common(phrasing: Record, record: Record) -> Record:
    """A phrasing that asks for no more than a picture has."""
    other = [name for name in WANTED if record.get(name) != phrasing.get(name)]
    return {**phrasing, **dict.fromkeys(other)}


def groups(phrasings: Sequence[Record]) -> Iterator[tuple[str, list[int]]]:
    """Names of groups, and the rows of each: all, by language, by whether the lexicon has it."""
    yield "all", list(range(len(phrasings)))
    for lang in CAPTIONS:
        yield lang, [n for n, row in enumerate(phrasings) if row.get("lang", "en") == lang]
    for name, outside in (("in the lexicon", False), ("outside it", True)):
        yield name, [n for n, row in enumerate(phrasings) if row.get("out_of_lexicon") is outside]


def phrasings_report(
    pipeline: UFCPipeline,
    phrasings: Sequence[Record],
    training: PictureSet,
    measuring: Measuring,
    say: Say,
    *,
    seed: int = 0,
    pictures: int = 4,
    folder: Path | None = None,
) -> Report:
    """Share of generated pictures that show what was asked for, by phrasings and by plain captions.

    Args:
        pipeline: the model, with its default settings.
        phrasings: what is asked for; see `read_phrasings`.
        training: what the probes are fitted on; its captions are the plain ones.
        measuring: of the probes' features; in no loss of the model's.
        say: told how far it is.
        seed: of the first picture; a phrasing and its plain caption get the same ones.
        pictures: for each phrasing.
        folder: where generated pictures are kept.
    """
    judge = judge_of(measuring, training, say)
    records = [training.samples.record(index) for index in range(len(training.samples))]
    plain = [plain_record(row, records) for row in phrasings]
    texts = {
        "phrasings": [str(row["prompt"]) for row in phrasings],
        "plain": [str(one[column_of(row)]) for row, one in zip(phrasings, plain, strict=True)],
    }
    asked = [in_common(row, one) for row, one in zip(phrasings, plain, strict=True)]
    plan = Plan.of(seed=seed, num_images_per_prompt=pictures)
    seen: dict[str, list[dict[str, str]]] = {}
    for name, prompts in texts.items():
        say(f"{name}: {pictures} pictures for each of {len(prompts)} prompts …")
        codes_NT = generate_kept(pipeline, prompts, plan, folder).codes_NT
        features = measuring.features(Listed(pictures_of(pipeline, codes_NT)), None)
        seen[name] = what_is_seen(judge, measuring, features)
    rows = {
        group: {name: shares(seen[name], asked, members, pictures) for name in texts}
        for group, members in groups(phrasings)
        if members
    }
    less = sum(dict(one) != dict(row) for one, row in zip(asked, phrasings, strict=True))
    about = {"judge": measuring.recipe, "pictures": pictures, "seed": seed, "asked_less": less}
    return about | {"phrasings": len(phrasings), "groups": rows}


def what_is_seen(judge: Judge, measuring: Measuring, features: Any) -> list[dict[str, str]]:
    """The class of each attribute that is seen in each picture."""
    unknown = [dict.fromkeys(judge.probes, "?")] * len(features)
    seen = score(judge, measuring.extractor, features, unknown).seen
    return [dict(zip(seen, row, strict=True)) for row in zip(*seen.values(), strict=True)]


def shares(
    seen: Sequence[Record], phrasings: Sequence[Record], members: Sequence[int], pictures: int
) -> dict[str, float]:
    """Share of the members' pictures in which each attribute is as asked for, 0..1."""
    found = {}
    for name in WANTED:
        hits = [
            seen[member * pictures + copy].get(name) == phrasings[member][name]
            for member in members
            if phrasings[member].get(name)
            for copy in range(pictures)
        ]
        if hits:
            found[name] = sum(hits) / len(hits)
    return found


def phrasings_table(found: Report) -> str:
    """The report as text: a line for each group, phrasings over plain captions behind it."""
    lines = [
        f"{found['phrasings']} phrasings, {found['asked_less']} of them without what no training "
        f"picture has together; {found['pictures']} pictures each; {found['judge']}",
        f"{'':16}" + "".join(f"{name + ' (of plain)':>22}" for name in WANTED),
    ]
    for group, row in found["groups"].items():
        cells = ""
        for name in WANTED:
            own, plain = row["phrasings"].get(name), row["plain"].get(name)
            if own is None or plain is None:
                cells += " " * 22
            else:
                cells += f"{own:10.3f} / {plain:.3f} {own / max(plain, 1e-9):3.0%}".rjust(22)
        lines.append(f"{group:16}{cells}")
    return "\n".join(lines)
