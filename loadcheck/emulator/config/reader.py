"""Typed reading of a mapping that collects every problem instead of stopping at the first.

A delay: a duration, or a table that describes a distribution.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from loadcheck.emulator.config.model import DelayDistribution, milliseconds

_RATE = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*/\s*s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Dotted key of the value, relative to the configuration.
        message: What is wrong.
        remedy: What was expected, or the nearest valid name.
    """

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.message) if part) + f"; {self.remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; every problem found is in :attr:`problems`."""

    def __init__(self, problems: Collection[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Reader:
    """One table of the configuration, and where in the whole it stands."""

    def __init__(
        self, table: Mapping[str, Any], path: str = "", problems: list[ConfigProblem] | None = None
    ) -> None:
        self.table = table
        self.path = path
        self.problems: list[ConfigProblem] = [] if problems is None else problems

    def at(self, key: str) -> str:
        """Return the dotted path of ``key`` in this table."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, message: str, remedy: str) -> None:
        """Note that the value at ``key`` cannot be used."""
        self.problems.append(ConfigProblem(path=self.at(key), message=message, remedy=remedy))

    def only(self, known: Collection[str]) -> None:
        """Note every key that is not known."""
        for key in self.table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                names = ", ".join(sorted(known))
                remedy = f'did you mean "{near[0]}"?' if near else f"expected one of {names}"
                self.problem(key, "unknown key", remedy)

    def sub(self, key: str) -> Reader | None:
        """Return the table at ``key``, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.problem(key, f"found {_shown(value)}", "expected a table")
            return None
        return Reader(value, self.at(key), self.problems)

    def text(self, key: str, default: str) -> str:
        """Return a string that is not empty."""
        value = self.table.get(key, default)
        if isinstance(value, str) and value:
            return value
        self.problem(key, f"found {_shown(value)}", "expected text")
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.table.get(key, [])
        if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        self.problem(key, f"found {_shown(value)}", "expected a list of texts")
        return ()

    def choice(self, key: str, valid: Collection[str], default: str) -> str:
        """Return one of the valid words."""
        value = self.table.get(key, default)
        if isinstance(value, str) and value in valid:
            return value
        near = difflib.get_close_matches(str(value), valid, n=1)
        expected = "expected " + " or ".join(f'"{word}"' for word in valid)
        self.problem(
            key, f"found {_shown(value)}", f'did you mean "{near[0]}"?' if near else expected
        )
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.problem(key, f"found {_shown(value)}", "expected true or false")
        return default

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
        """Return a whole number within bounds."""
        value = self.table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        bounds = f"from {least} to {most}" if most < 2**53 else f"of at least {least}"
        self.problem(key, f"found {_shown(value)}", f"expected a whole number {bounds}")
        return default

    def share(self, key: str) -> float | None:
        """Return a probability from 0 to 1, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        self.problem(key, f"found {_shown(value)}", "expected a share from 0 to 1, such as 0.01")
        return None

    def rate(self, key: str) -> float | None:
        """Return a number per second above 0 ("4000/s", or 4000), or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        number = value
        if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
            number = float(match[1].replace("_", ""))
        if isinstance(number, int | float) and number is not True and 0 < number < float("inf"):
            return float(number)
        self.problem(key, f"found {_shown(value)}", 'expected a rate above 0, such as "4000/s"')
        return None

    def duration_ms(self, key: str, default: float) -> float:
        """Return a duration in milliseconds."""
        if key not in self.table:
            return default
        found = milliseconds(self.table[key])
        if found is None:
            self.problem(
                key,
                f"found {_shown(self.table[key])}",
                'expected a duration such as "500ms" or "2s", or a number of seconds',
            )
            return default
        return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004


def read_delay(top: Reader, key: str, default: DelayDistribution) -> DelayDistribution:
    """Read a delay: ``"2s"``, ``{ min, max }`` (uniform) or ``{ median, p99 }`` (heavy-tailed)."""
    if key not in top.table:
        return default
    if not isinstance(top.table[key], Mapping):
        return DelayDistribution("fixed", top.duration_ms(key, default.first_ms))
    table = top.sub(key)
    if table is None or not table.table.keys() & {"min", "max", "median", "p99"}:
        top.problem(key, "an empty table", "expected { min, max } or { median, p99 }")
        return default
    if "median" in table.table:
        table.only({"median", "p99"})
        median, p99 = table.duration_ms("median", 1.0), table.duration_ms("p99", 1.0)
        if not 0 < median <= p99:
            top.problem(key, "p99 is below the median, or the median is 0", "expected more")
            return default
        return DelayDistribution("lognormal", median, p99)
    table.only({"min", "max"})
    low, high = table.duration_ms("min", 0.0), table.duration_ms("max", 0.0)
    if high < low:
        top.problem(key, "max is below min", "expected max of at least min")
    return DelayDistribution("uniform", low, high)
