"""The command ``loadcheck export``."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import result_files

_NAMES = {"result": "run", "capacity": "capacity search", "comparison": "comparison"}


class Format(enum.StrEnum):
    """The formats by name, as :data:`loadcheck.report.export.FORMATS` has them."""

    HGRM = "hgrm"
    HLOG = "hlog"
    CSV = "csv"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def export(
    result: Annotated[
        Path,
        typer.Argument(help="Results file.", show_default=False, autocompletion=result_files),
    ],
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
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file.", show_default="standard output"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Convert a stored result to the format of another tool."""
    from loadcheck.cli.outputs import kind_of, naming, place, stored  # noqa: PLC0415  # imports here keep --help quick
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
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        place(data, output, of=result, replace=force)
