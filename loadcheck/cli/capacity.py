"""The command ``loadcheck capacity``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from loadcheck.cli.exits import print_problem
from loadcheck.cli.overrides import (
    EnvFile,
    Force,
    Json,
    Junit,
    Labels,
    Live,
    Markdown,
    Output,
    Page,
    Prefixes,
    Profile,
    Quiet,
    ScenarioFile,
    Scheduler,
    Seed,
    Servers,
    Sets,
    Sources,
    Strict,
    WorkersOption,
    labelled,
    overrides,
    resolve_output,
    shared,
)
from loadcheck.cli.plan import Yes
from loadcheck.cli.run import Linger, MetricsPort, Open, Web
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
    sets: Sets = None,
    labels: Labels = None,
    profile: Profile = "",
    env_file: EnvFile = None,
    sources: Sources = None,
    servers: Servers = None,
    strict: Strict = False,
    output: Output = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the results file of every probe here.", show_default=False
        ),
    ] = None,
    page: Page = None,
    junit: Junit = None,
    markdown: Markdown = None,
    force: Force = False,
    seed: Seed = None,
    consent: Live = False,
    as_json: Json = False,
    quiet: Quiet = False,
    workers: WorkersOption = None,
    prefixes: Prefixes = None,
    scheduler: Scheduler = None,
    web: Web = None,
    opened: Open = False,
    linger: Linger = None,
    metrics_port: MetricsPort = None,
    yes: Yes = False,
) -> None:
    """Find the highest rate at which all thresholds hold and everything arrives.

    Each rate is probed by a run of its own. The result states whether the target or loadcheck
    itself was the limit.
    """
    import anyio  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck import scenario as scenarios  # noqa: PLC0415
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.outputs import Reports  # noqa: PLC0415
    from loadcheck.cli.web import SearchView, finish, live_page  # noqa: PLC0415
    from loadcheck.pipeline.capacity import Options, search  # noqa: PLC0415
    from loadcheck.pipeline.prepare import read_scenario  # noqa: PLC0415
    from loadcheck.pipeline.shards import Workers  # noqa: PLC0415
    from loadcheck.verify import Verdict  # noqa: PLC0415

    environment = scenarios.environment(env_file)
    changes = overrides(sets, sources, servers, strict=strict)
    loaded = read_scenario(
        scenario,
        [
            *shared(workers, prefixes),
            *labelled(labels),
            *changes,
            *_settings(lowest, highest, precision, budget),
        ],
        profile=profile,
        environment=environment,
    )
    if consent:
        terminal.approve_search(loaded, yes=yes)
    directory, file = resolve_output(output)
    options = Options(
        results=directory,
        output=file,
        replace=force,
        keep=keep,
        seed=seed,
        consent=consent,
        workers=Workers(scheduler=scheduler, environment=environment),
    )
    with (
        Reports(page, junit, markdown, result=file, replace=force) as reports,
        live_page(web, metrics_port, linger, opened=opened, quiet=quiet) as served,
    ):
        view = SearchView(served, quiet=quiet)
        searched = anyio.run(
            partial(search, loaded, options, view), backend_options={"use_uvloop": True}
        )
        view.settle()
        for note in view.notes:
            print_problem(Problem(message=note, severity="warning"))
        document = searched.document
        finish(served, document)
        try:
            reports.write(document)
        finally:
            _print(searched, reports.written, as_json=as_json, quiet=quiet)
    reports.check()
    raise typer.Exit(
        terminal.exit_of(
            consistent=Verdict.FAIL if searched.inconsistent else None,
            verdict=Verdict(document["verdict"]),
            interrupted=searched.interrupted,
        )
    )


def _print(searched: Any, also: Sequence[Path], *, as_json: bool, quiet: bool) -> None:
    """Print the answer, and hand over what could not be saved.

    Raises:
        ResultFileError: It could not be saved.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.report import capacity as report  # noqa: PLC0415

    document, unsaved = searched.document, searched.unsaved
    stream = sys.stderr if as_json or (unsaved and not sys.stdout.isatty()) else sys.stdout
    paths = [terminal.shown_path(path) for path in ([] if unsaved else [searched.path])]
    paths += map(terminal.shown_path, also)
    if quiet:
        stream.write("  ".join([report.headline(document), *paths]) + "\n")
    else:
        color = terminal.has_color(stream)
        stream.write(report.summary(document, color=color, width=terminal.width(), paths=paths))
    if as_json:
        terminal.write_json(document)
    elif unsaved is not None:
        terminal.offer(document, searched.path)
    if unsaved is not None:
        raise unsaved


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
    """Return a part of a budget as TOML: a number as it stands, all else as a string."""
    try:
        number = float(written)
    except ValueError:
        return json.dumps(written)
    return _number(number) if math.isfinite(number) else json.dumps(written)


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)
