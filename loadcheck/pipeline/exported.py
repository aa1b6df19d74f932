"""Downloads the events of a run and compares them with those that were sent."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import httpx
import orjson

from loadcheck.documents.document import MISSING, compile_pointer, parse_pointer
from loadcheck.errors import InputError, Problem
from loadcheck.measure import Ledger
from loadcheck.pipeline.target import client_of
from loadcheck.scenario.model import Export
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.export import (
    MOST_SHOWN,
    Compared,
    Comparison,
    EventReader,
    ExportError,
    events,
    last,
)
from loadcheck.verify.naming import SendTimes, UserNames
from loadcheck.verify.query_client import QueryChannel, QueryClient, Send
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.identity import insert_id
from loadcheck.workflow.runtime import no_retry

_HOUR = timedelta(hours=1)
_TIMEOUT_S = 600.0
_CHUNK = 1 << 20
_DETAIL_BYTES = 300
_PLACEHOLDER = re.compile(r"\{\$(run\.id|start|end|last|inputs\.[^{}]+)\}")
_SAFE = "/?&=%:@!$'()*+,;.~-_"
_OF_QUERY = {"host", "content-type", "content-length", "transfer-encoding", "accept-encoding"}
_REMEDY = "ask again later, or without --export"
_DIGITS = re.compile(r"[0-9]+")
_LONGEST = 20
_MOST_COPIES = 2**32 - 1


async def download(
    compiled: CompiledScenario, begin: datetime, end: datetime, folder: Path, send: Send
) -> list[Path]:
    """Fetch the events of the hours of a run into a folder, piece by piece; return its pages.

    Raises:
        InputError: The service refused it, or an input that the path names is empty.
    """
    spec = compiled.verification
    assert spec is not None
    export = spec.verify.export
    assert export is not None
    request = next(spec.queries.counts.uniques.run(1))
    assert isinstance(request, Request)
    texts = {
        "run.id": compiled.run.id,
        "start": f"{begin.astimezone(UTC) - _HOUR:%Y%m%dT%H}",
        "end": f"{end.astimezone(UTC) + _HOUR:%Y%m%dT%H}",
        "last": "",
        **await _inputs(compiled, export, send),
    }
    headers = [(name, value) for name, value in request.headers if name.lower() not in _OF_QUERY]
    headers.append(("Accept-Encoding", "gzip"))
    pages: list[Path] = []
    async with client_of(compiled.asking, timeout_s=_TIMEOUT_S) as client:
        while True:
            page = folder / f"{len(pages)}.export"
            path = _PLACEHOLDER.sub(lambda match: quote(texts[match[1]], safe=""), export.path)
            url = f"{export.server(str(request.origin))}{quote(path, safe=_SAFE)}"
            server_name = compiled.asking.tls.server_name
            extensions = {"sni_hostname": server_name} if server_name else {}
            answer = client.stream("GET", url, headers=headers, extensions=extensions)
            await _save(answer, page)
            pages.append(page)
            if export.after is None:
                return pages
            end_of = await anyio.to_thread.run_sync(_end, page, export.after)
            if end_of is None:
                return pages
            if end_of == texts["last"]:
                message = f"two pages of the export end with {end_of!r}: it would never end"
                raise InputError(Problem(message=message, remedy=_REMEDY))
            texts["last"] = end_of


def _end(page: Path, after: str) -> str | None:
    """Return where the next page begins; None if this one is the last."""
    try:
        return last(page, compile_pointer(parse_pointer(after)))
    except ExportError as error:
        raise _unreadable(error) from None


async def _save(answer: AbstractAsyncContextManager[httpx.Response], page: Path) -> None:
    try:
        async with answer as response:
            if response.status_code != httpx.codes.OK:
                said = (await response.aread())[:_DETAIL_BYTES].decode("utf-8", "replace")
                raise _refused(response.status_code, said)
            coding = response.headers.get("content-encoding", "identity").lower()
            if coding not in ("identity", "gzip", "x-gzip"):
                message = f"the export is in the content coding {coding}, which was not asked for"
                raise InputError(Problem(message=message, remedy=_REMEDY))
            async with await anyio.open_file(page, "wb") as file:
                async for chunk in response.aiter_raw(_CHUNK):
                    await file.write(chunk)
    except httpx.HTTPError as error:
        message = f"the export could not be fetched: {str(error) or type(error).__name__}"
        raise InputError(Problem(message=message, remedy=_REMEDY)) from None


async def _inputs(compiled: CompiledScenario, export: Export, send: Send) -> dict[str, str]:
    """Return what the inputs are that the path names, as the observer step has them."""
    words = [match[1] for match in _PLACEHOLDER.finditer(export.path)]
    names = {word.removeprefix("inputs.") for word in words if word.startswith("inputs.")}
    if not names:
        return {}
    spec, observer = compiled.verification, compiled.observer
    assert spec is not None
    assert observer is not None
    query = spec.plan.query(observer.step_id, values={name: f"$inputs.{name}" for name in names})
    client = QueryClient(
        QueryChannel(send=send),
        absent=spec.verify.absent,
        estimates=spec.verify.approximate is not None,
    )
    reply = await client.ask(query, spec.queries.counts.cost)
    given = {name: str(each) for name, each in reply.values.items() if each is not None}
    for name in sorted(names - given.keys()):
        message = f"$inputs.{name} is empty, or the query that has it was refused"
        raise InputError(compiled.scenario.problem("verify.export.path", message, _REMEDY))
    return {f"inputs.{name}": value for name, value in given.items()}


def _unreadable(error: ExportError) -> InputError:
    message = f"{error}. It proves nothing"
    return InputError(Problem(message=message, remedy=_REMEDY))


def _refused(status: int, said: str) -> InputError:
    remedy = "try again later"
    if status == httpx.codes.NOT_FOUND:
        remedy = "events can be exported about two hours after the end of their hour"
    return InputError(
        Problem(message=f"the export was refused with {status}: {said}", remedy=remedy)
    )


async def compare(compiled: CompiledScenario, ledger: Ledger, *pages: Path) -> Compared:
    """Compare an export with what was sent, in a thread.

    Raises:
        InputError: It cannot be read.
    """
    return await anyio.to_thread.run_sync(compare_archive, compiled, ledger, *pages)


def compare_archive(compiled: CompiledScenario, ledger: Ledger, *pages: Path) -> Compared:
    """Compare an export with what was sent.

    Raises:
        InputError: It cannot be read.
    """
    verify, run_id = compiled.scenario.verify, compiled.run.id
    events_per_copy = compiled.scenario.load.events_per_copy
    export = verify.export
    assert export is not None
    sender = _ExpectedEvents(export, compiled, events_per_copy)
    read = {name: compile_pointer(parse_pointer(name)) for name in export.fields}
    of_run = compile_pointer(parse_pointer(export.run))
    names = UserNames(compiled.plan, compiled.ingest, verify.user)
    sent = sender.events(0)[0]
    key = _holding(insert_id(run_id, 0), sent) or next(iter(export.fields))
    user = _holding(names.of(0), sent)
    fields = {name: _getter(get) for name, get in read.items()}
    reader = EventReader(
        # one who comes again has several uploads: only their keys tell them apart
        number=_Numbers(names, sender, None if compiled.run.visits else user, key).of,
        user=fields[user or key],
        fields=fields,
        key=key,
        deduplicated=export.deduplicated,
    )
    comparison = Comparison(
        reader,
        sender.events,
        acknowledged=ledger.acknowledged,
        indeterminate=ledger.indeterminate | ledger.open(),
        events_per_copy=events_per_copy,
    )
    alone = "{$run.id}" in export.path
    try:
        for page in pages:
            for event in events(page, run_id.encode(), alone=alone):
                if of_run(event) == run_id:
                    comparison.add(event)
    except ExportError as error:
        raise _unreadable(error) from None
    return comparison.result()


def _holding(text: str, event: Mapping[str, Any]) -> str | None:
    """Return the field of an event that holds a text; None if none does."""
    return next((name for name, value in event.items() if str(value) == text), None)


def _getter(reach: Callable[[Any], Any]) -> Callable[[Mapping[str, Any]], Any]:
    def get(event: Mapping[str, Any]) -> Any:
        value = reach(event)
        return None if value is MISSING else value

    return get


class _ExpectedEvents:
    """Re-renders the events a copy sent, without timestamps."""

    def __init__(self, export: Export, compiled: CompiledScenario, events_per_copy: int) -> None:
        self._plan = compiled.plan
        self._ingest = compiled.ingest.index
        self._now_ms = time.time_ns() // 1_000_000
        self._last: tuple[int, Sequence[Mapping[str, Any]]] | None = None
        place = export.event.removeprefix("body#")
        tokens = parse_pointer(place)
        self._reach = [compile_pointer(tokens)]
        self._reach += [
            compile_pointer((*tokens[:-1], str(int(tokens[-1]) + number)))
            for number in range(1, events_per_copy)
        ]
        self._fields = {
            name: compile_pointer(parse_pointer(sent)) for name, sent in export.fields.items()
        }

    def events(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return the events of a copy, by the names of the exported fields."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._render(number)
        return self._last[1]

    def _render(self, number: int) -> Sequence[Mapping[str, Any]]:
        flow = self._plan.copy(number, self._now_ms, no_retry)
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


class _Numbers:
    """Reads copies' numbers off exported events: by the user ids and keys that were really sent.

    Args:
        names: The user ids.
        sender: Makes the events of a copy again.
        user: Member of an exported event that holds the user id; None: none does.
        key: The one that holds the deduplication key.
    """

    def __init__(
        self, names: UserNames, sender: _ExpectedEvents, user: str | None, key: str
    ) -> None:
        self._names = names
        self._sender = sender
        self._user = user
        self._read = {
            name: _getter(compile_pointer(parse_pointer(name))) for name in (user, key) if name
        }

    def of(self, event: Mapping[str, Any]) -> int | None:
        """Return the number of the copy that sent an event; None if none did."""
        found = {name: read(event) for name, read in self._read.items()}
        texts = {name: str(text) for name, text in found.items() if isinstance(text, str | int)}
        for name, text in texts.items():
            for number in (*self._names.number(text), *_candidates(text)):
                if self._fits(name, text, number):
                    return number
        return None

    def _fits(self, name: str, text: str, number: int) -> bool:
        """Return whether a copy sent what stands in a member of an exported event."""
        if name == self._user:
            return self._names.of(number) == text
        return any(str(sent.get(name)) == text for sent in self._sender.events(number))


def _candidates(text: str) -> Iterator[int]:
    """Yield the numbers that may be a copy's in an id: the likeliest first, none of them twice.

    The number may stand beside other digits, such as those that a run's id ends in.
    """
    seen = set()
    runs = [match[0] for match in reversed(list(_DIGITS.finditer(text)))]
    parts = [
        part for run in runs for size in range(1, len(run)) for part in (run[size:], run[:-size])
    ]
    for digits in (*runs, *parts):
        number = int(digits[-_LONGEST:]) if len(digits) <= _LONGEST else None
        if number is not None and number <= _MOST_COPIES and number not in seen:
            seen.add(number)
            yield number


def export_to_json(found: Compared, name: Callable[[int], str], due: SendTimes) -> dict[str, Any]:
    """Return what was found as the results file holds it.

    Args:
        found: The comparison.
        name: The user id of a copy, by its number.
        due: When copies were sent.
    """

    def copy(number: int) -> dict[str, Any]:
        second = due.second(number)
        return {
            "user_id": name(number),
            "copy": number // due.uploads,
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


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is gone after use."""
    return tempfile.TemporaryDirectory(prefix="loadcheck-")
