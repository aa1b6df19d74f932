"""Source descriptions: finding and reading the documents that a workflow is built on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

from loadcheck.documents.document import Document, parse_document, read_document
from loadcheck.documents.problems import DocumentReporter
from loadcheck.documents.urls import split_http_url
from loadcheck.errors import Problem, WorkflowError
from loadcheck.workflow.description.model import SourceReference
from loadcheck.workflow.description.openapi import Description

SECTION: Final = "Source Description Object"

Fetch: TypeAlias = Callable[[str], bytes]
"""Reads a URL; raises OSError if it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A source description that was read.

    Attributes:
        name: Its name in the Arazzo document.
        fields: Its fields there.
        document: What it describes.
        description: The OpenAPI description, None if it is an Arazzo document.
    """

    name: str
    fields: Mapping[str, Any]
    document: Document
    description: Description | None


def load_sources(
    references: Iterable[SourceReference],
    scribe: DocumentReporter,
    overrides: Mapping[str, str],
    fetch: Fetch | None,
) -> dict[str, Source | None]:
    """Read every source description of a document; None stands for one that was reported.

    Args:
        references: The source descriptions.
        scribe: Of the Arazzo document; takes problems.
        overrides: Source name → file or URL that stands in for its ``url``.
        fetch: Reads URLs.
    """
    sources: dict[str, Source | None] = {}
    for reference in references:
        name = reference.name
        mapped = name in overrides
        place = (*reference.path, "url")
        sources[name] = None
        try:
            url = overrides.get(name, reference.url)
            document = _read(url, scribe.document, fetch, mapped=mapped)
            sources[name] = _source(reference, document, fetch)
        except WorkflowError as error:
            for problem in error.problems:
                where = f"{problem.file}:{problem.line}" if problem.line else problem.file
                message = f'source description "{name}": {where}: {problem.message}'
                remedy = problem.remedy or ("" if mapped else _remedy(name))
                scribe.error(place, message, remedy, SECTION)
    return sources


def _remedy(name: str) -> str:
    return f"map it to a file: --source {name}=FILE, or workflow.sources.{name} in the scenario"


def _read(url: str, document: Document, fetch: Fetch | None, *, mapped: bool) -> Document:
    base = document.location
    try:
        if not mapped and "://" not in url and "://" in base:
            url = urljoin(base, url)
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            split_http_url(url)
    except ValueError:
        remedy = "expected a file, or a URL such as https://host/openapi.yml"
        raise WorkflowError(Problem(message="is no URL", file=url, remedy=remedy)) from None
    if parts.scheme in {"http", "https"}:
        if fetch is None:
            raise WorkflowError(Problem(message="is not on this machine", file=url))
        try:
            content = fetch(url)
        except OSError as error:
            raise WorkflowError(Problem(message=f"cannot be fetched: {error}", file=url)) from None
        return parse_document(content, name=url, location=url)
    local = unquote(parts.path) if parts.scheme == "file" else url
    path = Path(local) if mapped else Path(base).parent / local
    return read_document(path, local)


def _source(reference: SourceReference, document: Document, fetch: Fetch | None) -> Source:
    root = document.root
    if not isinstance(root, dict):
        raise WorkflowError(Problem(message="is no object", file=document.name, line=1))
    kind = reference.type or ("arazzo" if "arazzo" in root else "openapi")
    version = root.get(kind)
    known = ("1.0.",) if kind == "arazzo" else ("3.0.", "3.1.")
    if not isinstance(version, str) or not version.startswith(known):
        expected = " or ".join(f"{prefix}x" for prefix in known)
        message = f"is no {'Arazzo' if kind == 'arazzo' else 'OpenAPI'} {expected} document"
        raise WorkflowError(Problem(message=message, file=document.name, line=1))

    def load(url: str, home: Document) -> Document:
        return _read(url, home, fetch, mapped=False)

    description = None if kind == "arazzo" else Description(document, load)
    return Source(
        name=reference.name, fields=reference.fields, document=document, description=description
    )
