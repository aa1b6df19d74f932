"""Checking an Arazzo document against the specification, without a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from loadcheck.documents.document import read_document
from loadcheck.documents.reader import Report
from loadcheck.errors import Problem, WorkflowError
from loadcheck.workflow.compile.linker import Linker, ScenarioBindings
from loadcheck.workflow.description.loader import DescriptionLoader
from loadcheck.workflow.description.sources import Fetch
from loadcheck.workflow.identity import Run

_NOWHERE = {"*": "http://127.0.0.1"}


def lint(
    document: Path,
    *,
    name: str = "",
    sources: Mapping[str, str] | None = None,
    strict: bool = False,
    fetch: Fetch | None = None,
) -> tuple[Problem, ...]:
    """Return everything that is wrong with a document, each with line, path and section.

    Every workflow of the document is compiled, whether or not a scenario would reach it. What is
    accepted although the specification has it otherwise is a warning.

    Args:
        document: Path of the Arazzo document.
        name: The document as the user named it; its path if "".
        sources: Source description name → file or URL that stands in for its ``url``.
        strict: Make warnings errors.
        fetch: Reads source descriptions that are URLs.
    """
    report = Report(strict=strict)
    try:
        shelf = DescriptionLoader(report, sources or {}, fetch)
        book = shelf.open(read_document(document, name or str(document)))
        shelf.check_overrides(book)
        run = Run(id="000000000000", start_day="20000101", end_day="20000103")
        program = Linker(ScenarioBindings(run=run, servers=_NOWHERE))
        for workflow in book.workflows.values():
            program.add(book, workflow)
        program.compile()
        for unit in program.units.values():
            unit.check_outputs()
    except WorkflowError as error:
        for problem in error.problems:
            report.add(problem)
    return report.problems
