"""Lists the key figures of the files in a directory of results, without validating each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from loadcheck.documents import format_instant
from loadcheck.documents.files import UnreadableError, exists, is_folder, reason_of
from loadcheck.errors import InputError, Problem, ResultFileError
from loadcheck.result.schema import SCHEMA
from loadcheck.result.store import (
    UNFINISHED,
    in_progress,
    of_flow,
    read_results,
    read_unchecked,
)

_SCHEMA = "loadcheck."
_AGE = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One file and its key figures, as far as it has them.

    Attributes:
        path: Path of the file; for a mix, its id.
        kind: "result", "comparison" and so on, from its schema; "" for a broken file.
        started_at: When the run began: UTC, ISO 8601; "" if the file does not say.
        scenario: The scenario's name.
        verdict: "pass", "fail", "unknown", or the equivalent of other kinds.
        phase: How far the run got; "" for other kinds.
        in_progress: Whether its process still writes it.
        interrupted: Whether a signal ended it early.
        rate: Copies per second: achieved by a run, or found by a capacity search.
        p99_ms: Of the ingest step's response time, or service time if it has none.
        lost: Acknowledged users certainly missing.
        duplicated: Surplus events.
        cause: Why the verdict is what it is; "" if unknown.
        trouble: Why the file cannot be used; "" if it can.
        labels: The labels of the run.
        mix: Of a flow: the id of its mix run, the names of the mix and the flow, and the key
            figures of all flows together, once all have ended.
    """

    path: Path
    kind: str = ""
    started_at: str = ""
    scenario: str = ""
    verdict: str = ""
    phase: str = ""
    in_progress: bool = False
    interrupted: bool = False
    rate: float | None = None
    p99_ms: float | None = None
    lost: int | None = None
    duplicated: int | None = None
    cause: str = ""
    trouble: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    mix: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A selection of runs.

    Attributes:
        labels: Names and values of labels that must all be present; None stands for any value.
        scenarios: Names of scenarios to include; empty: all.
        verdicts: Verdicts to include; empty: all.
        since: Earliest start, in the format of results files; "" for any time.
    """

    labels: Sequence[tuple[str, str | None]] = ()
    scenarios: frozenset[str] = frozenset()
    verdicts: frozenset[str] = frozenset()
    since: str = ""

    @property
    def takes_all(self) -> bool:
        """Whether every run is selected."""
        return not (self.labels or self.scenarios or self.verdicts or self.since)

    def takes(
        self, started_at: str, scenario: str, verdict: str, labels: Mapping[str, str]
    ) -> bool:
        """Return whether a run is selected."""
        return (
            started_at >= self.since
            and (not self.scenarios or scenario in self.scenarios)
            and (not self.verdicts or verdict in self.verdicts)
            and all(name in labels and value in (None, labels[name]) for name, value in self.labels)
        )


def wanted(
    labels: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    since: str | None = None,
    verdicts: Sequence[str] | None = None,
) -> Wanted:
    """Return the selection that the options describe.

    Raises:
        InputError: ``since`` is not an instant.
    """
    pairs = [label.partition("=") for label in labels or ()]
    return Wanted(
        labels=[(name, value if equals else None) for name, equals, value in pairs],
        scenarios=frozenset(names or ()),
        verdicts=frozenset(verdicts or ()),
        since=instant(since, "--since") if since is not None else "",
    )


def instant(text: str, option: str) -> str:
    """Return an instant, given as such or as an age, in the format of results files.

    Raises:
        InputError: It is neither.
    """
    age = _AGE.fullmatch(text.strip())
    try:
        if age is not None:
            found = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        else:
            found = datetime.fromisoformat(text.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        remedy = "expected 2026-11-26, 2026-11-26T08:00, or an age: 90m, 12h, 7d, 4w"
        raise InputError(
            Problem(key=option, message=f'"{text}" is not an instant', remedy=remedy)
        ) from None
    return format_instant(found)


Cause = Callable[[Mapping[str, Any]], str]
"""Returns why a document's verdict is what it is."""


def json_files(directory: Path) -> list[Path]:
    """Return the JSON files of a directory, without the temporary files of running runs.

    Raises:
        OSError: There is no such directory, or it cannot be read.
    """
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix == ".json" and not path.name.startswith(".") and path.is_file()
    )


def entries(directory: Path, cause: Cause) -> list[CatalogueEntry]:
    """Return the entries of a directory, newest first; unusable files last.

    Args:
        directory: Where results are.
        cause: Returns why a document's verdict is what it is.

    Raises:
        ResultFileError: There is no such directory, or it cannot be read.
    """
    try:
        paths = json_files(directory)
    except OSError as error:
        raise ResultFileError(
            Problem(
                file=str(directory),
                message=f"cannot be read: {reason_of(error)}",
                remedy="expected a directory of results files",
            )
        ) from error
    return sorted(
        (_entry(path, cause) for path in paths), key=lambda one: one.started_at, reverse=True
    )


def _entry(path: Path, cause: Cause) -> CatalogueEntry:
    try:
        document = orjson.loads(read_results(path))
    except orjson.JSONDecodeError:
        return CatalogueEntry(path=path, trouble="is not JSON: truncated, or edited by hand?")
    except UnreadableError as error:
        return CatalogueEntry(path=path, trouble=error.message)
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_SCHEMA):
        return CatalogueEntry(path=path, trouble="is not a file of loadcheck")
    kind = schema.removeprefix(_SCHEMA).partition("/")[0]
    try:
        found = _described(path, kind, document)
    except (AttributeError, KeyError, TypeError, ValueError):
        return CatalogueEntry(
            path=path, kind=kind, trouble="is not a valid results file: edited by hand?"
        )
    running = found.phase in UNFINISHED and in_progress(path)
    if running:
        document = {**document, "run": {**document["run"], "in_progress": True}}
    why = ""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError, IndexError):
        why = cause(document)
    return replace(found, in_progress=running, cause=why)


def _described(path: Path, kind: str, document: Mapping[str, Any]) -> CatalogueEntry:
    run, seen = document.get("run") or {}, document.get("consistency") or {}
    scenario = document.get("scenario") or {}
    if kind == "result" and not (run and scenario):
        raise KeyError("run")
    labels = document.get("labels") or {}
    load, answer = document.get("load") or {}, document.get("answer") or {}
    ingest = (document.get("workflow") or {}).get("ingest")
    step = (document.get("steps") or {}).get(ingest) or {}
    times = step.get("response_time") or step.get("service_time") or {}
    if "load" not in document and run.get("phase") in UNFINISHED:
        load, times = _so_far(document)
    started_at = run.get("started_at") or document.get("created_at") or ""
    return CatalogueEntry(
        path=path,
        kind=kind,
        started_at=str(started_at),
        scenario=str(scenario.get("name", "")),
        verdict=str(document.get("verdict", "")),
        phase=str(run.get("phase", "")),
        interrupted=bool(run.get("interrupted")),
        rate=_number(load.get("reached_rate", answer.get("rate"))),
        p99_ms=_number(times.get("p99_ms")),
        lost=_number(seen.get("lost_at_least")),
        duplicated=_number(seen.get("duplicated")),
        labels={str(name): str(value) for name, value in labels.items()},
        mix=_mix(document.get("mix") or {}),
    )


def _mix(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mix of a flow; {} for files of earlier versions, which lack its id."""
    if not section.get("id"):
        return {}
    whole = section.get("together") or {}
    seen = whole.get("consistency") or {}
    return {
        "id": str(section["id"]),
        "name": str(section["name"]),
        "flow": str(section["flow"]),
        "verdict": str(whole.get("verdict", "")),
        "rate": _number((whole.get("load") or {}).get("reached_rate")),
        "p99_ms": _number((whole.get("response_time") or {}).get("p99_ms")),
        "lost": _number(seen.get("lost_at_least")),
        "duplicated": _number(seen.get("duplicated")),
    }


def grouped(found: Sequence[CatalogueEntry]) -> list[CatalogueEntry]:
    """Return entries, with the flows of each mix run after an entry for all of them together.

    Such an entry is of the kind "mix", and its path is the id of the mix run.
    """
    runs: dict[str, list[CatalogueEntry]] = {}
    for entry in found:
        runs.setdefault(entry.mix.get("id", ""), []).append(entry)
    made: list[CatalogueEntry] = []
    for entry in found:
        flows = runs.get(entry.mix.get("id", ""), [])
        if not entry.mix:
            made.append(entry)
        elif entry is flows[0]:
            made += [_together(flows), *flows]
    return made


def _together(flows: Sequence[CatalogueEntry]) -> CatalogueEntry:
    first = flows[0]
    figures = {name: first.mix[name] for name in ("rate", "p99_ms", "lost", "duplicated")}
    unfinished = [each.phase for each in flows if each.phase in UNFINISHED]
    return CatalogueEntry(
        path=Path(first.mix["id"]),
        kind="mix",
        started_at=min(each.started_at for each in flows),
        scenario=first.mix["name"],
        verdict=first.mix["verdict"] or "unknown",
        phase=unfinished[0] if unfinished else "complete",
        in_progress=any(each.in_progress for each in flows),
        interrupted=any(each.interrupted for each in flows),
        **figures,
    )


def run_files(path: Path) -> list[Path]:
    """Return the results files that an argument names: one, or those of all flows of a mix.

    A mix is named by the value of ``--output`` (``x.json`` for ``x-buy.json`` and ``x-look.json``),
    by its id, preceded by its folder unless that is the current one or ``results``, or by a folder
    that has no other results. If there is no such mix, the path itself is returned.

    Raises:
        ResultFileError: The file of a flow is missing, or the files are of several runs.
    """
    if is_folder(path):
        return _only_mix(path)
    folders = [path.parent, *([Path("results")] if path.parent == Path() else [])]
    for folder in () if exists(path) else folders:
        found = {
            file: mix
            for file, mix in _results_in(folder)
            if mix and _is_of(file, mix, folder / path.name)
        }
        if found:
            _require_one_run(path, found)
            return sorted(found, key=lambda file: found[file]["place"])
    return [path]


def _only_mix(folder: Path) -> list[Path]:
    """Return the results files of the only mix in a folder; the folder itself if there is none."""
    found = dict(_results_in(folder))
    flows = {file: mix for file, mix in found.items() if mix}
    if not flows:
        return [folder]
    ids = [str(name) for name in dict.fromkeys(mix.get("id") for mix in flows.values()) if name]
    if len(flows) < len(found) or len(ids) > 1:
        message = "is a folder with the results of several runs: which is not said"
        remedy = f"name a file, or a mix by its id: {folder / (ids or ['ID'])[0]}"
        raise ResultFileError(Problem(file=str(folder), message=message, remedy=remedy))
    _require_one_run(folder, flows)
    return sorted(flows, key=lambda file: flows[file]["place"])


def _results_in(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the results files of a folder, each with its ``mix`` section, {} if not a flow."""
    with contextlib.suppress(OSError):
        for file in sorted(folder.glob("[!.]*.json")):
            with contextlib.suppress(ResultFileError):
                document = read_unchecked(file)
                mix = document.get("mix")
                if isinstance(mix, dict) and {"flow", "flows", "place"} <= mix.keys():
                    yield file, mix
                elif document["schema"] == SCHEMA:
                    yield file, {}


def _is_of(file: Path, mix: Mapping[str, Any], name: Path) -> bool:
    return mix.get("id") == name.name or (
        bool(name.suffix) and of_flow(name, str(mix["flow"])) == file
    )


def _require_one_run(path: Path, found: Mapping[Path, Mapping[str, Any]]) -> None:
    first = next(iter(found.values()))
    there = {mix["flow"] for mix in found.values()}
    remedy = "name the files of the flows one by one"
    missing = [flow for flow in first["flows"] if flow not in there]
    if missing:
        message = f"is a mix without the results of its flow {', '.join(missing)}"
        raise ResultFileError(Problem(file=str(path), message=message, remedy=remedy))
    if len({mix.get("id") for mix in found.values()}) > 1 or len(there) < len(found):
        message = f"belongs to several runs of a mix: {', '.join(map(str, found))}"
        raise ResultFileError(Problem(file=str(path), message=message, remedy=remedy))


def _so_far(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rate and the latency of an unfinished run: those of its last second."""
    timeline = document.get("timeline") or {}
    started, p99 = timeline.get("started") or [], timeline.get("p99_ms") or []
    return {"reached_rate": started[-1] if started else None}, {"p99_ms": p99[-1] if p99 else None}


def _number(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(value)


def ordered(
    found: Sequence[CatalogueEntry], by: str, *, reverse: bool = False
) -> list[CatalogueEntry]:
    """Return entries in another order; those without the figure to order by go last.

    Args:
        found: Entries, newest first.
        by: "when", "rate", "p99" and "lost" descending; "scenario", "verdict", "file" ascending.
        reverse: Reverse the order.
    """
    key = _KEYS[by]
    known = [entry for entry in found if key(entry) not in (None, "")]
    rest = [entry for entry in found if key(entry) in (None, "")]
    descending = by in ("when", "rate", "p99", "lost")
    return [*sorted(known, key=key, reverse=descending is not reverse), *rest]


_KEYS: Mapping[str, Callable[[CatalogueEntry], Any]] = {
    "when": lambda entry: entry.started_at,
    "scenario": lambda entry: entry.scenario,
    "verdict": lambda entry: entry.verdict,
    "rate": lambda entry: entry.rate,
    "p99": lambda entry: entry.p99_ms,
    "lost": lambda entry: entry.lost,
    "file": lambda entry: entry.path.name,
}
