"""The command ``loadcheck check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def check(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (TOML).", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a value, e.g. --set load.rate=500. Repeatable.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Validate a scenario and show what it would send, without sending it."""
    from loadcheck import scenario as scenarios  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.exits import keep_secret  # noqa: PLC0415
    from loadcheck.cli.terminal import write_json  # noqa: PLC0415
    from loadcheck.pipeline.preview import preview  # noqa: PLC0415
    from loadcheck.report import preview as report  # noqa: PLC0415

    loaded = scenarios.load(scenario, overrides=overrides or ())
    keep_secret(loaded.secrets)
    shown = preview(loaded)
    if as_json:
        write_json(shown)
    else:
        sys.stdout.write(report.text(shown))
