"""``POST /2/httpapi`` and ``POST /batch``: from the bytes of a request to its answer."""

from __future__ import annotations

import datetime
import zlib
from typing import TYPE_CHECKING, Any

import orjson

from loadcheck.emulator.http.message import Answer
from loadcheck.emulator.ingest import refusal
from loadcheck.emulator.ingest.check import check_events
from loadcheck.emulator.ingest.commit import Committer
from loadcheck.emulator.ingest.fields import MIN_ID_LENGTH

if TYPE_CHECKING:
    from loadcheck.emulator.clock import Clock
    from loadcheck.emulator.config import EmulatorConfig
    from loadcheck.emulator.config.model import UploadLimits
    from loadcheck.emulator.faults.injector import Injector
    from loadcheck.emulator.http.message import Request

_SHIFT_BEYOND_MS = 60_000  # [D] User data lookup
_GZIP = 16 + zlib.MAX_WBITS
_ANSWER = b'{"code":200,"events_ingested":%d,"payload_size_bytes":%d,"server_upload_time":%d}'


class Uploads:
    """One ingestion endpoint.

    Attributes:
        requests: Requests that came.
        acknowledged: Events of those answered with 200, duplicates included.
        refusals: Requests refused, by status.
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
        self._injector = injector
        self.requests = 0
        self.acknowledged = 0
        self.refusals: dict[int, int] = {}

    def __call__(self, request: Request) -> Answer:
        """Answer an upload."""
        self.requests += 1
        now_ms = self._clock.now_ms()
        if self._injector.active:
            answer = self._faulty(request, now_ms)
        else:
            answer = self._take(request, now_ms)
        if answer.status != 200:  # noqa: PLR2004
            self.refusals[answer.status] = self.refusals.get(answer.status, 0) + 1
        return answer

    def _take(self, request: Request, now_ms: int) -> Answer:
        read = self._read(request)
        if isinstance(read, Answer):
            return read
        payload, size = read
        events = payload["events"]
        refused = self._check(payload, events)
        if refused is not None:
            return refused
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

    def _read(self, request: Request) -> tuple[dict[str, Any], int] | Answer:
        """Return the payload and its size, or the answer that refuses it."""
        if b"json" not in request.header(b"content-type").lower():
            # mandatory [D]; how another one is refused is [U]
            return refusal.bad_request("Invalid JSON request body")
        most = self._limits.max_bytes
        body: bytes | None = request.body
        if request.header(b"content-encoding").lower() == b"gzip" and body:
            try:
                body = _decompressed(body, most)
            except zlib.error:
                return refusal.bad_request("Invalid JSON request body")
        # the cap counts what was serialized, so the bytes after decompression [U]
        if request.overflow or body is None or (most is not None and len(body) > most):
            return refusal.too_large()
        if not body:
            return refusal.bad_request("Missing request body")
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return refusal.bad_request("Invalid JSON request body")
        if type(payload) is not dict:
            return refusal.bad_request("Invalid JSON request body")
        return self._identified(payload) or (payload, len(body))

    def _identified(self, payload: dict[str, Any]) -> Answer | None:
        api_key = payload.get("api_key")
        if api_key is None:
            return refusal.bad_request("Request missing required field", missing_field="api_key")
        if api_key != self._api_key:
            return refusal.bad_key(str(api_key))
        if not payload.get("events"):
            return refusal.bad_request("Request missing required field", missing_field="events")
        if type(payload["events"]) is not list:
            return refusal.bad_request("Invalid event JSON")
        return None

    def _check(self, payload: dict[str, Any], events: list[Any]) -> Answer | None:
        most = self._limits.max_events
        if most is not None and len(events) > most:  # exactly as many as the cap: [U], taken
            return refusal.too_large()
        least = MIN_ID_LENGTH
        if "options" in payload:
            options = payload["options"]
            if type(options) is dict and type(options.get("min_id_length")) is int:
                least = options["min_id_length"]
        problems = check_events(events, min_id_length=least, strip=self._strip)
        if problems is not None:
            return refusal.bad_events(
                problems.invalid, problems.missing, problems.lengths, all_indexes=self._batch
            )
        return None

    # ---- with faults

    def _faulty(self, request: Request, now_ms: int) -> Answer:
        injector = self._injector
        injector.started(now_ms)
        users = _Users(request)
        answer = injector.before("uploads", now_ms, users)
        if answer is None:
            answer = self._take(request, now_ms)
            answer = injector.after("uploads", now_ms, users, answer)
        return injector.hold("uploads", now_ms, users, answer)

    def _commit_faulty(self, events: list[dict[str, Any]], now_ms: int, shift_ms: int) -> None:
        injector = self._injector
        for event in events:
            user = event.get("user_id") or event["device_id"]
            if injector.drops(user, now_ms):
                continue
            late_ms = injector.lateness_ms(user, now_ms)
            self._commit(event, now_ms, shift_ms=shift_ms, late_ms=late_ms)
            again = {name: event[name] for name in event if name not in ("insert_id", "event_id")}
            for _ in range(injector.copies(user, now_ms)):
                self._commit(again, now_ms, shift_ms=shift_ms, late_ms=late_ms)


class _Users:
    """The users of a request, read only if a fault hit it."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Any:
        try:
            body: bytes | None = self._request.body
            if self._request.header(b"content-encoding").lower() == b"gzip" and body:
                body = _decompressed(body, None)
            events = orjson.loads(body or b"")["events"]
            users = [event.get("user_id") or event.get("device_id") for event in events]
        except (ValueError, TypeError, KeyError, AttributeError, zlib.error):
            users = []
        return iter([user if type(user) is str else None for user in users] or [None])


def _decompressed(body: bytes, most: int | None) -> bytes | None:
    """Return a gzip body decompressed, or None if that is larger than allowed."""
    reader = zlib.decompressobj(_GZIP)
    if most is None:
        return reader.decompress(body)
    data = reader.decompress(body, most + 1)
    return None if len(data) > most else data


def _shift_ms(payload: dict[str, Any], now_ms: int) -> int:
    """Return what the client's clock is behind the server's, if by more than a minute [D]."""
    try:
        sent = datetime.datetime.fromisoformat(payload["client_upload_time"])
    except (TypeError, ValueError):
        return 0
    if sent.tzinfo is None:
        sent = sent.replace(tzinfo=datetime.UTC)
    shift = now_ms - int(sent.timestamp() * 1000)
    return shift if abs(shift) > _SHIFT_BEYOND_MS else 0
