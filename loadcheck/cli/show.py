"""The command ``loadcheck show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import result_files


def show(
    result: Annotated[
        Path,
        typer.Argument(help="A results file.", show_default=False, autocompletion=result_files),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the document itself.")] = False,
) -> None:
    """Show a stored result, of a run or of a capacity search, as it was shown when it ended."""
    from loadcheck.cli.terminal import has_color, print_summary, width, write_json  # noqa: PLC0415
    from loadcheck.report import capacity  # noqa: PLC0415
    from loadcheck.result import read_any  # noqa: PLC0415

    document = read_any(result)
    if as_json:
        write_json(document)
    elif "probes" in document:
        color = has_color(sys.stdout)
        text = capacity.summary(document, color=color, width=width(), path=str(result))
        sys.stdout.write(text)
    else:
        print_summary(document, path=result, stream=sys.stdout)
