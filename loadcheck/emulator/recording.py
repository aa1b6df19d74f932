"""Records each request as a line of a file or a log, and replays recorded requests.

A line of the file is JSON: ``at_ms`` by the emulator's clock, ``method``, ``path``, ``query``,
``type`` of the content, ``body`` as text, ``key`` (whose key it had: "own", "other" or "none") and
``status``. ``***`` stands for the keys themselves; a replay puts the project's own back. Bodies are
written without their content coding.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
import zlib
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from urllib.parse import parse_qsl, urlencode

import orjson

from loadcheck.emulator.commit import JournalError, JournalWriteError
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.limits import authorized
from loadcheck.emulator.message import Answer, Application, Request
from loadcheck.emulator.protocol import MAX_BODY_BYTES, Clock
from loadcheck.emulator.upload import decompressed

HIDDEN = "***"
_SHORTEST = 8
_NAMES = ("api_key", "secret_key")
_IN_TEXT = re.compile(r'("?(?:api_key|secret_key)"?\s*[:=]\s*"?)[^"&\s,}]*')
_OWN_PAGES = ("/", "/health", "/openapi.json")
_FIELDS = {"method": str, "path": str, "query": str, "type": str, "body": str, "key": str}


class Recorder:
    """An application that records the requests to another.

    Args:
        application: The application that answers.
        config: Has the project's own keys.
        clock: The emulated clock.
        file: Gets a line of JSON for each request; None: no file.
        log: Gets a human-readable line for each request; None: no log.

    Attributes:
        trouble: Why the file is not complete; None if it is.
    """

    def __init__(
        self,
        application: Application,
        config: EmulatorConfig,
        clock: Clock,
        file: Path | None,
        log: TextIO | None,
    ) -> None:
        self._application = application
        self._config = config
        self._clock = clock
        self._log = log
        self.trouble: str | None = None
        self._path = file
        self._file: BinaryIO | None = None
        try:
            self._file = None if file is None else file.open("ab", buffering=0)
        except OSError as error:
            raise JournalError(f"{file}: {error.strerror or error}") from None

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Pass a request on, and record it when it is answered."""
        answer = self._application(request)
        if isinstance(answer, Answer):
            self._note(request, answer)
            return answer
        return self._awaited(request, answer)

    async def _awaited(self, request: Request, awaitable: Awaitable[Answer]) -> Answer:
        answer = await awaitable
        self._note(request, answer)
        return answer

    def _note(self, request: Request, answer: Answer) -> None:
        if request.path in _OWN_PAGES or request.path.startswith("/control/"):
            return
        if self._log is not None:
            moment = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)
            path = request.path.encode("ascii", "backslashreplace").decode()
            line = f"{moment:%Y-%m-%dT%H:%M:%SZ} {request.method} {path} {answer.status}"
            self._log.write(f"{line} {len(request.body)} bytes\n")
            self._log.flush()
        if self._file is not None and self.trouble is None:
            try:
                self._file.write(self._line(request, answer.status))
            except OSError as error:
                self.trouble = f"{self._path}: {error.strerror or error}"

    def _line(self, request: Request, status: int) -> bytes:
        body, key = self._redacted(request)
        query = [
            (name, HIDDEN if name in _NAMES else value)
            for name, value in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
        ]
        entry = {
            "at_ms": self._clock.now_ms(),
            "method": request.method,
            "path": request.path,
            "query": urlencode(query),
            "type": request.header(b"content-type").decode("latin-1"),
            "body": body,
            "key": key,
            "status": status,
        }
        line = orjson.dumps(entry)
        # keys anywhere else in the line, unless they are as short as a word
        keys = (self._config.api_key, self._config.secret_key)
        for own in (key for key in keys if len(key) >= _SHORTEST):
            line = line.replace(orjson.dumps(own)[1:-1], HIDDEN.encode())
        return line + b"\n"

    def _redacted(self, request: Request) -> tuple[str, str]:
        """Return the body without keys, and whose key the request has ("own", "other", "none")."""
        config, body = self._config, request.body
        if request.header(b"authorization"):
            pair = f"{config.api_key}:{config.secret_key}".encode()
            key = "own" if authorized(request, pair) else "other"
        else:
            key = "none"
        if request.header(b"content-encoding").lower() == b"gzip":
            try:
                body = decompressed(body, MAX_BODY_BYTES)
            except zlib.error:
                return "", key
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            # a body that is not JSON may still contain a key
            return _IN_TEXT.sub(rf"\1{HIDDEN}", body.decode("utf-8", "replace")), key
        if isinstance(content, dict):
            if "api_key" in content:
                key = "own" if content["api_key"] == config.api_key else "other"
            content |= {name: HIDDEN for name in _NAMES if name in content}
        return orjson.dumps(content).decode(), key

    def close(self) -> None:
        """Close the file.

        Raises:
            JournalWriteError: Not all of it could be written.
        """
        if self._file is not None:
            self._file.close()
        if self.trouble is not None:
            raise JournalWriteError(self.trouble)


async def replay(
    file: Path, application: Application, config: EmulatorConfig
) -> tuple[int, Counter[tuple[int, int]]]:
    """Send recorded requests to an application, in the same order, without pauses.

    Args:
        file: A recording.
        application: The application that answers.
        config: Has the keys to put back for ``***``.

    Returns:
        The number of requests; and of those answered differently, how many had each pair of
        (recorded status, new status).

    Raises:
        JournalError: The file is not a recording; nothing was sent.
    """
    recorded = list(_recorded(file))
    others: Counter[tuple[int, int]] = Counter()
    for entry in recorded:
        answer = application(_request(entry, config))
        status = (answer if isinstance(answer, Answer) else await answer).status
        if status != entry["status"]:
            others[entry["status"], status] += 1
    return len(recorded), others


def _recorded(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise JournalError(f"{file}: {error.strerror or error}") from None
    for number, line in enumerate(lines, 1):
        entry: dict[str, Any] = {}
        try:
            entry = orjson.loads(line)
            good = all(isinstance(entry[name], kind) for name, kind in _FIELDS.items())
            good = good and isinstance(entry["status"], int)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            good = False
        if not good:
            if number == len(lines) and number > 1:
                return  # the emulator was killed while it wrote this one
            raise JournalError(f"{file}:{number}: not a recorded request")
        yield entry


def _request(entry: dict[str, Any], config: EmulatorConfig) -> Request:
    own = entry["key"] == "own"
    body = entry["body"].encode()
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if isinstance(content, dict) and content.get("api_key") == HIDDEN:
        content["api_key"] = config.api_key if own else HIDDEN
        body = orjson.dumps(content)
    headers = [(b"content-type", entry["type"].encode("latin-1", "replace"))]
    if entry["path"].startswith("/api/") and entry["key"] != "none":
        secret = config.secret_key if own else HIDDEN
        pair = base64.b64encode(f"{config.api_key}:{secret}".encode())
        headers.append((b"authorization", b"Basic " + pair))
    query = entry["query"].encode("latin-1", "replace")
    return Request(entry["method"], entry["path"], query, headers, body)
