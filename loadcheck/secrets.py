"""The one redactor: removes secrets, in any spelling, from everything that is written.

Whatever leaves the process (results, reports, messages, progress) passes a :class:`Redactor` that
knows the secrets of the run. In one pass of one compiled expression it finds a secret as it is and
as URLs, forms, JSON, HTML, Python, headers and base64 spell it, even if spellings are mixed or
applied twice. It also finds the user-info of URLs, well-formed or not.
"""

from __future__ import annotations

import base64
import html.entities
import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache, cached_property
from typing import Any, Final
from urllib.parse import unquote

HIDDEN: Final = "***"
"""Replaces a secret in a text."""
SHORTEST: Final = 4
"""The fewest characters of a secret: a shorter one cannot be distinguished from other text."""
ENCODED: Final = frozenset({"hdr", "ledger", "intervals"})
"""Keys of documents below which there is no text, only figures that we encode in base64."""

_PROXY_VARIABLES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})
_ENDPOINT_VARIABLES: Final = frozenset(
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"}
)
_HEADER_VARIABLES: Final = frozenset(
    {"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"}
)
_STUMP: Final = 12
"""The fewest leading characters of a secret that are hidden where a text was cut off."""
_LINE: Final = 8
"""The fewest characters of a line of a secret of several lines (PEM) that is hidden by itself."""
_ENCODED_LEAST: Final = 6
_BACKSLASH: Final = "\\"
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]+")
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
_BASE64_ENDS: Final = re.compile(r"(?:%3[dD]|=)*")

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]{0,30}:"
_STOP = r"\s\"'<>`|"
_URL: Final = re.compile(
    rf"(?P<scheme>{_SCHEME}(?:/|\\){{1,8}})(?P<authority>[^{_STOP}/?#@\\]*)"
    rf"(?P<rest>[^{_STOP}]*)"
)
_PLAIN_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_OPTION: Final = re.compile(rf"(?:[\w.*\-]+=)?(?:{_SCHEME}[/\\]+)?")


class Redactor:
    """Removes secrets from texts and documents.

    Args:
        values: The secrets. Those of fewer than :data:`SHORTEST` characters are left out: they are
            refused where secrets are read (:func:`too_short`).
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = frozenset(_with_lines(values))

    def __or__(self, values: Iterable[str]) -> Redactor:
        """Return a redactor that knows further secrets as well."""
        more = frozenset(_with_lines(values)) - self.values
        return Redactor(self.values | more) if more else self

    def text(self, text: str) -> str:
        """Return a text without any spelling of any secret, and without user-info in URLs."""
        return without_userinfo(self._without_stumps(self._without_secrets(text)))

    def document(self, value: Any, own: Collection[str] = frozenset()) -> Any:
        """Return a JSON value without secrets, in its keys as well.

        Args:
            value: The value.
            own: Our own words (keys and enumerated values of the schema), which stay as they are
                where they are the whole string: a document has to stay readable even if a secret
                happens to be such a word.
        """
        if isinstance(value, str):
            return value if value in own else self.text(value)
        return self._clean(value, own, encoded=False)

    def _clean(self, value: Any, own: Collection[str], *, encoded: bool) -> Any:
        if isinstance(value, str):
            return value if encoded or value in own else self.text(value)
        if isinstance(value, Mapping):
            return {
                key if not isinstance(key, str) or key in own else self.text(key): self._clean(
                    item, own, encoded=encoded or key in ENCODED
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._clean(item, own, encoded=encoded) for item in value]
        return value

    def _without_stumps(self, text: str) -> str:
        """Return a text without the beginnings of secrets that were cut off."""
        for value in self.values:
            least = max(_STUMP, len(value) // 2)
            if len(value) <= least:
                continue
            place = text.find(value[:least])
            while place >= 0:
                length = least
                while length < len(value) and text.startswith(value[length], place + length):
                    length += 1
                text = f"{text[:place]}{HIDDEN}{text[place + length :]}"
                place = text.find(value[:least], place + len(HIDDEN))
        return text

    def _without_secrets(self, text: str) -> str:
        pattern = self._pattern
        if pattern is None or (found := pattern.search(text)) is None:
            return text
        pieces, done = [], 0
        begin = end = -1
        while found is not None:
            first, last = found.span()
            if found.lastgroup == "coded":
                first, last = _widened(text, first, last)
            if first > end:
                if end >= 0:
                    pieces += [text[done:begin], HIDDEN]
                    done = end
                begin = max(first, done)
            end = max(end, last)
            # from the next character: where secrets overlap, nothing of either may be left
            found = pattern.search(text, found.start() + 1)
        pieces += [text[done:begin], HIDDEN, text[end:]]
        return "".join(pieces)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        if not self.values:
            return None
        # the longest first: nothing may be left of a secret that begins with another one
        ordered = sorted(self.values, key=lambda value: (-len(value), value))
        plain = "|".join(map(_spelt, ordered))
        forms = [form for value in ordered for form in (value, _encoded(value))]
        cores = sorted({core for form in forms for core in _cores(form)}, key=len, reverse=True)
        coded = "|".join(map(_coded, cores))
        return re.compile(f"(?P<plain>{plain})" + (f"|(?P<coded>{coded})" if coded else ""))


_process: set[str] = set()


def keep(values: Iterable[str]) -> None:
    """Let :func:`cover` hide these values for as long as the process lives."""
    _process.update(values)


def cover(text: str) -> str:
    """Return a text without any secret known to the process, for streams and logs."""
    return redactor(frozenset(_process)).text(text)


def redactor(values: Iterable[str]) -> Redactor:
    """Return the redactor of some secrets and of those that the environment is known to hold."""
    return _made(frozenset(values) | of_environment(os.environ))


@cache
def _made(values: frozenset[str]) -> Redactor:
    return Redactor(values)


def of_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the secrets in common variables: credentials of proxies, headers of exporters."""
    found: set[str] = set()
    for name, value in environment.items():
        if name.lower() in _PROXY_VARIABLES or name in _ENDPOINT_VARIABLES:
            found |= credentials(value)
        elif name in _HEADER_VARIABLES:
            for entry in value.split(","):
                given = entry.partition("=")[2].strip()
                found |= {given, unquote(given)}
                found |= {unquote(given).partition(" ")[2]}
    return frozenset(found - {""})


def too_short(values: Iterable[str]) -> bool:
    """Return whether one of some secrets is too short to be kept out of other text."""
    return any(0 < len(value.strip()) < SHORTEST for value in values)


def without_userinfo(text: str, *, bare: bool = False) -> str:
    """Return a text with the user-info of its URLs replaced, also in URLs that are malformed.

    Args:
        text: Any text.
        bare: The text is an option that expects a URL, ``NAME=URL`` or the like: everything before
            its last ``@`` is taken for user-info.
    """
    if "@" not in text:
        return text
    if bare:
        head, _, tail = text.rpartition("@")
        begin = _OPTION.match(head)
        return f"{begin[0] if begin else ''}{HIDDEN}@{tail}"
    return _URL.sub(_bare, text)


def credentials(url: str) -> frozenset[str]:
    """Return the secrets in a URL: its user-info, raw, decoded, and as HTTP Basic sends it."""
    _, _, rest = url.partition("://")
    info, at, _ = rest.rpartition("@")
    if not at:
        return frozenset()
    user, _, password = info.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}"
    secret = password or user
    return frozenset({info, secret, unquote(secret), pair}) - {"", ":"}


def _bare(url: re.Match[str]) -> str:
    scheme, authority, rest = url["scheme"], url["authority"], url["rest"]
    if rest.startswith("@") or not _PLAIN_AUTHORITY.fullmatch(authority):
        # the last @ ends the user-info: a password that was not quoted may contain others
        head, at, tail = f"{authority}{rest}".rpartition("@")
        if at and (rest.startswith("@") or head):
            return f"{scheme}{HIDDEN}@{tail}"
    return url[0]


def _with_lines(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        # a service that ignores the case of names or tokens may return them in another one
        cased = (value.upper(), value.lower()) if len(value) >= _LINE else ()
        for form in (value, value.strip(), *cased):
            if len(form) >= SHORTEST and form.strip():
                yield form
        lines = value.splitlines()
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line.strip()) >= _LINE)


def _spelt(value: str) -> str:
    """Return an expression for a value of which each character may be spelt in its own way."""
    parts, place = [], 0
    while place < len(value):
        character = value[place]
        if character == _BACKSLASH:
            length = len(value) - place - len(value[place:].lstrip("\\"))
            # each may be doubled, by Python, JSON and the like, any number of times
            one = r"%(?:25)*5[cC]|&(?:amp;)*#(?:0*92|[xX]0*5[cC]);|\\++(?:[uU]0+5[cC]|x5[cC])"
            parts.append(rf"(?:(?:{one}){{{length}}}|\\{{{length},}}+)")
            place += length
            continue
        run = _FOREIGN.match(value, place)
        if run is not None:  # may also have been decoded wrongly, or not at all
            alike = "".join(_character(each, after) for each, after in _pairs(value, run.span()))
            misread = run[0].encode("latin-1", "replace").decode("utf-8", "replace")
            unread = rf"\ufffd{{1,{4 * len(run[0])}}}+"
            parts.append(rf"(?:{alike}|{re.escape(misread)}|{unread})")
            place = run.end()
            continue
        parts.append(_character(character, value[place - 1 : place]))
        place += 1
    return "".join(parts)


def _pairs(value: str, span: tuple[int, int]) -> Iterable[tuple[str, str]]:
    """Yield each character of a part of a value with the one before it."""
    return ((value[place], value[place - 1 : place]) for place in range(*span))


def _character(character: str, after: str) -> str:
    """Return an expression for all spellings of one character, given the one before it."""
    point = ord(character)
    utf_8 = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    spellings = [re.escape(character)]
    escapes = [
        r"\\*+".join(f"u{_hex(units[at : at + 2].hex())}" for at in range(0, len(units), 2)),
        rf"U{_hex(f'{point:08x}')}",
        rf"u\{{0*{_hex(f'{point:x}')}\}}",
        r"\\*+".join(f"x{_hex(f'{byte:02x}')}" for byte in utf_8),
    ]
    percents = ["".join(f"%(?:25)*{_hex(f'{byte:02x}')}" for byte in utf_8)]
    if not character.isascii():  # headers: Latin-1 read as UTF-8, or the reverse
        # this may begin with the character itself, as it does for "Ã"
        spellings.insert(0, re.escape(utf_8.decode("latin-1", "replace")))
        for byte in character.encode("latin-1", "ignore"):
            escapes.append(f"x{_hex(f'{byte:02x}')}")
            percents.append(f"%(?:25)*{_hex(f'{byte:02x}')}")
            spellings.append(chr(0xDC00 + byte))  # an undecodable byte, as Python keeps it
    named = html.entities.codepoint2name.get(point)
    names = [named] if named else []
    names += ["apos"] if character == "'" else []
    entities = [rf"#(?:0*{point}|[xX]0*{_hex(f'{point:x}')})", *names]
    if character == " ":
        spellings.append(r"\+")
    if character.isascii():
        escapes.append(re.escape(character))
    if letter := {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}.get(character):
        escapes.append(letter)
    # the expression for backslashes takes all consecutive ones
    escaped = rf"\\{'*' if after == _BACKSLASH else '+'}+(?:{'|'.join(escapes)})"
    entity = rf"&(?:amp;)*(?:{'|'.join(entities)});"
    # the plain character goes last: it may begin another of its spellings, as "&" and "%" do
    every = [entity, *percents, escaped, *spellings]
    return f"(?:{'|'.join(every)})"


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _encoded(value: str) -> str:
    """Return the base64 of a value, up to its last whole group: it may be encoded once more."""
    raw = value.encode("utf-8", "surrogatepass")
    return base64.b64encode(raw[: len(raw) // 3 * 3]).decode("ascii")


def _cores(value: str) -> Iterable[str]:
    """Yield what base64 and hexadecimal texts contain of a value, wherever it begins in them."""
    for coding in ("utf-8", "latin-1"):
        try:
            raw = value.encode(coding)
        except UnicodeEncodeError:
            continue
        yield raw.hex()
        yield raw.hex().upper()
        for shift in range(3):
            bits = 8 * (shift + len(raw))
            text = base64.b64encode(bytes(shift) + raw + bytes(3)).decode("ascii")
            core = text[-(-8 * shift // 6) : bits // 6]
            if len(core) >= _ENCODED_LEAST or (len(core) >= SHORTEST and len(raw) <= SHORTEST):
                yield core


def _coded(core: str) -> str:
    """Return an expression for a part of a base64 text, in either alphabet, also in URLs."""
    special = {"+": r"(?:\+|-|%(?:25)*2[bB])", "/": r"(?:\\*+/|_|%(?:25)*2[fF])"}
    return "".join(special.get(character, character) for character in core)


def _widened(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the span of the whole base64 text around a part of it."""
    while begin > 0 and text[begin - 1] in _BASE64:
        begin -= 1
    while end < len(text) and text[end] in _BASE64:
        end += 1
    padding = _BASE64_ENDS.match(text, end)
    return begin, padding.end() if padding else end
