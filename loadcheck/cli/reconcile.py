"""The command ``loadcheck reconcile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import result_files
from loadcheck.cli.overrides import EnvFile, Json, Junit, Markdown, Page, Quiet


def reconcile(
    result: Annotated[
        Path,
        typer.Argument(help="Results file.", show_default=False, autocompletion=result_files),
    ],
    consent: Annotated[
        bool, typer.Option("--live", help="Allow queries to leave this machine.")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Query this server instead of the run's, e.g. http://KEY:SECRET@127.0.0.1:8765.",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        bool,
        typer.Option("--export", help="Download the events and compare them one by one (exact)."),
    ] = False,
    env_file: EnvFile = None,
    page: Page = None,
    junit: Junit = None,
    markdown: Markdown = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing reports.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Query the service again about a stored run, even one that was killed; update its verdict."""
    from functools import partial  # noqa: PLC0415  # imports here keep --help quick

    import anyio  # noqa: PLC0415

    from loadcheck import scenario as scenarios  # noqa: PLC0415
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.exits import exit_of  # noqa: PLC0415
    from loadcheck.cli.outputs import Reports  # noqa: PLC0415
    from loadcheck.pipeline.reconcile import ReconcileOptions, again  # noqa: PLC0415

    options = ReconcileOptions(
        consent=consent, server=server, export=export, env=scenarios.environment(env_file)
    )
    with Reports(page, junit, markdown, result=result, replace=force) as reports:
        asked = anyio.run(partial(again, result, options), backend_options={"use_uvloop": True})
        try:
            reports.write(asked.document)
        finally:
            terminal.print_run(
                asked.document,
                asked.path,
                also=reports.written,
                unsaved=asked.unsaved,
                as_json=as_json,
                quiet=quiet,
            )
    reports.check()
    raise typer.Exit(exit_of(consistent=asked.consistent, verdict=asked.verdict, interrupted=False))
