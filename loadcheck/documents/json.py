"""JSON texts (RFC 8259), read with the line of every value."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from loadcheck.documents.builder import Array, Builder, Object, TreeError, whole_number

_TOKEN = re.compile(
    r"[ \t\r\n]*(?P<token>(?P<sign>[{}\[\],:])"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?)"
    r"|(?P<word>true|false|null))"
)
_END = re.compile(r"[ \t\r\n]*\Z")
_WORDS: Final = {"true": True, "false": False, "null": None}


class NotJsonError(Exception):
    """A text is no JSON; it may still be YAML."""


def compose_json(text: str) -> Any:
    """Read a JSON text.

    Raises:
        NotJsonError: It is none.
        TreeError: It is one with a key twice, or beyond the bounds.
    """
    return _Reader(text).whole()


class _Reader:
    """Takes one token after the other; ``_expected`` says what may come."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._builder = Builder()
        self._closing: list[str] = []
        self._expected = "value"

    def whole(self) -> Any:
        position = 0
        while self._expected != "end":
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise NotJsonError
            self._line += self._text.count("\n", position, match.start("token"))
            position = match.end()
            self._take(match)
        if not _END.match(self._text, position):
            raise NotJsonError
        return self._builder.root

    def _take(self, match: re.Match[str]) -> None:
        sign, string = match["sign"], match["string"]
        if sign is not None and sign in "}]":
            self._close(sign)
        elif self._expected == "separator":
            if sign != ",":
                raise NotJsonError
            self._expected = "key" if self._closing[-1] == "}" else "value"
        elif self._expected in {"key", "key or end"}:
            if string is None:
                raise NotJsonError
            self._builder.key(self._string(string), self._line)
            self._expected = "colon"
        elif self._expected == "colon":
            if sign != ":":
                raise NotJsonError
            self._expected = "value"
        elif sign is not None:
            self._open(sign)
        else:
            self._builder.value(self._scalar(match), self._line)
            self._valued()

    def _open(self, sign: str) -> None:
        if sign not in "{[":
            raise NotJsonError
        self._builder.begin(Object(self._line) if sign == "{" else Array(self._line))
        self._closing.append("}" if sign == "{" else "]")
        self._expected = "key or end" if sign == "{" else "value or end"

    def _close(self, sign: str) -> None:
        may_end = self._expected in {"separator", "key or end", "value or end"}
        if not may_end or not self._closing or self._closing.pop() != sign:
            raise NotJsonError
        self._builder.end()
        self._valued()

    def _valued(self) -> None:
        self._expected = "separator" if self._closing else "end"

    def _scalar(self, match: re.Match[str]) -> Any:
        if match["string"] is not None:
            return self._string(match["string"])
        if match["word"] is not None:
            return _WORDS[match["word"]]
        number: str = match["number"]
        if match["fraction"] or match["exponent"]:
            return float(number)
        return whole_number(number, 10, self._line)

    def _string(self, text: str) -> str:
        try:
            value: str = orjson.loads(text)
        except ValueError:
            raise TreeError("a string with an invalid escape", self._line) from None
        return value
