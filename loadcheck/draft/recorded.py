"""Turn recorded requests into an OpenAPI description without secrets.

Credentials become security schemes without values. Fields that hold a secret or identify a person
keep only their type, and so does every field of an answer. Recordings of browsers and proxies are
read from HAR files (HTTP Archive 1.2).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import orjson

from loadcheck.documents.document import Document
from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.draft.fields import type_of
from loadcheck.draft.operations import words_of
from loadcheck.draft.words import KEYS, USERS, plain
from loadcheck.errors import DraftError, Problem
from loadcheck.workflow.description import SourceReference
from loadcheck.workflow.description.loader import Source, SourceReader, open_source

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


def read_har(path: Path) -> list[RecordedRequest]:
    """Return the API requests of a HAR file.

    Preflights, static files, failed or redirected requests and WebSockets are left out.

    Raises:
        DraftError: It cannot be read, is not a HAR file, or has no API request in it.
    """
    try:
        content = orjson.loads(read_file(path, _MOST_BYTES).removeprefix(b"\xef\xbb\xbf"))
    except UnreadableError as error:
        problem = Problem(message=error.message, file=str(path), remedy=error.remedy)
        raise DraftError(problem) from None
    except orjson.JSONDecodeError as error:
        message = f"is not JSON: {error.msg}"
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


def _recorded(entry: Any) -> Iterator[RecordedRequest]:
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
        yield RecordedRequest(
            method=method,
            url=url,
            headers=headers,
            body=_body(posted, kind),
            content_type=kind,
            answer=_text(content),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # a malformed entry; the others may be usable


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


JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

_OF_THE_BROWSER: Final = frozenset(
    {"accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "pragma"}
    | {"connection", "content-length", "content-type", "dnt", "host", "keep-alive", "origin"}
    | {"priority", "referer", "te", "transfer-encoding", "upgrade-insecure-requests", "user-agent"}
    | {"if-modified-since", "if-none-match", "purpose", "expect", "save-data", "date"}
)
_SECRET_WORDS: Final = frozenset(
    {"token", "secret", "password", "passwd", "pwd", "authorization", "auth", "credential"}
    | {"signature", "jwt", "csrf", "xsrf", "bearer", "cookie"}
)
_SECRET_NAMES: Final = frozenset(
    {"apikey", "xapikey", "accesskey", "writekey", "secretkey", "privatekey", "appkey", "sig"}
    | {"accesskeyid", "authkey", "subscriptionkey", "apisecret", "clientsecret", "passphrase"}
)
_SECRET_VALUE: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?:sk|pk|rk|ghp|gho|xox[abp]|phc|phx|AKIA|AIza|glpat)[-_]?[\w-]{12,}"
    r"|(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/_=]{32,}"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LEAST_SECRET: Final = 8
"""Shorter secrets would be found in other texts by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One recorded request and its answer.

    Attributes:
        method: The method, in upper case.
        url: The URL as sent, user info included.
        headers: Name and value of each header.
        body: The body as text; None without one.
        content_type: Media type of the body; "" without one.
        answer: The answer's body as text; None if unknown.
    """

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    body: str | None = None
    content_type: str = ""
    answer: str | None = None


@dataclass(slots=True, kw_only=True)
class RecordedDescription:
    """The description made from recorded requests.

    Attributes:
        root: The OpenAPI description.
        secrets: Secret values of the requests, which must appear in no file.
        operations: ``POST /path`` for each request, in order.
    """

    root: dict[str, Any]
    secrets: set[str] = field(default_factory=set)
    operations: list[str] = field(default_factory=list)


def describe(requests: Iterable[RecordedRequest], title: str) -> RecordedDescription:
    """Return an OpenAPI description of recorded requests."""
    root: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "recorded"},
        "paths": {},
        "components": {"securitySchemes": {}},
    }
    done = RecordedDescription(root=root)
    for request in requests:
        _Writer(done, request).write()
    if not root["components"]["securitySchemes"]:
        del root["components"]
    return done


def as_source(described: RecordedDescription, name: str) -> Source:
    """Return a description as a source, as if it had been read from a file."""
    document = Document(name=name, location="recorded://requests", root=described.root)
    reference = SourceReference(path=(), name="api", url=name, type="openapi", fields={})
    return open_source(reference, document, SourceReader(None, {}, mapped=True))


def path_of(request: RecordedRequest) -> str:
    """Return the name of a request's operation: ``POST /path``."""
    return describe([request], "").operations[0]


class _Writer:
    def __init__(self, done: RecordedDescription, request: RecordedRequest) -> None:
        self._done = done
        self._request = request
        self._schemes: list[str] = []

    def write(self) -> None:
        request, parts = self._request, urlsplit(self._request.url)
        path, parameters = self._path(parts.path or "/")
        self._done.operations.append(f"{request.method} {path}")
        item = self._done.root["paths"].setdefault(path, {})
        host = parts.netloc.rpartition("@")[2]
        known = item.get(request.method.lower())
        operation: dict[str, Any] = known or {"parameters": parameters}
        if known is None:
            operation["servers"] = [{"url": f"{parts.scheme}://{host}"}]
            self._user_info(parts.netloc.rpartition("@")[0])
            self._query(parts.query, operation["parameters"])
            self._headers(operation["parameters"])
            self._body(operation)
            if self._schemes:
                operation["security"] = [{name: [] for name in self._schemes}]
            operation["responses"] = {"200": {"description": "As it was recorded."}}
            item[request.method.lower()] = operation
        self._answer(operation)

    def _path(self, path: str) -> tuple[str, list[dict[str, Any]]]:
        segments: list[str] = []
        parameters: list[dict[str, Any]] = []
        for segment in path.split("/"):
            text = unquote(segment)
            if _SECRET_VALUE.fullmatch(text):
                self._hide(text)
                name = f"key{len(parameters) + 1}" if parameters else "key"
                parameters.append(_parameter(name, "path", _hidden()))
                segments.append(f"{{{name}}}")
            else:
                segments.append(segment.replace("{", "%7B").replace("}", "%7D"))
        return "/".join(segments), parameters

    def _hide(self, *values: str) -> None:
        self._done.secrets.update(value for value in values if len(value) >= _LEAST_SECRET)

    def _scheme(self, name: str, scheme: dict[str, Any]) -> None:
        self._done.root["components"]["securitySchemes"][name] = scheme
        self._schemes.append(name)

    def _user_info(self, info: str) -> None:
        user, _, password = info.partition(":")
        if user:
            self._hide(unquote(user), unquote(password))
            self._scheme("basic", {"type": "http", "scheme": "basic"})

    def _query(self, query: str, parameters: list[dict[str, Any]]) -> None:
        for name, value in dict(parse_qsl(query, keep_blank_values=True)).items():
            if is_secret(name, value) or plain(name) == "key":
                self._hide(value)
                self._scheme(plain(name), {"type": "apiKey", "in": "query", "name": name})
            else:
                parameters.append(_parameter(name, "query", _schema(value, name)))

    def _headers(self, parameters: list[dict[str, Any]]) -> None:
        for name, value in self._request.headers:
            bare = name.lower()
            if bare.startswith((":", "sec-", "x-forwarded", "proxy-")) or bare in _OF_THE_BROWSER:
                continue
            if bare == "authorization":
                self._authorization(value)
            elif bare == "cookie" or is_secret(name, value):
                self._hide(value, *(pair.partition("=")[2] for pair in value.split(";")))
                self._scheme(plain(name), {"type": "apiKey", "in": "header", "name": name})
            else:
                parameters.append(_parameter(name, "header", _schema(value, name)))

    def _authorization(self, value: str) -> None:
        kind, _, credentials = value.strip().partition(" ")
        self._hide(value, credentials)
        if kind.lower() == "bearer":
            self._scheme("token", {"type": "http", "scheme": "bearer"})
        else:
            scheme = {"type": "apiKey", "in": "header", "name": "Authorization"}
            self._scheme("authorization", scheme)

    def _body(self, operation: dict[str, Any]) -> None:
        body = self._request.body
        if body is None:
            return
        kind = self._request.content_type.partition(";")[0].strip().lower()
        value = read_json(body)
        if isinstance(value, dict | list):
            # beacons send JSON as text/plain, to avoid a CORS preflight
            kind = kind if kind.endswith("json") else JSON
        elif kind == FORM:
            value = dict(parse_qsl(body, keep_blank_values=True))
        else:
            operation["requestBody"] = {"required": True, "content": {kind or "text/plain": {}}}
            return
        self._hide_within(value)
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": _schema(value, "")}},
        }

    def _hide_within(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                if isinstance(part, str) and is_secret(name, part):
                    self._hide(part)
                self._hide_within(part)
        elif isinstance(value, list):
            for part in value:
                self._hide_within(part)

    def _answer(self, operation: dict[str, Any]) -> None:
        response = operation["responses"]["200"]
        value = None if self._request.answer is None else read_json(self._request.answer)
        if value is not None and "content" not in response:
            response["content"] = {JSON: {"schema": _types(value)}}


def is_secret(name: str, value: str) -> bool:
    """Return whether a field holds a secret, judged by its name and value."""
    if _UUID.fullmatch(value) and plain(name) in KEYS:
        return False
    named = not _SECRET_WORDS.isdisjoint(words_of(name)) or plain(name) in _SECRET_NAMES
    return named or bool(_SECRET_VALUE.fullmatch(value) and plain(name) not in KEYS)


def read_json(text: str) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _parameter(name: str, where: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": True, "schema": schema}


def _hidden() -> dict[str, Any]:
    return {"type": "string", "format": "password"}


def _schema(value: Any, name: str) -> dict[str, Any]:
    """Return the schema of a request's value, with examples except of secrets, ids and emails."""
    if isinstance(value, dict):
        known = {key: part for key, part in value.items() if part is not None}
        properties = {key: _schema(part, key) for key, part in known.items()}
        return {"type": "object", "required": list(known), "properties": properties}
    if isinstance(value, list):
        return {"type": "array", "items": _schema(value[0], name) if value else {}}
    if isinstance(value, str):
        return _text_schema(value, name)
    return {"type": type_of(value)} | ({} if plain(name) in USERS else {"example": value})


def _text_schema(value: str, name: str) -> dict[str, Any]:
    if is_secret(name, value):
        return _hidden()
    if _EMAIL.fullmatch(value):
        return {"type": "string", "format": "email"}
    if plain(name) in USERS or plain(name) in KEYS or "session" in words_of(name):
        return {"type": "string"} | ({"format": "uuid"} if _UUID.fullmatch(value) else {})
    return {"type": "string", "example": value}


def _types(value: Any) -> dict[str, Any]:
    """Return the schema of an answer's value: types only, and "0" as example of digits."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {key: _types(part) for key, part in value.items()},
        }
    if isinstance(value, list):
        return {"type": "array", "items": _types(value[0]) if value else {}}
    if isinstance(value, str) and value.isdigit():
        return {"type": "string", "example": "0"}
    return {"type": type_of(value)}
