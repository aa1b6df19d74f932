"""``/identify``: user properties without an event, from a form.

What it stores shows with the user's next event [D]. It is no upload: faults that are injected into
uploads leave it alone.
"""

from __future__ import annotations

import email.parser
import email.policy
from typing import Any
from urllib.parse import parse_qsl

import orjson

from loadcheck.emulator.clock import Clock
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.ingest import check as refusal
from loadcheck.emulator.ingest.check import MIN_ID_LENGTH, check_events
from loadcheck.emulator.ingest.commit import Committer
from loadcheck.emulator.ingest.throttle import PropertyUpdates, Throttle
from loadcheck.emulator.ingest.upload import RefusedError
from loadcheck.emulator.message import Answer, Request

PATH = "/identify"
_URLENCODED, _MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"
_EVENT_TYPE = "$identify"


def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a request: of a GET those of its query [D], of a POST its form's."""
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
    # how another type is answered is [U]: as a form that has no field
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
    """The endpoint.

    Attributes:
        requests: Requests that came.
        refusals: Requests refused, by status.
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
        self.refusals: dict[str, int] = {}

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        self.requests += 1
        now_ms = self._clock.now_ms()
        try:
            users = self._users(request, now_ms)
        except RefusedError as refused:
            status = str(refused.answer.status)
            self.refusals[status] = self.refusals.get(status, 0) + 1
            return refused.answer
        for user in users:
            self._committer.identify(user, now_ms)
        return Answer(200, b"success", b"text/html;charset=utf-8")  # [U-obs] older clients

    def _users(self, request: Request, now_ms: int) -> list[dict[str, Any]]:
        """Return whom a request identifies, as events of that type, if it may pass as a whole."""
        size = len(request.body) or len(request.query)
        if request.overflow or (self._most_bytes is not None and size > self._most_bytes):
            raise RefusedError(refusal.too_large())
        form = read_form(request)
        for field in ("api_key", "identification"):
            if not form.get(field):
                raise RefusedError(_bad("Request missing required field", missing_field=field))
        if form["api_key"] != self._api_key:
            raise RefusedError(refusal.bad_key(form["api_key"]))
        try:
            given = orjson.loads(form["identification"])
        except orjson.JSONDecodeError:
            raise RefusedError(_bad("Invalid JSON request body")) from None
        users = given if type(given) is list else [given]
        if not users or any(type(user) is not dict for user in users):
            raise RefusedError(_bad("Invalid event JSON"))
        users = [user | {"event_type": _EVENT_TYPE} for user in users]
        problems = check_events(users, min_id_length=MIN_ID_LENGTH, strip=self._strip)
        if problems is not None:
            raise RefusedError(refusal.bad_events(problems, all_indexes=False))
        refused = self._throttle.refuse(users, now_ms)
        if refused is not None:
            raise RefusedError(refused)
        if self._updates is not None:
            self._updates.lose(users, now_ms)
        return users


_bad = refusal.bad_request
