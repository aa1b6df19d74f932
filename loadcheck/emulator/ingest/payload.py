"""From the bytes of an upload to its payload, or to the answer that refuses it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from loadcheck.emulator.http.protocol import MAX_BODY_BYTES
from loadcheck.emulator.ingest import refusal

if TYPE_CHECKING:
    from loadcheck.emulator.http.message import Answer, Request

_GZIP = 16 + zlib.MAX_WBITS


class RefusedError(Exception):
    """The upload is refused, with :attr:`answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def read_payload(request: Request, most_bytes: int | None) -> tuple[dict[str, Any], int]:
    """Return the payload, and the size of its serialized form.

    Raises:
        RefusedError: It is no JSON object, or too large.
    """
    if b"json" not in request.header(b"content-type").lower():
        # mandatory [D]; how another one is refused is [U]
        raise RefusedError(refusal.bad_request("Invalid JSON request body"))
    body = request.body
    # without a cap it is the one of the server, so that a few bytes of gzip do not fill the memory
    most_bytes = MAX_BODY_BYTES if most_bytes is None else min(most_bytes, MAX_BODY_BYTES)
    try:
        if body and request.header(b"content-encoding").lower() == b"gzip":
            body = decompressed(body, most_bytes)
        # the cap counts what was serialized, so the bytes after decompression [U]
        if request.overflow or len(body) > most_bytes:
            raise RefusedError(refusal.too_large())
        if not body:
            raise RefusedError(refusal.bad_request("Missing request body"))
        payload = orjson.loads(body)
    except (zlib.error, orjson.JSONDecodeError):
        raise RefusedError(refusal.bad_request("Invalid JSON request body")) from None
    if type(payload) is not dict:
        raise RefusedError(refusal.bad_request("Invalid JSON request body"))
    return payload, len(body)


def decompressed(body: bytes, most_bytes: int) -> bytes:
    """Return a gzip body decompressed, at most one byte more than allowed.

    Raises:
        zlib.error: It is not gzip.
    """
    reader = zlib.decompressobj(_GZIP)
    return reader.decompress(body, most_bytes + 1)


class UsersOf:
    """The user ids of a request, whatever is wrong with it; read only when asked for."""

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
