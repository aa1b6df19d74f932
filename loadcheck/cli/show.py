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
        typer.Argument(help="Results file.", show_default=False, autocompletion=result_files),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document.")] = False,
) -> None:
    """Show a stored result again: of a run, a capacity search or a comparison."""
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.outputs import kind_of, stored  # noqa: PLC0415
    from loadcheck.report import capacity, comparison  # noqa: PLC0415

    document = stored(result)
    color = terminal.has_color(sys.stdout)
    if as_json:
        terminal.write_json(document)
    elif kind_of(document) == "capacity":
        text = capacity.summary(
            document, color=color, width=terminal.width(), paths=[terminal.shown_path(result)]
        )
        sys.stdout.write(text)
    elif kind_of(document) == "comparison":
        sys.stdout.write(comparison.text(document, color=color, width=terminal.width()))
    else:
        terminal.print_summary(document, paths=[result], stream=sys.stdout)
