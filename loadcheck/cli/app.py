"""The commands by name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from loadcheck import __version__
from loadcheck.cli.capacity import capacity
from loadcheck.cli.check import check
from loadcheck.cli.compare import ManyAfterTo, compare
from loadcheck.cli.delete import delete
from loadcheck.cli.emulate import emulate
from loadcheck.cli.exits import Exit, acknowledged, print_problem
from loadcheck.cli.explain import explain, schema
from loadcheck.cli.history import merge, prune, trend
from loadcheck.cli.init import EPILOG as INIT_EPILOG
from loadcheck.cli.init import init
from loadcheck.cli.overrides import grouped
from loadcheck.cli.plan import plan, preflight
from loadcheck.cli.results import export, list_results, report, show
from loadcheck.cli.run import PortAfterWeb, reconcile, run, shard
from loadcheck.errors import Problem
from loadcheck.secrets import without_userinfo

app = typer.Typer(
    help="A load generator that proves its load arrived.",
    epilog="Exit codes: 0 pass, 1 not consistent, 2 bad input, 3 unknown, 4 regression, "
    "5 threshold broken, 74 not saved, 130 interrupted, 70 internal error.\n\n"
    "First run: loadcheck run scenarios/smoke.toml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_USERINFO = re.compile(r"[^\s('\"]*:\S*@")
_VALID = re.compile(r"Input should be a valid (\w+)(?:, unable to .*)?$")
_KINDS = {"integer": "a whole number", "number": "a number"}
# depending on its version, typer vendors click or depends on it
_UsageError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def call() -> None:
    """Run the command that the arguments name; report usage errors like all other problems.

    Raises:
        SystemExit: With the command's exit code.
        KeyboardInterrupt: It was interrupted.
    """
    try:
        code = app(prog_name="loadcheck", standalone_mode=False)
    except typer.Abort as error:
        if isinstance(error.__cause__, EOFError):  # from a library, not from the keyboard
            raise error.__cause__ from None
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
    # it repeats arguments, such as a URL with credentials but without its scheme
    message = _USERINFO.sub(
        "***@", without_userinfo(" ".join(error.format_message().split()).rstrip("."))
    )
    remedy = f"see {command} --help"
    message, _, meant = message.partition(". Did you mean ")
    if meant:
        remedy = f"did you mean {meant.replace(', ', ' or ')}"
    # wording that the option parser takes over from a library
    message = message.replace("Value error, ", "")
    message = _VALID.sub(lambda found: f"expected {_KINDS.get(found[1], found[1])}", message)
    print_problem(Problem(message=f"{message[:1].lower()}{message[1:]}", remedy=remedy))
    return Exit.USAGE


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"loadcheck {__version__}\n")
        raise typer.Exit


@app.callback()
def _loadcheck(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A load generator that proves its load arrived."""


_CLASSES = {compare: ManyAfterTo, run: PortAfterWeb, capacity: PortAfterWeb}
_Commands = Sequence[Callable[..., None]]
_RUNNING: _Commands = (init, check, plan, preflight, run, capacity, reconcile, delete)
_READING: _Commands = (show, list_results, report, compare, trend, export, merge, prune)
_TOOLS: _Commands = (explain, emulate, schema)
_EXAMPLES: dict[Callable[..., None], Sequence[str]] = {
    check: (
        "loadcheck check scenarios/burst.toml",
        "loadcheck check workflow.yml --format github",
    ),
    plan: (
        "loadcheck plan scenarios/burst.toml",
        "loadcheck plan live.toml --json | jq -r .digest",
    ),
    preflight: ("loadcheck preflight live.toml --live",),
    run: (
        "loadcheck run scenarios/burst.toml",
        "loadcheck run scenarios/burst.toml -s load.stages.1.rate=4000 -o high.json",
        "loadcheck run live.toml --live --report page.html --junit out.xml",
        "loadcheck run live.toml --live --workers auto -s load.rate=50000",
        "loadcheck run scenarios/burst.toml --web --open",
    ),
    capacity: (
        "loadcheck capacity scenarios/capacity.toml",
        "loadcheck capacity live.toml --live --from 100 --to 5000 --budget 10m",
    ),
    reconcile: ("loadcheck reconcile results/burst.json --export",),
    delete: (
        "loadcheck delete results/live.json --live --dry-run",
        "loadcheck delete results/live.json --live --yes",
    ),
    show: ("loadcheck show results/burst.json",),
    list_results: (
        "loadcheck list results",
        "loadcheck list --label env=staging --verdict fail --since 7d --sort p99",
    ),
    report: (
        "loadcheck report results/burst.json -o page.html",
        "loadcheck report smoke.json burst.json soak.json -o pipeline.html",
    ),
    compare: (
        "loadcheck compare base.json new.json",
        "loadcheck compare base-*.json --to new-*.json --tolerance 10% -o pr.md",
    ),
    trend: (
        "loadcheck trend",
        "loadcheck trend results --label commit --label env=staging -o trend.html",
        "loadcheck trend --since 90d --fail-on-change",
    ),
    merge: ("loadcheck merge here.json there.json -o both.json",),
    prune: (
        "loadcheck prune --older-than 90d --dry-run",
        "loadcheck prune results --keep 50 --label env=staging --yes",
    ),
    export: ("loadcheck export results/burst.json --format junit -o out.xml",),
    emulate: ("loadcheck emulate --port 8765 --config emulator.toml",),
    explain: (
        "loadcheck explain verify.deadline",
        "loadcheck explain lost",
        "loadcheck explain --grafana > dashboard.json",
    ),
    schema: ("loadcheck schema scenario > scenario.schema.json", "loadcheck schema result"),
}


def _epilog(command: Callable[..., None]) -> str:
    """Return a command's examples, a paragraph each: mere lines would be joined."""
    return "\n\n".join(["Examples:", *_EXAMPLES[command]])


for _panel, _commands in (
    ("Send load", _RUNNING),
    ("Read results", _READING),
    ("Tools", _TOOLS),
):
    for _command in _commands:
        app.command(
            "list" if _command is list_results else None,
            cls=_CLASSES.get(_command),
            epilog=INIT_EPILOG if _command is init else _epilog(_command),
            rich_help_panel=_panel,
        )(acknowledged(grouped(_command)))
app.command(hidden=True)(shard)
