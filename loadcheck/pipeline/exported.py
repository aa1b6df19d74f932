"""Fetches the events of a run, page by page, and compares them with those that were sent."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import httpx
import orjson

from loadcheck.data.users import uuid_of
from loadcheck.documents.document import MISSING, compile_pointer, parse_pointer
from loadcheck.errors import InputError, Problem, did_you_mean
from loadcheck.measure import Ledger
from loadcheck.pipeline.target import client_of
from loadcheck.scenario.model import Export, Scenario
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.export import (
    MOST_SHOWN,
    Compared,
    EventReader,
    ExportComparison,
    ExportError,
    ExportLayout,
)
from loadcheck.verify.naming import SendTimes, UserNames
from loadcheck.verify.query_client import QueryChannel, QueryClient, Send
from loadcheck.workflow.expressions import UnsendableError, as_text
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.selectors import compile_jsonpath
from loadcheck.workflow.identity import insert_id
from loadcheck.workflow.runtime import first_request, no_retry

_HOUR = timedelta(hours=1)
_TIMEOUT_S = 600.0
_CHUNK = 1 << 20
_DETAIL_BYTES = 300
_PLACEHOLDER = re.compile(r"\{\$([^{}]+)\}")
_SAFE = "/?&=%:@!$'()*+,;.~-_"
_OF_QUERY = {"host", "content-type", "content-length", "transfer-encoding", "accept-encoding"}
_REMEDY = "ask again later, or without --export"
_INPUTS = "$inputs."
_DIGITS = re.compile(r"[0-9]+")
_LONGEST = 20
_MOST_COPIES = 2**32 - 1


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """Return a path and query with values for ``{$name}``, percent-encoded where needed."""
    filled = _PLACEHOLDER.sub(lambda match: quote(str(values[match[1]]), safe=""), template)
    return quote(filled, safe=_SAFE)


def fill_body(template: Any, values: Mapping[str, Any]) -> bytes:
    """Return a body with values for ``{$name}``: a text as it is, anything else as JSON."""
    filled = _filled(template, values)
    return str(filled).encode() if isinstance(template, str) else orjson.dumps(filled)


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {name: _filled(each, values) for name, each in template.items()}
    if isinstance(template, list):
        return [_filled(each, values) for each in template]
    if not isinstance(template, str):
        return template
    alone = _PLACEHOLDER.fullmatch(template)
    if alone is not None:  # the value keeps its type: a number, an array
        return values[alone[1]]
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def content_type(body: bytes) -> str:
    """Return the media type of a body, by its first byte."""
    structured = body[:1] in (b"{", b"[")
    return "application/json" if structured else "text/plain; charset=utf-8"


async def inputs_of(
    compiled: CompiledScenario, template: Any, client: QueryClient, key: str
) -> dict[str, str]:
    """Return the values of the inputs that a template names, as the observer step has them.

    Args:
        compiled: The run.
        template: Texts with ``{$inputs.NAME}``.
        client: Sends the observer step's query.
        key: The scenario's key of the template, for errors.

    Raises:
        InputError: An input is empty, so the request would not be the intended one.
    """
    words = {match[1] for match in _PLACEHOLDER.finditer(str(template))}
    names = {word.removeprefix("inputs.") for word in words if word.startswith("inputs.")}
    if not names:
        return {}
    spec, observer = compiled.verification, compiled.observer
    assert spec is not None
    assert observer is not None
    query = spec.plan.query(observer.step_id, values={name: f"$inputs.{name}" for name in names})
    reply = await client.ask(query, spec.queries.counts.cost)
    given = {name: str(each) for name, each in reply.values.items() if each is not None}
    for name in sorted(names - given.keys()):
        message = f"$inputs.{name} is empty, or the query that uses it was refused"
        raise InputError(compiled.scenario.problem(key, message, "give it one in [inputs]"))
    return {f"inputs.{name}": value for name, value in given.items()}


class UnreproducibleError(InputError):
    """What a copy sends is decided while it runs, so that its events cannot be made again."""


def check(compiled: CompiledScenario) -> None:
    """Check before a run that its export can be compared after it.

    Raises:
        InputError: The scenario does not say how, or which copy an event is from.
    """
    with compiled.run.shared.assumed(), contextlib.suppress(UnreproducibleError):
        Pages(compiled, Ledger())


async def compare(
    compiled: CompiledScenario,
    ledger: Ledger,
    window: tuple[datetime, datetime],
    folder: Path,
    send: Send,
) -> Compared:
    """Fetch the events of a run, page by page, and compare them with what was sent.

    Args:
        compiled: The run.
        ledger: The outcomes of its copies.
        window: When it began, and when its last response came at the latest.
        folder: Where a page is kept while it is read.
        send: Sends a query of the observer.

    Raises:
        InputError: The export is refused, cannot be read, or needs an input that is empty.
    """
    pages = Pages(compiled, ledger)
    requests = _PageRequests(compiled, window)
    await requests.read_inputs(send)
    page = folder / "page.export"
    async with client_of(compiled.asking, timeout_s=_TIMEOUT_S) as client:
        while True:
            await _save(requests.stream(client, pages), page)
            if not await anyio.to_thread.run_sync(pages.read, page):
                return pages.result()


class _PageRequests:
    """Makes the requests for the pages of an export."""

    def __init__(self, compiled: CompiledScenario, window: tuple[datetime, datetime]) -> None:
        spec, observer = compiled.verification, compiled.observer
        export = compiled.scenario.verify.export
        assert spec is not None
        assert observer is not None
        assert export is not None
        request = first_request(spec.queries.counts.uniques.run(1))
        assert request is not None
        self._compiled = compiled
        self._export = export
        self._server = export.server(str(request.origin), observer.base)
        self._values: dict[str, Any] = {"run.id": compiled.run.id}
        for name, at in zip(("start", "end"), (window[0] - _HOUR, window[1] + _HOUR), strict=True):
            utc = at.astimezone(UTC)
            self._values |= {
                name: f"{utc:%Y%m%dT%H}",
                f"{name}Time": f"{utc:%Y-%m-%dT%H:00:00Z}",
                f"{name}Ms": int(utc.replace(minute=0, second=0, microsecond=0).timestamp()) * 1000,
            }
        self._headers = [
            (name, value)
            for name, value in request.headers
            if name.lower() not in _OF_QUERY | {each.lower() for each in export.headers}
        ]

    async def read_inputs(self, send: Send) -> None:
        """Look up the inputs that the requests name.

        Raises:
            InputError: An input is empty.
        """
        export, verify = self._export, self._compiled.scenario.verify
        client = QueryClient(
            QueryChannel(send=send),
            absent=verify.absent,
            approximate=verify.approximate,
        )
        template = [export.path, export.body, dict(export.headers), export.next]
        self._values |= await inputs_of(self._compiled, template, client, "verify.export")

    def stream(
        self, client: httpx.AsyncClient, pages: Pages
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Return the response to the request for the next page."""
        export = self._export
        values = self._values | pages.placeholders
        path, template, following = export.path, export.body, export.next
        if following is not None and pages.number:
            path = following.path or path
            template = template if following.body is None else following.body
        body = None if template is None else fill_body(template, values)
        headers = [*self._headers, ("Accept-Encoding", "gzip")]
        headers += [(name, str(_filled(text, values))) for name, text in export.headers.items()]
        if body is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", content_type(body)))
        server_name = self._compiled.asking.tls.server_name
        return client.stream(
            export.method,
            f"{self._server}{fill_path(path, values)}",
            content=body,
            headers=headers,
            extensions={"sni_hostname": server_name} if server_name else {},
        )


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


def _refused(status: int, said: str) -> InputError:
    remedy = "try again later"
    if status == httpx.codes.NOT_FOUND:
        remedy = (
            "look at verify.export.path; where events are exported by the hour, they can be about "
            "two hours after its end"
        )
    return InputError(
        Problem(message=f"the export was refused with {status}: {said}", remedy=remedy)
    )


class Pages:
    """Compares an export with what was sent, page by page.

    Args:
        compiled: The run.
        ledger: The outcomes of its copies.

    Raises:
        InputError: The scenario does not say how, or which copy an event is from.

    Attributes:
        number: How many pages were read.
    """

    def __init__(self, compiled: CompiledScenario, ledger: Ledger) -> None:
        verify = compiled.scenario.verify
        export = verify.export
        assert export is not None
        self.number = 0
        self._export = export
        self._run_id = compiled.run.id
        self._offset = 0
        self._last: str | int = ""
        self._tokens: set[str | int] = set()
        self._seen: set[bytes] = set()
        self._layout = layout_of(compiled.scenario)
        self._of_run = _pointed(export.run)
        self._after = None if export.after is None else _pointed(export.after)
        asked = f"{export.path} {export.body}"
        self._alone = "{$run.id}" in asked
        sender = _ExpectedEvents(compiled, export)
        names = UserNames(compiled.plan, compiled.ingest, verify.user)
        sent = sender.events(0)[0]
        user = _holding((names.of(0),), sent)
        own = (insert_id(self._run_id, 0), uuid_of(self._run_id, 0, "insert"))
        key = _holding(own, sent) or next(iter(export.fields))
        if user is None and sent.get(key) not in own:
            remedy = "name the member that holds the user (see verify.user) or the key"
            message = "none of them is the user or the deduplication key of a copy"
            raise InputError(compiled.scenario.problem("verify.export.fields", message, remedy))
        fields = {name: _getter(name, text=sender.is_text(name)) for name in export.fields}
        self._identity = {name: _pointed(name) for name in (user or key, key)}
        reader = EventReader(
            # a user who returns has several uploads: only their keys distinguish them
            number=_Numbers(names, sender, None if compiled.run.visits else user, key).of,
            user=fields[user or key],
            fields=fields,
            key=key,
            deduplicated=export.deduplicated,
        )
        self._comparison = ExportComparison(
            reader,
            sender.events,
            acknowledged=ledger.acknowledged,
            indeterminate=ledger.indeterminate | ledger.open(),
            events_per_copy=compiled.scenario.load.events_per_copy,
        )

    @property
    def placeholders(self) -> dict[str, str | int]:
        """Values from the pages so far that the request for the next one may need."""
        token = self._layout.next
        return {
            "last": self._last,
            "offset": self._offset,
            "token": "" if token is None else token,
        }

    def result(self) -> Compared:
        """Return the result of the comparison."""
        return self._comparison.result()

    def read(self, path: Path) -> bool:
        """Compare a page; return whether another follows.

        Raises:
            InputError: It cannot be read, or the pages would never end.
        """
        try:
            events, digest = self._compare(path)
            self.number += 1
            return self._export.paged and self._goes_on(events, digest)
        except ExportError as error:
            message = f"{error}. It proves nothing"
            raise InputError(Problem(message=message, remedy=_REMEDY)) from None

    def _compare(self, path: Path) -> tuple[int, bytes]:
        """Return how many events a page has, and a digest of it."""
        marker, digest, events, event = self._run_id.encode(), hashlib.blake2b(), 0, None
        for event in self._layout.events(path, marker, alone=self._alone):
            events += 1
            if self._export.paged:
                digest.update(orjson.dumps(event))
            found = self._of_run(event)
            if found != self._run_id:
                if self._alone:
                    raise _odd(event, "is not of the run, although only such were asked for")
                continue
            for name, read in self._identity.items():
                if read(event) is MISSING:
                    raise _odd(event, f"has no {name}, which verify.export.fields says it has")
            self._comparison.add(event)
        if self._after is not None and event is not None:
            last = self._after(event)
            if isinstance(last, bool) or not isinstance(last, str | int):
                raise _odd(event, f"has no {self._export.after} (verify.export.after)")
            if last == self._last:
                raise ExportError(f"two pages of the export end with {last!r}: it would never end")
            self._last = last
        self._offset += events
        return events, digest.digest()

    def _goes_on(self, events: int, digest: bytes) -> bool:
        token, following = self._layout.next, self._export.next
        if following is None or following.ends == "rows":
            if not events:
                return False
            if token is None and following is not None:
                raise ExportError(f"an answer has no {following.token} (verify.export.next.token)")
        elif token is None:
            return False
        elif token in self._tokens:
            raise ExportError(f"two pages of the export name {token!r} as the next: a circle")
        else:
            self._tokens.add(token)
        if events and digest in self._seen:
            raise ExportError("two pages of the export are the same: it would never end")
        self._seen.add(digest)
        if self.number >= self._export.pages:
            most = f"{self._export.pages:,} pages (verify.export.pages)"
            raise ExportError(f"the export has more than {most}")
        return True


def _odd(event: Any, says: str) -> ExportError:
    shown = orjson.dumps(event)[:_DETAIL_BYTES].decode("utf-8", "replace")
    return ExportError(f"the export holds what {says}: {shown}")


def layout_of(scenario: Scenario) -> ExportLayout:
    """Return the layout of the events in an export.

    Raises:
        InputError: An expression cannot be read.
    """
    export = scenario.verify.export
    assert export is not None

    def find(key: str, query: str) -> Callable[[Any], Sequence[Any]]:
        try:
            return compile_jsonpath(query)
        except ExpressionError as error:
            raise InputError(scenario.problem(f"verify.export.{key}", str(error))) from None

    return ExportLayout(
        csv=export.format == "csv",
        rows=None if export.rows is None else find("rows", export.rows),
        empty=None if export.empty is None else find("empty", export.empty),
        errors=[find("errors", query) for query in export.errors],
        token=None if export.next is None else _pointed(export.next.token),
    )


def _pointed(pointer: str) -> Callable[[Any], Any]:
    return compile_pointer(parse_pointer(pointer))


def _holding(texts: Collection[str], event: Mapping[str, Any]) -> str | None:
    """Return the field of an event that holds one of some texts; None if none does."""
    return next((name for name, value in event.items() if str(value) in texts), None)


def _getter(pointer: str, *, text: bool = False) -> Callable[[Any], Any]:
    reach = _pointed(pointer)

    def get(event: Any) -> Any:
        found = reach(event)
        if found is MISSING or found is None:
            return None
        return as_text(found) if text else found

    return get


class _ExpectedEvents:
    """Re-renders the events a copy sent, without timestamps."""

    def __init__(self, compiled: CompiledScenario, export: Export) -> None:
        events_per_copy = compiled.scenario.load.events_per_copy
        self._scenario = compiled.scenario
        self._ingest = compiled.ingest.index
        self._plan = compiled.plan
        self._csv = export.format == "csv"
        self._now_ms = time.time_ns() // 1_000_000
        self._last: tuple[int, Sequence[Mapping[str, Any]]] | None = None
        self._inputs = {
            name: sent.removeprefix(_INPUTS)
            for name, sent in export.fields.items()
            if sent.startswith(_INPUTS)
        }
        self._fields = {
            name: _pointed(sent) for name, sent in export.fields.items() if name not in self._inputs
        }
        self._reach: list[Callable[[Any], Any]] = [lambda _: {}] * events_per_copy
        if export.event is not None:
            tokens = parse_pointer(export.event.removeprefix("body#"))
            self._reach = [compile_pointer(tokens)]
            self._reach += [
                compile_pointer((*tokens[:-1], str(int(tokens[-1]) + number)))
                for number in range(1, events_per_copy)
            ]

    def is_text(self, name: str) -> bool:
        """Return whether a field is compared as text: columns of CSV have no types."""
        return self._csv or name in self._inputs

    def events(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return the events of a copy, by the names of the exported fields."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._render(number)
        return self._last[1]

    def _render(self, number: int) -> Sequence[Mapping[str, Any]]:
        given = self._plan.inputs(number, self._now_ms) if self._inputs else {}
        for name, word in self._inputs.items():
            if word not in given:
                key, remedy = f"verify.export.fields.{name}", did_you_mean(word, given)
                raise InputError(
                    self._scenario.problem(key, "the scenario gives no such input", remedy)
                )
        inputs = {name: given[word] for name, word in self._inputs.items()}
        body = self._body(number) if self._fields else {}
        found = []
        for reach in self._reach:
            event = reach(body)
            values = inputs | {name: get(event) for name, get in self._fields.items()}
            found.append(
                {
                    name: as_text(value) if self.is_text(name) else value
                    for name, value in values.items()
                    if value is not MISSING
                }
            )
        return found

    def _body(self, number: int) -> Any:
        """Return what a copy sends in the ingest step, most often its first."""
        request = first_request(self._plan.copy(number, self._now_ms, no_retry))
        try:
            if request is None or request.step != self._ingest:
                requests = self._plan.foreseen(number, self._now_ms, "")
                request = next(each for each in requests if each.step == self._ingest)
            return orjson.loads(request.body)
        except (UnsendableError, StopIteration) as error:
            why = str(error) or "no request is made"
            raise UnreproducibleError(self._problem(why)) from None
        except orjson.JSONDecodeError:
            raise InputError(self._problem("the request is not JSON")) from None

    def _problem(self, why: str) -> Problem:
        remedy = 'compare with inputs instead: fields = { "/user" = "$inputs.NAME" }'
        return self._scenario.problem("verify.export.event", why, remedy)


class _Numbers:
    """Finds the copies that sent exported events, by the user ids and keys that were really sent.

    Args:
        names: The user ids.
        sender: Makes the events of a copy again.
        user: Member of an exported event that holds the user id; None: none does.
        key: Member that holds the deduplication key.
    """

    def __init__(
        self, names: UserNames, sender: _ExpectedEvents, user: str | None, key: str
    ) -> None:
        self._names = names
        self._sender = sender
        self._user = user
        self._read = {name: _getter(name) for name in (user, key) if name}

    def of(self, event: Mapping[str, Any]) -> int | None:
        """Return the number of the copy that sent an event; None if none did."""
        found = {name: read(event) for name, read in self._read.items()}
        texts = {name: str(text) for name, text in found.items() if isinstance(text, str | int)}
        for name, text in texts.items():
            for number in chain(self._names.number(text), _candidates(text)):
                if self._fits(name, text, number):
                    return number
        return None

    def _fits(self, name: str, text: str, number: int) -> bool:
        """Return whether a copy sent the value of a member of an exported event."""
        if name == self._user:
            return self._names.of(number) == text
        return any(str(sent.get(name)) == text for sent in self._sender.events(number))


def _candidates(text: str) -> Iterator[int]:
    """Yield the numbers in an id that may be a copy's: the likeliest first, each only once.

    Other digits may be next to the number, such as those at the end of a run's id.
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
    """Return a comparison in the form of the results file.

    Args:
        found: The comparison.
        name: The user id of a copy, by its number.
        due: When copies were sent.
    """
    copy = partial(due.copy, name)
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
