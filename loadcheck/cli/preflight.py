"""The command ``loadcheck preflight``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from loadcheck.cli.overrides import (
    EnvFile,
    Live,
    Profile,
    ScenarioFile,
    Servers,
    Sets,
    Sources,
    Strict,
    overrides,
    read_scenario,
)

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
    from functools import partial  # noqa: PLC0415  # imports here keep --help quick

    import anyio  # noqa: PLC0415

    from loadcheck import pipeline  # noqa: PLC0415
    from loadcheck import scenario as scenarios  # noqa: PLC0415
    from loadcheck.cli import terminal  # noqa: PLC0415
    from loadcheck.cli.exits import Exit  # noqa: PLC0415
    from loadcheck.escaping import printable  # noqa: PLC0415
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
