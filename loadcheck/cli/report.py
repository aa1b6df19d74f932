"""The command ``loadcheck report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import result_files


def report(
    result: Annotated[
        Path,
        typer.Argument(help="Results file.", show_default=False, autocompletion=result_files),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the page to this file.",
            show_default="next to the results file",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a stored result as one HTML page: of a run, a capacity search or a comparison.

    The page is self-contained: the verdict first, then charts and tables.
    """
    from loadcheck.cli.outputs import naming, place, stored  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.terminal import shown_path  # noqa: PLC0415
    from loadcheck.report.html import page  # noqa: PLC0415

    with naming(result):
        data = page(stored(result))
    path = output or result.with_suffix(".html")
    place(data, path, of=result, replace=force)
    sys.stdout.write(f"{shown_path(path)}\n")
