"""The commands by name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from loadcheck import __version__
from loadcheck.cli.capacity import capacity
from loadcheck.cli.check import check
from loadcheck.cli.compare import ManyAfterTo, compare
from loadcheck.cli.emulate import emulate
from loadcheck.cli.export import export
from loadcheck.cli.list import list_results
from loadcheck.cli.reconcile import reconcile
from loadcheck.cli.report import report
from loadcheck.cli.run import run
from loadcheck.cli.schema import schema
from loadcheck.cli.show import show

app = typer.Typer(
    help="A load generator that proves its load arrived.",
    epilog="Exit codes: 0 pass, 1 not consistent, 2 bad input, 3 unknown, 4 regression, "
    "5 threshold broken, 74 not saved, 130 interrupted, 70 a bug.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"loadcheck {__version__}\n")
        raise typer.Exit


@app.callback()
def _loadcheck(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A load generator that proves its load arrived."""


for _command in (run, check, capacity, show, report, export, reconcile, emulate, schema):
    app.command()(_command)
app.command(cls=ManyAfterTo)(compare)
app.command("list")(list_results)
