"""Find a step's operation, by ``operationId`` or ``operationPath`` (Arazzo, "Step Object")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from loadcheck.documents.document import format_pointer, parse_pointer
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.errors import did_you_mean
from loadcheck.workflow import description
from loadcheck.workflow.description.loader import Source
from loadcheck.workflow.description.openapi import (
    METHODS,
    DescriptionError,
    OpenApiDescription,
    Operation,
    split_base,
)
from loadcheck.workflow.exchange import Origin

SECTION: Final = "Step Object"

_QUALIFIED = re.compile(r"\$sourceDescriptions\.([A-Za-z0-9_\-]+)\.(.+)")
_OPERATION_PATH = re.compile(
    r"(?P<open>\{)?\$sourceDescriptions\.(?P<name>[A-Za-z0-9_\-]+)(?P<url>\.url)?(?(open)\})#(?P<pointer>.*)"
)


def find_operation(
    step: description.Step,
    sources: Mapping[str, Source | None],
    servers: Mapping[str, str],
    reporter: DocumentReporter,
) -> tuple[Operation, Origin, str] | None:
    """Return the operation of a step, the origin that serves it, and the path prefix there.

    None if the step has no operation, or if a problem with it was reported.
    """
    try:
        found = None
        if step.operation_id is not None:
            found = _by_id(step.operation_id, (*step.path, "operationId"), sources, reporter)
        elif step.operation_path is not None:
            found = _by_path(step.operation_path, (*step.path, "operationPath"), sources, reporter)
        if found is None:
            return None
        source, operation = found
        url = servers.get(source.name) or servers.get("*") or next(iter(operation.servers), "/")
        return operation, *split_base(url, source.document.location)
    except DescriptionError as error:
        remedy = "see the operation in its description; target.servers names another server"
        reporter.error(step.path, str(error), remedy, SECTION)
        return None


def _by_id(
    text: str, path: Path, sources: Mapping[str, Source | None], reporter: DocumentReporter
) -> tuple[Source, Operation] | None:
    described = {
        name: source
        for name, source in sources.items()
        if source is None or source.description is not None
    }
    qualified = _QUALIFIED.fullmatch(text)
    if qualified is None:
        return _bare(text, path, described, reporter)
    name, operation_id = qualified.groups()
    found = _source(name, described, path, reporter)
    if found is None:
        return None
    source, api = found
    known = api.operation_ids
    if operation_id not in known:
        message = f'source description "{name}" has no operation "{operation_id}"'
        reporter.error(path, message, did_you_mean(operation_id, known), SECTION)
        return None
    return source, api.by_id(operation_id)


def _source(
    name: str, sources: Mapping[str, Source | None], path: Path, reporter: DocumentReporter
) -> tuple[Source, OpenApiDescription] | None:
    """Return an OpenAPI source description by its name; None if a problem with it was reported."""
    if name not in sources:
        message, remedy = f'there is no source description "{name}"', did_you_mean(name, sources)
        reporter.error(path, message, remedy, SECTION)
        return None
    source = sources[name]
    if source is None or source.description is None:
        return None
    return source, source.description


def _bare(
    operation_id: str,
    path: Path,
    described: Mapping[str, Source | None],
    reporter: DocumentReporter,
) -> tuple[Source, Operation] | None:
    read = [
        (source, source.description)
        for source in described.values()
        if source is not None and source.description is not None
    ]
    holders = [each for each in read if operation_id in each[1].operation_ids]
    name, _, rest = operation_id.partition(".")
    if not holders and name in described:
        return _prefixed(name, rest, path, described, reporter)
    if not holders:
        if None not in described.values():
            known = {name for _, api in read for name in api.operation_ids}
            message = f'there is no operation "{operation_id}"'
            reporter.error(path, message, did_you_mean(operation_id, known), SECTION)
        return None
    qualified = f"$sourceDescriptions.{holders[0][0].name}.{operation_id}"
    if len(holders) > 1:
        names = ", ".join(holder.name for holder, _ in holders)
        message = f'the operation "{operation_id}" is in several source descriptions: {names}'
        reporter.error(path, message, f'write "{qualified}"', SECTION)
        return None
    if len(described) > 1:
        message = f'"{operation_id}" does not say which source description it is in'
        reporter.warn(path, message, f'write "{qualified}"', SECTION)
    holder, api = holders[0]
    return holder, api.by_id(operation_id)


def _prefixed(
    name: str,
    operation_id: str,
    path: Path,
    described: Mapping[str, Source | None],
    reporter: DocumentReporter,
) -> tuple[Source, Operation] | None:
    """Find ``NAME.operationId``, which some published documents use as the qualified form."""
    qualified = f"$sourceDescriptions.{name}.{operation_id}"
    found = _by_id(qualified, path, described, reporter)
    if found is not None:
        message = f'"{name}.{operation_id}" lacks "$sourceDescriptions." before it'
        reporter.warn(path, message, f'write "{qualified}"', SECTION)
    return found


def _by_path(
    text: str, path: Path, sources: Mapping[str, Source | None], reporter: DocumentReporter
) -> tuple[Source, Operation] | None:
    match = _OPERATION_PATH.fullmatch(text)
    expected = 'expected "{$sourceDescriptions.NAME.url}#/paths/~1PATH/METHOD"'
    tokens: tuple[str, ...] = ()
    if match is not None:
        try:
            tokens = parse_pointer(unquote(match["pointer"]))  # a fragment is percent-encoded
        except ValueError:
            tokens = ()
    if match is None or len(tokens) != 3 or tokens[0] != "paths":  # noqa: PLR2004 -- paths, path, method
        reporter.error(path, f'"{text}" is not a reference to an operation', expected, SECTION)
        return None
    name = match["name"]
    found = _source(name, sources, path, reporter)
    if name in sources and not (match["open"] and match["url"]):
        conforming = f"{{$sourceDescriptions.{name}.url}}#{match['pointer']}"
        reporter.warn(path, f'"{text}" lacks braces or ".url"', f'write "{conforming}"', SECTION)
    if found is None:
        return None
    source, api = found
    try:
        return source, api.at(tokens[1], tokens[2])
    except DescriptionError as error:
        if tokens[2] != tokens[2].lower() and tokens[2].lower() in METHODS:
            pointer = format_pointer((*tokens[:2], tokens[2].lower()))
            remedy = f'write the method in lower case: "#{pointer}"'
            reporter.error(path, f'source description "{name}": {error}', remedy, SECTION)
            return None
        paths = [f"{method.upper()} {known}" for known, method in api.operation_ids.values()]
        remedy = did_you_mean(f"{tokens[2].upper()} {tokens[1]}", paths)
        reporter.error(path, f'source description "{name}": {error}', remedy, SECTION)
        return None
