"""Typed reading of a table: every mistake is reported, and none stops the reading."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from loadcheck.documents import format_duration, parse_duration
from loadcheck.documents.document import Node, quoted
from loadcheck.documents.files import UnreadableError, is_file, path_within
from loadcheck.documents.toml import nearest_file
from loadcheck.errors import Problem, did_you_mean, nearest
from loadcheck.scenario import grammar
from loadcheck.scenario.shapes import MAX_DURATION_S, MAX_RATE, Keys, Shape, bounds, zero_allowed

_SHOWN_LENGTH = 40
_BEYOND_64_BITS = 2**64
_PERCENT = re.compile(grammar.PERCENT)

T = TypeVar("T")


class ProblemReport:
    """The problems found so far, each once however often it is reported."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, node: Node, message: str, remedy: str = "") -> None:
        """Report a problem with the value of ``node``, where it was written."""
        place = node.place
        problem = Problem(
            message=message, file=place.file, line=place.line, key=place.key, remedy=remedy
        )
        if problem not in self.problems:
            self.problems.append(problem)

    def found(self, node: Node, expected: str) -> None:
        """Report that ``node`` is not what was expected."""
        self.add(node, f"found {describe(node)}", expected)

    def unknown(self, node: Node, name: str, valid: Collection[str]) -> None:
        """Report that the key of ``node``, which ends in ``name``, is unknown."""
        homes = [table for table, keys in grammar.TABLES.items() if name in keys]
        if node.place.key.count(".") > 1:  # this deep, the top-level table is the right one
            homes = [table for table in homes if node.place.key.startswith(f"{table}.")]
        if name in grammar.TOP and valid is not grammar.TOP:
            remedy = "it belongs at the top, above the first [table]"
        elif len(homes) == 1 and not grammar.TABLES[homes[0]].keys() <= set(valid):
            remedy = f"it belongs in [{homes[0]}]"
        else:
            remedy = did_you_mean(name, valid)
        self.add(node, "unknown key", remedy)

    def contradiction(self, node: Node, other: Node, remedy: str) -> None:
        """Report that ``node`` contradicts ``other``."""
        place = other.place
        where = f" (line {place.line})" if place.line and place.file == node.place.file else ""
        if place.file != node.place.file:
            where = f" ({place.file}:{place.line})" if place.line else f" ({place.file})"
        self.add(node, f"contradicts {place.key}{where}", remedy)


class TableReader:
    """A table whose keys are read by type.

    Every getter returns None for a key that is absent or was reported.
    """

    def __init__(
        self, node: Node, report: ProblemReport, *, known: Keys | None, free: bool = False
    ) -> None:
        """Report unknown keys, and a value that is not a table.

        Args:
            node: The table.
            report: Receives the problems.
            known: The valid keys and their shapes; None if the user names the keys.
            free: Whether other keys are allowed, too.
        """
        self.node = node
        self.known = known or {}
        self.report = report
        self.entries: dict[str, Node] = {}
        if isinstance(node.value, dict):
            self.entries = node.value
        else:
            report.found(node, "expected a table")
        for name, entry in self.entries.items():
            if known is not None and not free and name not in known:
                report.unknown(entry, name, known)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Node:
        return self.entries[name]

    def get(self, name: str) -> Node | None:
        """Return the node of ``name``, unread."""
        return self.entries.get(name)

    def require(self, name: str, expected: str) -> bool:
        """Report ``name`` if it is missing; return whether it is there."""
        if name not in self.entries and isinstance(self.node.value, dict):
            self.report.add(self.node, f'"{name}" is missing', expected)
        return name in self.entries

    def shape(self, name: str) -> Shape:
        """Return the shape of ``name``."""
        return self.known[name]

    def fields(self, *names: str) -> dict[str, Any]:
        """Return the values of some keys, read by their shapes, under the model's field names.

        Durations get the suffix ``_s``. Keys that are absent or were reported are left out: the
        model has a default.
        """
        read = {}
        for name in names:
            shape = self.shape(name)
            if shape.get("title") == "duration":
                read[f"{name}_s"] = self.duration(name)
            elif "enum" in shape:
                read[name] = self.choice(name)
            else:
                kind = shape.get("title", shape.get("type"))
                read[name] = _GETTERS[kind](self, name)
        return drop_none(**read)

    def value(self, name: str, convert: Callable[[Any], T | None], expected: str) -> T | None:
        """Return a value as converted by ``convert``; report one that cannot be converted.

        Args:
            name: The key.
            convert: Converts the plain value; returns None if it is invalid.
            expected: The valid values in words, for the report.
        """
        node = self.get(name)
        if node is None:
            return None
        made = convert(node.value)
        if made is None:
            self.report.found(node, expected)
        return made

    def text(
        self, name: str, pattern: re.Pattern[str] | None = None, expected: str = ""
    ) -> str | None:
        """Return a non-empty string; report one that does not match ``pattern`` as a whole."""
        node = self.get(name)
        found = None if node is None else text(node, self.report)
        if node is not None and found is not None and pattern and not pattern.fullmatch(found):
            self.report.found(node, expected)
        return found

    def texts(self, name: str, of: str) -> tuple[str, ...]:
        """Return the strings of an array; ``of`` names them in the plural, for messages."""
        return tuple(text(node, self.report) or "" for node in self.array(name, of) or ())

    def choice(self, name: str) -> Any:
        """Return one of the words that the key takes."""
        node = self.get(name)
        if node is None:
            return None
        words = self.shape(name)["enum"]
        if isinstance(node.value, str) and node.value in words:
            return node.value
        near = nearest(node.value, words) if isinstance(node.value, str) else ""
        self.report.found(node, near or "expected one of " + ", ".join(f'"{w}"' for w in words))
        return None

    def flag(self, name: str) -> bool | None:
        """Return a boolean."""
        return self.value(
            name, lambda value: value if isinstance(value, bool) else None, "expected true or false"
        )

    def rate(self, name: str) -> float | None:
        """Return copies per second, greater than 0, or 0 where the key allows it."""
        if name not in self:
            return None
        zero = zero_allowed(self.shape(name))
        expected = (
            f"expected a number of copies per second, {'0 or more' if zero else 'greater than 0'}"
            f" and at most {MAX_RATE:,}"
        )

        def convert(value: Any) -> float | None:
            number = number_of(value)
            fits = number is not None and 0 <= number <= MAX_RATE and (zero or number > 0)
            return float(number) if number is not None and fits else None

        return self.value(name, convert, expected)

    def whole(self, name: str) -> int | None:
        """Return an integer within the bounds of the key; ``1e6`` counts as one."""
        if name not in self:
            return None
        least, most = bounds(self.shape(name))

        def convert(value: Any) -> int | None:
            number = number_of(value)
            fits = number is not None and least <= number <= most and number == int(number)
            return int(number) if number is not None and fits else None

        return self.value(name, convert, f"expected a whole number from {least:,} to {most:,}")

    def duration(self, name: str) -> float | None:
        """Return a duration in seconds, written as text ("1h30m") or as a number of seconds."""
        node = self.get(name)
        if node is None:
            return None
        zero, seconds = zero_allowed(self.shape(name)), seconds_of(node.value)
        if seconds is not None and 0 <= seconds <= MAX_DURATION_S and (zero or seconds > 0):
            return float(seconds)
        expected = 'expected a duration such as "500ms", "5s", "2m" or "1h30m"'
        if seconds is not None:
            most = format_duration(MAX_DURATION_S)
            expected += f", {'0s or more' if zero else 'more than 0s'} and at most {most}"
        self.report.found(node, expected)
        return None

    def ascending(
        self, names: tuple[str, str], defaults: tuple[float, float], remedy: str
    ) -> dict[str, Any]:
        """Return two durations, as :meth:`fields` does; report it if the first is longer.

        If one is absent, its default is adjusted so that the first is not longer.
        """
        first_s, second_s = (self.duration(name) for name in names)
        if first_s is not None and second_s is not None and first_s > second_s:
            self.report.contradiction(self[names[0]], self[names[1]], remedy)
        elif first_s is None and second_s is not None:
            first_s = min(defaults[0], second_s)
        elif first_s is not None and second_s is None:
            second_s = max(defaults[1], first_s)
        return drop_none(**{f"{names[0]}_s": first_s, f"{names[1]}_s": second_s})

    def array(self, name: str, of: str) -> list[Node] | None:
        """Return the entries of an array; ``of`` names them in the plural, for messages."""
        return self.value(
            name,
            lambda value: value if isinstance(value, list) else None,
            f"expected an array of {of}",
        )

    def exclude(self, name: str, others: Collection[str], remedy: str) -> None:
        """Report each of ``others`` that is given together with ``name``."""
        for other in others:
            if name in self and other in self:
                self.report.contradiction(self[other], self[name], remedy)

    def refuse_beside(self, name: str, other: str, remedy: str, usual: str) -> None:
        """Report that ``name`` contradicts ``other``, or ``usual`` if that key is absent."""
        if other in self:
            self.report.contradiction(self[name], self[other], remedy)
        else:
            self.report.add(self[name], usual, remedy)

    def file(self, name: str, folder: Path) -> Path | None:
        """Return the path of the file that ``name`` gives; report one outside ``folder``."""
        node = self[name]
        try:
            path = path_within(folder, node.plain())
        except UnreadableError as error:
            self.report.add(node, error.message, error.remedy)
            return None
        if path is None:
            message = "is outside of the scenario's folder"
            self.report.add(node, message, "name a file inside it")
        elif not is_file(path):
            remedy = nearest_file(path) or "it is looked for beside the scenario"
            self.report.add(node, "no such file", remedy)
        else:
            return path
        return None

    def table(self, name: str, known: Keys | None) -> TableReader | None:
        """Return the table at ``name``."""
        node = self.get(name)
        return None if node is None else TableReader(node, self.report, known=known)

    def section(self, name: str, known: Keys | None) -> TableReader:
        """Return the table at ``name``, or an empty one if it is absent."""
        node = self.get(name)
        empty = Node({}, self.node.place)
        return TableReader(empty if node is None else node, self.report, known=known)

    def tables(self, name: str, known: Keys) -> list[TableReader] | None:
        """Return the tables in the array at ``name``."""
        entries = self.array(name, "tables")
        if entries is None:
            return None
        return [TableReader(node, self.report, known=known) for node in entries]


def text(node: Node, report: ProblemReport) -> str | None:
    """Return a non-empty string; report any other value and return None."""
    if isinstance(node.value, str) and node.value.strip():
        return node.value
    report.found(node, "expected a string that is not empty")
    return None


def json(node: Node, report: ProblemReport) -> Any:
    """Return the plain value of ``node``; report parts that JSON cannot represent."""
    for _, part in node.walk():
        match part.value:
            case datetime() | date() | time():
                report.found(part, "JSON has no dates: write it in quotes")
            case float() as number if not math.isfinite(number):
                report.found(part, "expected a number that JSON can carry")
            case int() as number if not -(2**63) <= number < _BEYOND_64_BITS:
                report.add(part, "found a number of more than 64 bits", "write it in quotes")
    return node.plain()


def drop_none(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, so that the model's defaults apply to the others."""
    return {name: value for name, value in values.items() if value is not None}


def describe(node: Node) -> str:
    """Return in words what ``node`` is, to follow "found" in a message."""
    match node.value:
        case bool() as flag:
            words = f"the boolean {str(flag).lower()}"
        case int() as number if abs(number) >= _BEYOND_64_BITS:
            words = "a number of more than 64 bits"
        case int() | float() as number:
            words = str(number)
        case str() as text:
            words = f"the string {quoted(_shortened(text))}" if text else "an empty string"
        case list():
            words = "an array"
        case dict():
            words = "a table"
        case time():
            words = "a time of day"
        case _:
            words = "a date"
    return words


def _shortened(word: str) -> str:
    word = " ".join(word.split()) if word.strip() else word
    return word if len(word) <= _SHOWN_LENGTH else word[: _SHOWN_LENGTH - 1] + "…"


def number_of(value: Any) -> int | float | None:
    """Return a finite number; None if the value is a boolean or not a number."""
    match value:
        case bool():
            return None
        case int() as number if abs(number) < _BEYOND_64_BITS:
            return number
        case float() as number if math.isfinite(number):
            return number
        case _:
            return None


def seconds_of(value: Any) -> float | None:
    """Return a duration, or a number, as seconds; None if the value is neither."""
    if not isinstance(value, str):
        return number_of(value)
    try:
        return parse_duration(value)
    except ValueError:
        return None


def share_of(value: Any) -> float | None:
    """Return a percentage as a share: 0.2 for "20%"; None if the value is not a percentage."""
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        return None
    return float(Decimal(value.strip().rstrip("%")) / 100)


_GETTERS: Mapping[str, Callable[[TableReader, str], Any]] = {
    "boolean": TableReader.flag,
    "integer": TableReader.whole,
    "number per second": TableReader.rate,
    "string": TableReader.text,
}
"""Title, or else type, of a shape → the method that reads a key of this shape."""
