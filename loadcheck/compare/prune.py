"""Chooses results files to remove, by age, number and labels, but none that is still needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadcheck.compare.history import Past, read_past, result_paths
from loadcheck.compare.trend import since_last_change
from loadcheck.documents.files import is_folder, reason_of
from loadcheck.errors import InputError, Problem, ResultFileError
from loadcheck.result import kind_of
from loadcheck.result.store import ResultFile, in_progress, read_unchecked

_EXAMPLE = "example"
_WRITTEN = ("comparison", "trend")
"""Kinds of files that are derived from results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which files to remove; all criteria must hold.

    Attributes:
        before: Begun before this instant, as results files write instants; "": at any time.
        beyond: Not among this many newest comparable runs; None: regardless of their number.
        takes: Returns whether a run is chosen, by its start, scenario, verdict and labels.
        labelled: Whether there are criteria by label or number: comparisons and trends have none.
    """

    before: str
    beyond: int | None
    takes: Callable[[str, str, str, Mapping[str, str]], bool]
    labelled: bool


@dataclass(slots=True, kw_only=True)
class PrunePlan:
    """The files to remove, and those to keep although they were chosen.

    Attributes:
        removed: Files to remove, with their state at the time of the plan.
        kept: Chosen files that stay, with the reason.
    """

    removed: dict[Path, os.stat_result] = field(default_factory=dict)
    kept: dict[Path, str] = field(default_factory=dict)


def plan(directory: Path, criteria: Criteria) -> PrunePlan:
    """Return which files of a directory to remove.

    Files that are unreadable or not loadcheck's stay, and are not listed. Of the chosen files these
    stay: examples (by their names), links, files being written, the runs that ``compare
    --baseline-from`` takes as a base, runs named by a comparison that stays, and the flows of a mix
    of which another flow stays.

    Raises:
        ResultFileError: There is no such directory, or it cannot be read.
    """
    made = PrunePlan()
    runs, others = _read(directory)
    for path, document in others.items():
        if _is_chosen(document, criteria):
            _choose(made, path, "")
    staying = [document for path, document in others.items() if path not in made.removed]
    named = {
        str(run.get("id"))
        for document in staying
        if kind_of(document) == "comparison"
        for side in ("base", "candidate")
        for run in document.get(side) or ()
        if isinstance(run, dict)
    }
    for history in _histories(runs):
        needed = {run.id for run in since_last_change([run for _, run in history])}
        newest_first = history[::-1][criteria.beyond or 0 :]
        for path, run in newest_first:
            if criteria.before and run.started_at >= criteria.before:
                continue
            if criteria.takes(run.started_at, run.scenario, run.verdict, run.labels):
                why = "a comparison names it" if run.id in named else ""
                _choose(made, path, "it belongs to the baseline" if run.id in needed else why)
    _keep_whole(made, runs)
    return made


def _keep_whole(made: PrunePlan, runs: Mapping[Path, Past]) -> None:
    """Keep all flows of a mix if one stays."""
    staying = {run.mix for path, run in runs.items() if path not in made.removed}
    for path in [*made.removed]:
        if path in runs and runs[path].mix and runs[path].mix in staying:
            del made.removed[path]
            made.kept[path] = "another flow of its mix stays"


def _read(directory: Path) -> tuple[dict[Path, Past], dict[Path, Mapping[str, Any]]]:
    """Return the runs of a directory, and its comparisons and trends."""
    if not is_folder(directory):
        message, remedy = "is not a directory that can be read", "name a directory of results files"
        raise ResultFileError(Problem(file=str(directory), message=message, remedy=remedy))
    runs: dict[Path, Past] = {}
    others: dict[Path, Mapping[str, Any]] = {}
    for path in result_paths([directory]):
        try:
            run = read_past(path)
            if run is not None:
                runs[path] = run
                continue
            document = read_unchecked(path)
        except ResultFileError:
            continue
        if kind_of(document) in _WRITTEN:
            others[path] = document
    return runs, others


def _is_chosen(document: Mapping[str, Any], criteria: Criteria) -> bool:
    """Return whether a comparison or a trend is chosen: by age, scenario and verdict alone."""
    created_at = str(document.get("created_at", ""))
    scenario = document.get("scenario")
    name = str(scenario.get("name", "")) if isinstance(scenario, dict) else ""
    return (
        not criteria.labelled
        and bool(criteria.before)
        and created_at < criteria.before
        and criteria.takes(created_at, name, str(document.get("verdict", "")), {})
    )


def _choose(made: PrunePlan, path: Path, needed: str) -> None:
    """Enter a chosen file in the plan: to remove, or to keep if there is a reason."""
    try:
        state = path.lstat()
    except OSError:
        return
    why = needed
    if path.name.startswith(_EXAMPLE):
        why = "it is an example"
    elif path.is_symlink():
        why = "it is a link"
    elif in_progress(path):
        why = "it is being written"
    if why:
        made.kept[path] = why
    else:
        made.removed[path] = state


def _histories(runs: Mapping[Path, Past]) -> Iterator[Sequence[tuple[Path, Past]]]:
    """Yield the groups of comparable runs, each in order of time."""
    groups: dict[tuple[object, ...], list[tuple[Path, Past]]] = {}
    for path, run in sorted(runs.items(), key=lambda item: (item[1].started_at, item[1].id)):
        groups.setdefault(run.identity, []).append((path, run))
    yield from groups.values()


def remove(made: PrunePlan) -> tuple[list[Path], list[str]]:
    """Remove the files of a plan.

    Each file is claimed meanwhile. Files written since the plan was made stay.

    Returns:
        The removed files, and why others were not removed.
    """
    gone, troubles = [], []
    for path, state in made.removed.items():
        try:
            with ResultFile(path, replace=True):
                now = path.lstat()
                if (now.st_ino, now.st_mtime_ns, now.st_size) != (
                    state.st_ino,
                    state.st_mtime_ns,
                    state.st_size,
                ):
                    troubles.append(f"{path}: has been written meanwhile, and stays")
                    continue
                path.unlink()
        except FileNotFoundError:
            continue
        except InputError as error:
            troubles += [f"{path}: {problem.message}" for problem in error.problems]
        except OSError as error:
            troubles.append(f"{path}: {reason_of(error)}")
        else:
            gone.append(path)
    return gone, troubles
