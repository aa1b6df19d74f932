"""Exit codes, and what is said when a command cannot go on."""

from __future__ import annotations

import enum
import functools
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from loadcheck.errors import InputError, LoadcheckError, Problem, SaveError
from loadcheck.escaping import printable
from loadcheck.secrets import cover

if TYPE_CHECKING:
    from loadcheck.verify.verdict import Verdict

_P = ParamSpec("_P")


class Exit(enum.IntEnum):
    """Process exit codes."""

    PASS = 0
    INCONSISTENT = 1
    USAGE = 2
    UNKNOWN = 3
    REGRESSION = 4
    THRESHOLD = 5
    BUG = 70
    UNSAVED = 74
    INTERRUPTED = 130


MEANINGS = {
    Exit.PASS: "Pass: every acknowledged user was counted, every threshold held.",
    Exit.INCONSISTENT: "Fail: the service is not consistent: users lost, duplicated or unexpected. "
    "preflight: something is wrong.",
    Exit.USAGE: "Bad input: nothing was sent, nothing written.",
    Exit.UNKNOWN: "Unknown: no proof either way. Comes before 5.",
    Exit.REGRESSION: "compare: a figure is worse by more than the tolerance. "
    "trend --fail-on-change: the newest run is behind a change for the worse.",
    Exit.THRESHOLD: "Fail: consistent, or not asked about, but a threshold was broken.",
    Exit.BUG: "A bug in loadcheck.",
    Exit.UNSAVED: "The result could not be saved; the verdict is told, the document is on stdout.",
    Exit.INTERRUPTED: "Interrupted. Ctrl-C once stops the load and asks for the count; twice "
    "saves at once.",
}
"""What each exit code means."""


def exit_of(*, consistent: Verdict | None, verdict: Verdict, interrupted: bool) -> Exit:
    """Return the exit code of a run, or of asking again about one.

    Args:
        consistent: What the counts prove; None if they were not asked for.
        verdict: What everything together proves.
        interrupted: Whether a signal ended it early.
    """
    from loadcheck.verify import verdict as words  # noqa: PLC0415  # keeps --help quick

    if interrupted:
        return Exit.INTERRUPTED
    if verdict is words.Verdict.PASS:
        return Exit.PASS
    if verdict is words.Verdict.UNKNOWN:
        return Exit.UNKNOWN
    return Exit.INCONSISTENT if consistent is words.Verdict.FAIL else Exit.THRESHOLD


def interruptible() -> None:
    """Let a signal that asks to end do what Ctrl-C does, also for the first process of a container.

    That one gets no signal that it does not handle. What was ignored from the start stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def acknowledged(command: Callable[_P, None]) -> Callable[_P, None]:
    """Return a command that says so if it is interrupted; a run says more by itself."""

    @functools.wraps(command)
    def said(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (KeyboardInterrupt, BaseExceptionGroup) as error:
            first = _innermost(error) if isinstance(error, BaseExceptionGroup) else error
            if isinstance(first, KeyboardInterrupt):
                sys.stderr.write("Interrupted.\n")
            raise

    return said


def guarded(command: Callable[[], object]) -> int:
    """Call a command and turn what it raises into words on stderr and an exit code."""
    try:
        command()
    except SystemExit as exit_:
        return _code(exit_)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BaseExceptionGroup as group:
        return _explain(_innermost(group))
    except Exception as error:  # noqa: BLE001  # the last stop
        return _explain(error)
    return Exit.PASS


def tell(problem: Problem) -> None:
    """Say one problem on stderr."""
    print(cover(f"{problem.severity}: {problem}"), file=sys.stderr)  # noqa: T201


def _explain(error: BaseException) -> int:
    if isinstance(error, InputError):
        for problem in error.problems:
            tell(problem)
        return Exit.UNSAVED if isinstance(error, SaveError) else Exit.USAGE
    if isinstance(error, LoadcheckError):
        print(printable(cover(f"error: {error}"), lines=True), file=sys.stderr)  # noqa: T201
        return Exit.UNKNOWN
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    text = printable(cover("".join(traceback.format_exception(error))), lines=True)
    print(  # noqa: T201
        f"{text}\nThis is a bug in loadcheck; please report the lines above.",
        file=sys.stderr,
    )
    return Exit.BUG


def _innermost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception that a task group wrapped; an interrupt only if it is alone."""
    plain = [error for error in _flat(group) if not isinstance(error, KeyboardInterrupt)]
    return plain[0] if plain else KeyboardInterrupt()


def _flat(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for part in error.exceptions for inner in _flat(part)]
    return [error]


def _code(exit_: SystemExit) -> int:
    if exit_.code is None:
        return Exit.PASS
    return exit_.code if isinstance(exit_.code, int) else Exit.USAGE
