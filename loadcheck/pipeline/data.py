"""Checks of data files before the load: can they be read, and do they have enough rows?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from loadcheck.data import DataFile, Variety, Visits
from loadcheck.data.order import rows_of
from loadcheck.data.table import DataError, open_table
from loadcheck.errors import Problem, ScenarioError, did_you_mean
from loadcheck.load.pacer import planned_copies
from loadcheck.pipeline.once import texts
from loadcheck.scenario.model import Scenario, Verify
from loadcheck.workflow.copydata import MANY, UNIQUE
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Plan, StepPlan

_NAMED: Final = re.compile(r"\$(data|values)\.([A-Za-z0-9_-]+)")
_COLUMN: Final = re.compile(r"\$data\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


def with_data(
    scenario: Scenario, run: Run, seed: int, problems: list[Problem]
) -> tuple[Scenario, Run]:
    """Scan the data files; return the scenario, its load ending with the rows, and the run.

    Args:
        scenario: The scenario.
        run: Identity of the run.
        seed: Random seed.
        problems: Problems found before; those of the files are added.

    Raises:
        ScenarioError: A file cannot be used; with every problem found.
    """
    load = scenario.load
    unknown = _unknown_names(scenario)
    problems += unknown
    visits = None if scenario.sessions is None else Visits(scenario.sessions, seed)
    each = 1 if visits is None else visits.most
    for file in scenario.files.values():
        try:
            table = open_table(file.path, file.layout)
        except DataError as error:
            key = f"data.{file.name}.file"
            # the line is one of the data file, which has to be corrected
            problem = Problem(
                message=error.message,
                file=str(file.path),
                line=error.line,
                key=key,
                remedy=error.remedy,
            )
            problems.append(problem)
            continue
        problems += _unknown_types(scenario, file, table.names)
        problems += _unknown_columns(scenario, file, table.names)
        planned = planned_copies(load, seed)
        planned = planned and planned * each
        if not table.rows:
            problems.append(scenario.problem(f"data.{file.name}.file", "has no rows"))
        elif file.end == "stop":
            rows = max(1, table.rows // each)
            load = replace(load, copies=rows if load.copies is None else min(rows, load.copies))
        elif file.end == "error" and planned is None:
            remedy = 'say how many by load.copies, or end = "stop"'
            message = f"{table.rows:,} rows may be too few: the load has no number of copies"
            problems.append(scenario.problem(f"data.{file.name}.order", message, remedy))
        elif file.end == "error" and planned is not None and planned > table.rows:
            many = f"{planned:,} " + ("copies" if each == 1 else f"uploads, {each:,} a copy")
            message = f"{table.rows:,} rows are too few for {many}"
            remedy = 'a longer file, fewer copies, or end = "stop"'
            problems.append(scenario.problem(f"data.{file.name}.file", message, remedy))
    if problems and (scenario.files or unknown):
        # what refers to a file cannot be compiled without it
        raise ScenarioError(problems)
    variety = Variety(seed=seed, files=scenario.files, values=scenario.values)
    copies = run.copies if load is scenario.load else planned_copies(load, seed)
    return replace(scenario, load=load), replace(
        run, variety=variety, copies=copies, user_ids=scenario.user_ids, visits=visits
    )


def _unknown_names(scenario: Scenario) -> list[Problem]:
    """Return a problem for each place that names a data file or a value that does not exist."""
    given = {"data": scenario.files, "values": scenario.values}
    remedies = {"data": "name its file: [data.{}]", "values": "give it in [values]: {} = …"}
    return [
        scenario.problem(
            key,
            f'there is no {"value" if table == "values" else "data"} "{name}"',
            did_you_mean(name, given[table]) or remedies[table].format(name),
        )
        for key, text in _written(scenario)
        for table, name in _NAMED.findall(text)
        if name not in given[table]
    ]


def _unknown_columns(scenario: Scenario, file: DataFile, names: Sequence[str]) -> list[Problem]:
    """Return a problem for each place that names a column which the file does not have."""
    return [
        scenario.problem(key, f"{file.shown} has no column {column}", did_you_mean(column, names))
        for key, text in _written(scenario)
        for name, column in _COLUMN.findall(text)
        if name == file.name and column not in names
    ]


def _written(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Yield the texts of inputs and overlays that are read as expressions, with their keys."""
    for name, given in scenario.inputs.items():
        if not given.secret:
            yield from texts(given.value, f"inputs.{name}")
    for index, edit in enumerate(scenario.overlay):
        yield from texts(edit.value, f"overlay.{index}.value")


_IDENTITY: Final = frozenset(
    {"$copy.userId", "$copy.userUuid", "$copy.insertId", "$copy.insertUuid", "$copy.number"}
)
"""Expressions whose values no two copies of a run have in common."""
_COMPARED: Final = 100_000
"""How many copies' cells are compared before the run, in 0.3 s."""


def user_problems(scenario: Scenario, run: Run, plan: Plan, ingest: StepPlan) -> list[Problem]:
    """Return why two copies could be the same user, or send an unknown number of events.

    Either would make the verdict wrong: users are compared with copies, events with both.
    """
    verify = scenario.verify
    if not verify.enabled:
        return []
    for place in _event_places(verify):
        for word in sorted(plan.uses_at(ingest.step_id, place)):
            if word.startswith(MANY):
                key = _place_of(scenario, word.removeprefix(MANY), place)
                message = "a list of events: how many each copy sent could not be known"
                remedy = "a fixed number is load.events_per_copy"
                return [scenario.problem(key, message, remedy)]
    uses = frozenset() if verify.user is None else plan.uses_at(ingest.step_id, verify.user)
    if run.visits is not None:
        return _visit_problems(scenario, run, uses, ingest.uses)
    drawn = {word for word in uses if word.startswith("$values.")}
    files = {word.split(".")[1]: word for word in uses if word.startswith("$data.")}
    if uses & _IDENTITY or any(UNIQUE + word in uses for word in drawn) or not (drawn or files):
        return []
    same = [_same_cell(scenario, run, word) for word in files.values()]
    if files and not all(same):
        return []
    word = next(iter(files.values()), None) or min(drawn)
    message = next(filter(None, same), "two copies may draw the same user id")
    remedy = "ids of their own: [users] id, $copy.userId, or a file whose rows are taken once"
    return [scenario.problem(_place_of(scenario, word), message, remedy)]


_MOST_UPLOADS: Final = 2**32


def _visit_problems(
    scenario: Scenario, run: Run, user: frozenset[str], request: frozenset[str]
) -> list[Problem]:
    """Return why users cannot come again.

    Args:
        scenario: The scenario.
        run: Identity of the run.
        user: Expressions that the user id depends on; empty if its place is unknown.
        request: Expressions that the whole request depends on.
    """
    same = {"$copy.userId", "$copy.userUuid"}
    others = {word for word in user if word.startswith(("$data.", "$values."))}
    others |= user & (_IDENTITY - same)
    if (run.most_uploads or 0) > _MOST_UPLOADS:
        message = f"{run.most_uploads:,} uploads are more than can be numbered"
        remedy = "fewer copies, or fewer uploads each"
        return [scenario.problem("sessions.uploads", message, remedy)]
    message = "users cannot come again: "
    if not (user or request) & same:
        message += "the request does not hold $copy.userId"
    elif others:
        message += f"a user depends on {', '.join(sorted(others))}, which differs each time"
    else:
        return []
    remedy = 'put "$copy.userId" there, in the form of [users] id, or leave out [sessions]'
    return [scenario.problem("sessions", message, remedy)]


def _event_places(verify: Verify) -> Iterator[str]:
    """Yield the places of events in the ingest step's request, as far as they are known."""
    if verify.user is not None:
        yield verify.user
    if verify.repeat is not None:
        yield verify.repeat.event
    if verify.batch is not None and verify.batch.events != "body":  # lines: one event each
        yield verify.batch.events
    if verify.export is not None and verify.export.event is not None:
        yield verify.export.event


def _same_cell(scenario: Scenario, run: Run, word: str) -> str:
    """Return why two copies may take the same cell of a column that names users; else ""."""
    _, name, column = word.split(".", 2)
    file = scenario.files[name]
    table = open_table(file.path, file.layout)
    rows = table.rows
    if file.order == "random":
        return f"two copies may take the same row of {file.shown}, and be the same user"
    if file.end == "cycle" and (run.copies is None or run.copies > rows):
        many = "any number of" if run.copies is None else f"{run.copies:,}"
        return f"{many} copies share the {rows:,} rows of {file.shown}: two are the same user"
    copies = min(rows if run.copies is None else run.copies, rows, _COMPARED)
    choose = rows_of(file.order, rows, run.variety.seed, name)
    taken = choose(np.arange(copies, dtype=np.uint64))
    read = table.column(column).value
    seen: dict[Any, int] = {}
    for number, row in enumerate(table.read(taken)):
        cell = read(row)
        first = seen.setdefault(cell if isinstance(cell, str | int) else repr(cell), number)
        if first != number:
            return f"copies {first:,} and {number:,} are the same user: {cell!r} in {file.shown}"
    return ""


def _place_of(scenario: Scenario, word: str, at: str = "") -> str:
    """Return the scenario's key of an expression, preferably the one that edits a place."""
    for index, edit in enumerate(scenario.overlay):
        if at.startswith(edit.at) and edit.value == word:
            return f"overlay.{index}.value"
    for key, text in _written(scenario):
        if word in text:
            return key
    return word.removeprefix("$values.")


def _unknown_types(scenario: Scenario, file: DataFile, names: Sequence[str]) -> list[Problem]:
    return [
        scenario.problem(
            f"data.{file.name}.types.{name}",
            f"{file.shown} has no such column",
            "it has " + ", ".join(names),
        )
        for name, _ in file.layout.types
        if name not in names
    ]
