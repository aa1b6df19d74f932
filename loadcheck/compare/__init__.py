"""Statistical comparison of results files, returned as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from loadcheck import __version__
from loadcheck.compare.evidence import Evidence, Unknown, evidence
from loadcheck.compare.figures import Difference, Figure, differences, unfinished
from loadcheck.compare.intervals import Intervals, curves
from loadcheck.compare.judge import CONFIDENCE, MOST_RUNS, FigureComparison, judge
from loadcheck.documents import format_instant
from loadcheck.errors import Problem, ResultFileError
from loadcheck.result.schema_others import COMPARISON, Change

_SECTIONS = ("load", "generator", "steps", "consistency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A results document and its file.

    Attributes:
        file: As the user named it.
        document: Its content.
    """

    file: str
    document: Mapping[str, Any]


def compare(
    base: Sequence[Stored],
    candidate: Sequence[Stored],
    *,
    tolerance: float = 0.05,
    force: bool = False,
) -> dict[str, Any]:
    """Return the document of a comparison.

    Args:
        base: Runs to compare with; without any there are no figures and the verdict is "unsure".
        candidate: Runs to judge.
        tolerance: Differences up to this share of the base count as none.
        force: Compare even runs that are not comparable.

    Raises:
        ResultFileError: Runs are not comparable (every reason is reported), or have no figures; or
            a file is broken.
    """
    runs = [*base, *candidate]
    _require_figures(runs)
    apart, problems = _apart(runs)
    if problems and not force:
        raise ResultFileError(problems)
    intervals = [Intervals(run.document, run.file) for run in runs]
    found = [evidence(run.document, cut) for run, cut in zip(runs, intervals, strict=True)]
    shown = [_run(run, cut) for run, cut in zip(runs, intervals, strict=True)]
    sides = found[: len(base)], found[len(base) :]
    figures = list(dict.fromkeys(figure for each in found for figure in each)) if base else []
    judged = [
        judge(
            figure,
            [_of(run, figure) for run in sides[0]],
            [_of(run, figure) for run in sides[1]],
            tolerance,
        )
        for figure in figures
    ]
    return {
        "schema": COMPARISON,
        "created_at": format_instant(datetime.now(UTC)),
        "loadcheck": __version__,
        "verdict": verdict(judged),
        "scenario": {"name": str(candidate[-1].document["scenario"].get("name", ""))},
        "tolerance": tolerance,
        "confidence": CONFIDENCE,
        "forced": [str(problem) for problem in problems],
        "differences": [asdict(difference) for difference in apart],
        "notes": [*_notes(base, candidate), *_advice(judged, len(base), len(candidate))],
        "figures": [_figure(one) for one in judged],
        "base": shown[: len(base)],
        "candidate": shown[len(base) :],
    }


def verdict(judged: Sequence[FigureComparison]) -> str:
    """Return the overall word: "worse", "same", "better" or, without evidence, "unsure".

    One worse figure of the target makes the candidate worse. Otherwise the verdict is unsure if a
    core figure (the median time of a per-copy step) is, or if there is none; other unsure figures
    are ignored.
    """
    words = {one.word for one in judged if one.figure.about == "target"}
    core = {one.word for one in judged if one.figure.core}
    if Change.WORSE in words:
        return str(Change.WORSE.value)
    if Change.UNSURE in core or not core:
        return str(Change.UNSURE.value)
    return str((Change.BETTER if Change.BETTER in words else Change.SAME).value)


def _require_figures(runs: Sequence[Stored]) -> None:
    problems = [
        Problem(
            file=run.file,
            remedy="name the file of a run that has ended by itself",
            message=f"has no figures to compare: the run got as far as "
            f"{run.document['run']['phase']}",
        )
        for run in runs
        if not all(section in run.document for section in _SECTIONS)
    ]
    if problems:
        raise ResultFileError(problems)


def _apart(runs: Sequence[Stored]) -> tuple[list[Difference], list[Problem]]:
    """Return the differences of runs from the first, and the reasons not to compare them."""
    first = runs[0]
    problems = [
        Problem(file=run.file, message=why, remedy=_GO_ON)
        for run in runs
        if (why := unfinished(run.document))
    ]
    apart = []
    for run in runs[1:]:
        found = differences(first.document, run.document, run.file)
        apart += found
        problems += [
            Problem(
                file=run.file,
                key=one.key,
                message=f"is {_shown(one.candidate)}, but {_shown(one.base)} in {first.file}",
                remedy=_GO_ON,
            )
            for one in found
            if one.matters
        ]
    return apart, problems


_GO_ON = "these runs cannot be compared; --force does it all the same"


def _shown(value: Any) -> str:
    return "not given" if value is None else f'"{value}"'


def _of(run: Mapping[Figure, Evidence], figure: Figure) -> Evidence:
    return run.get(figure, Unknown(trouble="missing from some of the runs"))


def _notes(base: Sequence[Stored], candidate: Sequence[Stored]) -> list[str]:
    """Return the caveats that a reader should know before trusting the words."""
    notes = []
    if len(base) == len(candidate) == 1:
        notes.append(
            "One run per side: the intervals cover the variance within the runs, not between "
            "them. Use at least three runs per side to include run-to-run variance."
        )
    notes += [
        f"{run.file} was written by an earlier version and has no intervals: a single run of it "
        "shows how large a figure was, not how certain that is."
        for run in (*base, *candidate)
        if not run.document.get("intervals")
    ]
    notes += [
        f"{run.file}: {finding['summary']}"
        for run in (*base, *candidate)
        for finding in run.document.get("findings", ())
        if finding["check"] == "generator"
    ]
    return notes


def _advice(judged: Sequence[FigureComparison], base: int, candidate: int) -> list[str]:
    """Return advice on how many runs would settle the unsure core figures; [] if unknown."""
    needed = [one.runs_needed for one in judged if one.figure.core and one.runs_needed]
    if not needed:
        return []
    number = max(needed)
    several = f"about {number}" if number <= MOST_RUNS else f"more than {MOST_RUNS}"
    advice = (
        f"The runs of a side vary too much: {several} runs per side would settle the figures that "
        f"are unsure (now {base} and {candidate}). A quieter machine or a longer load needs fewer."
    )
    return [advice]


def _figure(one: FigureComparison) -> dict[str, Any]:
    figure = one.figure
    return {
        **figure.named(),
        "base": one.base,
        "candidate": one.candidate,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "relative": {
            "difference": one.relative(one.difference),
            "low": one.relative(one.low),
            "high": one.relative(one.high),
        },
        "margin": one.margin,
        "method": one.method,
        "word": one.word.value,
        "why": one.why,
    }


def _run(stored: Stored, intervals: Intervals) -> dict[str, Any]:
    document = stored.document
    run = document["run"]
    return {
        "file": stored.file,
        "id": run["id"],
        "started_at": run["started_at"],
        "scenario": str(document["scenario"].get("name", "")),
        "verdict": document["verdict"],
        "copies": document["copies"],
        "load": document["load"],
        "stages": document.get("stages", []),
        "environment": document["environment"],
        "labels": document.get("labels", {}),
        "curves": curves(document, intervals),
    }
