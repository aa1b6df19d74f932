"""Reads a configuration by its keys, with types; collects all problems instead of stopping at one.

The values that a key takes, and its default, are defined in
:data:`~loadcheck.emulator.config.keys.KEYS` alone.
"""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from loadcheck.emulator.config.faults import KINDS, PRESETS
from loadcheck.emulator.config.keys import KEYS, Keys
from loadcheck.emulator.config.model import DelayDistribution, Fault, Selection, Side, milliseconds

_SHOWN = 60
"""Maximum number of characters of a value in a message."""
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
    """One table of the configuration, and its path in the whole.

    A getter returns the key's default if the key is absent, or its value reported as a problem.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        keys: Keys | None = KEYS,
        path: str = "",
        problems: list[ConfigProblem] | None = None,
    ) -> None:
        """Report every unknown key, and leave it out.

        Args:
            table: The table.
            keys: The keys it may have, as JSON Schema; None: any, named by the user.
            path: Its dotted key; "" for the whole configuration.
            problems: List to which problems are added; None: a new one.
        """
        self.table = dict(table)
        self.path = path
        self.problems: list[ConfigProblem] = [] if problems is None else problems
        self.keys: Keys = keys or {}
        for key in [each for each in table if keys is not None and each not in keys]:
            near = difflib.get_close_matches(key, self.keys, n=1)
            names = ", ".join(sorted(self.keys))
            remedy = f'did you mean "{near[0]}"?' if near else f"expected one of {names}"
            self.problem(key, "unknown key", remedy)
            del self.table[key]

    def at(self, key: str) -> str:
        """Return the dotted path of ``key`` in this table."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, message: str, remedy: str) -> None:
        """Report that the value at ``key`` cannot be used."""
        self.problems.append(ConfigProblem(path=self.at(key), message=message, remedy=remedy))

    def misfit(self, key: str, expected: str) -> None:
        """Report that the value at ``key`` is not what was expected."""
        text = repr(self.table[key])
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        self.problem(key, f"found {shown}", expected)

    def sub(self, key: str) -> Reader | None:
        """Return the table at ``key``, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.misfit(key, "expected a table")
            return None
        return Reader(value, _part(self.keys[key], "properties"), self.at(key), self.problems)

    def subs(self, key: str) -> list[Reader]:
        """Return the tables of the list at ``key``."""
        value = self.table.get(key, [])
        if not isinstance(value, list | tuple) or not all(isinstance(e, Mapping) for e in value):
            self.misfit(key, "expected a list of tables")
            return []
        keys = self.keys[key]["items"]["properties"]
        return [
            Reader(entry, keys, f"{self.at(key)}.{index}", self.problems)
            for index, entry in enumerate(value)
        ]

    def text(self, key: str) -> str:
        """Return a non-empty string; "" if the key is absent and has no default."""
        default = str(self.keys[key].get("default", ""))
        value = self.table.get(key, default)
        if isinstance(value, str) and (value or key not in self.table):
            return value
        self.misfit(key, "expected text")
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.table.get(key, [])
        if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        self.misfit(key, "expected a list of texts")
        return ()

    def choice(self, key: str) -> str:
        """Return one of the words that the key takes; "" if it is absent and has no default."""
        default, words = str(self.keys[key].get("default", "")), _part(self.keys[key], "enum")
        value = self.table.get(key, default)
        if key not in self.table or (isinstance(value, str) and value in words):
            return str(value)
        near = difflib.get_close_matches(str(value), words, n=1)
        expected = "expected " + " or ".join(f'"{word}"' for word in words)
        self.misfit(key, f'did you mean "{near[0]}"?' if near else expected)
        return default

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        default = bool(self.keys[key].get("default"))
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.misfit(key, "expected true or false")
        return default

    def integer(self, key: str) -> int:
        """Return an integer within the bounds of the key; by default the least."""
        least, most = (int(_part(self.keys[key], name)) for name in ("minimum", "maximum"))
        default = int(self.keys[key].get("default", least))
        value = self.table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        bounds = f"from {least} to {most}" if most < 2**53 else f"of at least {least}"
        self.misfit(key, f"expected a whole number {bounds}")
        return default

    def number(self, key: str) -> float | None:
        """Return a number within the bounds of the key, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        shape = self.keys[key]
        least, most = shape["minimum"], shape["maximum"]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and least <= value <= most:
            return float(value)
        example = f", such as {shape['examples'][0]}" if "examples" in shape else ""
        title = shape.get("title", "number")
        self.misfit(key, f"expected a {title} from {least:g} to {most:g}{example}")
        return None

    def rate(self, key: str) -> float | None:
        """Return a number per second above 0 ("4000/s", or 4000), or None if there is none."""
        number = value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
            number = float(match[1].replace("_", ""))
        if isinstance(number, int | float) and number is not True and 0 < number < float("inf"):
            return float(number)
        self.misfit(key, 'expected a rate above 0, such as "4000/s"')
        return None

    def duration_ms(self, key: str) -> float:
        """Return a duration in milliseconds; 0 if the key is absent and has no default."""
        default = milliseconds(self.keys[key].get("default", 0)) or 0.0
        found = milliseconds(self.table.get(key, default / 1000))
        if found is None:
            expected = 'expected a duration such as "500ms" or "2s", or a number of seconds'
            self.misfit(key, expected)
            return default
        return found

    def delay(self, key: str) -> DelayDistribution:
        """Return a delay: ``"2s"``, ``{ min, max }`` (uniform), ``{ median, p99 }`` (lognormal)."""
        value = self.table.get(key)
        if not isinstance(value, Mapping):
            return DelayDistribution("fixed", self.duration_ms(key))
        if not value.keys() & {"min", "max", "median", "p99"}:
            self.problem(key, "an empty table", "expected { min, max } or { median, p99 }")
        heavy = "median" in value
        first, second = ("median", "p99") if heavy else ("min", "max")
        alternatives = (part.get("properties", {}) for part in self.keys[key]["anyOf"])
        keys = next(each for each in alternatives if first in each)
        before = len(self.problems)
        table = Reader(value, keys, self.at(key), self.problems)
        low, high = table.duration_ms(first), table.duration_ms(second)
        if len(self.problems) > before:
            pass
        elif heavy and not 0 < low <= high:
            self.problem(key, "p99 is below the median, or the median is 0", "expected more")
        elif high < low:
            self.problem(key, "max is below min", "expected max of at least min")
        return DelayDistribution("lognormal" if heavy else "uniform", low, high)


def _part(shape: Mapping[str, Any], word: str) -> Any:
    """Return the value at ``word`` of a shape or of its first alternative with one, else None."""
    parts = (shape, *shape.get("anyOf", ()))
    return next((part[word] for part in parts if word in part), None)


def read_faults(top: Reader, seed: int) -> tuple[Fault, ...]:
    """Read ``preset``, and ``faults``: a table of kinds, each with one table or a list of them."""
    preset = top.choice("preset")
    known = tuple(
        _fault(Reader(entry, _keys(name), f"preset.{name}", top.problems), name, seed, -1)
        for name, entry in (PRESETS[preset].faults.items() if preset else ())
    )
    table = top.sub("faults")
    if table is None:
        return known
    return known + tuple(
        _fault(entry, name, seed, number)
        for name in table.table
        for number, entry in enumerate(_entries(table, name))
    )


def _keys(kind: str) -> Keys:
    """Return the keys that a fault of a kind takes."""
    keys: Keys = _part(KEYS["faults"]["properties"][kind], "properties")
    return keys


def _entries(table: Reader, name: str) -> Iterator[Reader]:
    value: Any = table.table[name]
    if isinstance(value, Mapping):
        yield Reader(value, _keys(name), table.at(name), table.problems)
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        for number, entry in enumerate(value):
            yield Reader(entry, _keys(name), f"{table.at(name)}.{number}", table.problems)
    else:
        example = "{ rate = 0.01 }" if KINDS[name].subject != "time" else '{ lasting = "2s" }'
        table.problem(name, f"found {value!r}", f"expected a table such as {example}")


def _fault(table: Reader, name: str, seed: int, number: int) -> Fault:
    kind = KINDS[name]
    # a seed per fault, so that two faults do not hit the same subjects
    own = seed + zlib.crc32(f"{name}.{number}".encode())
    return Fault(
        kind=name,
        selection=_selection(table),
        seed=table.integer("seed") if "seed" in table.table else own,
        on=cast("Side", table.choice("on")) if kind.on else "uploads",
        status=table.integer("status") if kind.status else 0,
        delay=None if kind.delay_ms is None else table.delay("delay"),
        number=0 if kind.number is None else table.integer(kind.number_key),
        partition=table.number("partition") if kind.parted else None,
    )


def _selection(table: Reader) -> Selection:
    given = table.table
    count = table.integer("count") if "count" in given else None
    among = table.integer("among") if "among" in given else None
    for key in ("among", "first"):
        if key in given and count is None:
            table.problem(key, "without count", "expected e.g. { count = 7, among = 20_000 }")
    if "count" in given and "rate" in given:
        table.problem("rate", "both rate and count", "expected one of them")
    if among is not None and "first" in given:
        table.problem("first", "both among and first", "expected one of them")
    if count is not None and among is not None and count > among:
        table.problem("count", f"{count} is more than among = {among}", "expected no more")
    if "every" in given and "lasting" not in given:
        table.problem("every", "without lasting", 'expected e.g. { lasting = "1s", every = "5s" }')
    return Selection(
        rate=table.number("rate"),
        count=count,
        among=among,
        first=table.integer("first") if "first" in given else 0,
        after_ms=table.duration_ms("after"),
        lasting_ms=table.duration_ms("lasting") if "lasting" in given else None,
        every_ms=table.duration_ms("every") or None,
    )
