"""Collecting what is wrong with a document, so that all of it is reported at once."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from loadcheck.documents.document import Document, format_pointer
from loadcheck.errors import Problem
from loadcheck.secrets import redactor

Path: TypeAlias = tuple[str | int, ...]

_OTHERWISE = "write it otherwise, or leave it out"


class Report:
    """Takes problems, keeps their order, and keeps secrets out of them.

    Args:
        strict: Make every warning an error.
        secrets: Values that must appear in no problem.
    """

    def __init__(self, *, strict: bool = False, secrets: frozenset[str] = frozenset()) -> None:
        self._strict = strict
        self._redactor = redactor(secrets)
        self._problems: dict[Problem, None] = {}

    def add(self, problem: Problem) -> None:
        """Take a problem, once; one without a remedy gets the place where to look for it."""
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
        """Everything taken so far, file by file in the order of their lines."""
        files = {problem.file: None for problem in self._problems}
        places = {file: place for place, file in enumerate(files)}
        return tuple(
            sorted(self._problems, key=lambda problem: (places[problem.file], problem.line or 0))
        )

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The errors among them."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings among them."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


class DocumentReporter:
    """Reports problems of one document, by the path of the place in it."""

    def __init__(self, report: Report, document: Document) -> None:
        self.report = report
        self.document = document

    def error(self, path: Path, message: str, remedy: str = "", section: str = "") -> None:
        """Report an error at ``path``."""
        self.report.add(self._problem(path, message, remedy, section))

    def warn(self, path: Path, message: str, remedy: str = "", section: str = "") -> None:
        """Report what is accepted although the specification has it otherwise."""
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
