"""``loadcheck run`` of a mix: a report for each flow, and a line for all together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import NoReturn

import anyio
import typer

from loadcheck.cli import terminal
from loadcheck.cli.exits import exit_of
from loadcheck.cli.outputs import Reports
from loadcheck.cli.web import finish
from loadcheck.pipeline import Options
from loadcheck.pipeline.mix import of_flow, run_mix
from loadcheck.report import otel as telemetry
from loadcheck.report.otel import Settings
from loadcheck.scenario.model import Scenario
from loadcheck.web import LivePage, Watch


def run_flows(
    scenario: Scenario,
    options: Options,
    outputs: Mapping[str, Path | None],
    *,
    as_json: bool,
    quiet: bool,
    page: AbstractContextManager[LivePage | None],
    metrics: Settings | None,
) -> NoReturn:
    """Run a mix, print what came of it and exit.

    Args:
        scenario: The mix.
        options: What the user says beside it.
        outputs: Where reports go, by what ``Reports`` calls them; each flow has its own.
        as_json: Print the documents on stdout.
        quiet: Print a line for each flow.
        page: Serves the page of the flows while they go on, and their metrics, if wanted.
        metrics: How metrics are sent; None: they are not.

    Raises:
        InputError: Something cannot be used.
    """
    names = [flow.part.flow for flow in scenario.flows if flow.part is not None]
    with ExitStack() as stack:
        reports = []
        for name in names:
            shown, junit, markdown = (
                None if path is None else of_flow(path, name)
                for path in (outputs["report"], outputs["junit"], outputs["markdown"])
            )
            result = None if options.output is None else of_flow(options.output, name)
            made = Reports(shown, junit, markdown, result=result, replace=options.replace)
            reports.append(stack.enter_context(made))
        served = stack.enter_context(page)
        view: Watch = terminal.no_view if quiet else terminal.flow_view
        if metrics is not None:
            view = telemetry.with_metrics(view, metrics)
        if served is not None:
            view = served.beside(view)
        finished = anyio.run(
            partial(run_mix, scenario, options, view), backend_options={"use_uvloop": True}
        )
        finish(served, *(flow.document for flow in finished.flows))
        for made, flow in zip(reports, finished.flows, strict=True):
            made.write(flow.document)
            show = terminal.print_headline if quiet else terminal.print_summary
            stream = sys.stderr if as_json else sys.stdout
            paths = [*([] if flow.unsaved else [flow.path]), *made.written]
            # what is said of all is said once, below
            apart = {**flow.document, "mix": {**flow.document["mix"], "together": {}}}
            show(apart, paths=paths, stream=stream)
            if not quiet:
                stream.write("\n")
        documents = [flow.document for flow in finished.flows]
        verdict = finished.verdict.value
        terminal.print_together(documents, verdict, as_json=as_json, quiet=quiet)
    for flow in finished.flows:
        if flow.fault is not None:
            raise flow.fault
        if flow.unsaved is not None:
            terminal.offer(flow.document, flow.path)
            raise flow.unsaved
    for made in reports:
        made.check()
    raise typer.Exit(
        exit_of(
            consistent=finished.consistent,
            verdict=finished.verdict,
            interrupted=finished.interrupted,
        )
    )
