"""``run``, ``reconcile`` and ``merge`` of mixes: a report of each flow, a line for all together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import anyio
import typer

from loadcheck.cli import terminal
from loadcheck.cli.exits import exit_of
from loadcheck.cli.outputs import Reports, naming, spare
from loadcheck.cli.overrides import placed
from loadcheck.cli.web import finish
from loadcheck.errors import Problem, ResultFileError
from loadcheck.pipeline import Options
from loadcheck.pipeline.labels import new_id
from loadcheck.pipeline.merge import Part, flows_together, merge
from loadcheck.pipeline.mix import retold, run_mix
from loadcheck.pipeline.reconcile import ReconcileOptions, reconcile_run
from loadcheck.report import otel as telemetry
from loadcheck.report.otel import Settings
from loadcheck.result.store import ResultFile, default_name, of_flow, read
from loadcheck.scenario.model import Scenario
from loadcheck.verify import worst
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
        files = [None if options.output is None else of_flow(options.output, n) for n in names]
        reports = _reports(stack, outputs, dict(zip(names, files, strict=True)), options.replace)
        served = stack.enter_context(page)
        view: Watch = terminal.no_view if quiet else terminal.flow_view
        if metrics is not None:
            view = telemetry.with_metrics(view, metrics)
        if served is not None:
            view = served.with_page(view)
        finished = anyio.run(
            partial(run_mix, scenario, options, view), backend_options={"use_uvloop": True}
        )
        finish(served, *(flow.document for flow in finished.flows))
        documents = [flow.document for flow in finished.flows]
        paths = [None if flow.unsaved else flow.path for flow in finished.flows]
        _tell(reports, documents, paths, as_json=as_json, quiet=quiet)
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


def _reports(
    stack: ExitStack,
    outputs: Mapping[str, Path | None],
    results: Mapping[str, Path | None],
    replace: bool,
) -> list[Reports]:
    """Return the reports of each flow, and claim their places."""
    made = []
    for name, result in results.items():
        page, junit, markdown = (
            None if path is None else of_flow(path, name)
            for path in (outputs["report"], outputs["junit"], outputs["markdown"])
        )
        each = Reports(page, junit, markdown, result=result, replace=replace)
        made.append(stack.enter_context(each))
    return made


def _tell(
    reports: Sequence[Reports],
    documents: Sequence[Mapping[str, Any]],
    paths: Sequence[Path | None],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the reports, and print what came of each flow and of all together."""
    stream = sys.stderr if as_json else sys.stdout
    show = terminal.print_headline if quiet else terminal.print_summary
    for made, document, path in zip(reports, documents, paths, strict=True):
        made.write(document)
        # what is said of all is said once, below
        apart = {**document, "mix": {**document["mix"], "together": {}}}
        show(apart, paths=[*([] if path is None else [path]), *made.written], stream=stream)
        if not quiet:
            stream.write("\n")
    verdict = documents[0]["mix"]["together"]["verdict"]
    terminal.print_together(documents, verdict, as_json=as_json, quiet=quiet)


def reconcile_flows(
    files: Sequence[Path],
    options: ReconcileOptions,
    outputs: Mapping[str, Path | None],
    *,
    replace: bool,
    as_json: bool,
    quiet: bool,
) -> NoReturn:
    """Ask again about each flow of a mix, and judge them together again; print that and exit.

    Raises:
        InputError: Something cannot be used; flows asked before that are saved.
    """
    results = {str(read(file)["mix"]["flow"]): file for file in files}
    with ExitStack() as stack:
        reports = _reports(stack, outputs, results, replace)
        asked = [
            anyio.run(partial(reconcile_run, file, options), backend_options={"use_uvloop": True})
            for file in files
        ]
        documents, verdict = retold([each.document for each in asked])
        for document, each in zip(documents, asked, strict=True):
            if each.unsaved is None:
                with ResultFile(each.path, replace=True) as file:
                    file.save(document)
        paths = [None if each.unsaved else each.path for each in asked]
        _tell(reports, documents, paths, as_json=as_json, quiet=quiet)
    for each in asked:
        if each.unsaved is not None:
            terminal.offer(each.document, each.path)
            raise each.unsaved
    for made in reports:
        made.check()
    consistent = worst(each.consistent for each in asked)
    raise typer.Exit(exit_of(consistent=consistent, verdict=verdict, interrupted=False))


def merge_flows(
    mixes: Sequence[Sequence[Path]],
    output: Path | None,
    *,
    replace: bool,
    as_json: bool,
    quiet: bool,
) -> NoReturn:
    """Merge mixes flow by flow, judge them together, save and print that and exit.

    Raises:
        ResultFileError: They are not of one load.
    """
    parts: dict[str, list[Part]] = {}
    hidden: set[str] = set()
    for path in (path for files in mixes for path in files):
        with naming(path):
            document = read(path)
        mix = document.get("mix") or {}
        parts.setdefault(str(mix.get("flow", "")), []).append(
            Part(file=str(path), document=document)
        )
        limits = (mix.get("together") or {}).get("thresholds", ())
        hidden |= {each["expression"] for each in limits if each["own_delay_ms"] is not None}
    for flow, runs in parts.items():
        if len(runs) < len(mixes):
            message = f'only {len(runs)} of {len(mixes)} results have the flow "{flow}"'
            remedy = "name mixes that have the same flows, as they were named to --output"
            raise ResultFileError(Problem(file=runs[0].file, message=message, remedy=remedy))
    merged = [merge(each) for each in parts.values()]
    id_ = new_id()
    made = [{**m.document, "mix": {"id": id_, **m.document["mix"]}} for m in merged]
    documents, verdict = retold(made, flows_together(made), hidden)
    folder, whole = placed(output)
    began = datetime.fromisoformat(documents[0]["run"]["started_at"])
    with ExitStack() as stack:
        files = []
        for each in documents:
            name = default_name(str(each["scenario"]["name"]), began, each["run"]["id"])
            path = folder / name if whole is None else of_flow(whole, each["mix"]["flow"])
            spare(path, [path for files in mixes for path in files])
            files.append(stack.enter_context(ResultFile(path, replace=replace)))
        for file, each in zip(files, documents, strict=True):
            file.save(each)
        nothing = {"report": None, "junit": None, "markdown": None}
        names = {each["mix"]["flow"]: None for each in documents}
        reports = _reports(stack, nothing, names, replace)
        paths = [file.path for file in files]
        _tell(reports, documents, paths, as_json=as_json, quiet=quiet)
    known = [each.consistent for each in merged if each.consistent is not None]
    interrupted = any(each["run"]["interrupted"] for each in documents)
    consistent = worst(known) if known else None
    raise typer.Exit(exit_of(consistent=consistent, verdict=verdict, interrupted=interrupted))
