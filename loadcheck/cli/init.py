"""The command ``loadcheck init``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadcheck.errors import DraftError, Problem, many, printable

if TYPE_CHECKING:
    from loadcheck.draft import Draft
    from loadcheck.draft.choose import UndecidedError, Wishes

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
    from loadcheck.draft.choose import Wishes  # noqa: PLC0415

    wishes = Wishes(ingest=ingest, count=count, user=user, run=run, uniques=uniques, server=server)
    given = [each for each in (openapi, har, curl, profile) if each]
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    if not given and asking:
        openapi, curl = _asked_for()
    elif len(given) != 1:
        _refuse_sources(len(given))
    if profile is not None:
        draft = drafts.from_profile(profile, name=name)
    elif openapi is not None:
        api = drafts.read_api(openapi, consent=consent)
        begin = partial(drafts.from_description, api, openapi, into=into, name=name)
        draft = _decided(begin, wishes, asking=asking)
    else:
        recorded, source, wishes = _recorded(har, curl or (), wishes)
        begin = partial(drafts.from_requests, recorded, source, into=into, name=name)
        draft = _decided(begin, wishes, asking=asking)
    folder = into if into is not None else Path(draft.name)
    shown = drafts.write(draft, folder)
    sys.stdout.write(_told(draft, folder, shown))


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
    """Ask for a line, which may go on behind a backslash."""
    lines = [typer.prompt(question, default="", show_default=False)]
    while lines[-1].endswith("\\"):
        lines.append(typer.prompt("…", default="", show_default=False))
    return "\n".join(lines).strip()


def _recorded(
    har: Path | None, curl: Sequence[str], wishes: Wishes
) -> tuple[Sequence[Any], str, Wishes]:
    from loadcheck.draft.curl import read_curl  # noqa: PLC0415
    from loadcheck.draft.recorded import path_of, read_har  # noqa: PLC0415

    if har is not None:
        return read_har(har), str(har), wishes
    lines = [read_curl(line) for line in curl]
    names = [path_of(line) for line in lines]
    first, second = names[0], names[1] if len(names) > 1 else None
    return (
        lines,
        "curl lines" if len(lines) > 1 else "a curl line",
        replace(wishes, ingest=wishes.ingest or first, count=wishes.count or second),
    )


def _decided(draft_from: Callable[[Wishes], Draft], wishes: Wishes, *, asking: bool) -> Draft:
    """Draft; on a terminal, let the user decide what cannot be known."""
    from loadcheck.draft.choose import UndecidedError  # noqa: PLC0415

    while True:
        try:
            return draft_from(wishes)
        except UndecidedError as error:
            if not asking:
                raise
            wishes = replace(wishes, **{error.option.removeprefix("--"): _choice(error)})


def _choice(error: UndecidedError) -> str:
    message = error.problems[0].message
    if not error.choices:
        found: str = typer.prompt(printable(f"{message}; where is it"), prompt_suffix="? ")
        return found.strip()
    sys.stdout.write(printable(f"{message.partition(': ')[0]}:") + "\n")
    for number, (name, text) in enumerate(error.choices, 1):
        sys.stdout.write(printable(f"  {number}  {name}  {text}".rstrip()) + "\n")
    while True:
        chosen: int = typer.prompt("which", type=int)
        if 0 < chosen <= len(error.choices):
            return error.choices[chosen - 1][0]


def _told(draft: Draft, folder: Path, shown: dict[str, Any]) -> str:
    width = max(len(str(folder / name)) for name in draft.files)
    lines = ["wrote"]
    lines += [f"  {folder / name!s:<{width}}  {text}" for name, text in draft.texts.items()]
    lines += ["", *(f"  {name:<8} {text}" for name, text in _found(draft, shown))]
    lines += ["", "next"]
    scenario = shlex.quote(str(folder / draft.scenario))
    if draft.variables:
        example, own = (shlex.quote(str(folder / each)) for each in (".env.example", ".env"))
        lines.append(f"  cp {example} {own}   # and fill it in")
        lines.append(f"  set -a; . {own if own.startswith('/') else f'./{own}'}; set +a")
    lines.append(f"  loadcheck run {scenario}{' --live' * shown['leaves_this_machine']}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _found(draft: Draft, shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what was found out, for the user to see whether it is right."""
    choice = draft.choice
    if choice is not None:
        yield "sends", f"{choice.ingest.told}, the user's id at {choice.user.at}"
    if choice is not None and choice.count is not None:
        yield "counts", f"{choice.count.told}, users at {choice.uniques}"
        if choice.run is not None:
            yield "filters", f"by {choice.run[1].at}: only the users of a run are counted"
        else:
            yield "filters", "by nothing: others' users cannot be told apart, so that no run can"
            yield "", "prove that nobody is lost; --run says what the count can filter by"
    for note in draft.notes:
        yield "look at", note
    copies = shown["load"]["copies"]
    yield "check", f"passed: {many(copies, 'users')}, nothing was sent" if copies else "passed"
