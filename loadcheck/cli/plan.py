"""The commands plan and preflight, and the approval that a run asks for before it leaves."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from loadcheck.cli.exits import Exit
from loadcheck.cli.overrides import (
    EnvFile,
    Fetching,
    Live,
    Prefixes,
    Profile,
    ScenarioFile,
    Seed,
    Servers,
    Sets,
    Sources,
    Strict,
    WorkersOption,
    overrides,
    shared,
)
from loadcheck.errors import InputError, printable

_MARKS = {"ok": "ok     ", "wrong": "WRONG  ", "unknown": "?      "}


def preflight(
    scenario: ScenarioFile,
    sets: Sets = None,
    profile: Profile = "",
    env_file: EnvFile = None,
    sources: Sources = None,
    servers: Servers = None,
    strict: Strict = False,
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

    Exit code 1: something is wrong, told as what it is. What cannot be seen has a question mark.
    """
    import anyio  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck import pipeline  # noqa: PLC0415
    from loadcheck import scenario as scenarios  # noqa: PLC0415
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.pipeline import preflight as flights  # noqa: PLC0415
    from loadcheck.pipeline.prepare import read_scenario  # noqa: PLC0415

    loaded = read_scenario(
        scenario,
        overrides(sets, sources, servers, strict=strict),
        profile=profile,
        environment=scenarios.environment(env_file),
    )
    options = pipeline.Options(consent=consent)
    found = anyio.run(
        partial(flights.preflight, loaded, options, within_s=within),
        backend_options={"use_uvloop": True},
    )
    if as_json:
        terminal.write_json(found)
    else:
        for check in found["checks"]:
            line = printable(f"{_MARKS[check['state']]}{check['name']:<14} {check['told']}")
            sys.stdout.write(f"{line}\n")
    raise typer.Exit(Exit.INCONSISTENT if found["state"] == "wrong" else Exit.PASS)


Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="With --live: do not ask whether the plan is approved.")
]
PlanDigest = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="DIGEST",
        help="Run only what has this digest in loadcheck plan: what was approved.",
        show_default=False,
    ),
]
ForceLimits = Annotated[
    bool, typer.Option("--force-limits", help="Break limits that the service documents.")
]


def plan(
    scenario: ScenarioFile,
    sets: Sets = None,
    profile: Profile = "",
    env_file: EnvFile = None,
    sources: Sources = None,
    servers: Servers = None,
    strict: Strict = False,
    seed: Seed = None,
    consent: Fetching = False,
    workers: WorkersOption = None,
    prefixes: Prefixes = None,
    force_limits: ForceLimits = False,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a run would cost, without sending anything: users, events, queries, limits.

    A plan that breaks a documented limit of a service elsewhere is refused with exit code 2, and
    with the setting that would fit. Give run the same options, and the digest to --plan.
    """
    from loadcheck import scenario as scenarios  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415
    from loadcheck.pipeline.prepare import read_scenario  # noqa: PLC0415
    from loadcheck.report import plan as report  # noqa: PLC0415

    loaded = read_scenario(
        scenario,
        [*shared(workers, prefixes), *overrides(sets, sources, servers, strict=strict)],
        profile=profile,
        environment=scenarios.environment(env_file),
    )
    made = plans.plan(loaded, seed=seed, consent=consent)
    if as_json:
        terminal.write_json(made)
    else:
        sys.stdout.write(report.text(made, width=terminal.width()))
    problems = plans.refused(loaded, made)
    if problems and not force_limits:
        raise InputError(problems)
