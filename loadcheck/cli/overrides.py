"""Options that change a scenario, as ``--set`` would.

Options that several commands have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.cli.completion import scenario_keys
from loadcheck.documents.files import is_folder
from loadcheck.documents.urls import with_scheme
from loadcheck.errors import Problem, ScenarioError
from loadcheck.secrets import without_userinfo

_URL = re.compile(r"https?://", re.IGNORECASE)

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Override a value, e.g. --set load.rate=500. Repeatable.",
        autocompletion=scenario_keys,
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAME=VALUE",
        help="Label the run, e.g. --label env=staging; git and CI facts are taken by themselves. "
        "Repeatable.",
        show_default=False,
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Lay \\[profiles.NAME] over the scenario: an environment's servers, secrets, rates.",
        show_default=False,
    ),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="Read variables from a .env file; those of the environment go before.",
        show_default=False,
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME=FILE",
        help="Read this OpenAPI description from another file. Repeatable.",
    ),
]
Servers = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="[NAME=]URL",
        help="Send requests to this server: all, or those of one OpenAPI description. Repeatable.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat specification warnings as errors.")]


def overrides(
    sets: Sequence[str] | None,
    sources: Sequence[str] | None,
    servers: Sequence[str] | None,
    *,
    strict: bool,
) -> list[str]:
    """Return everything as overrides of a scenario, ``--set`` last.

    Raises:
        ScenarioError: An option is not of the form NAME=VALUE.
    """
    changes = [f"workflow.sources.{n}={json.dumps(v)}" for n, v in named_sources(sources).items()]
    given = [f"*={entry}" if _URL.match(entry) else entry for entry in servers or ()]
    changes += [
        f"target.servers.{json.dumps(n)}={json.dumps(v)}" for n, v in _named("--server", given)
    ]
    if strict:
        changes.append("workflow.strict=true")
    return [*changes, *(sets or ())]


def labelled(labels: Sequence[str] | None) -> list[str]:
    """Return labels as overrides of a scenario.

    Raises:
        ScenarioError: One is not of the form NAME=VALUE, is no line of text, or is given twice.
    """
    from loadcheck.scenario.loader import label_trouble  # noqa: PLC0415  # keeps --help quick

    given, problems = dict[str, str](), []
    for entry in labels or ():
        name, equals, value = entry.partition("=")
        name, value = name.strip(), value.strip()
        trouble = label_trouble(name, value)
        if not equals:
            trouble = "there is no =", "expected NAME=VALUE, such as env=staging"
        elif trouble is None and name in given:
            trouble = "is given twice", "leave one out"
        if trouble:
            shown = without_userinfo(entry).encode("utf-8", "replace").decode()
            problems.append(
                Problem(file=f"--label {shown[:200]}", message=trouble[0], remedy=trouble[1])
            )
        given[name] = value
    if problems:
        raise ScenarioError(problems)
    return [f"labels.{n}={json.dumps(v, ensure_ascii=False)}" for n, v in given.items()]


def named_sources(sources: Sequence[str] | None) -> dict[str, str]:
    """Return source descriptions by name; files are found from where the user stands.

    Raises:
        ScenarioError: An option is not of the form NAME=VALUE.
    """
    named = dict(_named("--source", sources))
    return {
        name: value if "://" in value else str(Path(value).absolute())
        for name, value in named.items()
    }


def _named(option: str, entries: Sequence[str] | None) -> list[tuple[str, str]]:
    problems = []
    named = []
    for entry in entries or ():
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            remedy = "expected NAME=FILE"
            if option == "--server":
                remedy = with_scheme(entry) or "expected URL or NAME=URL"
            shown = without_userinfo(entry, bare=True)
            problems.append(Problem(message=f"{option} {shown}", remedy=remedy))
        named.append((name, value))
    if problems:
        raise ScenarioError(problems)
    return named


Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Results file, or a directory for it.", show_default="results/"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Random seed.", min=0)]
Live = Annotated[
    bool, typer.Option("--live", help="Allow load to leave this machine: real events, real users.")
]
Json = Annotated[bool, typer.Option("--json", "-j", help="Print the results document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; a one-line verdict.")]

WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|auto",
        help="Share the load among processes; auto: one for each core to spare.",
    ),
]
Prefixes = Annotated[
    list[str] | None,
    typer.Option(
        "--prefix",
        metavar="COMMAND",
        help="Start workers behind a command, e.g. 'ssh host1'. Repeatable.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run the workers on a Dask cluster: one process on each of its workers.",
    ),
]
KeepGoing = Annotated[
    bool,
    typer.Option("--keep-going", help="Go on with the other workers when one is lost."),
]


def shared(workers: str | None, prefixes: Sequence[str] | None) -> list[str]:
    """Return how the load is shared, as overrides of a scenario."""
    changes = [] if workers is None else [f"load.workers={workers}"]
    if prefixes:
        changes.append(f"load.prefixes={json.dumps(list(prefixes))}")
    return changes


Page = Annotated[
    Path | None,
    typer.Option(
        "--report", "-r", metavar="FILE", help="Also write an HTML page.", show_default=False
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", help="Also write the checks as JUnit XML.", show_default=False
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown", metavar="FILE", help="Also write a summary in Markdown.", show_default=False
    ),
]


def placed(output: Path | None) -> tuple[Path, Path | None]:
    """Return the directory and the file that ``--output`` means; None: a file of any name."""
    if output is not None and (is_folder(output) or str(output).endswith("/")):
        return output, None
    return Path("results"), output
