"""A plan as lines for people, for `ufc run --plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ufc.tasks.plan import Part, Plan


def describe(plan: Plan, values: Mapping[str, str] | None = None) -> str:
    """The plan as lines for people, with what was given for its slots."""
    rows = [("instruction", str(plan.instruction)), ("task", plan.task)]
    for title, parts in (("conditioning", plan.conditioning), ("target", plan.targets)):
        for part in parts:
            rows.append((title, part_line(part, (values or {}).get(part.name))))
            if part.mask:
                rows.append(("", f"  masked: {part.mask}"))
    rows.append(("inference", plan.sampler))
    rows.append(("training", f"{plan.objective[0]}: {plan.objective[1]}"))
    if unused := plan.training_only():
        rows.append(("", f"used by training alone: {', '.join(unused)}"))
    return "\n".join(lines_of(rows))


def part_line(part: Part, value: str | None) -> str:
    said = f" = {value}" if value is not None and part.role != "target" else ""
    return f"{part.name}{said} ({part.kind}, {part.role}): {part.encoding}"


def lines_of(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Two columns; a title is said once."""
    width = max(len(title) for title, _ in rows)
    before = ""
    for title, text in rows:
        yield f"{'' if title == before else title:<{width}}  {text}".rstrip()
        before = title or before
