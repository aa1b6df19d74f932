"""Typed access to the objects of a document; all of its problems are reported at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from loadcheck.documents.document import Document, format_pointer
from loadcheck.documents.formats import describe
from loadcheck.errors import Problem, did_you_mean
from loadcheck.secrets import redactor

Path: TypeAlias = tuple[str | int, ...]

_OTHERWISE = "write it otherwise, or leave it out"


class Diagnostics:
    """Collects problems and redacts secrets in them.

    Args:
        strict: Make every warning an error.
        secrets: Values to redact.
    """

    def __init__(self, *, strict: bool = False, secrets: frozenset[str] = frozenset()) -> None:
        self._strict = strict
        self._redactor = redactor(secrets)
        self._problems: dict[Problem, None] = {}

    def add(self, problem: Problem) -> None:
        """Add a problem unless it is already there; one without a remedy gets a default one."""
        rule = f"see the specification, {problem.section}" if problem.section else _OTHERWISE
        clean = dataclasses.replace(
            problem,
            message=self._redactor.text(problem.message),
            file=self._redactor.text(problem.file),
            key=self._redactor.text(problem.key),
            remedy=self._redactor.text(problem.remedy or rule),
            severity="error" if self._strict else problem.severity,
        )
        self._problems.setdefault(clean)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems so far, by file in the order of first mention, then by line."""
        files = {problem.file: None for problem in self._problems}
        places = {file: place for place, file in enumerate(files)}
        return tuple(
            sorted(self._problems, key=lambda problem: (places[problem.file], problem.line or 0))
        )

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that are warnings."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


class DocumentReporter:
    """Reports problems of one document, each by the path of the value concerned."""

    def __init__(self, report: Diagnostics, document: Document) -> None:
        self.report = report
        self.document = document

    def error(self, path: Path, message: str, remedy: str = "", section: str = "") -> None:
        """Report an error at ``path``."""
        self.report.add(self._problem(path, message, remedy, section))

    def warn(self, path: Path, message: str, remedy: str = "", section: str = "") -> None:
        """Report a warning: something accepted although it deviates from the specification."""
        problem = self._problem(path, message, remedy, section)
        self.report.add(dataclasses.replace(problem, severity="warning"))

    def _problem(self, path: Path, message: str, remedy: str, section: str) -> Problem:
        return Problem(
            message=message,
            file=self.document.name,
            line=self.document.line(path),
            key=format_pointer(path),
            remedy=remedy,
            section=section,
        )


class ObjectDescription(NamedTuple):
    """How the specification describes an object.

    Attributes:
        section: The section of the specification that defines it.
        known: Its fields; any other, unless it starts with "x-", is reported.
        ignores: Whether other fields are only warned about, and ignored.
        later: Fields that only another version has → the remedy to suggest.
    """

    section: str
    known: Collection[str]
    ignores: bool = False
    later: Mapping[str, str] = {}


class Reader:
    """One object of a document.

    Args:
        raw: The object; any other value is reported and treated as an empty object.
        path: Its path in the document.
        reporter: Receives problems.
        described: How the specification describes it.
    """

    def __init__(
        self,
        raw: Any,
        path: Path,
        reporter: DocumentReporter,
        described: ObjectDescription,
    ) -> None:
        known = described.known
        self.path = path
        self.reporter = reporter
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
                reporter.warn((*path, name), message, "leave it out", self.section)
            else:
                remedy = described.later.get(name) or did_you_mean(name, known)
                self.error((name,), f'unknown field "{name}"', remedy)

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def error(self, below: Path, message: str, remedy: str = "") -> None:
        """Report a problem with a field, or with the object itself."""
        self.reporter.error((*self.path, *below), message, remedy, self.section)

    def require(self, *names: str) -> bool:
        """Report the fields that are missing; return whether all are present."""
        missing = [name for name in names if name not in self.raw]
        for name in missing if self.usable else ():
            self.error((), f'the field "{name}" is missing', f'add "{name}"')
        return not missing

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str | None:
        """Return a string field; None if it is missing or not a string, which is reported.

        A value that does not match ``pattern`` is returned, with a warning.
        """
        value = self.raw.get(name)
        if name not in self.raw:
            return None
        if not isinstance(value, str):
            self.error((name,), f'"{name}" is {describe(value)}', "expected a string")
            return None
        if pattern is not None and not pattern.fullmatch(value):
            message, remedy = f'"{value}" is not a {name}', f"it should match {pattern.pattern}"
            self.reporter.warn((*self.path, name), message, remedy, self.section)
        return value

    def choice(
        self, name: str, valid: tuple[str, ...], later: tuple[str, ...] = (), needs: str = ""
    ) -> str | None:
        """Return a field limited to certain words; None if it is missing or reported as wrong.

        Args:
            name: The field.
            valid: The words.
            later: Words that only a later version has.
            needs: The remedy for one of ``later``.
        """
        value = self.text(name)
        if value is not None and value not in valid:
            remedy = needs if value in later else did_you_mean(value, valid)
            self.error((name,), f'"{name}" cannot be "{value}"', remedy)
            return None
        return value

    def number(self, name: str, *, whole: bool) -> float | None:
        """Return a non-negative number; None if it is missing or reported as wrong."""
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
        """Yield each item of an array field with its path; nothing if the field is missing.

        With ``filled``, an empty array is reported.
        """
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
        """Yield name, value and path of each member of an object field; none if it is missing."""
        value = self.raw.get(name)
        if name not in self.raw:
            return
        if not isinstance(value, Mapping):
            self.error((name,), f'"{name}" is {describe(value)}', "expected an object")
            return
        for key, member in value.items():
            yield key, member, (*self.path, name, key)
