"""The command ``loadcheck check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import scenario_files
from loadcheck.cli.overrides import Servers, Sets, Sources, Strict, named_sources, overrides

_DOCUMENTS = (".yml", ".yaml", ".json")


def check(
    file: Annotated[
        Path,
        typer.Argument(
            help="A scenario (TOML), or an Arazzo document.",
            show_default=False,
            autocompletion=scenario_files,
        ),
    ],
    sets: Sets = None,
    sources: Sources = None,
    servers: Servers = None,
    strict: Strict = False,
    consent: Annotated[
        bool, typer.Option("--live", help="Descriptions may be read from other machines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Validate a scenario and show what it would send, without sending it.

    Given an Arazzo document instead, lint it: every problem with its line, its path and the section
    of the specification.
    """
    if file.suffix in _DOCUMENTS:
        _lint(file, sources, strict=strict, consent=consent, as_json=as_json)
        return
    from loadcheck import scenario as scenarios  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.cli.terminal import write_json  # noqa: PLC0415
    from loadcheck.pipeline.prepare import hide_passwords  # noqa: PLC0415
    from loadcheck.pipeline.preview import preview  # noqa: PLC0415
    from loadcheck.report import preview as report  # noqa: PLC0415

    loaded = scenarios.load(file, overrides=overrides(sets, sources, servers, strict=strict))
    shown = preview(hide_passwords(loaded), consent=consent)
    if as_json:
        write_json(shown)
    else:
        sys.stdout.write(report.text(shown))


def _lint(
    file: Path, sources: list[str] | None, *, strict: bool, consent: bool, as_json: bool
) -> None:
    from dataclasses import asdict  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from loadcheck.cli.exits import Exit  # noqa: PLC0415
    from loadcheck.cli.terminal import write_json  # noqa: PLC0415
    from loadcheck.escaping import printable  # noqa: PLC0415
    from loadcheck.pipeline.prepare import fetch  # noqa: PLC0415
    from loadcheck.secrets import cover  # noqa: PLC0415
    from loadcheck.workflow import lint  # noqa: PLC0415

    problems = lint(
        file,
        name=str(file),
        sources=named_sources(sources),
        strict=strict,
        fetch=partial(fetch, consent=consent),
    )
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        write_json({"errors": errors, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            sys.stdout.write(cover(f"{problem.severity}: {problem}") + "\n")
        warnings = len(problems) - errors
        found = ", ".join(
            f"{number} {what}{'' if number == 1 else 's'}"
            for number, what in ((errors, "error"), (warnings, "warning"))
        )
        sys.stdout.write(printable(cover(f"{file}: {found}")) + "\n")
    if errors:
        raise typer.Exit(Exit.USAGE)
