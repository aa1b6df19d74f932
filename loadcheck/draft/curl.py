"""Read curl command lines, as far as they determine the request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.draft.choose import Wishes
from loadcheck.draft.recorded import FORM, JSON, RecordedRequest, path_of
from loadcheck.errors import DraftError, Problem, nearest

_MOST_BYTES: Final = 10_000_000
_LONG: Final = {
    "X": "request",
    "H": "header",
    "d": "data",
    "u": "user",
    "G": "get",
    "I": "head",
    "b": "cookie",
    "F": "form",
    "T": "upload-file",
    "A": "user-agent",
    "e": "referer",
    "o": "output",
    "m": "max-time",
    "w": "write-out",
    "x": "proxy",
    "c": "cookie-jar",
    "E": "cert",
    "K": "config",
    "D": "dump-header",
    "U": "proxy-user",
    "r": "range",
    "k": "insecure",
    "s": "silent",
    "S": "show-error",
    "L": "location",
    "v": "verbose",
    "i": "include",
    "f": "fail",
    "N": "no-buffer",
    "0": "http1.0",
    "4": "ipv4",
    "6": "ipv6",
    "O": "remote-name",
    "g": "globoff",
    "q": "disable",
    "n": "netrc",
    "#": "progress-bar",
}
_DATA: Final = frozenset(
    {"data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json"}
)
_UNSUITED: Final = {
    "form": "multipart forms are not drafted from",
    "form-string": "multipart forms are not drafted from",
    "upload-file": "uploads of files are not drafted from",
    "config": "options in a file are not read",
    "next": "several requests in one line: give --curl once for each",
}
_IGNORED_VALUES: Final = frozenset(
    {"user-agent", "referer", "output", "max-time", "write-out", "proxy", "cookie-jar", "cert"}
    | {"dump-header", "proxy-user", "range", "connect-timeout", "retry", "retry-delay", "cacert"}
    | {"key", "resolve", "max-redirs", "interface", "limit-rate", "ciphers", "tls-max", "trace"}
    | {"stderr", "retry-max-time", "capath", "cert-type", "key-type", "pass", "noproxy"}
)
_FLAGS: Final = frozenset(
    {"get", "head", "insecure", "silent", "show-error", "location", "verbose", "include", "fail"}
    | {"no-buffer", "http1.0", "http1.1", "http2", "http3", "ipv4", "ipv6", "remote-name"}
    | {
        "globoff",
        "disable",
        "netrc",
        "progress-bar",
        "compressed",
        "fail-with-body",
        "no-keepalive",
    }
    | {"location-trusted", "path-as-is", "http2-prior-knowledge", "tlsv1.2", "tlsv1.3", "basic"}
    | {"no-progress-meter", "raw", "tcp-nodelay", "ssl-reqd", "styled-output", "parallel"}
)
_VALUES: Final = (
    _DATA | _IGNORED_VALUES | {"request", "header", "user", "cookie", "url"} | set(_UNSUITED)
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ANSI = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))", re.DOTALL)


@dataclass(slots=True)
class _Line:
    """The combined options of a curl line."""

    urls: list[str] = field(default_factory=list)
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    is_json: bool = False
    get: bool = False


def read_lines(lines: Iterable[str], wishes: Wishes) -> tuple[list[RecordedRequest], Wishes]:
    """Return the requests of curl lines, and the wishes that follow from their order.

    The first request takes the data and the second counts users, unless the wishes say otherwise.

    Args:
        lines: The lines.
        wishes: What the user has decided.

    Raises:
        DraftError: One is not a curl command, or cannot be drafted from.
    """
    requests = [read_curl(line) for line in lines]
    first, second, *_ = [*map(path_of, requests), None, None]
    ingest, count = wishes.ingest or first, wishes.count or second
    return requests, replace(wishes, ingest=ingest, count=count)


def read_curl(text: str) -> RecordedRequest:
    """Return the request that a curl line sends; files of its data options are read.

    Raises:
        DraftError: It is not a curl command, or no scenario can be drafted from it.
    """
    words = _words(text)
    if not words or words[0].rpartition("/")[2] not in {"curl", "curl.exe"}:
        raise _refused('does not begin with "curl"', "expected curl's command line in quotes")
    line = _Line()
    for name, value in _options(words[1:]):
        _take(line, name, value)
    if len(line.urls) != 1:
        many = f"{len(line.urls)} URLs" if line.urls else "no URL"
        raise _refused(f"has {many}", "expected one; --curl may be given once for each request")
    return _recorded(line)


def _take(line: _Line, name: str, value: str) -> None:
    if name in _UNSUITED:
        raise _refused(f"--{name}: {_UNSUITED[name]}", "give its JSON, or its parameters, with -d")
    if name == "url":
        line.urls.append(value)
    elif name in {"request", "head"}:
        line.method = value.upper() or "HEAD"
    elif name == "header":
        field_name, colon, content = value.partition(":")
        if colon and content.strip():
            line.headers.append((field_name.strip(), content.strip()))
    elif name == "cookie" and "=" in value:
        line.headers.append(("Cookie", value))
    elif name == "user":
        code = base64.b64encode(value.encode()).decode("ascii")
        line.headers.append(("Authorization", f"Basic {code}"))
    elif name in _DATA:
        line.data.append(_data(name, value))
        line.is_json |= name == "json"
    elif name == "get":
        line.get = True


def _recorded(line: _Line) -> RecordedRequest:
    url = line.urls[0] if "://" in line.urls[0] else f"http://{line.urls[0]}"
    body = None
    if line.data:
        body = ("" if line.is_json else "&").join(line.data)
    if line.get and body is not None:
        url, body = f"{url}{'&' if '?' in url else '?'}{body}", None
    named = [content for name, content in line.headers if name.lower() == "content-type"]
    kind = named[-1] if named else JSON if line.is_json else FORM
    method = line.method or ("GET" if body is None else "POST")
    return RecordedRequest(
        method=method,
        url=url,
        headers=tuple(line.headers),
        body=body,
        content_type=kind if body is not None else "",
    )


def _data(name: str, value: str) -> str:
    if name == "data-urlencode":
        key, equals, content = value.partition("=")
        return f"{key}={quote(content, safe='')}" if equals else quote(value, safe="")
    if name == "data-raw" or not value.startswith("@"):
        return value
    try:
        content = read_file(Path(value[1:]), _MOST_BYTES).decode()
    except UnreadableError as error:
        raise DraftError(
            Problem(message=error.message, file=value[1:], remedy=error.remedy or "--curl reads it")
        ) from None
    except UnicodeDecodeError:
        raise _refused(f"{value[1:]} is not UTF-8", "only texts are drafted from") from None
    return content if name in {"data-binary", "json"} else re.sub(r"[\r\n\0]", "", content)


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield long name and value of each option, "" for a flag; URLs as ``url``."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--") and len(word) > 2:  # noqa: PLR2004  # "--" alone ends the options
            name = word[2:]
            if name not in _VALUES and name not in _FLAGS and not name.startswith("no-"):
                raise _unknown(word)
            yield name, _next(rest, word) if name in _VALUES else ""
        elif word.startswith("-") and len(word) > 1 and word != "--":
            yield from _short(word, rest)
        elif word not in {"-", "--"}:
            yield "url", word


def _short(word: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a word such as ``-sXPOST``: flags, then at most one with a value."""
    for index, letter in enumerate(word[1:], 1):
        name = _LONG.get(letter)
        if name is None:
            raise _unknown(f"-{letter}")
        if name in _VALUES:
            value = word[index + 1 :]
            yield name, value or _next(rest, f"-{letter}")
            return
        yield name, ""


def _next(rest: Iterator[str], option: str) -> str:
    value = next(rest, None)
    if value is None:
        raise _refused(f"ends after {option}", "quote the whole line: --curl '…'")
    return value


def _words(text: str) -> list[str]:
    r"""Split a line as bash does (``$'\n'`` included), without expanding variables or commands."""
    if '^"' in text or re.search(r"\^\r?\n", text):
        raise _refused("is quoted for cmd.exe", 'copy it "as cURL (bash)"')
    words: list[str] = []
    word: list[str] | None = None
    place = 0
    pieces = re.compile(
        r"(?P<break>\\\r?\n)|(?P<blank>\s+)|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'(?P<single>[^']*)'"
        r'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<plain>[^\s\'"\\$]+|\$)',
        re.DOTALL,
    )
    while place < len(text):
        piece = pieces.match(text, place)
        if piece is None:
            raise _refused("has a quote that is not closed", "quote the whole line: --curl '…'")
        place = piece.end()
        if piece["blank"] is not None:
            if word is not None:
                words.append("".join(word))
            word = None
        elif piece["break"] is None:
            word = [] if word is None else word
            word.append(_unquoted(piece))
    return words if word is None else [*words, "".join(word)]


def _unquoted(piece: re.Match[str]) -> str:
    if piece["ansi"] is not None:
        return _ANSI.sub(_escaped, piece["ansi"])
    if piece["double"] is not None:
        return re.sub(r'\\(\r?\n|[$`"\\])', lambda found: found[1].strip("\r\n"), piece["double"])
    return piece["single"] or piece["escaped"] or piece["plain"] or ""


def _escaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16))
    if found[3]:
        return chr(int(found[3], 8))
    return _ESCAPES.get(found[4], found[4])


def _unknown(option: str) -> DraftError:
    known = {f"--{name}" for name in _VALUES | _FLAGS}
    remedy = nearest(option, known) or "leave it out, if it changes nothing of the request"
    return _refused(f'the option "{option}" is not known', remedy)


def _refused(message: str, remedy: str) -> DraftError:
    return DraftError(Problem(message=f"--curl: {message}", remedy=remedy))
