"""HAR files: what a browser or a proxy has recorded (HTTP Archive 1.2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.draft.recorded import FORM, Recorded
from loadcheck.errors import DraftError, Problem

_MOST_BYTES: Final = 200_000_000
_REMEDY: Final = 'expected a HAR file, as browsers save one: "Save all as HAR" of the network tab'
_STATIC_KINDS: Final = frozenset(
    {"preflight", "stylesheet", "script", "image", "font", "media", "document", "websocket"}
    | {"manifest", "texttrack", "signed-exchange", "eventsource"}
)
_STATIC_TYPE = re.compile(r"(?:image|font|audio|video)/|text/(?:css|html|javascript)|\S*script")
_STATIC_NAME = re.compile(
    r".*\.(?:js|mjs|css|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|otf|mp4|webm|html?|wasm)"
)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"})
_NOT_MODIFIED: Final = 304
_REDIRECT: Final = 300


def read_har(path: Path) -> list[Recorded]:
    """Return the requests of a HAR file that an API has answered.

    Preflights, files of the page, failed requests and WebSockets are left out.

    Raises:
        DraftError: It cannot be read, is none, or has no request of an API in it.
    """
    try:
        content = orjson.loads(read_file(path, _MOST_BYTES).removeprefix(b"\xef\xbb\xbf"))
    except UnreadableError as error:
        problem = Problem(message=error.message, file=str(path), remedy=error.remedy)
        raise DraftError(problem) from None
    except orjson.JSONDecodeError as error:
        message = f"is no JSON: {error.msg}"
        problem = Problem(message=message, file=str(path), line=error.lineno, remedy=_REMEDY)
        raise DraftError(problem) from None
    log = content.get("log") if isinstance(content, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise DraftError(Problem(message="has no log.entries", file=str(path), remedy=_REMEDY))
    found = [each for entry in entries for each in _recorded(entry)]
    if not found:
        message = f"has {len(entries)} entries, and none is an API's: XHR, fetch or beacon"
        remedy = "record while the page sends events, and asks for counts"
        raise DraftError(Problem(message=message, file=str(path), remedy=remedy))
    return found


def _recorded(entry: Any) -> Iterator[Recorded]:
    try:
        request, response = entry["request"], entry.get("response") or {}
        method, url = str(request["method"]).upper(), str(request["url"])
        status = int(response.get("status") or 0)
        content = response.get("content") or {}
        if not _is_of_an_api(entry, method, url, status, str(content.get("mimeType") or "")):
            return
        posted = request.get("postData") or {}
        headers = [(str(each["name"]), str(each["value"])) for each in request.get("headers") or ()]
        named = {name.lower() for name, _ in headers}
        cookies = "; ".join(
            f"{each['name']}={each['value']}" for each in request.get("cookies") or ()
        )
        if cookies and "cookie" not in named:
            headers.append(("Cookie", cookies))
        kind = str(posted.get("mimeType") or "")
        yield Recorded(
            method=method,
            url=url,
            headers=headers,
            body=_body(posted, kind),
            content_type=kind,
            answer=_text(content),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # not as the format has it: others may be


def _is_of_an_api(entry: Any, method: str, url: str, status: int, kind: str) -> bool:
    if method not in _METHODS or entry.get("_resourceType") in _STATIC_KINDS:
        return False
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return False
    if status >= _REDIRECT and status != _NOT_MODIFIED:
        return False
    pixel = method != "GET" or parts.query  # a pixel may carry an event
    return not (_STATIC_NAME.fullmatch(parts.path) or _STATIC_TYPE.match(kind)) or bool(
        pixel and "image/" in kind
    )


def _body(posted: Any, kind: str) -> str | None:
    text, params = posted.get("text"), posted.get("params")
    if text:
        return str(text)
    if params and kind.startswith(FORM):
        return urlencode([(each["name"], each.get("value") or "") for each in params])
    return None


def _text(content: Any) -> str | None:
    text = content.get("text")
    if text is None:
        return None
    if content.get("encoding") == "base64":
        return base64.b64decode(text).decode("utf-8", "replace")
    return str(text)
