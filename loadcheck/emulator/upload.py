"""Uploads, ``POST /2/httpapi`` and ``POST /batch``: from the bytes of a request to its answer.

``/identify`` sets user properties without an event and is not an upload: they show with the user's
next event [D], and the faults of uploads do not affect it.
"""

from __future__ import annotations

import datetime as dt
import email.parser
import email.policy
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import orjson

from loadcheck.emulator import check
from loadcheck.emulator.check import MIN_ID_LENGTH, check_events
from loadcheck.emulator.commit import Committer
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.config.model import UploadLimits
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.limits import PropertyUpdates, Throttle
from loadcheck.emulator.message import Answer, Request
from loadcheck.emulator.protocol import MAX_BODY_BYTES, Clock

PATH = "/identify"
_URLENCODED, _MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"
_EVENT_TYPE = "$identify"


def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a request: those in the query of a GET [D], in the form of a POST."""
    if request.method == "GET":
        return _decoded(request.query)
    kind = request.header(b"content-type")
    if kind.lower().startswith(_MULTIPART):
        head = b"content-type: " + kind + b"\r\n\r\n"
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        return {
            str(part.get_param("name", header="content-disposition")): _text(part)
            for part in parser.parsebytes(head + request.body).iter_parts()
        }
    # how other types are answered is [U]: as a form without fields
    return _decoded(request.body) if kind.lower().startswith(_URLENCODED) else {}


def _decoded(form: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(form.decode(), keep_blank_values=True))
    except ValueError:
        return {}


def _text(part: Any) -> str:
    content = part.get_payload(decode=True)
    return content.decode("utf-8", "replace").removesuffix("\r\n") if content else ""


class Identify:
    """The ``/identify`` endpoint.

    Attributes:
        requests: Number of requests received.
        refusals: Number of requests refused, by status.
    """

    def __init__(self, config: EmulatorConfig, clock: Clock, committer: Committer) -> None:
        self._api_key, self._most_bytes = config.api_key, config.httpapi.max_bytes
        self._strip = config.short_ids == "strip"
        self._clock, self._committer = clock, committer
        # "all throttling and status code guidance" of HTTP V2 applies [D]
        self._throttle = Throttle(config.httpapi, batch=False)
        updates = config.httpapi.user_property_updates_per_hour
        self._updates = None if updates is None else PropertyUpdates(updates)
        self.requests = 0
        self.refusals: Counter[str] = Counter()

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        self.requests += 1
        now_ms = self._clock.now_ms()
        try:
            users = self._users(request, now_ms)
        except RefusedError as refused:
            self.refusals[str(refused.answer.status)] += 1
            return refused.answer
        for user in users:
            self._committer.identify(user, now_ms)
        return Answer(200, b"success", b"text/html;charset=utf-8")  # [U-obs] older clients

    def _users(self, request: Request, now_ms: int) -> list[dict[str, Any]]:
        """Return the users that a request identifies, as ``$identify`` events; raise refusals."""
        size = len(request.body) or len(request.query)
        if request.overflow or (self._most_bytes is not None and size > self._most_bytes):
            raise RefusedError(check.too_large())
        form = read_form(request)
        for field in ("api_key", "identification"):
            if not form.get(field):
                raise RefusedError(_missing(field))
        if form["api_key"] != self._api_key:
            raise RefusedError(check.bad_key(form["api_key"]))
        try:
            given = orjson.loads(form["identification"])
        except orjson.JSONDecodeError:
            raise RefusedError(check.bad_request("Invalid JSON request body")) from None
        users = given if type(given) is list else [given]
        if not users or any(type(user) is not dict for user in users):
            raise RefusedError(check.bad_request("Invalid event JSON"))
        users = [user | {"event_type": _EVENT_TYPE} for user in users]
        problems = check_events(users, min_id_length=MIN_ID_LENGTH, strip=self._strip)
        if problems is not None:
            raise RefusedError(check.bad_events(problems, all_indexes=False))
        refused = self._throttle.refuse(users, now_ms)
        if refused is not None:
            raise RefusedError(refused)
        if self._updates is not None:
            self._updates.drop_excess(users, now_ms)
        return users


_GZIP = 16 + zlib.MAX_WBITS


class RefusedError(Exception):
    """The upload is refused, with :attr:`answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def read_payload(request: Request, most_bytes: int | None) -> tuple[dict[str, Any], int]:
    """Return the payload, and the size of its serialized form in bytes.

    Raises:
        RefusedError: It is not a JSON object, or too large.
    """
    if b"json" not in request.header(b"content-type").lower():
        # mandatory [D]; how others are refused is [U]
        raise RefusedError(check.bad_request("Invalid JSON request body"))
    body = request.body
    # never more than the server's cap, so that a few bytes of gzip do not fill the memory
    most_bytes = MAX_BODY_BYTES if most_bytes is None else min(most_bytes, MAX_BODY_BYTES)
    try:
        if body and request.header(b"content-encoding").lower() == b"gzip":
            body = decompressed(body, most_bytes)
        # the cap is on the serialized form, so on the bytes after decompression [U]
        if request.overflow or len(body) > most_bytes:
            raise RefusedError(check.too_large())
        if not body:
            raise RefusedError(check.bad_request("Missing request body"))
        payload = orjson.loads(body)
    except (zlib.error, orjson.JSONDecodeError):
        raise RefusedError(check.bad_request("Invalid JSON request body")) from None
    if type(payload) is not dict:
        raise RefusedError(check.bad_request("Invalid JSON request body"))
    return payload, len(body)


def decompressed(body: bytes, most_bytes: int) -> bytes:
    """Return a gzip body decompressed, at most one byte more than allowed.

    Raises:
        zlib.error: It is not gzip.
    """
    reader = zlib.decompressobj(_GZIP)
    return reader.decompress(body, most_bytes + 1)


class UsersOf:
    """The user ids of a request, even of an invalid one; read only when iterated over."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[str | None]:
        try:
            payload, _ = read_payload(self._request, None)
            found = [event.get("user_id") or event.get("device_id") for event in payload["events"]]
        except (RefusedError, KeyError, TypeError, AttributeError):
            found = []
        return iter([user if type(user) is str else None for user in found] or [None])


_SHIFT_BEYOND_MS = 60_000  # [D] User data lookup
_ANSWER = b'{"code":200,"events_ingested":%d,"payload_size_bytes":%d,"server_upload_time":%d}'


class Uploads:
    """One ingestion endpoint.

    Attributes:
        requests: Number of requests received.
        acknowledged: Number of events accepted, duplicates included; even if a fault then spoils
            the answer.
        refusals: Number of requests refused, by status.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        *,
        batch: bool,
        clock: Clock,
        committer: Committer,
        injector: Injector,
    ) -> None:
        self._api_key = config.api_key
        self._limits: UploadLimits = config.batch if batch else config.httpapi
        self._batch = batch
        self._strip = batch or config.short_ids == "strip"
        self._clock = clock
        self._commit = committer.commit
        self._silenced = config.silenced_devices
        limited = any(
            limit is not None
            for limit in (
                self._limits.user_events_per_s,
                self._limits.user_events_per_day,
                self._limits.project_events_per_s,
                self._limits.project_requests_per_s,
            )
        )
        self._throttle = Throttle(self._limits, batch=batch) if limited else None
        updates = self._limits.user_property_updates_per_hour
        self._updates = None if updates is None else PropertyUpdates(updates)
        self._injector = injector
        self.requests = 0
        self.acknowledged = 0
        self.refusals: Counter[str] = Counter()

    def __call__(self, request: Request) -> Answer:
        """Answer an upload."""
        self.requests += 1
        now_ms = self._clock.now_ms()
        if self._injector.active:
            answer = self._faulty(request, now_ms)
        else:
            answer = self._take(request, now_ms)
        if answer.status != 200:  # noqa: PLR2004
            self.refusals[str(answer.status)] += 1
        return answer

    def _take(self, request: Request, now_ms: int) -> Answer:
        try:
            payload, size = read_payload(request, self._limits.max_bytes)
            events = self._events(payload, now_ms)
        except RefusedError as refused:
            return refused.answer
        shift_ms = _shift_ms(payload, now_ms) if "client_upload_time" in payload else 0
        if self._injector.active:
            self._commit_faulty(events, now_ms, shift_ms)
        else:
            commit = self._commit
            for event in events:
                commit(event, now_ms, shift_ms=shift_ms)
        # counted before deduplication [U]
        self.acknowledged += len(events)
        return Answer(200, _ANSWER % (len(events), size, now_ms))

    def _events(self, payload: dict[str, Any], now_ms: int) -> list[dict[str, Any]]:
        """Return the events of a payload, or raise the refusal of the whole upload."""
        api_key = payload.get("api_key")
        if api_key is None:
            raise RefusedError(_missing("api_key"))
        if api_key != self._api_key:
            raise RefusedError(check.bad_key(str(api_key)))
        events = payload.get("events")
        if not events:
            raise RefusedError(_missing("events"))
        if type(events) is not list:
            raise RefusedError(check.bad_request("Invalid event JSON"))
        most = self._limits.max_events
        if most is not None and len(events) > most:  # exactly the cap is accepted [U]
            raise RefusedError(check.too_large())
        least = _min_id_length(payload["options"]) if "options" in payload else MIN_ID_LENGTH
        problems = check_events(events, min_id_length=least, strip=self._strip)
        if problems is not None:
            raise RefusedError(check.bad_events(problems, all_indexes=self._batch))
        refused = self._silenced_by(events) if self._silenced else None
        if refused is None and self._throttle is not None:
            refused = self._throttle.refuse(events, now_ms)
        if refused is not None:
            raise RefusedError(refused)
        if self._updates is not None:
            self._updates.drop_excess(events, now_ms)
        return events

    def _silenced_by(self, events: list[dict[str, Any]]) -> Answer | None:
        listed = [
            index for index, event in enumerate(events) if event.get("device_id") in self._silenced
        ]
        if not listed:
            return None
        devices = sorted({events[index]["device_id"] for index in listed})
        return check.silenced(self._limits.user_events_per_s or 0, devices=devices, events=listed)

    # ---- with faults

    def _faulty(self, request: Request, now_ms: int) -> Answer:
        injector = self._injector
        injector.started(now_ms)
        users = UsersOf(request)
        answer = injector.before("uploads", now_ms, users)
        if answer is None:
            answer = self._take(request, now_ms)
            answer = injector.after("uploads", now_ms, users, answer)
        return injector.hold("uploads", now_ms, users, answer)

    def _commit_faulty(self, events: list[dict[str, Any]], now_ms: int, shift_ms: int) -> None:
        injector = self._injector
        firsts: dict[str, str] = {}
        for event in events:
            user = event.get("user_id") or event["device_id"]
            upload = firsts.setdefault(user, f"{user}\0{event.get('insert_id') or ''}")
            if injector.drops(user, now_ms, upload):
                continue
            late_ms = injector.lateness_ms(user, now_ms)
            self._commit(event, now_ms, shift_ms=shift_ms, late_ms=late_ms)
            again = {name: event[name] for name in event if name not in ("insert_id", "event_id")}
            for _ in range(injector.copies(user, now_ms)):
                self._commit(again, now_ms, shift_ms=shift_ms, late_ms=late_ms)


def _missing(field: str) -> Answer:
    return check.bad_request("Request missing required field", missing_field=field)


def _min_id_length(options: object) -> int:
    """Return ``options.min_id_length``; what is not a number of characters is ignored [U]."""
    if type(options) is dict and type(options.get("min_id_length")) is int:
        return max(int(options["min_id_length"]), 1)
    return MIN_ID_LENGTH


def _shift_ms(payload: dict[str, Any], now_ms: int) -> int:
    """Return how far the client's clock is behind the server's, 0 if within a minute [D]."""
    try:
        sent = dt.datetime.fromisoformat(payload["client_upload_time"])
    except (TypeError, ValueError):
        return 0
    if sent.tzinfo is None:
        sent = sent.replace(tzinfo=dt.UTC)
    shift = now_ms - int(sent.timestamp() * 1000)
    return shift if abs(shift) > _SHIFT_BEYOND_MS else 0
