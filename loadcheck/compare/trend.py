"""Groups past runs into histories, and finds where their figures changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from loadcheck import __version__
from loadcheck.compare.changes import (
    FEWEST_RUNS,
    SIGNIFICANCE,
    ChangePoint,
    FigureChanges,
    FigureHistory,
    find_changes,
    require_ruptures,
)
from loadcheck.compare.figures import Figure
from loadcheck.compare.history import Past, read_history, read_past, result_paths
from loadcheck.documents import format_instant
from loadcheck.errors import InputError, Problem, ResultFileError
from loadcheck.result.schema_others import TREND, ended

TOLERANCE = 0.03
"""By default, changes up to this share count as none."""
_UNITS = {"ms": 0.0, "1/s": 0.0, "ratio": 0.001, "count": 0.5}
"""By unit, changes up to this count as none, however small the level."""
_MOST_DIFFERENCES = 8
_MOST_BASE = 30
"""Maximum number of runs in a baseline: the newest."""


def trend(
    runs: Sequence[Past],
    problems: Sequence[Problem] = (),
    *,
    label: str = "",
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the document of a trend.

    Args:
        runs: Runs in order of time.
        problems: Problems of other files.
        label: Label by whose values to order the runs; "" to order them by time.
        tolerance: Changes up to this share count as none.
        seed: Seed of the permutations.

    Raises:
        InputError: ``ruptures`` is not installed.
    """
    require_ruptures()
    skipped = [{"file": each.file, "why": each.message} for each in problems]
    if label:
        skipped += [
            {"file": run.file, "why": f'has no label "{label}"'}
            for run in runs
            if label not in run.labels
        ]
        runs = _by_label([run for run in runs if label in run.labels], label)
    groups: dict[tuple[object, ...], list[Past]] = {}
    for run in runs:
        groups.setdefault(run.identity, []).append(run)
    newest = sorted(groups.values(), key=lambda group: max(_when(run) for run in group))[::-1]
    apart = _apart(newest)
    histories = [
        _history(group, why, tolerance, seed) for group, why in zip(newest, apart, strict=True)
    ]
    words = [
        history["verdict"]
        for history, over in zip(histories, ended(histories), strict=True)
        if not over
    ]
    return {
        "schema": TREND,
        "created_at": format_instant(datetime.now(UTC)),
        "loadcheck": __version__,
        "verdict": next((w for w in ("worse", "better", "same") if w in words), "unsure"),
        "order": label or "time",
        "tolerance": tolerance,
        "significance": SIGNIFICANCE,
        "seed": seed,
        "skipped": skipped,
        "histories": histories,
    }


def baseline(directory: Path, candidates: Sequence[Path], *, optional: bool = False) -> list[Path]:
    """Return the runs of a directory to compare candidates with.

    They are comparable with the first candidate, are not candidates themselves, have a known
    verdict, and come after the last change of any figure of the target; at most the newest 30.

    Args:
        directory: Where they are.
        candidates: Files of the candidate.
        optional: Return an empty list instead of raising ``ResultFileError``.

    Raises:
        ResultFileError: There is none, or a candidate cannot be read.
        InputError: ``ruptures`` is not installed.
    """
    try:
        return _baseline(directory, candidates)
    except ResultFileError:
        if optional:
            return []
        raise


def _baseline(directory: Path, candidates: Sequence[Path]) -> list[Path]:
    paths = result_paths([directory])
    news = [run for run in map(read_past, candidates) if run is not None]
    if not news:
        return []
    ids = {run.id for run in news}
    runs, problems = read_history(paths)
    others = [run for run in runs if run.id not in ids and run.kind == "result"]
    alike = [run for run in others if run.identity == news[0].identity]
    usable = [run for run in alike if not run.unused]
    if not usable:
        counted = f"{len(others)} runs, none of them comparable" if others else "no run"
        if alike:
            counted = f"{len(alike)} comparable runs, but none with a known verdict"
        message = f"holds {counted} with {candidates[0]}"
        remedy = problems[0].message if problems and not others else "name the base by its files"
        raise ResultFileError(Problem(file=str(directory), message=message, remedy=remedy))
    require_ruptures()
    return [Path(run.file) for run in since_last_change(alike)]


def since_last_change(runs: Sequence[Past]) -> list[Past]:
    """Return the runs since the last change of any figure of the target, at most the newest 30.

    They have a known verdict. With few runs, or without ``ruptures``, no change is found.

    Args:
        runs: Comparable runs, in order of time.
    """
    usable = [run for run in runs if not run.unused]
    since = 0
    if len(usable) >= FEWEST_RUNS:
        figures = _figures(runs)
        try:
            found = find_changes(_series(figures, runs), TOLERANCE)
        except InputError:
            found = {}
        since = max(
            (
                point.index
                for figure in figures
                if figure.about == "target" and figure.key in found
                for point in found[figure.key].points
            ),
            default=0,
        )
    return [run for run in runs[since:] if not run.unused][-_MOST_BASE:]


def _when(run: Past) -> tuple[str, str]:
    return run.started_at, run.id


def _by_label(runs: Sequence[Past], label: str) -> list[Past]:
    """Return runs ordered by the value of a label: numbers ascending, others by their first run."""
    values = {run.labels[label] for run in runs}
    if all(value.isdecimal() for value in values):
        return sorted(runs, key=lambda run: (int(run.labels[label]), *_when(run)))
    first: dict[str, tuple[str, str]] = {}
    for run in runs:
        first[run.labels[label]] = min(first.get(run.labels[label], _when(run)), _when(run))
    return sorted(runs, key=lambda run: (first[run.labels[label]], *_when(run)))


def _apart(groups: Sequence[Sequence[Past]]) -> list[list[str]]:
    """Return how each history differs from the first of the same kind and scenario."""
    first: dict[tuple[str, str], Past] = {}
    found = []
    for group in groups:
        name = group[-1].kind, group[-1].scenario
        other = first.setdefault(name, group[-1])
        mine = set(map(str, group[-1].identity)) - set(map(str, other.identity))
        found.append(sorted(mine)[:_MOST_DIFFERENCES])
    return found


def _figures(runs: Iterable[Past]) -> list[Figure]:
    return list(dict.fromkeys(figure for run in reversed([*runs]) for figure in run.figures))


def _series(figures: Sequence[Figure], runs: Sequence[Past]) -> dict[str, FigureHistory]:
    """Return the figures over the runs; an unused run has no value."""
    return {
        figure.key: FigureHistory(
            values=np.array(
                [
                    run.figures[figure].value
                    if figure in run.figures and not run.unused
                    else np.nan
                    for run in runs
                ],
                dtype=np.float64,
            ),
            logarithmic=figure.unit in ("ms", "1/s"),
            floor=max(figure.floor, _UNITS[figure.unit]),
        )
        for figure in figures
    }


def _history(
    runs: Sequence[Past], apart: Sequence[str], tolerance: float, seed: int
) -> dict[str, Any]:
    figures = _figures(runs)
    usable = sum(not run.unused for run in runs)
    found = {figure.key: FigureChanges() for figure in figures}
    enough = usable >= FEWEST_RUNS
    if enough:
        found = _aligned(find_changes(_series(figures, runs), tolerance, seed))
    rows = [_figure(figure, runs, found[figure.key], enough=enough) for figure in figures]
    target = [figure for figure in rows if figure["about"] == "target"]
    words = {figure["word"] for figure in target}
    verdict = next((word for word in ("worse", "better") if word in words), "same")
    return {
        "name": runs[-1].scenario,
        "kind": runs[-1].kind,
        "apart": apart,
        "verdict": verdict if enough else "unsure",
        "missing": max(FEWEST_RUNS - usable, 0),
        "runs": [
            {
                "file": run.file,
                "id": run.id,
                "started_at": run.started_at,
                "verdict": run.verdict,
                "labels": dict(run.labels),
                "unused": run.unused,
            }
            for run in runs
        ],
        "changes": _events(target, runs),
        "figures": rows,
    }


def _aligned(found: Mapping[str, FigureChanges]) -> dict[str, FigureChanges]:
    """Return the changes, with steps at neighbouring runs moved to the most frequent one."""
    steps = Counter(
        point.index for one in found.values() for point in one.points if point.kind == "step"
    )
    moved = {}
    for index in steps:
        near = [each for each in (index - 1, index, index + 1) if steps[each]]
        moved[index] = max(near, key=lambda each: (steps[each], -each))
    aligned = {}
    for key, one in found.items():
        points = [
            ChangePoint(
                index=moved.get(point.index, point.index) if point.kind == "step" else point.index,
                kind=point.kind,
                before=point.before,
                after=point.after,
                p=point.p,
            )
            for point in one.points
        ]
        aligned[key] = FigureChanges(
            points=points, outliers=one.outliers, level=one.level, low=one.low, high=one.high
        )
    return aligned


def _figure(
    figure: Figure, runs: Sequence[Past], changes: FigureChanges, *, enough: bool
) -> dict[str, Any]:
    ranges = [run.figures.get(figure) for run in runs]
    points = [
        {
            "run": point.index,
            "kind": point.kind,
            "before": point.before,
            "after": point.after,
            "relative": (point.after - point.before) / point.before if point.before else None,
            "p": point.p,
            "word": "worse"
            if (point.after > point.before) is (figure.better == "less")
            else "better",
        }
        for point in changes.points
    ]
    return {
        **figure.named(),
        "word": (points[-1]["word"] if points else "same") if enough else "unsure",
        "values": [None if one is None else one.value for one in ranges],
        "low": [None if one is None else one.low for one in ranges],
        "high": [None if one is None else one.high for one in ranges],
        "outliers": list(changes.outliers),
        "level": changes.level,
        "level_low": changes.low,
        "level_high": changes.high,
        "changes": points,
    }


def _events(figures: Sequence[Mapping[str, Any]], runs: Sequence[Past]) -> list[dict[str, Any]]:
    """Return the changes of all figures, grouped by the run at which they begin."""
    pairs = sorted(
        (
            (change["run"], number, figure["key"], change["word"])
            for number, figure in enumerate(figures)
            for change in figure["changes"]
        ),
    )
    events = []
    for index, members in groupby(pairs, key=lambda pair: pair[0]):
        changed = [*members]
        before = next((run for run in reversed(runs[:index]) if not run.unused), runs[0])
        events.append(
            {
                "run": index,
                "word": "worse" if any(word == "worse" for *_, word in changed) else "better",
                "figures": [key for _, _, key, _ in changed],
                "differences": _differences(before, runs[index]),
            }
        )
    return events


def _differences(before: Past, after: Past) -> list[dict[str, Any]]:
    left = {**before.facts, **{f"label {n}": v for n, v in before.labels.items()}}
    right = {**after.facts, **{f"label {n}": v for n, v in after.labels.items()}}
    return [
        {"key": key, "before": left.get(key), "after": right.get(key)}
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key) and not key.startswith("label ci_")
    ][:_MOST_DIFFERENCES]
