"""Typed reading of a table: every misfit is reported, none stops the reading."""

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


class Report:
    """The problems found so far, each once however often its value is read."""

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
        """Report that the key of ``node``, the last part of which is ``name``, means nothing."""
        homes = [table for table, keys in grammar.TABLES.items() if name in keys]
        if node.place.key.count(".") > 1:  # who is that deep in a table is in the right one
            homes = [table for table in homes if node.place.key.startswith(f"{table}.")]
        if name in grammar.TOP and valid is not grammar.TOP:
            remedy = "it belongs at the top, above the first [table]"
        elif len(homes) == 1 and not grammar.TABLES[homes[0]].keys() <= set(valid):
            remedy = f"it belongs in [{homes[0]}]"
        else:
            remedy = did_you_mean(name, valid)
        self.add(node, "unknown key", remedy)

    def contradiction(self, node: Node, other: Node, remedy: str) -> None:
        """Report that ``node`` cannot stand beside ``other``."""
        place = other.place
        where = f" (line {place.line})" if place.line and place.file == node.place.file else ""
        if place.file != node.place.file:
            where = f" ({place.file}:{place.line})" if place.line else f" ({place.file})"
        self.add(node, f"contradicts {place.key}{where}", remedy)


class Table:
    """A table of which each key is read once, by its type.

    Every getter returns None for a key that is absent or was reported.
    """

    def __init__(
        self, node: Node, report: Report, *, known: Keys | None, free: bool = False
    ) -> None:
        """Report unknown keys, unless others are allowed, and a value of no table.

        Args:
            node: The table.
            report: Takes the problems.
            known: The keys that mean something here, and what each takes; None: those that the
                user has named.
            free: Whether there may be others.
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
        """Return the value of ``name`` unread."""
        return self.entries.get(name)

    def require(self, name: str, expected: str) -> bool:
        """Report ``name`` if it is missing; return whether it is there."""
        if name not in self.entries and isinstance(self.node.value, dict):
            self.report.add(self.node, f'"{name}" is missing', expected)
        return name in self.entries

    def shape(self, name: str) -> Shape:
        """Return what ``name`` takes."""
        return self.known[name]

    def fields(self, *names: str) -> dict[str, Any]:
        """Return what keys hold, each read by its shape and called as the model calls it.

        A field in seconds ends in ``_s``. Keys that are absent or were reported are left out: the
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
        """Return what is made of a plain value; report one of which nothing is made.

        Args:
            name: The key.
            convert: Returns what a value means; None if it means nothing.
            expected: What could stand there, in words.
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
        """Return a string that is not empty, and what was expected if there is a pattern."""
        node = self.get(name)
        found = None if node is None else text(node, self.report)
        if node is not None and found is not None and pattern and not pattern.fullmatch(found):
            self.report.found(node, expected)
        return found

    def texts(self, name: str, of: str) -> tuple[str, ...]:
        """Return the strings of an array."""
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
        """Return true or false."""
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
        """Return seconds, from a duration ("1h30m") or a number of seconds."""
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
        """Return two durations, as :meth:`fields` does, of which the first is not the longer.

        If one of them is absent, its default makes room for the other.
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
        """Return the entries of an array; ``of`` says in the plural what they are."""
        return self.value(
            name,
            lambda value: value if isinstance(value, list) else None,
            f"expected an array of {of}",
        )

    def exclude(self, name: str, others: Collection[str], remedy: str) -> None:
        """Report each of ``others`` that stands beside ``name``."""
        for other in others:
            if name in self and other in self:
                self.report.contradiction(self[other], self[name], remedy)

    def refuse_beside(self, name: str, other: str, remedy: str, usual: str) -> None:
        """Report ``name`` because of ``other``; ``usual`` is said if ``other`` is the default."""
        if other in self:
            self.report.contradiction(self[name], self[other], remedy)
        else:
            self.report.add(self[name], usual, remedy)

    def file(self, name: str, folder: Path) -> Path | None:
        """Return the path of the file, inside ``folder``, that is named at ``name``."""
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

    def table(self, name: str, known: Keys | None) -> Table | None:
        """Return the table at ``name``."""
        node = self.get(name)
        return None if node is None else Table(node, self.report, known=known)

    def section(self, name: str, known: Keys | None) -> Table:
        """Return the table at ``name``; one that is absent has no keys."""
        node = self.get(name)
        empty = Node({}, self.node.place)
        return Table(empty if node is None else node, self.report, known=known)

    def tables(self, name: str, known: Keys) -> list[Table] | None:
        """Return the tables in the array at ``name``."""
        entries = self.array(name, "tables")
        if entries is None:
            return None
        return [Table(node, self.report, known=known) for node in entries]


def text(node: Node, report: Report) -> str | None:
    """Return the string that ``node`` is; report one that is empty, and all else."""
    if isinstance(node.value, str) and node.value.strip():
        return node.value
    report.found(node, "expected a string that is not empty")
    return None


def json(node: Node, report: Report) -> Any:
    """Return the plain value of ``node``; report what JSON cannot carry."""
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
    """Return the values that were written and are right; the model has a default for the rest."""
    return {name: value for name, value in values.items() if value is not None}


def describe(node: Node) -> str:
    """Return in words what ``node`` is, for "found …"."""
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
    """Return a finite number; None if the value is none, or a boolean."""
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
    """Return the seconds that a duration or a number has; None if the value is neither."""
    if not isinstance(value, str):
        return number_of(value)
    try:
        return parse_duration(value)
    except ValueError:
        return None


def share_of(value: Any) -> float | None:
    """Return the share that a percentage stands for; None if the value is not a percentage."""
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        return None
    return float(Decimal(value.strip().rstrip("%")) / 100)


_GETTERS: Mapping[str, Callable[[Table, str], Any]] = {
    "boolean": Table.flag,
    "integer": Table.whole,
    "number per second": Table.rate,
    "string": Table.text,
}
"""What reads a key, by the title or the type of its shape."""
