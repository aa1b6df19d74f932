"""The standard streams, made such that nothing a reader does can end a run or change its exit code.

A pipe whose reader has gone, a full disk behind a redirection, a terminal that was closed: what is
written then is dropped, silently, and the command goes on. A stream that was closed from the start
is ``/dev/null``. Characters that the stream's encoding lacks are replaced.

What shows progress is written by a thread of its own and never waited for: a terminal that was
stopped with Ctrl-S, or a pipe that nobody reads, must not hold up the load.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import queue
import select
import sys
import threading
import time
from typing import TextIO

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
"""What is written where an encoding lacks a character: a pass must not look like a question."""
_WAITING_FRAMES = 16
_STEP_S = 0.01


def install() -> None:
    """Replace the standard streams of this process; called once, before anything is printed."""
    _open_closed()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  # for good
    sys.stdout = _tolerant(sys.stdout, 1)
    sys.stderr = _tolerant(sys.stderr, 2)


def _open_closed() -> None:
    """Open descriptors 0 to 2 where they are closed: no socket may get the number of a stream."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # a lower one was closed later than it was looked at
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
    """Return what stands for characters that an encoding lacks, and where to go on."""
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
            except BlockingIOError:  # somebody has made it non-blocking
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
        """Hand over a text; it is written in the order of the calls."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._frames.put_nowait(text)

    def settle(self, seconds: float = 1.0) -> None:
        """Wait until everything is written, but not for a stream that takes nothing."""
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
            # past the buffer, whose lock a thread that hangs in a write would keep for ever
            raw.write(text.encode(self._stream.encoding, _ERRORS))
        else:
            self._stream.write(text)
            self._stream.flush()
