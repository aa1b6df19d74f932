"""Read Arazzo documents and everything that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

from loadcheck.documents import split_http_url
from loadcheck.documents.document import Document, parse_document, read_document
from loadcheck.documents.files import is_file
from loadcheck.documents.reader import Diagnostics, DocumentReporter
from loadcheck.documents.reader import Path as DocumentPath
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.workflow.description import Arazzo, SourceReference, Workflow, WorkflowSignature
from loadcheck.workflow.description.inputs import InputSchema
from loadcheck.workflow.description.openapi import OpenApiDescription
from loadcheck.workflow.description.parse import parse_arazzo

_GIVEN: Final = "see --source, or workflow.sources in the scenario"
_A_KIND: Final = "expected an Arazzo or OpenAPI document"
SECTION: Final = "Source Description Object"

Fetch: TypeAlias = Callable[[str], bytes]
"""Reads a URL; raises OSError if that fails."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A source description that was read.

    Attributes:
        name: Its name in the Arazzo document.
        fields: Its fields there.
        document: The document that it refers to.
        description: The OpenAPI description; None if it is an Arazzo document.
    """

    name: str
    fields: Mapping[str, Any]
    document: Document
    description: OpenApiDescription | None


def load_sources(
    content: Arazzo,
    reporter: DocumentReporter,
    overrides: Mapping[str, str],
    fetch: Fetch | None,
    known: dict[str, Document],
) -> dict[str, Source | None]:
    """Read every source description of a document; None stands for one that cannot be read.

    That is an error, or a warning if no step uses it. AsyncAPI descriptions are left out.

    Args:
        content: The Arazzo document.
        reporter: Receives problems of the Arazzo document.
        overrides: Source description name → file or URL that replaces its ``url``.
        fetch: Reads URLs; None refuses them.
        known: Documents that were read, by their ``$self``; more are added.
    """
    references = [entry for entry in content.sources if entry.type != "asyncapi"]
    sources: dict[str, Source | None] = {entry.name: None for entry in references}
    failed: list[tuple[SourceReference, WorkflowError]] = []
    # local files first: one of them may have the $self that another's URL names
    for entry in sorted(
        references, key=lambda entry: "://" in overrides.get(entry.name, entry.url)
    ):
        reader = SourceReader(fetch, known, mapped=entry.name in overrides)
        try:
            document = reader.read(overrides.get(entry.name, entry.url), reporter.document)
            sources[entry.name] = open_source(entry, document, reader)
        except WorkflowError as error:
            failed.append((entry, error))
    for entry, failure in failed:
        used = entry.name in overrides or _is_used(content, entry.name, sources)
        report = reporter.error if used else reporter.warn
        for problem in failure.problems:
            where = f"{problem.file}:{problem.line}" if problem.line else problem.file
            message = f'source description "{entry.name}": {where}: {problem.message}'
            mapping = "" if entry.name in overrides else _remedy(entry.name)
            remedy = ", or ".join(text for text in (problem.remedy, mapping) if text) or _GIVEN
            remedy = remedy if used else "no step uses it: leave it out"
            report((*entry.path, "url"), message, remedy, SECTION)
    return sources


def _is_used(content: Arazzo, name: str, sources: Mapping[str, Source | None]) -> bool:
    """Return whether a step may refer to something in a source description."""
    described = {
        operation
        for source in sources.values()
        if source is not None and source.description is not None
        for operation in source.description.operation_ids
    }
    local = {workflow.workflow_id for workflow in content.workflows}
    for workflow in content.workflows:
        actions = [
            action for step in workflow.steps for action in (*step.on_success, *step.on_failure)
        ]
        calls = [
            *(step.workflow_id for step in workflow.steps),
            *(
                action.workflow_id
                for action in (*actions, *workflow.on_success, *workflow.on_failure)
            ),
            *workflow.depends_on,
        ]
        operations = [step.operation_id for step in workflow.steps if not step.asynchronous]
        texts = [*calls, *operations, *(step.operation_path for step in workflow.steps)]
        if any(_names(text, name) for text in texts if text is not None):
            return True
        bare = [text for text in operations if text is not None and not text.startswith("$")]
        if any(text not in described and text.partition(".")[0] not in sources for text in bare):
            return True
        if any(
            text not in local and not text.startswith("$") for text in calls if text is not None
        ):
            return True
    return False


def _names(text: str, name: str) -> bool:
    return f"$sourceDescriptions.{name}." in f"{text}." or text.startswith(f"{name}.")


def _remedy(name: str) -> str:
    return f"map it to a file: --source {name}=FILE, or workflow.sources.{name} in the scenario"


class SourceReader:
    """Reads the documents that a source description leads to.

    Args:
        fetch: Reads URLs; None refuses them.
        known: Documents that were read, by their ``$self``; more are added.
        mapped: Whether the location of the first one was given by the user, not by the document.
    """

    def __init__(self, fetch: Fetch | None, known: dict[str, Document], *, mapped: bool) -> None:
        self._fetch = fetch
        self._known = known
        self._mapped = mapped

    def read(self, url: str, home: Document) -> Document:
        """Return the document at a URL, which is relative to ``home`` unless it is mapped.

        Raises:
            WorkflowError: It cannot be read.
        """
        mapped, self._mapped = self._mapped, False
        base = base_of(home)
        try:
            joined = url if "://" in url else urljoin(base, url)
            if urlsplit(joined).scheme in {"http", "https"}:
                split_http_url(joined)
        except ValueError as error:
            remedy = "expected a file, or a URL such as https://host/openapi.yml"
            raise WorkflowError(Problem(message=str(error), file=url, remedy=remedy)) from None
        if not mapped and "://" not in url and "://" in base:
            beside = None if "://" in home.location else Path(home.location).parent / unquote(url)
            url = urljoin(base, url)
            if url not in self._known and beside is not None and is_file(beside):
                return self._note(read_document(beside, str(beside)))
        if url in self._known:
            return self._known[url]
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            return self._note(self._fetched(url))
        local = unquote(parts.path) if parts.scheme == "file" else url
        path = Path(local) if mapped else Path(home.location).parent / local
        if not mapped and "%" in local and not is_file(path):  # a URL, so it may be percent-encoded
            local = unquote(local)
            path = Path(home.location).parent / local
        return self._note(read_document(path, local))

    def _fetched(self, url: str) -> Document:
        if self._fetch is None:
            raise WorkflowError(Problem(message="is not on this machine", file=url))
        try:
            content = self._fetch(url)
        except OSError as error:
            message = f"cannot be fetched: {error}"
            raise WorkflowError(Problem(message=message, file=url)) from None
        return parse_document(content, name=url, location=url)

    def _note(self, document: Document) -> Document:
        base = base_of(document)
        if base != document.location:
            self._known.setdefault(base, document)
        return document


def base_of(document: Document) -> str:
    """Return the base of relative references in a document: its ``$self``, or its location.

    Arazzo 1.1.0 and OpenAPI 3.2.0, ``$self``; RFC 3986 section 5.1.
    """
    identity = document.root.get("$self") if isinstance(document.root, dict) else None
    if not isinstance(identity, str) or not identity:
        return document.location
    try:
        return urljoin(document.location, identity.partition("#")[0])
    except ValueError:
        return document.location


def open_source(reference: SourceReference, document: Document, reader: SourceReader) -> Source:
    """Return the source description in a document.

    Args:
        reference: The Source Description Object that refers to it.
        document: The document.
        reader: Reads the files that it refers to.

    Raises:
        WorkflowError: It is not an Arazzo or OpenAPI document of a supported version.
    """
    root = document.root
    if not isinstance(root, dict):
        raise WorkflowError(
            Problem(message="is not an object", file=document.name, line=1, remedy=_A_KIND)
        )
    kind = reference.type or ("arazzo" if "arazzo" in root else "openapi")
    version = root.get(kind)
    known = ("1.0.", "1.1.") if kind == "arazzo" else ("3.0.", "3.1.", "3.2.")
    if "swagger" in root and kind == "openapi":
        raise WorkflowError(
            Problem(
                message=f"is OpenAPI {root['swagger']} (Swagger), which has no servers or bodies "
                "as Arazzo needs them",
                file=document.name,
                line=1,
                remedy="convert it to 3.0: npx swagger2openapi FILE -o openapi.yaml",
            )
        )
    if not isinstance(version, str) or not version.startswith(known):
        versions = [f"{prefix}x" for prefix in known]
        expected = f"{', '.join(versions[:-1])} or {versions[-1]}"
        message = f"is not an {'Arazzo' if kind == 'arazzo' else 'OpenAPI'} {expected} document"
        found = f"it says {kind}: {version}" if version is not None else ""
        raise WorkflowError(Problem(message=message, file=document.name, line=1, remedy=found))

    description = None if kind == "arazzo" else OpenApiDescription(document, reader.read)
    return Source(
        name=reference.name, fields=reference.fields, document=document, description=description
    )


MAX_BOOKS: Final = 50
"""Most Arazzo documents that one may lead to, itself included."""


@dataclass(slots=True, kw_only=True, eq=False)
class ArazzoDescription:
    """An Arazzo document with its source descriptions.

    Attributes:
        prefix: Prefix of workflow keys, which distinguishes documents.
        reporter: Receives its problems.
        content: The parsed document.
        sources: Its source descriptions; None stands for one that cannot be read.
        arazzo_sources: The source descriptions that are Arazzo documents themselves.
        workflows: Its workflows by id.
        signatures: The signatures of its workflows by id.
    """

    prefix: str
    reporter: DocumentReporter
    content: Arazzo
    sources: dict[str, Source | None]
    arazzo_sources: dict[str, ArazzoDescription] = field(default_factory=dict)
    workflows: dict[str, Workflow]
    signatures: dict[str, WorkflowSignature]


class DescriptionLoader:
    """Reads Arazzo documents, each once.

    Args:
        report: Receives problems.
        overrides: Source description name → file or URL that replaces its ``url``.
        fetch: Reads URLs; None refuses them.
    """

    def __init__(
        self, report: Diagnostics, overrides: Mapping[str, str], fetch: Fetch | None
    ) -> None:
        self._report = report
        self._overrides = overrides
        self._fetch = fetch
        self._arazzo_sources: dict[str, ArazzoDescription] = {}
        self._known: dict[str, Document] = {}

    def open(self, document: Document, prefix: str = "") -> ArazzoDescription:
        """Return a document, parsed, with all Arazzo documents that it refers to.

        Raises:
            WorkflowError: There are too many, or it is an OpenAPI description.
        """
        known = self._arazzo_sources.get(document.location)
        if known is not None:
            return known
        if len(self._arazzo_sources) >= MAX_BOOKS:
            message, remedy = f"more than {MAX_BOOKS} Arazzo documents", "refer to fewer"
            problem = Problem(message=message, file=document.name, remedy=remedy)
            raise WorkflowError((*self._report.problems, problem))
        reporter = DocumentReporter(self._report, document)
        content = parse_arazzo(reporter)
        sources = load_sources(content, reporter, self._overrides, self._fetch, self._known)
        arazzo = ArazzoDescription(
            prefix=prefix,
            reporter=reporter,
            content=content,
            sources=sources,
            workflows={workflow.workflow_id: workflow for workflow in content.workflows},
            signatures={
                workflow.workflow_id: WorkflowSignature(
                    key=f"{prefix}{workflow.workflow_id}",
                    inputs=InputSchema(workflow.inputs, document.root).declared,
                    outputs=workflow.outputs,
                )
                for workflow in content.workflows
            },
        )
        self._arazzo_sources[document.location] = arazzo
        for name, source in sources.items():
            if source is not None and source.description is None:
                arazzo.arazzo_sources[name] = self.open(source.document, f"{prefix}{name}.")
        return arazzo

    def check_overrides(self, arazzo: ArazzoDescription) -> None:
        """Report overrides of source descriptions that no document has."""
        names = {name for known in self._arazzo_sources.values() for name in known.sources}
        for name in self._overrides:
            if name not in names:
                message = f'there is no source description "{name}" to stand in for'
                remedy = did_you_mean(name, names)
                arazzo.reporter.error(("sourceDescriptions",), message, remedy)


def password_inputs(path: Path, workflow_id: str | None) -> frozenset[str]:
    """Return the names of inputs whose schema has ``format: password``.

    Args:
        path: The document; one that cannot be read has none.
        workflow_id: Only the inputs of this workflow; None: of all workflows.
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
    arazzo: ArazzoDescription, text: str, place: DocumentPath, section: str
) -> tuple[ArazzoDescription, Workflow] | None:
    """Return the workflow that a ``workflowId`` refers to, and its document; None if reported.

    It is one of the same document, or ``$sourceDescriptions.NAME.workflowId`` of another; a bare id
    may also refer to another document if only one has it.
    """
    if text.startswith("$sourceDescriptions."):
        name, _, workflow_id = text.removeprefix("$sourceDescriptions.").partition(".")
        return _of_source(arazzo, name, workflow_id, place, section)
    if text in arazzo.workflows:
        return arazzo, arazzo.workflows[text]
    holders = [name for name, other in arazzo.arazzo_sources.items() if text in other.workflows]
    if not holders:
        remedy = did_you_mean(text, arazzo.workflows)
        arazzo.reporter.error(place, f'there is no workflow "{text}"', remedy, section)
        return None
    if len(arazzo.arazzo_sources) > 1:
        message = f'"{text}" does not say which source description it is in'
        report = arazzo.reporter.error if len(holders) > 1 else arazzo.reporter.warn
        report(place, message, f'write "$sourceDescriptions.{holders[0]}.{text}"', section)
    other = arazzo.arazzo_sources[holders[0]]
    return other, other.workflows[text]


def _of_source(
    arazzo: ArazzoDescription, name: str, workflow_id: str, place: DocumentPath, section: str
) -> tuple[ArazzoDescription, Workflow] | None:
    other = arazzo.arazzo_sources.get(name)
    if other is not None and workflow_id in other.workflows:
        return other, other.workflows[workflow_id]
    rest = workflow_id.removeprefix("workflows.")
    if other is not None and rest in other.workflows:  # a form found in published documents
        message = f'"$sourceDescriptions.{name}.{workflow_id}" has a part too many'
        remedy = f'write "$sourceDescriptions.{name}.{rest}"'
        arazzo.reporter.warn(place, message, remedy, section)
        return other, other.workflows[rest]
    if other is not None:
        message = f'the source description "{name}" has no workflow "{workflow_id}"'
        remedy = did_you_mean(workflow_id, other.workflows)
    elif name not in arazzo.sources:
        message = f'there is no source description "{name}"'
        remedy = did_you_mean(name, arazzo.sources)
    elif arazzo.sources[name] is None:
        return None
    else:
        message, remedy = f'the source description "{name}" is not an Arazzo document', ""
    arazzo.reporter.error(place, message, remedy, section)
    return None
