"""The commands plan and preflight, and the approval that a run asks for before it leaves."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

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
    read_scenario,
    shared,
)
from loadcheck.errors import ConsentError, InputError, Problem, printable

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
            told = printable(f"{_MARKS[check['state']]}{check['name']:<14} {check['told']}")
            sys.stdout.write(f"{told}\n")
    raise typer.Exit(Exit.INCONSISTENT if found["state"] == "wrong" else Exit.PASS)


if TYPE_CHECKING:
    from loadcheck.scenario.model import Scenario

_MOST_S = 10.0
"""So long a control user is waited for before a run; the run itself waits longer."""
_TOLD_ONLY = ("project", "deduplication")
"""What a slow service cannot be told apart from, and what the run's own counts show."""

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


def approve(
    scenario: Scenario, *, seed: int | None, yes: bool, digest: str | None, forced: bool
) -> tuple[str | None, dict[str, int]]:
    """Have the plan of a run that leaves this machine approved.

    Asked on a terminal, else ``yes`` or the digest says so. What stays on this machine needs no
    approval.

    Returns:
        The digest, where nothing needed approval the one that was given; and what was sent and
        asked by the look at keys and servers before the run.

    Raises:
        ConsentError: It was not approved; nothing was sent.
        InputError: It breaks a limit of the service.
    """
    from loadcheck.cli import terminal  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415
    from loadcheck.report import plan as report  # noqa: PLC0415

    made = plans.plan(scenario, seed=seed, consent=True)
    if not made["leaves_this_machine"]:
        return digest, {}
    problems = plans.refused(scenario, made)
    if problems and not forced:
        raise InputError(problems)
    if digest is None:
        sys.stderr.write(report.text(made, width=terminal.width()))
        confirm(yes=yes, what="Run this plan?", digest=made["digest"])
    elif digest.lower() != made["digest"]:
        return digest, {}  # the run refuses it, before anything is sent
    return str(made["digest"]), _preflight(scenario, seed=seed)


def _preflight(scenario: Scenario, *, seed: int | None) -> dict[str, int]:
    """See by one control user whether keys and servers are right, before thousands are sent.

    Returns what was sent and asked.

    A service that is slow to count is not held up for that: then the run itself tells.

    Raises:
        InputError: Something is wrong; nothing but the control user was sent.
    """
    import anyio  # noqa: PLC0415  # imports here keep --help quick

    from loadcheck import pipeline  # noqa: PLC0415
    from loadcheck.pipeline import preflight as flights  # noqa: PLC0415

    within_s = min(_MOST_S, scenario.verify.deadline_s)
    options = pipeline.Options(consent=True, seed=seed)

    async def fly() -> dict[str, Any]:
        return await flights.preflight(scenario, options, within_s=within_s, optional=True)

    found = anyio.run(fly, backend_options={"use_uvloop": True})
    wrong = [each for each in found["checks"] if each["state"] == "wrong"]
    for each in wrong:
        if each["name"] in _TOLD_ONLY:
            sys.stderr.write(f"warning: preflight: {each['name']}: {each['told']}\n")
    problems = [
        Problem(
            message=f"preflight: {each['name']}: {each['told']}",
            remedy="nothing but a control user was sent; see loadcheck preflight",
        )
        for each in wrong
        if each["name"] not in _TOLD_ONLY
    ]
    if problems:
        raise InputError(problems)
    spent: dict[str, int] = found["spent"]
    return spent


def approve_search(scenario: Scenario, *, yes: bool) -> None:
    """Have a search for capacity approved that leaves this machine.

    It has no plan beside where it goes and how much it may send: what holds is what it finds out.

    Raises:
        ConsentError: It was not approved; nothing was sent.
    """
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415  # imports here keep --help quick

    away = [each for each in plans.plan(scenario, consent=True)["destinations"] if each["away"]]
    if not away:
        return
    most = scenario.capacity.budget_events
    number = "any number of" if most is None else f"up to {most:,}"
    places = ", ".join(
        f"{each['origin']} ({each['region']})" if each["region"] else each["origin"]
        for each in away
    )
    sys.stderr.write(f"The search sends {number} events to {places}\n")
    confirm(yes=yes, what="Search?")


def confirm(*, yes: bool, what: str, digest: str = "") -> None:
    """Ask on a terminal whether to go on; elsewhere ``yes`` must have said so.

    Raises:
        ConsentError: The answer is no, or there is nobody to ask; nothing was sent.
    """
    if yes:
        return
    remedy = "add --yes to say that it may"
    if digest:
        remedy += f", or --plan {digest} to say that exactly this may"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = "nobody has approved the plan, and there is no terminal to ask at"
        raise ConsentError(Problem(message=message, remedy=remedy))
    sys.stderr.write(f"{what} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ConsentError(Problem(message="the plan was not approved: nothing was sent"))
