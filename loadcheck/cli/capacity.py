"""The command ``loadcheck capacity``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.exits import print_problem
from loadcheck.cli.overrides import (
    ChangeOptions,
    Outputs,
    ScenarioFile,
    Sending,
    Serving,
    Sharing,
    labelled,
    resolve_output,
)
from loadcheck.errors import Problem


def capacity(
    scenario: ScenarioFile,
    lowest: Annotated[
        float | None,
        typer.Option(
            "--from",
            metavar="RATE",
            help="Rate to start with, in copies per second.",
            show_default="the lowest rate of the load",
        ),
    ] = None,
    highest: Annotated[
        float | None,
        typer.Option(
            "--to",
            metavar="RATE",
            help="Maximum rate to try.",
            show_default="unlimited",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Relative precision of the result.", show_default="4%"),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME|EVENTS",
            help="Limit the search: 5m, or 2000000 events, or both. Repeatable.",
            show_default="unlimited",
        ),
    ] = None,
    *,
    changes: ChangeOptions,
    sharing: Sharing,
    sending: Sending,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the results file of every probe here.")
    ] = None,
    outputs: Outputs,
    serving: Serving,
) -> None:
    """Find the highest rate at which all thresholds hold and everything arrives.

    Each rate is probed by a run of its own. The result states whether the target or loadcheck
    itself was the limit.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.outputs import Reports  # noqa: PLC0415
    from loadcheck.cli.web import SearchView, finish, live_page  # noqa: PLC0415
    from loadcheck.pipeline.capacity import SearchOptions, search  # noqa: PLC0415
    from loadcheck.pipeline.shards import Workers  # noqa: PLC0415
    from loadcheck.verify import Verdict  # noqa: PLC0415

    chosen = _settings(lowest, highest, precision, budget)
    labels = labelled(sending.labels)
    loaded = terminal.read(scenario, changes, *sharing.overrides(), *labels, last=chosen)
    if sending.consent:
        terminal.approve_search(loaded, yes=sending.yes)
    directory, file = resolve_output(sending.output)
    options = SearchOptions(
        results=directory,
        output=file,
        replace=outputs.force,
        keep=keep,
        seed=sending.seed,
        consent=sending.consent,
        workers=Workers(scheduler=sending.scheduler, environment=changes.environment),
    )
    with (
        Reports(outputs, file) as reports,
        live_page(serving, quiet=outputs.quiet) as served,
    ):
        view = SearchView(served, quiet=outputs.quiet)
        searched = terminal.in_loop(search, loaded, options, view)
        view.settle()
        for note in view.notes:
            print_problem(Problem(message=note, severity="warning"))
        finish(served, searched.document)
        reports.conclude(searched)
    reports.check()
    raise typer.Exit(
        terminal.exit_of(
            consistent=Verdict.FAIL if searched.inconsistent else None,
            verdict=Verdict(searched.document["verdict"]),
            interrupted=searched.interrupted,
        )
    )


def _settings(
    lowest: float | None, highest: float | None, precision: str | None, budget: list[str] | None
) -> list[str]:
    """Return the options of the search as overrides of ``[capacity]``."""
    given: dict[str, str] = {}
    if lowest is not None:
        given["from"] = _number(lowest)
    if highest is not None:
        given["to"] = _number(highest)
    if precision is not None:
        given["precision"] = precision
    if budget:
        amounts = [part.strip() for entry in budget for part in entry.split(",")]
        given["budget"] = f"[{', '.join(map(_amount, amounts))}]"
    return [f"capacity.{name}={value}" for name, value in given.items()]


def _amount(written: str) -> str:
    """Return a part of a budget as TOML: a number as a number, all else as a string."""
    try:
        number = float(written)
    except ValueError:
        return json.dumps(written)
    return _number(number) if math.isfinite(number) else json.dumps(written)


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)
