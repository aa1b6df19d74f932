"""Downloads the events of a run and compares them with those that were sent."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import orjson

from loadcheck.documents.pointer import MISSING, compile_pointer, parse_pointer
from loadcheck.errors import InputError, Problem
from loadcheck.load.retry import Backoff
from loadcheck.measure import Ledger
from loadcheck.pipeline.target import client_of
from loadcheck.scenario.model import Export, Scenario
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.export import MOST_SHOWN, Compared, Comparison, ExportError, events
from loadcheck.verify.naming import SendTimes
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.identity import insert_id, user_id

_HOUR = timedelta(hours=1)
_TIMEOUT_S = 600.0
_CHUNK = 1 << 20
_DETAIL_BYTES = 300


async def download(
    scenario: Scenario,
    prepared: CompiledScenario,
    begin: datetime,
    end: datetime,
    folder: Path,
    *,
    consent: bool,
) -> Path:
    """Fetch the archive of the hours of a run into a folder, piece by piece.

    Raises:
        InputError: The service refused it.
    """
    export = scenario.verify.export
    questions = prepared.questions
    assert export is not None
    assert questions is not None
    request = next(questions.uniques.run(1))
    assert isinstance(request, Request)
    first = begin.astimezone(UTC) - _HOUR
    last = end.astimezone(UTC) + _HOUR
    path = export.path.replace("{$start}", f"{first:%Y%m%dT%H}")
    url = f"{request.origin}{path.replace('{$end}', f'{last:%Y%m%dT%H}')}"
    headers = [(name, value) for name, value in request.headers if name.lower() != "host"]
    target = folder / "export.zip"
    server_name = scenario.target.tls.server_name
    extensions = {"sni_hostname": server_name} if server_name else {}
    try:
        async with (
            client_of(scenario, timeout_s=_TIMEOUT_S, consent=consent) as client,
            client.stream("GET", url, headers=headers, extensions=extensions) as response,
        ):
            if response.status_code != httpx.codes.OK:
                said = (await response.aread())[:_DETAIL_BYTES].decode("utf-8", "replace")
                raise _refused(response.status_code, said)
            async with await anyio.open_file(target, "wb") as file:
                async for chunk in response.aiter_raw(_CHUNK):
                    await file.write(chunk)
    except httpx.HTTPError as error:
        message = f"the export could not be fetched: {str(error) or type(error).__name__}"
        remedy = "ask again later, or without --export"
        raise InputError(Problem(message=message, remedy=remedy)) from None
    return target


def _refused(status: int, said: str) -> InputError:
    remedy = "try again later"
    if status == httpx.codes.NOT_FOUND:
        remedy = "events can be exported about two hours after the end of their hour"
    return InputError(
        Problem(message=f"the export was refused with {status}: {said}", remedy=remedy)
    )


async def compare(
    scenario: Scenario, prepared: CompiledScenario, run_id: str, ledger: Ledger, archive: Path
) -> Compared:
    """Compare an archive with what was sent, in a thread.

    Raises:
        InputError: The archive cannot be read.
    """
    return await anyio.to_thread.run_sync(
        lambda: compare_archive(scenario, prepared, run_id, ledger, archive)
    )


def compare_archive(
    scenario: Scenario, prepared: CompiledScenario, run_id: str, ledger: Ledger, archive: Path
) -> Compared:
    """Compare an archive with what was sent.

    Raises:
        InputError: The archive cannot be read.
    """
    export = scenario.verify.export
    assert export is not None
    sender = _Sender(export, prepared, scenario.load.events_per_copy)
    read = {name: compile_pointer(parse_pointer(name)) for name in export.fields}
    of_run = compile_pointer(parse_pointer(export.run))
    comparison = Comparison(
        number=_reader(run_id),
        expected=sender.events,
        fields={name: _getter(get) for name, get in read.items()},
        key=next((name for name in export.fields if "insert" in name), next(iter(export.fields))),
        acknowledged=ledger.acknowledged,
        indeterminate=ledger.indeterminate | ledger.open(),
        events_per_copy=scenario.load.events_per_copy,
    )
    try:
        for event in events(archive, run_id.encode()):
            if of_run(event) == run_id:
                comparison.add(event)
    except ExportError as error:
        raise InputError(Problem(message=str(error))) from None
    return comparison.result()


def _getter(reach: Callable[[Any], Any]) -> Callable[[Mapping[str, Any]], Any]:
    def get(event: Mapping[str, Any]) -> Any:
        value = reach(event)
        return None if value is MISSING else value

    return get


class _Sender:
    """Re-renders the events a copy sent, without timestamps."""

    def __init__(self, export: Export, prepared: CompiledScenario, events_per_copy: int) -> None:
        self._plan = prepared.plan
        self._ingest = prepared.ingest.index
        self._once = Backoff(attempts=1, backoff_s=0, max_backoff_s=0, on=(), seed=0)
        self._now_ms = time.time_ns() // 1_000_000
        place = export.event.removeprefix("body#")
        tokens = parse_pointer(place)
        self._reach = [
            compile_pointer((*tokens[:-1], str(int(tokens[-1]) + number)))
            for number in range(events_per_copy)
        ]
        self._fields = {
            name: compile_pointer(parse_pointer(sent)) for name, sent in export.fields.items()
        }

    def events(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return the events of a copy, by the names of the exported fields."""
        flow = self._plan.copy(number, self._now_ms, self._once)
        request = next(flow)
        flow.close()
        assert isinstance(request, Request)
        body = orjson.loads(request.body)
        found = []
        for reach in self._reach:
            event = reach(body)
            values = {name: get(event) for name, get in self._fields.items()}
            found.append({name: v for name, v in values.items() if v is not MISSING})
        return found


def _reader(run_id: str) -> Callable[[Mapping[str, Any]], int | None]:
    """Return what reads a copy's number off the ids of an exported event."""
    user = re.compile(re.escape(user_id(run_id, 0).removesuffix("0" * 7)) + r"(\d{7,})")
    insert = re.compile(re.escape(insert_id(run_id, 0).removesuffix("0")) + r"(\d+)(?:-\d+)?")

    def number(event: Mapping[str, Any]) -> int | None:
        for pattern, value in ((user, event.get("user_id")), (insert, event.get("$insert_id"))):
            match = pattern.fullmatch(value) if isinstance(value, str) else None
            if match:
                return int(match[1])
        return None

    return number


def tell(found: Compared, run_id: str, due: SendTimes) -> dict[str, Any]:
    """Return what was found as the results file holds it."""

    def copy(number: int) -> dict[str, Any]:
        second = due.second(number)
        return {
            "user_id": user_id(run_id, number),
            "copy": number,
            "second": second,
            "sent_at": due.clock(second),
        }

    shown = sorted(found.duplicated.items())[:MOST_SHOWN]
    return {
        "events": found.events,
        "lost": len(found.lost),
        "duplicated": found.duplicated.total(),
        "unexpected": found.unexpected_count,
        "altered": found.altered_count,
        "recovered": found.recovered,
        "lost_copies": [copy(number) for number in found.lost[:MOST_SHOWN]],
        "duplicated_copies": [copy(number) | {"events": events} for number, events in shown],
        "unexpected_users": found.unexpected,
        "altered_fields": [
            copy(one.copy) | {"field": one.field, "sent": one.sent, "found": one.found}
            for one in found.altered
        ],
    }


def in_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is gone after use."""
    return tempfile.TemporaryDirectory(prefix="loadcheck-")
