"""What lies in a directory of results, without reading each to its last figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from loadcheck.errors import Problem, ResultFileError

_SCHEMA = "loadcheck."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file and its key figures, as far as it has them.

    Attributes:
        path: Where it stands.
        kind: "result", "comparison" and so on, from its schema; "" for a broken file.
        started_at: When the run began: UTC, ISO 8601; "" if the file does not say.
        scenario: The scenario's name.
        verdict: "pass", "fail", "unknown", or what the kind of file has in its place.
        phase: How far the run got; "" for other kinds.
        rate: Copies per second: reached by a run, found by a capacity search.
        p99_ms: Of the ingest step's response time, or service time if it has none.
        lost: Acknowledged users certainly missing.
        duplicated: Events too many.
        trouble: Why the file is of no use; "" if it is.
    """

    path: Path
    kind: str = ""
    started_at: str = ""
    scenario: str = ""
    verdict: str = ""
    phase: str = ""
    rate: float | None = None
    p99_ms: float | None = None
    lost: int | None = None
    duplicated: int | None = None
    trouble: str = ""


def entries(directory: Path) -> list[Entry]:
    """Return what a directory holds, newest first; files that are no results last.

    Skips non-JSON names and the temporary files of running runs.

    Raises:
        ResultFileError: There is no such directory, or it cannot be read.
    """
    try:
        paths = sorted(
            path
            for path in directory.iterdir()
            if path.suffix == ".json" and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ResultFileError(
            Problem(
                file=str(directory),
                message=f"cannot be read: {reason}",
                remedy="expected a directory of results files",
            )
        ) from error
    return sorted((_entry(path) for path in paths), key=lambda one: one.started_at, reverse=True)


def _entry(path: Path) -> Entry:
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return Entry(path=path, trouble="is not JSON: truncated, or edited by hand?")
    except OSError as error:
        return Entry(path=path, trouble=f"cannot be read: {(error.strerror or '').lower()}")
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_SCHEMA):
        return Entry(path=path, trouble="is no file of loadcheck")
    kind = schema.removeprefix(_SCHEMA).partition("/")[0]
    try:
        return _described(path, kind, document)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Entry(path=path, kind=kind, trouble="lacks what a results file has: edited by hand?")


def _described(path: Path, kind: str, document: Mapping[str, Any]) -> Entry:
    run, seen = document.get("run") or {}, document.get("consistency") or {}
    scenario = document.get("scenario") or {}
    if kind == "result" and not (run and scenario):
        raise KeyError("run")
    load, answer = document.get("load") or {}, document.get("answer") or {}
    ingest = (document.get("workflow") or {}).get("ingest")
    step = (document.get("steps") or {}).get(ingest) or {}
    times = step.get("response_time") or step.get("service_time") or {}
    started_at = run.get("started_at") or document.get("created_at") or ""
    return Entry(
        path=path,
        kind=kind,
        started_at=str(started_at),
        scenario=str(scenario.get("name", "")),
        verdict=str(document.get("verdict", "")),
        phase=str(run.get("phase", "")),
        rate=_number(load.get("reached_rate", answer.get("rate"))),
        p99_ms=_number(times.get("p99_ms")),
        lost=_number(seen.get("lost_at_least")),
        duplicated=_number(seen.get("duplicated")),
    )


def _number(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(value)
