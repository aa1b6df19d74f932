"""Input, output and exit codes of commands: results go to stdout, all else to stderr."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import anyio

from loadcheck.cli.exits import Exit, Screen
from loadcheck.cli.overrides import ChangeOptions, Outputs, Sending, placed
from loadcheck.errors import ConsentError, InputError, Problem, ResultFileError, printable
from loadcheck.report import capacity, headline, live, terminal
from loadcheck.result import kind_of
from loadcheck.result.store import encoded, save_elsewhere
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import cover
from loadcheck.verify import Verdict, lasts
from loadcheck.verify.progress import Progress

_REDRAW_S = 0.25
_LINE_S = 2.0
_NARROWEST = 60
_WIDEST = 140


class Concluded(Protocol):
    """The result of a run, a search, or a reconciliation."""

    @property
    def document(self) -> Mapping[str, Any]:
        """The results document."""

    @property
    def path(self) -> Path:
        """The file of the result."""

    @property
    def unsaved(self) -> ResultFileError | None:
        """Why it is not in that file; None if it is."""


def has_color(stream: TextIO) -> bool:
    """Return whether to colour a stream, by NO_COLOR (no-color.org), FORCE_COLOR and its kind."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def width() -> int:
    """Return the columns of the terminal, at least 60 and at most 140."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((100, 24)).columns))


def size(stream: TextIO) -> tuple[int, int]:
    """Return the present columns and lines of a terminal; 80 and 24 if unknown."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return found.columns or 80, found.lines or 24


def is_drawable(stream: TextIO) -> bool:
    """Return whether a stream is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_summary(document: Mapping[str, Any], *, paths: Sequence[Path], stream: TextIO) -> None:
    """Print the summary of a result, and its files."""
    shown = [shown_path(path) for path in paths]
    summary = capacity.summary if kind_of(document) == "capacity" else terminal.summary
    stream.write(summary(document, color=has_color(stream), width=width(), paths=shown))


def print_headline(document: Mapping[str, Any], *, paths: Sequence[Path], stream: TextIO) -> None:
    """Print the verdict in one line, and the files of the result."""
    line = capacity.headline if kind_of(document) == "capacity" else headline.line
    stream.write("  ".join([line(document), *map(shown_path, paths)]) + "\n")


def print_result(done: Concluded, outputs: Outputs, also: Sequence[Path] = ()) -> None:
    """Print the result of a command, and output its document if it could not be saved.

    Args:
        done: The result.
        outputs: How much is printed, and in which form.
        also: Other files that were made from it.

    Raises:
        ResultFileError: It was not saved.
    """
    document, unsaved = done.document, done.unsaved
    stream = stream_for(outputs, offered=unsaved is not None)
    show = print_headline if outputs.quiet else print_summary
    show(document, paths=[*([] if unsaved else [done.path]), *also], stream=stream)
    if outputs.as_json:
        write_json(document)
    elif unsaved is not None:
        offer(document, done.path)
    if unsaved is not None:
        raise unsaved


def stream_for(outputs: Outputs, *, offered: bool) -> TextIO:
    """Return the stream for people to read: standard output, unless that gets a document.

    Args:
        outputs: How much is printed, and in which form.
        offered: Whether a document is output that could not be saved.
    """
    documents = outputs.as_json or (offered and not sys.stdout.isatty())
    return sys.stderr if documents else sys.stdout


def print_together(
    documents: Sequence[Mapping[str, Any]],
    verdict: str,
    outputs: Outputs,
    unsaved: Path | None = None,
) -> None:
    """Print the result of all flows of a mix together, and their joint thresholds.

    Args:
        documents: The flows' results.
        verdict: What they prove together.
        outputs: How much is printed, and in which form.
        unsaved: File of the first flow that could not be saved: all are output; None: none is.
    """
    stream = stream_for(outputs, offered=unsaved is not None)
    stream.write(printable(headline.together(documents, verdict)) + "\n")
    if not outputs.quiet:
        color = has_color(stream)
        stream.write(terminal.thresholds(documents[0], color=color, width=width()))
    flows = {document["mix"]["flow"]: dict(document) for document in documents}
    whole = {"verdict": verdict, "together": documents[0]["mix"]["together"], "flows": flows}
    if outputs.as_json:
        write_json(whole)
    elif unsaved is not None:
        offer(whole, unsaved)


def read(scenario: Path, changes: ChangeOptions, *first: str, last: Sequence[str] = ()) -> Scenario:
    """Read a scenario with overrides: ``first``, then those of options, then ``last``.

    Raises:
        ScenarioError: Something in it, or in an option, cannot be used.
    """
    from loadcheck.pipeline.prepare import read_scenario  # noqa: PLC0415  # show and list do without

    environment = changes.environment
    sets, given = changes.sets or (), [*first, *changes.overrides()]
    overrides = [*placed(given[: len(given) - len(sets)], sets), *last]
    return read_scenario(scenario, overrides, profile=changes.profile, environment=environment)


_T = TypeVar("_T")


def in_loop(work: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """Call an asynchronous function in an event loop, and return its result."""
    return anyio.run(work, *args, backend_options={"use_uvloop": True})


def write_json(document: Mapping[str, Any]) -> None:
    """Print a document on stdout."""
    sys.stdout.buffer.write(encoded(document))
    sys.stdout.buffer.flush()


def shown_path(path: Path | None) -> str:
    """Return a path as displayed: without secrets, and without what would control a terminal."""
    return "" if path is None else printable(cover(str(path)))


def offer(document: Mapping[str, Any], path: Path) -> None:
    """Output a document that could not be saved, on stdout.

    If that is a terminal, it goes to the directory for temporary files instead, if possible.
    """
    elsewhere = save_elsewhere(document, path.name) if sys.stdout.isatty() else None
    if elsewhere is None:
        write_json(document)
    else:
        sys.stderr.write(f"the document is in {shown_path(elsewhere)}\n")


def print_later(document: Mapping[str, Any], *, path: Path | None, live: bool) -> None:
    """Print on stderr how to query the service later about an interrupted run."""
    if path is None or not lasts(document["scenario"].get("target", {}).get("kind", "")):
        return
    away, name = " --live" if live else "", shown_path(Path(shlex.quote(str(path))))
    sys.stderr.write(f"To ask the service again: loadcheck reconcile{away} {name}\n")


async def no_view(run: Progress) -> None:
    """Show nothing but that a signal was received."""
    await _plain(run, every_s=math.inf, quiet=True)


async def line_view(run: Progress) -> None:
    """Write a plain line every other second: for logs and pipes."""
    await _plain(run, every_s=_LINE_S)


async def flow_view(run: Progress) -> None:
    """Write a plain line every other second, with the name of its flow."""
    await _plain(run, every_s=_LINE_S, name=f"{run.outline.name}  ")


async def _plain(run: Progress, *, every_s: float, quiet: bool = False, name: str = "") -> None:
    screen, heard, seen = Screen(sys.stderr), 0, 0
    try:
        while True:
            await run.wait(every_s)
            news, seen = live.news_since(run, seen), len(run.news)
            for each in () if quiet else news:
                screen.show(f"{each}\n")
            if run.signals != heard:
                heard = run.signals
                screen.show(f"{live.interruption(run)}\n")
            elif not news:
                screen.show(f"{name}{live.line(run)}\n")
                whole = live.together_line(run, live.PLAIN_WIDTH)
                if whole:
                    screen.show(f"{'together':<{max(0, len(name) - 2)}}  {whole}\n")
    finally:
        if run.signals != heard:
            screen.show(f"{live.interruption(run)}\n")
        screen.settle()


async def live_view(run: Progress) -> None:
    """Redraw a few lines continually; erase them when the run has ended."""
    view = live.LiveView(run, color=has_color(sys.stderr))
    screen, drawn = Screen(sys.stderr), Redrawing()
    try:
        while True:
            columns, lines = size(sys.stderr)
            screen.show(drawn.frame(view.rows(columns - 1, lines - 1), columns))
            await run.wait(_REDRAW_S)
    finally:
        screen.show(drawn.frame([], size(sys.stderr)[0]))
        screen.settle()


class Redrawing:
    """Redraws rows in place, also after the terminal was resized."""

    def __init__(self) -> None:
        self._taken: list[int] = []

    def frame(self, rows: Sequence[str], columns: int) -> str:
        """Return what to write: the cursor movement, the rows, and the erasure of what is below."""
        # a terminal that was narrowed has wrapped the rows that were wider
        lines = sum(max(1, -(-taken // columns)) for taken in self._taken)
        self._taken = [live.cells(row) for row in rows]
        up = f"\x1b[{lines}A\r" if lines else ""
        drawn = "".join(f"{row}\x1b[K\n" for row in rows)
        return f"{up}{drawn}\x1b[J" if up or rows else ""


def exit_of(*, consistent: Verdict | None, verdict: Verdict, interrupted: bool) -> Exit:
    """Return the exit code of a run, or of a reconciliation.

    Args:
        consistent: What the counts prove; None if they were not queried.
        verdict: What everything together proves.
        interrupted: Whether a signal ended it early.
    """
    if interrupted:
        return Exit.INTERRUPTED
    if verdict is Verdict.PASS:
        return Exit.PASS
    if verdict is Verdict.UNKNOWN:
        return Exit.UNKNOWN
    return Exit.INCONSISTENT if consistent is Verdict.FAIL else Exit.THRESHOLD


_MOST_S = 10.0
"""Maximum wait for a control user before a run; the run itself waits longer."""


_WARNINGS = ("project", "deduplication")
"""Checks that only warn: a slow service looks the same, or the run's own counts show it."""


def approve(
    scenario: Scenario, sending: Sending, *, digest: str | None, forced: bool
) -> tuple[str | None, dict[str, int]]:
    """Get approval for the plan of a run that leaves this machine.

    It is given on a terminal, by ``--yes`` or by the digest. A run that stays on this machine needs
    no approval.

    Returns:
        The digest, or the given one if nothing needed approval; and what the preflight check sent
        and queried.

    Raises:
        ConsentError: It was not approved; nothing was sent.
        InputError: It breaks a limit of the service.
    """
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415  # show and list do without
    from loadcheck.report import plan as report  # noqa: PLC0415

    made = plans.plan(scenario, seed=sending.seed, consent=True)
    if not made["leaves_this_machine"]:
        return digest, {}
    problems = plans.refused(scenario, made)
    if problems and not forced:
        raise InputError(problems)
    if digest is None:
        sys.stderr.write(report.text(made, width=width()))
        confirm(yes=sending.yes, what="Run this plan?", digest=made["digest"])
    elif digest.lower() != made["digest"]:
        return digest, {}  # the run refuses it, before anything is sent
    return str(made["digest"]), _preflight(scenario, seed=sending.seed)


def _preflight(scenario: Scenario, *, seed: int | None) -> dict[str, int]:
    """Check keys and servers with one control user, before thousands are sent.

    If the service is slow to count, the run goes on after a while, as it finds out by itself.

    Returns:
        What was sent and queried.

    Raises:
        InputError: Something is wrong; nothing but the control user was sent.
    """
    from loadcheck import pipeline  # noqa: PLC0415  # show and list do without
    from loadcheck.pipeline import preflight as flights  # noqa: PLC0415

    within_s = min(_MOST_S, scenario.verify.deadline_s)
    options = pipeline.Options(consent=True, seed=seed)

    async def fly() -> dict[str, Any]:
        return await flights.preflight(scenario, options, within_s=within_s, optional=True)

    found = in_loop(fly)
    wrong = [each for each in found["checks"] if each["state"] == "wrong"]
    for each in wrong:
        if each["name"] in _WARNINGS:
            sys.stderr.write(f"warning: preflight: {each['name']}: {each['told']}\n")
    problems = [
        Problem(
            message=f"preflight: {each['name']}: {each['told']}",
            remedy="nothing but a control user was sent; see loadcheck preflight",
        )
        for each in wrong
        if each["name"] not in _WARNINGS
    ]
    if problems:
        raise InputError(problems)
    spent: dict[str, int] = found["spent"]
    return spent


def approve_search(scenario: Scenario, *, yes: bool) -> None:
    """Get approval for a capacity search that leaves this machine.

    Its plan is only where it sends and how much it may send: the rate is what it finds out.

    Raises:
        ConsentError: It was not approved; nothing was sent.
    """
    from loadcheck.pipeline import plan as plans  # noqa: PLC0415  # show and list do without

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
    """Ask on a terminal whether to go on; without a terminal, require ``yes``.

    Raises:
        ConsentError: The answer is no, or there is no terminal; nothing was sent.
    """
    if yes:
        return
    remedy = "add --yes to approve it"
    if digest:
        remedy += f", or --plan {digest} to approve exactly this plan"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = "the plan is not approved, and there is no terminal to ask on"
        raise ConsentError(Problem(message=message, remedy=remedy))
    if not agreed(what):
        raise ConsentError(Problem(message="the plan was not approved: nothing was sent"))


def agreed(question: str) -> bool:
    """Ask a question on the terminal; return whether the answer is yes."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def exit_of_comparison(verdict: str) -> Exit:
    """Return the exit code of a comparison."""
    return {"worse": Exit.REGRESSION, "unsure": Exit.UNKNOWN}.get(verdict, Exit.PASS)
