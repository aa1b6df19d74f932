"""Data files before the load: whether they can be read, and how far they reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from loadcheck.data.table import DataError, open_table
from loadcheck.data.variety import DataFile, Variety
from loadcheck.errors import Problem, ScenarioError, did_you_mean
from loadcheck.load.pacer import planned_copies
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario
from loadcheck.workflow.identity import Run

_COLUMN: Final = re.compile(r"\$data\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


def with_data(
    scenario: Scenario, run: Run, seed: int, problems: list[Problem]
) -> tuple[Scenario, Run]:
    """Scan the data files; return the scenario, its load ending with the rows, and the run.

    Args:
        scenario: What to do.
        run: Who the run is.
        seed: Seed of everything random.
        problems: What else is wrong.

    Raises:
        ScenarioError: A file cannot be used; with every problem found.
    """
    load = scenario.load
    for file in scenario.files.values():
        try:
            table = open_table(file.path, file.layout)
        except DataError as error:
            key = f"data.{file.name}.file"
            # the line is one of the data file: it is the file that has to be mended
            told = Problem(
                message=error.message,
                file=str(file.path),
                line=error.line,
                key=key,
                remedy=error.remedy,
            )
            problems.append(told)
            continue
        problems += _unknown_types(scenario, file, table.names)
        problems += _unknown_columns(scenario, file, table.names)
        planned = planned_copies(load, seed)
        if not table.rows:
            problems.append(scenario.problem(f"data.{file.name}.file", "has no rows"))
        elif file.end == "stop":
            load = _at_most(load, table.rows)
        elif file.end == "error" and planned is None:
            remedy = 'say how many by load.copies, or end = "stop"'
            message = f"{table.rows:,} rows may be too few: the load has no number of copies"
            problems.append(scenario.problem(f"data.{file.name}.order", message, remedy))
        elif file.end == "error" and planned is not None and planned > table.rows:
            message = f"{table.rows:,} rows are too few for {planned:,} copies"
            remedy = 'a longer file, fewer copies, or end = "stop"'
            problems.append(scenario.problem(f"data.{file.name}.file", message, remedy))
    if problems and scenario.files:
        # what refers to a file cannot be compiled without it
        raise ScenarioError(problems)
    variety = Variety(seed=seed, files=scenario.files, values=scenario.values)
    copies = run.copies if load is scenario.load else planned_copies(load, seed)
    return replace(scenario, load=load), replace(run, variety=variety, copies=copies)


def _unknown_columns(scenario: Scenario, file: DataFile, names: Sequence[str]) -> list[Problem]:
    """Return a problem for each place that names a column which the file has not."""
    places = [(f"inputs.{name}", given.value) for name, given in scenario.inputs.items()]
    places += [(f"overlay.{index}", edit.value) for index, edit in enumerate(scenario.overlay)]
    return [
        scenario.problem(key, f"{file.shown} has no column {column}", did_you_mean(column, names))
        for place, value in places
        for key, text in _texts(value, place)
        for name, column in _COLUMN.findall(text)
        if name == file.name and column not in names
    ]


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the strings in a value, each with its place in the scenario."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | list):
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(part, f"{key}.{name}")


def _at_most(load: OpenLoad | ClosedLoad, rows: int) -> OpenLoad | ClosedLoad:
    copies = rows if load.copies is None else min(rows, load.copies)
    return replace(load, copies=copies)


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
