"""Writes results atomically, so that a reader sees the old file or the new one; reads them back.

A file may have been edited by hand: errors in encodings that its schema cannot check are reported
with their place in the document. Files of earlier versions are converted to the present one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson

from loadcheck.documents.files import NO_PATH, UnreadableError, file_kind, read_file, reason_of
from loadcheck.errors import Problem, ResultFileError, SaveError, printable_json
from loadcheck.measure import intervals as measured
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.intervals import Matrix
from loadcheck.result import schema_others
from loadcheck.result.schema import SCHEMA, problems

Document = dict[str, Any]

NAME, _, _number = SCHEMA.partition("/")
CURRENT = int(_number)


def upgraded(document: Mapping[str, Any], version: int) -> Document:
    """Return a document of an earlier version in the shape of the present one.

    What an earlier version did not record is absent or null; nothing is made up.

    Args:
        document: The document; it is not modified.
        version: Its version; not later than the present one.

    Raises:
        KeyError: There never was such a version.
    """
    result = dict(document)
    for step in range(version, CURRENT):
        result = _STEPS[step](result)
    return {**result, "schema": SCHEMA}


def _to_1(document: Document) -> Document:
    """Convert version 0 to 1, without its stages and intervals, which cannot be reconstructed.

    Version 0 recorded less about the generator and about each observation. An answer was then
    taken to reflect the state at the instant of its request.
    """
    result = dict(document)
    generator = document.get("generator")
    if isinstance(generator, dict):
        unknown = dict.fromkeys(("dispatch_lag", "loop_lag", "gc_pauses"), _no_samples())
        result["generator"] = {**unknown, "watched_s": 0.0, **generator}
    seen = document.get("consistency")
    if isinstance(seen, dict):
        observations = _each(
            seen.get("observations"), lambda one: {"acknowledged": None, "as_of_s": one["asked_s"]}
        )
        result["consistency"] = {**seen, "observations": observations}
    if "thresholds" in document:
        result["thresholds"] = _each(document["thresholds"], lambda _: {"own_delay_ms": None})
    return result


def _each(items: Any, missing: Callable[[Document], Document]) -> Any:
    """Return a list's objects with missing keys filled in; return anything else unchanged."""
    if not isinstance(items, list):
        return items
    try:
        return [{**missing(item), **item} for item in items]
    except (KeyError, TypeError):
        return items


def _no_samples() -> Document:
    """Return the histogram of something that was not measured."""
    from loadcheck.measure.histogram import Histogram  # noqa: PLC0415  # few files need it

    percentiles = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"))
    return {"count": 0, **percentiles, "above_range": 0, "hdr": Histogram().encode()}


_STEPS: Mapping[int, Callable[[Document], Document]] = {0: _to_1}


MAX_FILE_BYTES = 128 * 1024 * 1024
"""Maximum size of a results file to read: above that of a day with a hundred million users."""
UNFINISHED = ("intent", "running")
"""The phases of a run that is going on, or was killed."""
_MOST_NODES, _MOST_VALUES = 1_000_000, 10_000_000  # a week's seconds; each takes memory
_KIND = re.compile(r"loadcheck\.(\w{1,32})/[0-9]{1,9}")
_KINDS = {"capacity": "capacity search"}
_VERSION = re.compile(r"loadcheck\.result/(0|[1-9][0-9]{0,8})")


def default_name(scenario: str, started: datetime, run_id: str) -> str:
    """Return ``<scenario>-<UTC time>-<run id>.json``; names sort by time within a scenario."""
    return f"{scenario}-{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run_id}.json"


def of_flow(path: Path, flow: str) -> Path:
    """Return the path of one flow's file, given the path for all flows."""
    return path.with_name(f"{path.stem}-{flow}{path.suffix}")


class ResultFile:
    """A file that a command claims, and writes repeatedly while a run goes on.

    A second claim of the same file is refused while the first one lasts: until :meth:`close`, or
    until the process ends for whatever reason.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, path: Path, *, replace: bool = False, option: str = "--output") -> None:
        """Claim the file.

        Args:
            path: Path of the file.
            replace: Overwrite an existing file.
            option: The option that names the file, for the remedies of problems.

        Raises:
            ResultFileError: The directory cannot be created or written, the file exists and
                ``replace`` is false, it is not a regular file, or another process has claimed it.
        """
        elsewhere = f"choose another {option}"
        self.path = path
        self._claim: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # the target of a link is written, not the link
            self._target = path.resolve() if path.is_symlink() else path
            mode = _mode(self._target)
            folder = self._target.parent
            writable = os.access(folder, os.W_OK | os.X_OK)
        except NO_PATH as error:
            raise _unusable(path, f"cannot be written: {reason_of(error)}", elsewhere) from error
        if mode is not None and not stat.S_ISREG(mode):
            raise _unusable(path, f"is {file_kind(mode)}", elsewhere)
        if not writable:
            raise _unusable(path, "is in a directory that cannot be written", elsewhere)
        if mode is not None and not replace:
            raise _unusable(path, "exists already", f"{elsewhere}, or add --force")
        self._lock = _lock_of(self._target)
        self._beside = self._lock.with_suffix(".tmp")
        _clean(folder)
        try:
            self._claim = _claimed(self._lock)
        except BlockingIOError:
            message = "is being written by another loadcheck"
            raise _unusable(path, message, f"wait for it, or {elsewhere}") from None
        except OSError as error:
            raise _unusable(path, f"cannot be written: {reason_of(error)}", elsewhere) from error
        if not replace and _mode(self._target) is not None:  # created since the check above
            self.close()
            raise _unusable(path, "exists already", f"{elsewhere}, or add --force")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the claim."""
        if self._claim is None:
            return
        for left in (self._beside, self._lock):
            with contextlib.suppress(OSError):
                left.unlink()
        os.close(self._claim)
        self._claim = None

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """Replace the file with a document, atomically.

        Args:
            document: The whole results document.
            durable: Wait until it would survive a power cut, not only the end of this process.

        Raises:
            SaveError: The disk is full, or the file cannot be written.
        """
        self.write(encoded(document), durable=durable)

    def write(self, data: bytes, *, durable: bool = True) -> None:
        """Replace the content of the file, atomically.

        Args:
            data: The whole content.
            durable: Wait until it would survive a power cut, not only the end of this process.

        Raises:
            SaveError: The disk is full, or the file cannot be written.
        """
        try:
            _see_that_it_is_a_file(self._target)
            with contextlib.suppress(FileNotFoundError):
                self._beside.unlink()
            # exclusively, so that a link planted there is not followed
            with os.fdopen(os.open(self._beside, _EXCLUSIVELY, 0o666), "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            self._beside.replace(self._target)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._beside.unlink()
            problem = Problem(
                file=str(self.path), message=f"cannot be written: {reason_of(error)}", remedy=_ROOM
            )
            raise SaveError(problem) from error


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a document as the bytes of its file."""
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    return printable_json(document, option)


def save_elsewhere(document: Mapping[str, Any], name: str) -> Path | None:
    """Save a document, which could not be saved in its place, as a temporary file.

    Returns:
        Its path; None if it cannot be saved there either.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix=f"{Path(name).stem[:64]}-", suffix=".json")
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded(document))
    except OSError:
        Path(path).unlink(missing_ok=True)
        return None
    return Path(path)


def in_progress(path: Path) -> bool:
    """Return whether a process is still writing a results file, that is, has claimed it."""
    try:
        claim = _locked(_lock_of(path.resolve() if path.is_symlink() else path), make=False)
    except BlockingIOError:
        return True
    except NO_PATH:
        return False
    if claim is not None:
        os.close(claim)
    return False


_PREFIX = ".loadcheck-"
_TRIES, _TRY_S = 4, 0.05
_EXCLUSIVELY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _lock_of(path: Path) -> Path:
    """Return the lock file of a path, whose name is short, however long that of the path is."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24]
    return path.with_name(f"{_PREFIX}{digest}.lock")


def _claimed(lock: Path) -> int | None:
    """Return what :func:`_locked` does; try again, as a mere check also holds the lock briefly."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            return _locked(lock)
        time.sleep(_TRY_S)
    return _locked(lock)


def _locked(lock: Path, *, make: bool = True) -> int | None:
    """Return a descriptor that holds the lock; None if the file system has no locks.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The lock file cannot be opened or created.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= os.O_RDWR | os.O_CREAT if make else os.O_RDONLY
    while True:
        descriptor = os.open(lock, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), lock.lstat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except FileNotFoundError:
            pass  # its holder has just removed it
        except OSError:  # a file system without locks
            os.close(descriptor)
            return None
        os.close(descriptor)


def _clean(folder: Path) -> None:
    """Remove the files that killed processes have left in a directory."""
    with contextlib.suppress(OSError):
        for lock in folder.glob(f"{_PREFIX}*.lock"):
            with contextlib.suppress(OSError):
                held = _locked(lock, make=False)
                if held is None:
                    continue
                for left in (lock.with_suffix(".tmp"), lock):
                    left.unlink(missing_ok=True)
                os.close(held)


def _see_that_it_is_a_file(path: Path) -> None:
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        raise OSError(errno.EEXIST, f"{file_kind(mode)} has taken its place")


def _mode(path: Path) -> int | None:
    """Return the mode of a path; None if there is no file."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def read(path: Path) -> dict[str, Any]:
    """Return the results document of a run, checked against the schema.

    Documents of earlier versions are converted to the present one.

    Raises:
        ResultFileError: It is missing, truncated, not a results file, or of a later version.
    """
    return _checked(path, _parsed(path))


def read_any(path: Path, kinds: Collection[str] = (schema_others.CAPACITY,)) -> dict[str, Any]:
    """Return the document of a run, of a capacity search or of another kind, as ``schema`` says.

    Args:
        path: Path of the file.
        kinds: Accepted values of ``schema`` besides a run's.

    Raises:
        ResultFileError: It is missing, truncated, of another kind, or of a later version.
    """
    document = _parsed(path)
    found = document.get("schema") if isinstance(document, dict) else None
    if isinstance(found, str) and found in kinds:
        return _conforming(path, document, schema_others.problems(document, found))
    return _checked(path, document)


def read_unchecked(path: Path) -> dict[str, Any]:
    """Return a document of any loadcheck kind, in its present shape, without validating it.

    For reading many files: it costs a fraction of :func:`read_any`. Callers must check what they
    use.

    Raises:
        ResultFileError: It cannot be read, or is not a file of loadcheck.
    """
    document = _parsed(path)
    found = document.get("schema") if isinstance(document, dict) else None
    match = _KIND.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise _unusable(path, "is not a file of loadcheck", "name results files", key="schema")
    assert isinstance(document, dict)
    if match[1] == "result" and found != SCHEMA:
        version = _VERSION.fullmatch(str(found))
        if version is None or int(version[1]) > CURRENT:
            later = f'this version of loadcheck reads up to "{SCHEMA}"'
            raise _unusable(path, f'has the schema "{found}"', later, key="schema")
        return upgraded(document, int(version[1]))
    return document


def read_results(path: Path) -> bytes:
    """Return the bytes of a results file, if they can be parsed without taking all memory.

    Raises:
        UnreadableError: It cannot be read, or has more values than a run can have.
    """
    data = read_file(path, MAX_FILE_BYTES)
    if len(data) > _MOST_NODES and (  # a small one cannot hold so many
        data.count(b"[") + data.count(b"{") > _MOST_NODES or data.count(b",") > _MOST_VALUES
    ):
        remedy = "expected the results file of a run: observations and seconds, not more"
        raise UnreadableError("holds more values than a run can have", remedy)
    return data


def _parsed(path: Path) -> Any:
    try:
        data = read_results(path)
    except UnreadableError as error:
        raise _unusable(path, error.message, error.remedy or "name a results file") from error
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        line = data[: error.pos].count(b"\n") + 1
        remedy = (
            "the file is empty" if not data.strip() else "it may be truncated or edited by hand"
        )
        problem = Problem(
            file=str(path), line=line, message=f"is not JSON: {error.msg}", remedy=remedy
        )
        raise ResultFileError(problem) from error


def _checked(path: Path, document: Any) -> dict[str, Any]:
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        match = _VERSION.fullmatch(found) if isinstance(found, str) else None
        if match and int(match[1]) < CURRENT:
            document = upgraded(document, int(match[1]))
            return _conforming(path, document, problems(document))
        if match:
            raise _unusable(
                path,
                f'has the schema "{found}"',
                f'this version of loadcheck reads up to "{SCHEMA}"; a later one wrote the file',
                key="schema",
            )
        other = _KIND.fullmatch(found) if isinstance(found, str) else None
        if other:
            raise _unusable(
                path,
                f"is the file of a {_KINDS.get(other[1], other[1])}, not of a run",
                "loadcheck show reads it",
                key="schema",
            )
        raise _unusable(
            path,
            "is not a loadcheck results file",
            f'expected an object with "schema": "{SCHEMA}"',
            key="schema",
        )
    assert isinstance(document, dict)
    return _conforming(path, document, problems(document))


def _conforming(
    path: Path, document: dict[str, Any], wrong: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    if wrong:
        raise ResultFileError(
            Problem(file=str(path), key=key, message=message, remedy="was it edited by hand?")
            for key, message in wrong
        )
    run = document.get("run")
    if isinstance(run, dict) and run.get("phase") in UNFINISHED and in_progress(path):
        return {**document, "run": {**run, "in_progress": True}}
    return document


_ROOM = "make room or restore the directory; the next run can name another place"


def _unusable(path: Path, message: str, remedy: str, key: str = "") -> ResultFileError:
    return ResultFileError(Problem(file=str(path), key=key, message=message, remedy=remedy))


def histogram(times: Mapping[str, Any], key: str) -> Histogram:
    """Return a histogram from its section.

    Raises:
        ResultFileError: The encoding is broken.
    """
    try:
        return Histogram.decode(times["hdr"])
    except ValueError as error:
        raise _broken(f"{key}.hdr", str(error)) from error


def intervals(texts: Sequence[str | None], key: str) -> Matrix:
    """Return the bucket counts of a column of histograms, a row for each.

    Raises:
        ResultFileError: An encoding is broken.
    """
    try:
        return measured.decode(texts)
    except ValueError as error:
        raise _broken(key, str(error)) from error


def columns(section: Mapping[str, Any], key: str) -> dict[str, list[Any]]:
    """Return the columns of a section, all of the same length.

    Raises:
        ResultFileError: Their lengths differ.
    """
    found = {name: list(column) for name, column in section.items() if isinstance(column, list)}
    lengths = {name: len(column) for name, column in found.items()}
    usual = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != usual:
            raise _broken(f"{key}.{name}", f"has {length} values where others have {usual}")
    return found


def instant(text: str, key: str) -> datetime:
    """Return an instant from text; UTC if it has no time zone.

    Raises:
        ResultFileError: It is not in ISO 8601.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _broken(key, f'"{text}" is not an instant in ISO 8601') from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _broken(key: str, message: str) -> ResultFileError:
    return ResultFileError(Problem(key=key, message=message, remedy="was it edited by hand?"))
