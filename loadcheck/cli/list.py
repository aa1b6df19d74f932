"""The command ``loadcheck list``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def list_results(
    directory: Annotated[Path, typer.Argument(help="Directory of results files.")] = Path(
        "results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List stored results, newest first: verdict, rate, p99, lost and duplicated."""
    import orjson  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck.cli.terminal import has_color, shown_path, width  # noqa: PLC0415
    from loadcheck.escaping import printable_json  # noqa: PLC0415
    from loadcheck.report import listing  # noqa: PLC0415
    from loadcheck.result.catalogue import entries  # noqa: PLC0415

    found = entries(directory, listing.cause)
    if as_json:
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.buffer.write(printable_json(orjson.dumps(listing.rows(found), option=option)))
    elif found:
        sys.stdout.write(listing.text(found, color=has_color(sys.stdout), width=width()))
    else:
        where = shown_path(directory)
        sys.stderr.write(f"{where} holds no results yet: loadcheck run SCENARIO makes one\n")
