"""Read files that a user names, within limits of size and time, whatever kind of file they are."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

_PIPE_S: Final = 3.0
_PIPE_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024
_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISREG, "a file"),
)


NO_PATH: Final = (OSError, ValueError, RuntimeError)
"""Raised for a path that no file can have: a NUL in it, too long a name, a loop of links."""
_NOTED: ContextVar[set[Path] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[set[Path]]:
    """Collect the paths of the files that are read within a ``with`` block."""
    noted: set[Path] = set()
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note(path: Path) -> None:
    """Record that a file is read, for an enclosing :func:`noting`."""
    noted = _NOTED.get()
    if noted is not None:
        noted.add(path)


class UnreadableError(Exception):
    """A file cannot be read.

    Attributes:
        message: What is wrong, in a few words.
        remedy: What to do; "" if the message says it all.
        missing: Whether there is no such file.
    """

    def __init__(self, message: str, remedy: str = "", *, missing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.missing = missing


def file_kind(mode: int) -> str:
    """Return the kind of file that a ``st_mode`` denotes, with an article: ``"a directory"``."""
    return next((name for test, name in _KINDS if test(mode)), "no file")


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file.

    A pipe, such as the shell's ``<(command)``, is read for at most three seconds and 16 MB; devices
    and directories are refused.

    Args:
        path: The file.
        most_bytes: The largest size accepted.

    Raises:
        UnreadableError: It is missing, not a file, too large, or a pipe that does not end.
    """
    note(path)
    try:
        # non-blocking: opening a pipe that has no writer would hang
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # the latter: a NUL in its name
        raise _failed(error) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            return _piped(descriptor, min(most_bytes, _PIPE_BYTES))
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"is {file_kind(status.st_mode)}, not a file", "name a file")
        if status.st_size > most_bytes:
            raise _too_long(status.st_size, most_bytes)
        return _whole(descriptor, most_bytes)
    except OSError as error:
        raise _failed(error) from error
    finally:
        os.close(descriptor)


def _whole(descriptor: int, most_bytes: int) -> bytes:
    """Return the content of a file; the size is checked again: files in /proc report none."""
    content = bytearray()
    while piece := os.read(descriptor, _PIECE_BYTES):
        content += piece
        if len(content) > most_bytes:
            raise _too_long(len(content), most_bytes)
    return bytes(content)


def _piped(descriptor: int, most_bytes: int) -> bytes:
    content = bytearray()
    until = time.monotonic() + _PIPE_S
    while (left_s := until - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left_s)[0]:
            break
        try:
            piece = os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            continue
        if not piece:
            return bytes(content)
        content += piece
        if len(content) > most_bytes:
            raise _too_long(len(content), most_bytes)
    raise UnreadableError(f"is a pipe that has not ended after {_PIPE_S:g} s", "name a file")


def _too_long(found: int, most: int) -> UnreadableError:
    return UnreadableError(
        f"is too large: {found:,} bytes or more", f"expected at most {most:,} bytes"
    )


def path_within(folder: Path, name: str) -> Path | None:
    """Return the path of a file that a document in ``folder`` names; None if it lies outside.

    Raises:
        UnreadableError: No file can have that name, or its links form a loop.
    """
    try:
        home = folder.resolve()
        path = (home / name).resolve()
    except NO_PATH as error:
        raise _failed(error) from None
    return None if Path(name).is_absolute() or not path.is_relative_to(home) else path


def reason_of(error: Exception) -> str:
    """Return in words why a path is invalid or cannot be opened."""
    if isinstance(error, RuntimeError):  # pathlib's, before Python 3.13
        return "its links lead in a circle"
    return str(getattr(error, "strerror", None) or error).lower()


def _failed(error: Exception) -> UnreadableError:
    reason = reason_of(error)
    remedy = "" if isinstance(error, FileNotFoundError) else "name a file that can be read"
    return UnreadableError(
        f"cannot be read: {reason}", remedy, missing=isinstance(error, FileNotFoundError)
    )


def is_file(path: Path) -> bool:
    """Return whether ``path`` is a file; False also if it is inaccessible or not a valid path."""
    return _sees(path.is_file)


def exists(path: Path) -> bool:
    """Return whether ``path`` exists; False also if it is inaccessible or not a valid path."""
    return _sees(path.exists)


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder; False also if it is inaccessible or not a valid path."""
    return _sees(path.is_dir)


def _sees(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except NO_PATH:
        return False
