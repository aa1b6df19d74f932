"""The commands that read saved results: show, list, report and export."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.overrides import (
    Force,
    Into,
    Outputs,
    Result,
    Scenarios,
    Since,
    Verdicts,
    WithLabels,
    result_files,
)
from loadcheck.errors import Problem, ResultFileError, printable_json
from loadcheck.result import kind_of


def show(
    result: Result,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document.")] = False,
) -> None:
    """Show a stored result again: of a run, a capacity search or a comparison."""
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.outputs import laid_out, read_document  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415

    (result, *others) = run_files(result)
    if others:
        _show_flows([result, *others], as_json=as_json)
        return
    document = read_document(result)
    if as_json:
        terminal.write_json(document)
    elif kind_of(document) in {"trend", "comparison"}:
        sys.stdout.write(laid_out(document, "text", to_terminal=True).decode())
    else:
        terminal.print_summary(document, paths=[result], stream=sys.stdout)


def _show_flows(files: Sequence[Path], *, as_json: bool) -> None:
    """Show the results of each flow of a mix, and of all together."""
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.outputs import read_document  # noqa: PLC0415

    documents = [read_document(file) for file in files]
    for file, document in [] if as_json else zip(files, documents, strict=True):
        apart = {**document, "mix": {**document["mix"], "together": {}}}
        terminal.print_summary(apart, paths=[file], stream=sys.stdout)
        sys.stdout.write("\n")
    whole = documents[0]["mix"].get("together")
    if as_json and not whole:
        terminal.write_json({"flows": {each["mix"]["flow"]: each for each in documents}})
    elif whole:
        terminal.print_together(documents, whole["verdict"], Outputs(as_json=as_json))


class Sort(enum.StrEnum):
    """What a list can be ordered by."""

    WHEN = "when"
    SCENARIO = "scenario"
    VERDICT = "verdict"
    RATE = "rate"
    P99 = "p99"
    LOST = "lost"
    FILE = "file"


def list_results(
    directory: Annotated[Path, typer.Argument(help="Directory of results files.")] = Path(
        "results"
    ),
    labels: WithLabels = None,
    verdicts: Verdicts = None,
    names: Scenarios = None,
    since: Since = None,
    mixes: Annotated[
        list[str] | None,
        typer.Option(
            "--mix",
            metavar="ID|NAME",
            help="Only the flows of this mix, or of this run of one. Repeatable.",
        ),
    ] = None,
    sort: Annotated[
        Sort, typer.Option("--sort", help="By what: names ascending, figures and time descending.")
    ] = Sort.WHEN,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List stored results, newest first: verdict, rate, p99, lost and duplicated.

    The flows of a mix stand below a line of all of them together, with the id of that run.
    """
    import orjson  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck.cli.terminal import has_color, shown_path, width  # noqa: PLC0415
    from loadcheck.report import listing  # noqa: PLC0415
    from loadcheck.result.catalogue import entries, ordered, wanted  # noqa: PLC0415

    chosen = wanted(labels, names, since, verdicts)
    every = entries(directory, listing.cause)
    found = [
        entry
        for entry in every
        if (chosen.takes_all and not mixes)
        or (
            not entry.trouble
            and (not mixes or not {entry.mix.get("id"), entry.mix.get("name")}.isdisjoint(mixes))
            # every flow of a mix that fails together may have passed
            and any(
                chosen.takes(entry.started_at, entry.scenario, verdict, entry.labels)
                for verdict in (entry.verdict, entry.mix.get("verdict", ""))
            )
        )
    ]
    found = ordered(found, sort.value, reverse=reverse)
    if as_json:
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.buffer.write(printable_json(listing.rows(found), option))
    elif found:
        sys.stdout.write(listing.text(found, color=has_color(sys.stdout), width=width()))
    elif every:
        sys.stderr.write(f"none of {len(every)} files in {shown_path(directory)} is so\n")
    else:
        where = shown_path(directory)
        sys.stderr.write(f"{where} holds no results yet: loadcheck run SCENARIO makes one\n")


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="Results file; several are shown on one page.",
            show_default=False,
            autocompletion=result_files,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the page to this file.",
            show_default="next to the results file; of several report.html next to the first",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write a stored result as one HTML page: of a run, a capacity search or a comparison.

    The page is self-contained: the verdict first, then charts and tables. Of several results, such
    as those of one pipeline, it has an overview and then the report of each.
    """
    from loadcheck.cli.outputs import error_naming, read_document, write_file  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.terminal import shown_path  # noqa: PLC0415
    from loadcheck.report.html import content, render  # noqa: PLC0415
    from loadcheck.report.pages.run import several_page  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415

    documents, pages = [], []
    named, results = results, [file for result in results for file in run_files(result)]
    for result in results:
        with error_naming(result):
            documents.append(read_document(result))
            pages.append(content(documents[-1]))
    if len(pages) == 1:
        data, path = render(pages[0]), results[0].with_suffix(".html")
    else:
        data, path = render(several_page(pages, documents)), results[0].with_name("report.html")
        if len(named) == 1:  # a mix
            path = results[0].with_name(f"{named[0].stem}.html")
    path = output or path
    write_file(data, path, of=results, replace=force)
    sys.stdout.write(f"{shown_path(path)}\n")


_NAMES = {
    "result": "run",
    "capacity": "capacity search",
    "comparison": "comparison",
    "trend": "trend",
}


class ResultFormat(enum.StrEnum):
    """The formats by name, as :data:`loadcheck.report.export.FORMATS` has them."""

    HGRM = "hgrm"
    HLOG = "hlog"
    CSV = "csv"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def export(
    result: Result,
    kind: Annotated[
        ResultFormat,
        typer.Option(
            "--format",
            "-f",
            help="hgrm: percentiles for HdrHistogram's plotter. hlog: histograms for its other "
            "tools. csv: one row per second. junit: the checks, for CI. markdown: a summary.",
            show_default=False,
        ),
    ],
    output: Into = None,
    force: Force = False,
) -> None:
    """Convert a stored result to the format of another tool."""
    from loadcheck.cli.outputs import error_naming, read_document, write_file, write_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.report.export import FORMATS  # noqa: PLC0415
    from loadcheck.result.catalogue import run_files  # noqa: PLC0415
    from loadcheck.result.store import of_flow  # noqa: PLC0415

    files = run_files(result)
    if len(files) > 1 and output is None:
        message, remedy = (
            "is a mix of several flows",
            "say --output: x.xml gives x-FLOW.xml of each",
        )
        raise ResultFileError(Problem(file=str(result), message=message, remedy=remedy))
    for file in files:
        document = read_document(file)
        formats = FORMATS[kind_of(document)]
        if kind not in formats:
            message = f"is the file of a {_NAMES[kind_of(document)]}, which has no {kind}"
            remedy = f"expected one of {', '.join(formats)}"
            raise ResultFileError(Problem(file=str(file), message=message, remedy=remedy))
        with error_naming(file):
            data = formats[kind](document).encode()
        if output is None:
            write_out(data, None)
        else:
            path = output if len(files) == 1 else of_flow(output, document["mix"]["flow"])
            write_file(data, path, of=file, replace=force)
