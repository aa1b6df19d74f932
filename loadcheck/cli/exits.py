"""Exit codes, reports of errors, and standard streams that cannot break a run.

Nothing that a reader of the standard streams does can end a run or change its exit code. If the
reader of a pipe has gone, the disk behind a redirection is full, or a terminal was closed, output
is dropped, silently, and the command goes on. A stream that was closed from the start becomes
``/dev/null``. Characters that the stream's encoding lacks are replaced.

Progress is written by a separate thread and never waited for: a terminal that was stopped with
Ctrl-S, or a pipe that nobody reads, must not hold up the load.
"""

from __future__ import annotations

import codecs
import contextlib
import enum
import functools
import io
import os
import queue
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TextIO

from loadcheck.errors import InputError, LoadcheckError, Problem, SaveError, innermost, printable
from loadcheck.secrets import cover

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
    Exit.UNSAVED: "The result could not be saved; the verdict is shown, the document is on stdout.",
    Exit.INTERRUPTED: "Interrupted. Ctrl-C once stops the load and asks for the count; twice "
    "saves at once.",
}
"""What each exit code means."""


def interruptible() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, also in the first process of a container.

    That process gets no signal that it does not handle. Signals ignored from the start stay so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # an event loop has its own handler for SIGINT, which cancels the work in it; an exception that
    # is raised here would surface in any of its callbacks
    handle = signal.getsignal(signal.SIGINT)
    if not callable(handle):
        raise KeyboardInterrupt
    handle(number, frame)


def acknowledged(command: Callable[_P, None]) -> Callable[_P, None]:
    """Return a command that prints "Interrupted." if it is; a run prints more by itself."""

    @functools.wraps(command)
    def said(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (KeyboardInterrupt, BaseExceptionGroup) as error:
            if isinstance(innermost(error), KeyboardInterrupt):
                sys.stderr.write("Interrupted.\n")
            raise

    return said


def run_command(command: Callable[[], object]) -> int:
    """Call a command, print what it raises on stderr, and return the exit code."""
    try:
        command()
    except SystemExit as exit_:
        return _code(exit_)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BaseExceptionGroup as group:
        return _explain(innermost(group))
    except Exception as error:  # noqa: BLE001  # the last stop
        return _explain(error)
    return Exit.PASS


def print_problem(problem: Problem) -> None:
    """Print one problem on stderr."""
    print(cover(f"{problem.severity}: {problem}"), file=sys.stderr)  # noqa: T201


def _explain(error: BaseException) -> int:
    if isinstance(error, InputError):
        for problem in error.problems:
            print_problem(problem)
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


def _code(exit_: SystemExit) -> int:
    if exit_.code is None:
        return Exit.PASS
    return exit_.code if isinstance(exit_.code, int) else Exit.USAGE


_STANDARD = (0, 1, 2)
_PLAIN = {
    "✓": "+",
    "✗": "x",
    "–": "-",
    "−": "-",
    "…": "..",
    "×": "x",
    "µ": "u",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "━": "#",
    "╌": ".",
    "“": '"',
    "”": '"',
    **dict(zip("▁▂▃▄▅▆▇█", "..::-=##", strict=True)),
}
"""Replacements for characters that an encoding lacks: a pass must not look like a question."""
_WAITING_FRAMES = 16
_STEP_S = 0.01


def install() -> None:
    """Replace the standard streams of this process; call it once, before anything is printed."""
    _open_closed()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  # for good
    sys.stdout = _tolerant(sys.stdout, 1)
    sys.stderr = _tolerant(sys.stderr, 2)


def _open_closed() -> None:
    """Open descriptors 0 to 2 if closed, so that no socket gets the number of a stream."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # a lower one was closed after its check
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    raw = io.BufferedWriter(Tolerant(descriptor))
    return io.TextIOWrapper(raw, encoding=encoding, errors=_ERRORS, line_buffering=True)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return the replacement for characters that an encoding lacks, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in lacking), error.end


_ERRORS = "loadcheck.plain"
codecs.register_error(_ERRORS, _replaced)


class Tolerant(io.RawIOBase):
    """Writes to a descriptor until it fails; from then on drops everything.

    Attributes:
        lost: Whether something was dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost = False

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: object, /) -> int:
        """Write all of it, or drop what cannot be written."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # whatever has a buffer
        done = 0
        while done < len(view) and not self.lost:
            try:
                done += os.write(self._descriptor, view[done:])
            except BlockingIOError:  # it was made non-blocking
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                self.lost = True
        return len(view)


class Screen:
    """Shows progress on a stream without ever waiting for it.

    Frames that cannot be written in time are dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._frames: queue.Queue[str] = queue.Queue(_WAITING_FRAMES)
        self._thread: threading.Thread | None = None

    def show(self, text: str) -> None:
        """Queue a text; texts are written in the order of the calls."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._frames.put_nowait(text)

    def settle(self, seconds: float = 1.0) -> None:
        """Wait until everything is written, for at most ``seconds``."""
        until = time.monotonic() + seconds
        while self._frames.unfinished_tasks and time.monotonic() < until:
            time.sleep(_STEP_S)

    def _work(self) -> None:
        while True:
            text = self._frames.get()
            with contextlib.suppress(OSError, ValueError):
                self._write(text)
            self._frames.task_done()

    def _write(self, text: str) -> None:
        raw = getattr(getattr(self._stream, "buffer", None), "raw", None)
        if isinstance(raw, Tolerant):
            # bypasses the buffer, whose lock a thread that hangs in a write would keep for ever
            raw.write(text.encode(self._stream.encoding, _ERRORS))
        else:
            self._stream.write(text)
            self._stream.flush()
