"""Arazzo documents with everything that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadcheck.documents.document import Document, read_document
from loadcheck.documents.reader import DocumentReporter, Report
from loadcheck.documents.reader import Path as Place
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.workflow.description import model
from loadcheck.workflow.description.inputs import InputSchema
from loadcheck.workflow.description.model import WorkflowSignature
from loadcheck.workflow.description.parse import parse_arazzo
from loadcheck.workflow.description.sources import Fetch, Source, load_sources

MAX_BOOKS: Final = 50
"""Arazzo documents that may be reached from one."""


@dataclass(slots=True, kw_only=True, eq=False)
class ArazzoDescription:
    """An Arazzo document with its source descriptions.

    Attributes:
        prefix: Prefix of workflow ids, to tell documents apart.
        scribe: Takes its problems.
        content: What it says.
        sources: Its source descriptions; None stands for one that was reported.
        books: Those of them that are Arazzo documents themselves.
        workflows: Its workflows by id.
        faces: What others may refer to of them.
    """

    prefix: str
    scribe: DocumentReporter
    content: model.Arazzo
    sources: dict[str, Source | None]
    books: dict[str, ArazzoDescription] = field(default_factory=dict)
    workflows: dict[str, model.Workflow]
    faces: dict[str, WorkflowSignature]


class DescriptionLoader:
    """Reads Arazzo documents, each once.

    Args:
        report: Takes problems.
        overrides: Source name → file or URL that stands in for its ``url``.
        fetch: Reads URLs.
    """

    def __init__(self, report: Report, overrides: Mapping[str, str], fetch: Fetch | None) -> None:
        self._report = report
        self._overrides = overrides
        self._fetch = fetch
        self._books: dict[str, ArazzoDescription] = {}
        self._known: dict[str, Document] = {}

    def open(self, document: Document, prefix: str = "") -> ArazzoDescription:
        """Return a document and all Arazzo documents it is built on, read and parsed."""
        known = self._books.get(document.location)
        if known is not None:
            return known
        if len(self._books) >= MAX_BOOKS:
            message, remedy = f"more than {MAX_BOOKS} Arazzo documents", "refer to fewer"
            problem = Problem(message=message, file=document.name, remedy=remedy)
            raise WorkflowError((*self._report.problems, problem))
        scribe = DocumentReporter(self._report, document)
        content = parse_arazzo(scribe)
        sources = load_sources(content, scribe, self._overrides, self._fetch, self._known)
        book = ArazzoDescription(
            prefix=prefix,
            scribe=scribe,
            content=content,
            sources=sources,
            workflows={workflow.workflow_id: workflow for workflow in content.workflows},
            faces={
                workflow.workflow_id: WorkflowSignature(
                    key=f"{prefix}{workflow.workflow_id}",
                    inputs=InputSchema(workflow.inputs, document.root).declared,
                    outputs=workflow.outputs,
                )
                for workflow in content.workflows
            },
        )
        self._books[document.location] = book
        for name, source in sources.items():
            if source is not None and source.description is None:
                book.books[name] = self.open(source.document, f"{prefix}{name}.")
        return book

    def check_overrides(self, book: ArazzoDescription) -> None:
        """Report files that stand in for source descriptions that are nowhere."""
        names = {name for known in self._books.values() for name in known.sources}
        for name in self._overrides:
            if name not in names:
                message = f'there is no source description "{name}" to stand in for'
                remedy = did_you_mean(name, names)
                book.scribe.error(("sourceDescriptions",), message, remedy)


def password_inputs(path: Path, workflow_id: str | None) -> frozenset[str]:
    """Return the inputs of a document's workflows whose values are passwords.

    Args:
        path: The document; one that cannot be read has none.
        workflow_id: Of this workflow alone; None: of all.
    """
    try:
        root = read_document(path, str(path)).root
    except WorkflowError:
        return frozenset()
    workflows = root.get("workflows") if isinstance(root, dict) else None
    return frozenset().union(
        *(
            InputSchema(workflow.get("inputs"), root).secret
            for workflow in (workflows if isinstance(workflows, list) else ())
            if isinstance(workflow, dict) and workflow_id in (None, workflow.get("workflowId"))
        )
    )


def find_workflow(
    book: ArazzoDescription, text: str, place: Place, section: str
) -> tuple[ArazzoDescription, model.Workflow] | None:
    """Return the workflow that a ``workflowId`` means; None if it was reported.

    It is one of the same document, or ``$sourceDescriptions.NAME.workflowId`` of another; a bare
    id may also mean one of another document if there is only one that has it.
    """
    if text.startswith("$sourceDescriptions."):
        name, _, workflow_id = text.removeprefix("$sourceDescriptions.").partition(".")
        return _of_source(book, name, workflow_id, place, section)
    if text in book.workflows:
        return book, book.workflows[text]
    holders = [name for name, other in book.books.items() if text in other.workflows]
    if not holders:
        remedy = did_you_mean(text, book.workflows)
        book.scribe.error(place, f'there is no workflow "{text}"', remedy, section)
        return None
    if len(book.books) > 1:
        message = f'"{text}" does not say which source description it is in'
        report = book.scribe.error if len(holders) > 1 else book.scribe.warn
        report(place, message, f'write "$sourceDescriptions.{holders[0]}.{text}"', section)
    other = book.books[holders[0]]
    return other, other.workflows[text]


def _of_source(
    book: ArazzoDescription, name: str, workflow_id: str, place: Place, section: str
) -> tuple[ArazzoDescription, model.Workflow] | None:
    other = book.books.get(name)
    if other is not None and workflow_id in other.workflows:
        return other, other.workflows[workflow_id]
    rest = workflow_id.removeprefix("workflows.")
    if other is not None and rest in other.workflows:  # as published documents write it
        message = f'"$sourceDescriptions.{name}.{workflow_id}" has a part too many'
        remedy = f'write "$sourceDescriptions.{name}.{rest}"'
        book.scribe.warn(place, message, remedy, section)
        return other, other.workflows[rest]
    if other is not None:
        message = f'the source description "{name}" has no workflow "{workflow_id}"'
        remedy = did_you_mean(workflow_id, other.workflows)
    elif name not in book.sources:
        message = f'there is no source description "{name}"'
        remedy = did_you_mean(name, book.sources)
    elif book.sources[name] is None:
        return None
    else:
        message, remedy = f'the source description "{name}" is no Arazzo document', ""
    book.scribe.error(place, message, remedy, section)
    return None
