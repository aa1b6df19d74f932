"""The command ``loadcheck init``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadcheck.escaping import printable

if TYPE_CHECKING:
    from loadcheck.draft.draft import Draft


def init(
    openapi: Annotated[
        str | None,
        typer.Option(
            "--openapi", metavar="FILE|URL", help="From an OpenAPI description, 3.0 to 3.2."
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", "-d", metavar="FOLDER", help="Write there.", show_default="a new folder"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the scenario.", show_default="the API's title")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Where the API is, if not where it says."),
    ] = None,
    ingest: Annotated[
        str | None,
        typer.Option(
            "--ingest", metavar="OPERATION", help="By which data goes in: its id, or 'POST /path'."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="PLACE", help="Where it says whose: body#/user_id."),
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(
            "--count", metavar="OPERATION", help="Which counts users; none: measure only."
        ),
    ] = None,
    uniques: Annotated[
        str | None,
        typer.Option("--uniques", metavar="PLACE", help="Where it says how many: /data/users."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="PLACE", help="What it filters by, to tell this run's users."
        ),
    ] = None,
    consent: Annotated[
        bool, typer.Option("--live", help="The description may be read from another machine.")
    ] = False,
) -> None:
    """Draft a scenario for an API: the workflow, the scenario, .env.example.

    Finds the operation by which data goes in and the one that counts users, writes what sends the
    one and asks the other, and checks it. Nothing that is there is written over.
    """
    from loadcheck.draft import draft as drafts  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.draft.choose import Wishes  # noqa: PLC0415
    from loadcheck.errors import DraftError, Problem  # noqa: PLC0415

    wishes = Wishes(ingest=ingest, count=count, user=user, run=run, uniques=uniques, server=server)
    if openapi is None:
        remedy = "loadcheck init --openapi FILE"
        raise DraftError(Problem(message="nothing to start from", remedy=remedy))
    api = drafts.read_api(openapi, consent=consent)
    draft = drafts.from_description(api, openapi, wishes, into=into, name=name)
    folder = into if into is not None else Path(draft.name)
    shown = drafts.write(draft, folder)
    sys.stdout.write(_told(draft, folder, shown))


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
    lines.append(f"  loadcheck run {scenario}{' --live' if draft.away else ''}")
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
    yield "check", f"passed: {shown['load']['copies']:,} users, nothing was sent"
