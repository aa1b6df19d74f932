"""Regular expressions of ECMA-262, matched in bounded time.

They are translated for a linear-time engine (Rust's, from jsonschema-rs). Lookarounds and
back-references, which such an engine lacks, use one with a limit on backtracking, for texts of up
to 10,000 characters; longer texts never match.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import Final

import jsonschema_rs

from loadcheck.workflow.expressions.grammar import ExpressionError

_MOST_LOOKED_AT: Final = 10_000
_BACKTRACKS: Final = 100_000
_SIZE_BYTES: Final = 4 << 20
_MAX_LENGTH: Final = 10_000
_QUANTIFIER: Final = re.compile(r"[*+?]|\{[0-9]+(?:,[0-9]*)?\}")
_LINE_ENDS: Final = r"\n\r\u2028\u2029"
_SURROGATES: Final = range(0xD800, 0xE000)
_CLASS_ESCAPES: Final = frozenset("dDwWsS")
_CONTROLS: Final = {"n": "\\n", "r": "\\r", "t": "\\t", "f": "\\x0c", "v": "\\x0b", "0": "\\x00"}
_ELSEWHERE: Final = {
    "(?P": "is Python's: a named group is (?<name>…), a reference to it \\k<name>",
    "(?#": "is Python's: ECMA-262 knows no comments",
    "(?>": "is not of ECMA-262: it knows no atomic groups",
    "(?(": "is Python's: ECMA-262 knows no conditions",
}


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a regular expression matches anywhere in a text.

    Args:
        pattern: A pattern of ECMA-262 section 22.2, with the flag ``u``.

    Raises:
        ExpressionError: The pattern is malformed or too large.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ExpressionError(f"the regular expression is longer than {_MAX_LENGTH:,} characters")
    translation = _Translation(pattern)
    written = translation.whole()
    options: jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions
    if translation.looks_around:
        options = jsonschema_rs.FancyRegexOptions(
            backtrack_limit=_BACKTRACKS, size_limit=_SIZE_BYTES, dfa_size_limit=_SIZE_BYTES
        )
    else:
        options = jsonschema_rs.RegexOptions(size_limit=_SIZE_BYTES, dfa_size_limit=_SIZE_BYTES)
    schema = {"pattern": written}
    try:
        matches = jsonschema_rs.Draft202012Validator(schema, pattern_options=options).is_valid
    except (jsonschema_rs.ValidationError, ValueError):
        raise _malformed(pattern, "it does not parse, or would grow too large") from None
    if translation.looks_around:
        return lambda text: len(text) <= _MOST_LOOKED_AT and matches(text)
    return matches


def _malformed(pattern: str, why: str) -> ExpressionError:
    return ExpressionError(
        f'the regular expression "{pattern}" is malformed: {why}',
        "it is one of ECMA-262, with the flag u",
    )


class _Translation:
    """Translates a regular expression for the engine."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._names: dict[str, int] = {}
        self._groups = 0
        self.looks_around = False
        self._number_groups()

    def whole(self) -> str:
        written: list[str] = []
        pattern = self._pattern
        while self._at < len(pattern):
            sign = pattern[self._at]
            if sign == "\\":
                written.append(self._escape())
            elif sign == "[":
                written.append(self._class())
            elif sign == "(":
                written.append(self._group())
            elif sign == ".":
                self._at += 1
                written.append(f"[^{_LINE_ENDS}]")
            elif match := _QUANTIFIER.match(pattern, self._at):
                written.append(self._quantifier(match))
            else:
                self._at += 1
                written.append(_literal(sign) if sign in "{}]" else sign)
        return "".join(written)

    def _number_groups(self) -> None:
        """Number the groups beforehand: a reference may precede its group."""
        bare = re.sub(r"\\.|\[(?:[^\]\\]|\\.)*\]", "", self._pattern, flags=re.DOTALL)
        for match in re.finditer(r"\((?:\?<(?![=!])([^>]*)>|(?!\?))", bare):
            self._groups += 1
            name = match[1]
            if name is None:
                continue
            if not name.replace("$", "_").isidentifier():
                raise self._error(f'"{name}" is not a name of a group')
            if name in self._names:
                raise self._error(f'two groups are named "{name}"')
            self._names[name] = self._groups

    def _group(self) -> str:
        pattern, at = self._pattern, self._at
        elsewhere = _ELSEWHERE.get(pattern[at : at + 3])
        if elsewhere is not None:
            raise self._error(f"{pattern[at : at + 3]} {elsewhere}")
        if pattern.startswith(("(?=", "(?!", "(?<=", "(?<!"), at):
            self.looks_around = True
            end = at + (4 if pattern[at + 2] == "<" else 3)
        elif pattern.startswith("(?<", at):
            self._at = pattern.index(">", at) + 1 if ">" in pattern[at:] else len(pattern)
            return "("
        elif match := re.compile(r"\(\?[ims]*(?:-[ims]*)?:").match(pattern, at):
            end = match.end()
        elif pattern.startswith("(?", at):
            raise self._error(f"{pattern[at : at + 4]} begins no group of ECMA-262")
        else:
            end = at + 1
        self._at = end
        return pattern[at:end]

    def _quantifier(self, match: re.Match[str]) -> str:
        pattern, end = self._pattern, match.end()
        if pattern.startswith("?", end):
            end += 1
        if _QUANTIFIER.match(pattern, end):
            raise self._error(f"{pattern[match.start() : end + 1]} repeats what is repeated")
        self._at = end
        return pattern[match.start() : end]

    def _escape(self, *, inside: bool = False) -> str:
        """Translate an escape sequence, ``inside`` a class or not."""
        pattern, at = self._pattern, self._at
        sign = pattern[at + 1 : at + 2] or " "
        self._at = at + 2
        if sign in _CLASS_ESCAPES:
            return f"\\{sign}"
        if sign in "pP":
            return self._taken(r"\\[pP]\{[A-Za-z0-9_]+(?:=[A-Za-z0-9_]+)?\}", at)
        if sign in "ux":
            return self._code_point(at)
        if inside and sign == "b":
            return "\\x08"
        if not inside and sign in "bBk123456789":
            return f"(?-u:\\{sign})" if sign in "bB" else self._reference(at)
        return self._character(sign, at)

    def _character(self, sign: str, at: int) -> str:
        if sign == "c":
            return _literal(chr(ord(self._taken(r"\\c[A-Za-z]", at)[-1]) % 32))
        if sign in _CONTROLS and not self._pattern[at + 2 : at + 3].isdecimal():
            return _CONTROLS[sign]
        if at + 1 == len(self._pattern) or sign.isalnum() or sign == "_":
            shown = self._pattern[at : at + 2]
            raise self._error(f"{shown} means nothing in ECMA-262")
        return _literal(sign)

    def _reference(self, at: int) -> str:
        self.looks_around = True
        if self._pattern[at + 1] == "k":
            name = self._taken(r"\\k<[^>]*>", at)[3:-1]
            if name not in self._names:
                raise self._error(f'no group is named "{name}"')
            return f"(?:\\{self._names[name]})"
        number = int(self._taken(r"\\[0-9]+", at)[1:])
        if number > self._groups:
            raise self._error(f"there is no group {number}")
        return f"(?:\\{number})"

    def _code_point(self, at: int) -> str:
        taken = self._taken(
            r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
            r"|\\u\{[0-9a-fA-F]{1,6}\}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}",
            at,
        )
        if taken.count("\\u") > 1:
            high, low = int(taken[2:6], 16), int(taken[8:], 16)
            return _literal(chr(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF)))
        code = int(taken[2:].strip("{}"), 16)
        if code > sys.maxunicode or code in _SURROGATES:
            raise self._error(f"{taken} is not a character")
        return _literal(chr(code))

    def _class(self) -> str:
        pattern = self._pattern
        self._at += 1
        negated = pattern.startswith("^", self._at)
        self._at += negated
        members: list[str] = []
        while not pattern.startswith("]", self._at):
            first = self._member()
            ranged = pattern.startswith("-", self._at) and not pattern.startswith("-]", self._at)
            if ranged:
                self._at += 1
                first = f"{first}-{self._member()}"
            members.append(first)
        self._at += 1
        if not members:
            return "[\\s\\S]" if negated else "[^\\s\\S]"
        return f"[{'^' if negated else ''}{''.join(members)}]"

    def _member(self) -> str:
        pattern, at = self._pattern, self._at
        if at >= len(pattern):
            raise self._error("a class [… has no end")
        if pattern[at] == "\\":
            return self._escape(inside=True)
        self._at += 1
        return _literal(pattern[at])

    def _taken(self, form: str, at: int) -> str:
        match = re.compile(form).match(self._pattern, at)
        if match is None:
            raise self._error(f"{self._pattern[at : at + 4]} is not complete")
        self._at = match.end()
        return match[0]

    def _error(self, why: str) -> ExpressionError:
        return _malformed(self._pattern, why)


def _literal(sign: str) -> str:
    """Return a character as a literal that is valid anywhere in a pattern of the engine."""
    if sign.isalnum() or not sign.isascii():
        return sign
    return f"\\x{ord(sign):02x}"
