"""The commands ``loadcheck plan`` and ``loadcheck preflight``."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import ChangeOptions, Fetching, Live, ScenarioFile, Seed, Sharing
from loadcheck.errors import InputError, printable

_MARKS = {"ok": "ok     ", "wrong": "WRONG  ", "unknown": "?      "}


def preflight(
    scenario: ScenarioFile,
    changes: ChangeOptions,
    consent: Live = False,
    within: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.0,
            help="How long the control user may take to be counted.",
            show_default="verify.deadline",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print it as JSON.")] = False,
) -> None:
    """See whether keys, project, region and clock are right: send one user and look for it.

    Exit code 1: something is wrong; it says what. What cannot be seen has a question mark.
    """
    from loadcheck import pipeline  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.pipeline import preflight as flights  # noqa: PLC0415

    loaded = terminal.read(scenario, changes)
    options = pipeline.Options(consent=consent)
    found = terminal.in_loop(partial(flights.preflight, loaded, options, within_s=within))
    if as_json:
        terminal.write_json(found)
    else:
        for check in found["checks"]:
            line = printable(f"{_MARKS[check['state']]}{check['name']:<14} {check['told']}")
            sys.stdout.write(f"{line}\n")
    raise typer.Exit(Exit.INCONSISTENT if found["state"] == "wrong" else Exit.PASS)


ForceLimits = Annotated[
    bool, typer.Option("--force-limits", help="Break limits that the service documents.")
]


def plan(
    scenario: ScenarioFile,
    changes: ChangeOptions,
    seed: Seed = None,
    consent: Fetching = False,
    *,
    sharing: Sharing,
    force_limits: ForceLimits = False,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a run would cost, without sending anything: users, events, queries, limits.

    A plan that breaks a documented limit of a service elsewhere is refused with exit code 2, and
    with the setting that would fit. Give run the same options, and the digest to --plan.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415
    from loadcheck.report import plan as report  # noqa: PLC0415

    loaded = terminal.read(scenario, changes, *sharing.overrides())
    made = plans.plan(loaded, seed=seed, consent=consent)
    if as_json:
        terminal.write_json(made)
    else:
        sys.stdout.write(report.text(made, width=terminal.width()))
    problems = plans.refused(loaded, made)
    if problems and not force_limits:
        raise InputError(problems)
