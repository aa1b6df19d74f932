"""The command ``loadcheck init``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from loadcheck.errors import DraftError, Problem, printable

EPILOG = """Examples:

loadcheck init --openapi my-api.yml

loadcheck init --openapi http://127.0.0.1:8000/openapi.json --into load

loadcheck init --har recorded.har --ingest 'POST /events'

loadcheck init --curl 'curl localhost:8000/events -d user=u1' --count none

loadcheck init --profile amplitude"""


def init(
    openapi: Annotated[
        str | None,
        typer.Option("--openapi", metavar="FILE|URL", help="OpenAPI description, 3.0 to 3.2."),
    ] = None,
    har: Annotated[
        Path | None,
        typer.Option("--har", metavar="FILE", help="From requests that a browser has recorded."),
    ] = None,
    curl: Annotated[
        list[str] | None,
        typer.Option(
            "--curl",
            metavar="LINE",
            help="From a curl line that sends an event, and a second one that asks for the count.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="For a service that comes with loadcheck."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            "-d",
            metavar="FOLDER",
            help="Folder to write to.",
            show_default="a new folder",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the scenario.", show_default="the API's title"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Base URL of the API, if not as described."),
    ] = None,
    ingest: Annotated[
        str | None,
        typer.Option(
            "--ingest",
            metavar="OPERATION",
            help="Operation that takes data: its id, or 'POST /path'.",
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="PLACE", help="Where the user id is, e.g. body#/user_id."),
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(
            "--count", metavar="OPERATION", help="Operation that counts users; none: measure only."
        ),
    ] = None,
    uniques: Annotated[
        str | None,
        typer.Option("--uniques", metavar="PLACE", help="Where the count is, e.g. /data/users."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="PLACE", help="What the count can filter by, to isolate this run."
        ),
    ] = None,
    consent: Annotated[
        bool, typer.Option("--live", help="Allow the description to be read from another machine.")
    ] = False,
) -> None:
    """Draft a scenario for an API: the workflow, the scenario, .env.example.

    Finds the operation by which data goes in and the one that counts users.
    Sends nothing, writes over nothing, and keeps every credential out of the
    files. What it cannot know, it asks for on a terminal, and refuses elsewhere.
    """
    from loadcheck import draft as drafts  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.draft.choose import Wishes, decided  # noqa: PLC0415
    from loadcheck.draft.curl import read_lines  # noqa: PLC0415
    from loadcheck.draft.recorded import read_har  # noqa: PLC0415

    wishes = Wishes(ingest=ingest, count=count, user=user, run=run, uniques=uniques, server=server)
    given = [each for each in (openapi, har, curl, profile) if each]
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    ask = _choice if asking else None
    if not given and asking:
        openapi, curl = _asked_for()
        given = [each for each in (openapi, curl) if each]
    if len(given) != 1:
        _refuse_sources(len(given))
    if profile is not None:
        draft = drafts.from_profile(profile, name=name)
    elif openapi is not None:
        api = drafts.read_api(openapi, consent=consent)
        begin = partial(drafts.from_description, api, openapi, into=into, name=name)
        draft = decided(begin, wishes, ask)
    elif har is not None:
        begin = partial(drafts.from_requests, read_har(har), str(har), into=into, name=name)
        draft = decided(begin, wishes, ask)
    else:
        recorded, wishes = read_lines(curl or (), wishes)
        source = "curl lines" if len(recorded) > 1 else "a curl line"
        begin = partial(drafts.from_requests, recorded, source, into=into, name=name)
        draft = decided(begin, wishes, ask)
    folder = into if into is not None else Path(draft.name)
    shown = drafts.write(draft, folder)
    sys.stdout.write(drafts.summary(draft, folder, shown))


def _refuse_sources(number: int) -> None:
    message = "several sources" if number else "nothing to start from"
    remedy = "give one of --openapi FILE, --har FILE, --curl 'LINE' and --profile NAME"
    raise DraftError(Problem(message=message, remedy=remedy))


def _asked_for() -> tuple[str | None, list[str]]:
    """Ask where to start from: an OpenAPI description, or curl lines."""
    found = typer.prompt(
        "OpenAPI description of the API: a file or a URL (empty if there is none)",
        default="",
        show_default=False,
    ).strip()
    if found:
        return found, []
    first = _line("curl line that sends one event of a user")
    second = _line("curl line that asks how many users there are (empty if none does)")
    return None, [line for line in (first, second) if line]


def _line(question: str) -> str:
    """Ask for a line, which a backslash at its end continues."""
    lines = [typer.prompt(question, default="", show_default=False)]
    while lines[-1].endswith("\\"):
        lines.append(typer.prompt("…", default="", show_default=False))
    return "\n".join(lines).strip()


def _choice(message: str, choices: Sequence[tuple[str, str]]) -> str:
    if not choices:
        found: str = typer.prompt(printable(f"{message}; where is it"), prompt_suffix="? ")
        return found.strip()
    sys.stdout.write(printable(f"{message.partition(': ')[0]}:") + "\n")
    for number, (name, text) in enumerate(choices, 1):
        sys.stdout.write(printable(f"  {number}  {name}  {text}".rstrip()) + "\n")
    while True:
        chosen: int = typer.prompt("which", type=int)
        if 0 < chosen <= len(choices):
            return choices[chosen - 1][0]
