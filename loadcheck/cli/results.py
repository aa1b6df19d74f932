"""The commands that read saved results: show, list, report and export."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.history import wanted
from loadcheck.cli.overrides import (
    Force,
    Into,
    Result,
    Scenarios,
    Since,
    Verdicts,
    WithLabels,
    result_files,
)


def show(
    result: Result,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document.")] = False,
) -> None:
    """Show a stored result again: of a run, a capacity search or a comparison."""
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.outputs import kind_of, laid_out, stored  # noqa: PLC0415
    from loadcheck.report import capacity  # noqa: PLC0415

    document = stored(result)
    color = terminal.has_color(sys.stdout)
    if as_json:
        terminal.write_json(document)
    elif kind_of(document) == "capacity":
        text = capacity.summary(
            document, color=color, width=terminal.width(), paths=[terminal.shown_path(result)]
        )
        sys.stdout.write(text)
    elif kind_of(document) in {"trend", "comparison"}:
        sys.stdout.write(laid_out(document, "text", to_terminal=True).decode())
    else:
        terminal.print_summary(document, paths=[result], stream=sys.stdout)


class Sort(enum.StrEnum):
    """What a list may be in order of."""

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
    sort: Annotated[
        Sort, typer.Option("--sort", help="By what: names ascending, figures and time descending.")
    ] = Sort.WHEN,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List stored results, newest first: verdict, rate, p99, lost and duplicated."""
    import orjson  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck.cli.terminal import has_color, shown_path, width  # noqa: PLC0415
    from loadcheck.errors import printable_json  # noqa: PLC0415
    from loadcheck.report import listing  # noqa: PLC0415
    from loadcheck.result.catalogue import entries, ordered  # noqa: PLC0415

    chosen = wanted(labels, names, since, verdicts)
    every = entries(directory, listing.cause)
    found = [
        entry
        for entry in every
        if chosen.takes_all
        or (
            not entry.trouble
            and chosen.takes(entry.started_at, entry.scenario, entry.verdict, entry.labels)
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
    from loadcheck.cli.outputs import naming, place, stored  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.terminal import shown_path  # noqa: PLC0415
    from loadcheck.report.html import content, render  # noqa: PLC0415
    from loadcheck.report.pages.run import several_page  # noqa: PLC0415

    documents, pages = [], []
    for result in results:
        with naming(result):
            documents.append(stored(result))
            pages.append(content(documents[-1]))
    if len(pages) == 1:
        data, path = render(pages[0]), results[0].with_suffix(".html")
    else:
        data, path = render(several_page(pages, documents)), results[0].with_name("report.html")
    path = output or path
    place(data, path, of=results, replace=force)
    sys.stdout.write(f"{shown_path(path)}\n")


_NAMES = {
    "result": "run",
    "capacity": "capacity search",
    "comparison": "comparison",
    "trend": "trend",
}


class Format(enum.StrEnum):
    """The formats by name, as :data:`loadcheck.report.export.FORMATS` has them."""

    HGRM = "hgrm"
    HLOG = "hlog"
    CSV = "csv"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def export(
    result: Result,
    kind: Annotated[
        Format,
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
    from loadcheck.cli.outputs import kind_of, naming, place, stored, write_out  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.errors import Problem, ResultFileError  # noqa: PLC0415
    from loadcheck.report.export import FORMATS  # noqa: PLC0415

    document = stored(result)
    formats = FORMATS[kind_of(document)]
    if kind not in formats:
        message = f"is the file of a {_NAMES[kind_of(document)]}, which has no {kind}"
        remedy = f"expected one of {', '.join(formats)}"
        raise ResultFileError(Problem(file=str(result), message=message, remedy=remedy))
    with naming(result):
        data = formats[kind](document).encode()
    if output is None:
        write_out(data, None)
    else:
        place(data, output, of=result, replace=force)
