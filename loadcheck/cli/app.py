"""The commands by name."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from loadcheck import __version__
from loadcheck.cli.capacity import capacity
from loadcheck.cli.check import check
from loadcheck.cli.compare import ManyAfterTo, compare
from loadcheck.cli.emulate import emulate
from loadcheck.cli.exits import Exit, acknowledged, tell
from loadcheck.cli.init import EPILOG as INIT_EPILOG
from loadcheck.cli.init import init
from loadcheck.cli.reconcile import reconcile
from loadcheck.cli.results import export, list_results, report, show
from loadcheck.cli.run import run
from loadcheck.cli.schema import schema
from loadcheck.cli.shard import shard
from loadcheck.errors import Problem
from loadcheck.secrets import without_userinfo

app = typer.Typer(
    help="A load generator that proves its load arrived.",
    epilog="Exit codes: 0 pass, 1 not consistent, 2 bad input, 3 unknown, 4 regression, "
    "5 threshold broken, 74 not saved, 130 interrupted, 70 a bug.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_USERINFO = re.compile(r"[^\s('\"]*:\S*@")
# typer brings a copy of click, or depends on it, by version
_UsageError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def call() -> None:
    """Run the command that the arguments name; a usage error is told as every other problem is.

    Raises:
        SystemExit: With the command's exit code.
        KeyboardInterrupt: It was interrupted.
    """
    try:
        code = app(prog_name="loadcheck", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _UsageError as error:
        raise SystemExit(_refused(error)) from None
    raise SystemExit(code or Exit.PASS)


def _refused(error: Any) -> Exit:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "loadcheck"
    # arguments are repeated in it, and a URL without its scheme is an argument, too
    message = _USERINFO.sub("***@", without_userinfo(error.format_message().rstrip(".")))
    remedy = f"see {command} --help"
    tell(Problem(message=f"{message[:1].lower()}{message[1:]}", remedy=remedy))
    return Exit.USAGE


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


app.command(epilog=INIT_EPILOG)(acknowledged(init))
for _command in (run, check, capacity, show, report, export, reconcile, emulate, schema):
    app.command()(acknowledged(_command))
app.command(cls=ManyAfterTo)(acknowledged(compare))
app.command(hidden=True)(shard)
app.command("list")(acknowledged(list_results))
