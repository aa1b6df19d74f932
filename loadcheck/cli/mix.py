"""Commands for mixes: a report of each flow, a line for all together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import typer

from loadcheck.cli import terminal
from loadcheck.cli.outputs import Reports, error_naming, laid_out, spare
from loadcheck.cli.overrides import Outputs, Serving, resolve_output
from loadcheck.cli.web import finish, live_page
from loadcheck.compare import Stored, compare
from loadcheck.compare.trend import baseline
from loadcheck.documents.files import exists
from loadcheck.errors import Problem, ResultFileError, SaveError
from loadcheck.pipeline import Options
from loadcheck.pipeline.labels import new_id
from loadcheck.pipeline.merge import Part, flows_together, merge
from loadcheck.pipeline.mix import judge_again, run_mix
from loadcheck.pipeline.reconcile import ReconcileOptions, reconcile_run
from loadcheck.pipeline.target import metrics_settings
from loadcheck.report import otel as telemetry
from loadcheck.result.store import ResultFile, default_name, encoded, of_flow, read
from loadcheck.scenario.model import Scenario
from loadcheck.verify import worst
from loadcheck.verify.progress import ProgressView


def run_flows(
    scenario: Scenario,
    options: Options,
    outputs: Outputs,
    serving: Serving,
) -> NoReturn:
    """Run a mix, print its results and exit.

    Args:
        scenario: The mix.
        options: The options of the run.
        outputs: Where the reports of each flow go, and what is printed.
        serving: What is served while the flows are running.

    Raises:
        InputError: Something cannot be used.
    """
    names = [flow.part.flow for flow in scenario.flows if flow.part is not None]
    with ExitStack() as stack:
        files = [None if options.output is None else of_flow(options.output, n) for n in names]
        reports = _reports(stack, outputs, dict(zip(names, files, strict=True)))
        served = stack.enter_context(live_page(serving, quiet=outputs.quiet))
        view: ProgressView = terminal.no_view if outputs.quiet else terminal.flow_view
        metrics = metrics_settings(os.environ)
        if metrics is not None:
            view = telemetry.with_metrics(view, metrics)
        if served is not None:
            view = served.with_page(view)
        finished = terminal.in_loop(run_mix, scenario, options, view)
        finish(served, *(flow.document for flow in finished.flows))
        _report(reports, finished.flows, outputs)
    for flow in finished.flows:
        if flow.fault is not None:
            raise flow.fault
    _refuse_unsaved(finished.flows)
    for made in reports:
        made.check()
    raise typer.Exit(
        terminal.exit_of(
            consistent=finished.consistent,
            verdict=finished.verdict,
            interrupted=finished.interrupted,
        )
    )


def _reports(
    stack: ExitStack,
    outputs: Outputs,
    results: Mapping[str, Path | None],
) -> list[Reports]:
    """Return the reports of each flow, with their files claimed."""
    return [
        stack.enter_context(Reports(outputs, result, flow=name)) for name, result in results.items()
    ]


def _report(
    reports: Sequence[Reports], flows: Sequence[terminal.Concluded], outputs: Outputs
) -> None:
    """Write the reports, and print the results of each flow and of all together."""
    unsaved = next((flow.path for flow in flows if flow.unsaved is not None), None)
    stream = terminal.stream_for(outputs, offered=unsaved is not None)
    show = terminal.print_headline if outputs.quiet else terminal.print_summary
    for made, flow in zip(reports, flows, strict=True):
        document = flow.document
        made.write(document)
        # the result of all together is printed once, below
        apart = {**document, "mix": {**document["mix"], "together": {}}}
        saved = [] if flow.unsaved else [flow.path]
        show(apart, paths=[*saved, *made.written], stream=stream)
        if not outputs.quiet:
            stream.write("\n")
    documents = [flow.document for flow in flows]
    verdict = documents[0]["mix"]["together"]["verdict"]
    terminal.print_together(documents, verdict, outputs, unsaved)


def _refuse_unsaved(flows: Sequence[terminal.Concluded]) -> None:
    """Check that every flow is in its file.

    Raises:
        SaveError: With the problem of each that is not.
    """
    unsaved = [flow.unsaved for flow in flows if flow.unsaved is not None]
    if unsaved:
        raise SaveError(problem for error in unsaved for problem in error.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """The result of one flow.

    Attributes:
        document: The results document.
        path: The file of the result.
        unsaved: Why it is not in that file; None if it is.
    """

    document: Mapping[str, Any]
    path: Path
    unsaved: ResultFileError | None = None


def reconcile_flows(files: Sequence[Path], options: ReconcileOptions, outputs: Outputs) -> NoReturn:
    """Query again about each flow of a mix, and judge them together again; print that and exit.

    Raises:
        InputError: Something cannot be used; flows queried before that are saved.
    """
    results = {str(read(file)["mix"]["flow"]): file for file in files}
    with ExitStack() as stack:
        reports = _reports(stack, outputs, results)
        asked = [terminal.in_loop(reconcile_run, file, options) for file in files]
        documents, verdict = judge_again([each.document for each in asked])
        flows = [
            _saved_again(_Flow(document=document, path=each.path, unsaved=each.unsaved))
            for document, each in zip(documents, asked, strict=True)
        ]
        _report(reports, flows, outputs)
    _refuse_unsaved(flows)
    for made in reports:
        made.check()
    consistent = worst(each.consistent for each in asked)
    raise typer.Exit(terminal.exit_of(consistent=consistent, verdict=verdict, interrupted=False))


def _saved_again(flow: _Flow) -> _Flow:
    """Save a flow that all flows together were added to, unless it could not be saved before."""
    if flow.unsaved is not None:
        return flow
    try:
        with ResultFile(flow.path, replace=True) as file:
            file.save(dict(flow.document))
    except ResultFileError as error:
        return replace(flow, unsaved=error)
    return flow


def merge_flows(mixes: Sequence[Sequence[Path]], output: str | None, outputs: Outputs) -> NoReturn:
    """Merge mixes flow by flow, judge them together, save and print the result, and exit.

    Raises:
        ResultFileError: They are not of one load.
    """
    parts: dict[str, list[Part]] = {}
    hidden: set[str] = set()
    for path in (path for files in mixes for path in files):
        with error_naming(path):
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
    documents, verdict = judge_again(made, flows_together(made), hidden)
    folder, whole = resolve_output(output)
    began = datetime.fromisoformat(documents[0]["run"]["started_at"])
    with ExitStack() as stack:
        files = []
        for each in documents:
            name = default_name(str(each["scenario"]["name"]), began, each["run"]["id"])
            path = folder / name if whole is None else of_flow(whole, each["mix"]["flow"])
            spare(path, [path for files in mixes for path in files], "merged")
            files.append(stack.enter_context(ResultFile(path, replace=outputs.force)))
        for file, each in zip(files, documents, strict=True):
            file.save(each)
        reports = _reports(stack, outputs, {each["mix"]["flow"]: None for each in documents})
        flows = [
            _Flow(document=each, path=file.path)
            for file, each in zip(files, documents, strict=True)
        ]
        _report(reports, flows, outputs)
    known = [each.consistent for each in merged if each.consistent is not None]
    interrupted = any(each["run"]["interrupted"] for each in documents)
    consistent = worst(known) if known else None
    raise typer.Exit(
        terminal.exit_of(consistent=consistent, verdict=verdict, interrupted=interrupted)
    )


_TOGETHER = "together"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """The options of a comparison of mixes.

    Attributes:
        tolerance: Relative changes up to this size count as none.
        baseline_from: Directory to find each flow's base in; None: it is named.
        allow_missing: Whether there may be no base.
        force: Whether to compare runs that differ in scenario or target, and to overwrite files.
        kind: Format of the output: text, markdown or json.
    """

    tolerance: float
    baseline_from: Path | None
    allow_missing: bool
    force: bool
    kind: str


_Groups: TypeAlias = dict[str, tuple[list[Stored], list[Stored]]]
"""Runs of the base and runs of the candidate, by the name of the flow, or "together"."""


def compare_flows(
    mixes: Mapping[Path, Sequence[Path]],
    sides: tuple[Sequence[Path], Sequence[Path]],
    how: ComparisonOptions,
    output: Path | None,
) -> NoReturn:
    """Compare mixes flow by flow, and together; print or save the result and exit.

    Args:
        mixes: The files of the flows of each mix, by the path that names it.
        sides: The paths of the base and those of the candidate.
        how: The options.
        output: File to write to; None: standard output.

    Raises:
        ResultFileError: Only some of them are mixes, or their flows differ.
    """
    as_json = how.kind == "json"
    groups = _groups(mixes, sides, how)
    if output is not None:
        for name, pair in groups.items():
            inputs = [Path(each.file) for side in pair for each in side]
            spare(of_flow(output, name) if as_json else output, inputs, "compared")
    made = {
        name: compare(base, candidate, tolerance=how.tolerance, force=how.force)
        for name, (base, candidate) in groups.items()
    }
    verdicts = [each["verdict"] for name, each in made.items() if groups[name][0]]
    verdict = next((v for v in ("worse", "unsure", "better") if v in verdicts), "same")
    texts = {
        name: laid_out(each, how.kind, to_terminal=output is None) for name, each in made.items()
    }
    if output is None:
        whole = {"verdict": verdict, "flows": made, "together": made.pop(_TOGETHER, None)}
        sys.stdout.buffer.write(encoded(whole) if as_json else b"\n".join(texts.values()))
        raise typer.Exit(terminal.exit_of_comparison(verdict))
    files = {output: b"\n".join(texts.values())}
    if as_json:
        files = {of_flow(output, name): text for name, text in texts.items()}
    with ExitStack() as stack:
        claimed = [stack.enter_context(ResultFile(f, replace=how.force)) for f in files]
        for file, text in zip(claimed, files.values(), strict=True):
            file.write(text)
    raise typer.Exit(terminal.exit_of_comparison(verdict))


def _groups(
    mixes: Mapping[Path, Sequence[Path]],
    sides: tuple[Sequence[Path], Sequence[Path]],
    how: ComparisonOptions,
) -> _Groups:
    """Return the runs to compare, by flow and together."""
    single = [path for path, files in mixes.items() if files == [path]]
    there = [path for path in single if exists(path)]
    if there:
        message = "is the result of one flow; a mix can only be compared with a mix"
        remedy = "name the mix, or the flow's own results file on both sides"
        raise ResultFileError(Problem(file=str(there[0]), message=message, remedy=remedy))
    bases, candidates = sides
    if how.allow_missing:
        bases = [path for path in bases if path not in single]
    stored: dict[Path, dict[str, Stored]] = {}
    for path in (*bases, *candidates):
        flows = [Stored(file=str(file), document=read(file)) for file in mixes[path]]
        stored[path] = {str(each.document["mix"]["flow"]): each for each in flows}
    last = candidates[-1]
    for path, found in stored.items():
        if found.keys() != stored[last].keys():
            message = f"has the flows {', '.join(found)}, but {last} {', '.join(stored[last])}"
            remedy = "compare the files of the flows that both have"
            raise ResultFileError(Problem(file=str(path), message=message, remedy=remedy))
    groups: _Groups = {
        name: ([stored[path][name] for path in bases], [stored[path][name] for path in candidates])
        for name in stored[last]
    }
    if how.baseline_from is not None:
        for name, (_, candidate) in groups.items():
            paths = [Path(each.file) for each in candidate]
            base = baseline(how.baseline_from, paths, optional=how.allow_missing)
            groups[name] = ([Stored(file=str(p), document=read(p)) for p in base], candidate)
        return groups

    def whole(path: Path) -> Stored:
        flows = [each.document for each in stored[path].values()]
        return Stored(file=str(path), document=flows_together(flows))

    return {**groups, _TOGETHER: ([*map(whole, bases)], [*map(whole, candidates)])}
