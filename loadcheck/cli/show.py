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
    """Show a stored result as it was shown when its run ended."""
    from loadcheck.cli.terminal import print_summary, write_json  # noqa: PLC0415
    from loadcheck.result import read  # noqa: PLC0415

    document = read(result)
    if as_json:
        write_json(document)
    else:
        print_summary(document, path=result, stream=sys.stdout)
