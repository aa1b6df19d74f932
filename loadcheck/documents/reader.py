"""Typed access to the objects of a document, reporting whatever is not as the table says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from loadcheck.documents.builder import describe
from loadcheck.documents.problems import DocumentReporter, Path
from loadcheck.errors import did_you_mean


class ObjectDescription(NamedTuple):
    """How the specification describes an object.

    Attributes:
        section: Its section of the specification.
        known: Its fields; any other, unless it starts with "x-", is reported.
        ignores: Whether other fields are ignored, with a warning.
    """

    section: str
    known: Collection[str]
    ignores: bool = False


class Reader:
    """One object of a document.

    Args:
        raw: The object; anything else is reported and reads as empty.
        path: Where it stands.
        scribe: Takes problems.
        described: How the specification describes it.
    """

    def __init__(
        self,
        raw: Any,
        path: Path,
        scribe: DocumentReporter,
        described: ObjectDescription,
    ) -> None:
        known = described.known
        self.path = path
        self.scribe = scribe
        self.section = described.section
        self.usable = isinstance(raw, Mapping)
        self.raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if not self.usable:
            self.error(
                (), f"expected an object, found {describe(raw)}", "write its fields below it"
            )
        for name in self.raw:
            if name in known or name.startswith("x-"):
                continue
            if described.ignores:
                message = f'the field "{name}" is ignored beside {" and ".join(known)}'
                scribe.warn((*path, name), message, "leave it out", self.section)
            else:
                self.error((name,), f'unknown field "{name}"', did_you_mean(name, known))

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def error(self, below: Path, message: str, remedy: str = "") -> None:
        """Report a problem with a field, or with the object itself."""
        self.scribe.error((*self.path, *below), message, remedy, self.section)

    def require(self, *names: str) -> bool:
        """Report fields that are not there; return whether all are."""
        missing = [name for name in names if name not in self.raw]
        for name in missing if self.usable else ():
            self.error((), f'the field "{name}" is missing', f'add "{name}"')
        return not missing

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str | None:
        """Return a string, None if it is not there or was reported.

        One that does not match the pattern, as the specification says it should, is warned of.
        """
        value = self.raw.get(name)
        if name not in self.raw:
            return None
        if not isinstance(value, str):
            self.error((name,), f'"{name}" is {describe(value)}', "expected a string")
            return None
        if pattern is not None and not pattern.fullmatch(value):
            message, remedy = f'"{value}" is no {name}', f"it should match {pattern.pattern}"
            self.scribe.warn((*self.path, name), message, remedy, self.section)
        return value

    def choice(self, name: str, valid: tuple[str, ...]) -> str | None:
        """Return one of some words, None if it is not there or was reported."""
        value = self.text(name)
        if value is not None and value not in valid:
            self.error((name,), f'"{value}" is no {name}', did_you_mean(value, valid))
            return None
        return value

    def number(self, name: str, *, whole: bool) -> float | None:
        """Return a number that is not negative, None if it is not there or was reported."""
        value = self.raw.get(name)
        if name not in self.raw:
            return None
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or value < 0:
            expected = "a whole number" if whole else "a number"
            self.error((name,), f'"{name}" is {value!r}', f"expected {expected}, 0 or more")
            return None
        return value

    def items(self, name: str, *, filled: bool = False) -> Iterator[tuple[Any, Path]]:
        """Yield the items of an array, each with its path; nothing if it is not there."""
        value = self.raw.get(name)
        if name not in self.raw:
            return
        if not isinstance(value, list):
            self.error((name,), f'"{name}" is {describe(value)}', "expected an array")
            return
        if filled and not value:
            self.error((name,), f'"{name}" is empty', "expected at least one item")
        for index, item in enumerate(value):
            yield item, (*self.path, name, index)

    def members(self, name: str) -> Iterator[tuple[str, Any, Path]]:
        """Yield the members of an object, each with its path; nothing if it is not there."""
        value = self.raw.get(name)
        if name not in self.raw:
            return
        if not isinstance(value, Mapping):
            self.error((name,), f'"{name}" is {describe(value)}', "expected an object")
            return
        for key, member in value.items():
            yield key, member, (*self.path, name, key)
