"""OpenAPI descriptions (3.0, 3.1 and 3.2), as far as requests depend on them.

A ``$ref`` may point into the same document or to other files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urljoin

from loadcheck.documents import split_http_url
from loadcheck.documents.document import MISSING, Document, look_up, parse_pointer
from loadcheck.errors import WorkflowError
from loadcheck.workflow.exchange import DEFAULT_PORTS, Origin

Load: TypeAlias = "Callable[[str, Document], Document]"
"""Reads the document at a URL, which may be relative to another document."""

MAX_FILES: Final = 200
_MAX_STEPS: Final = 20


class ReferenceProblemError(ValueError):
    """A reference cannot be resolved."""


class References:
    """Resolves references, reading each file once.

    Args:
        load: Reads a file.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._files: dict[tuple[str, str], Document] = {}

    def resolve(self, value: Any, home: Document) -> tuple[Any, Document]:
        """Return a value with its reference resolved, and the document that contains it.

        Args:
            value: A Reference Object, or any other value, which is returned unchanged.
            home: The document that contains ``value``.

        Raises:
            ReferenceProblemError: A reference leads nowhere, or references form a cycle.
        """
        for _ in range(_MAX_STEPS):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not isinstance(reference, str):
                return value, home
            file, _, pointer = reference.partition("#")
            home = self._open(file, home) if file else home
            try:
                value = look_up(home.root, parse_pointer(unquote(pointer)))
            except ValueError:
                value = MISSING
            if value is MISSING:
                raise ReferenceProblemError(f'the reference "{reference}" leads nowhere')
        raise ReferenceProblemError("references go round in a circle")

    def _open(self, file: str, home: Document) -> Document:
        known = self._files.get((home.location, file))
        if known is not None:
            return known
        if len(self._files) >= MAX_FILES:
            raise ReferenceProblemError(f"references lead to more than {MAX_FILES} files")
        try:
            opened = self._load(file, home)
        except WorkflowError as error:
            raise ReferenceProblemError(f'the reference to "{file}": {error}') from None
        self._files[home.location, file] = opened
        return opened


METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")

_PLACES: Final = ("path", "query", "header", "cookie", "querystring")
_IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})
"""Header parameters whose description is ignored (OpenAPI, "Parameter Object")."""
_COMPOSED: Final = ("allOf", "anyOf", "oneOf", "patternProperties", "$ref", "if")

_VARIABLE = re.compile(r"\{([^{}]+)\}")


class DescriptionError(ValueError):
    """An OpenAPI description lacks something that a request needs, or is wrong there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationParameter:
    """A parameter as an operation describes it.

    Attributes:
        name: Its name.
        where: path, query, header, cookie or querystring.
        required: Whether a request must have it.
        style: How arrays and objects are written.
        explode: Whether each item of an array is a parameter of its own.
        content_type: The media type in which its value is written; "" if the style decides.
        allow_reserved: Whether reserved characters are left unencoded (RFC 6570 section 3.2.3).
    """

    name: str
    where: str
    required: bool = False
    style: str
    explode: bool
    content_type: str = ""
    allow_reserved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How one property of a form is written (OpenAPI, "Encoding Object").

    Attributes:
        style: Its style, as of a query parameter; None if the content type decides.
        content_type: Media type of the property; "" if its value decides.
        headers: Header fields of its part that have a fixed value.
    """

    style: OperationParameter | None = None
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """A request body of one media type.

    Attributes:
        required: Properties that it must have.
        encoding: Property → how it is written.
    """

    required: tuple[str, ...] = ()
    encoding: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a description.

    Attributes:
        method: The method, in upper case.
        path: Path template, relative to the server's URL.
        parameters: Place and name → the parameter.
        content: Media type of its request body → the body.
        secured: Places and names of parameters in which security schemes send credentials.
        body_required: Whether a request must have a body.
        lacks: Returns the members that exist instead, if pointer tokens lead to no part of its
            successful JSON answer; None if they may lead to one.
        sets_cookies: Whether an answer is described to set cookies.
        servers: URLs of its servers, in order; empty if the description has none.
    """

    method: str
    path: str
    parameters: Mapping[tuple[str, str], OperationParameter]
    content: Mapping[str, MediaType]
    secured: frozenset[tuple[str, str]]
    body_required: bool
    servers: tuple[str, ...]
    lacks: Callable[[Sequence[str]], list[str] | None] = lambda _: None
    sets_cookies: bool = False

    @property
    def content_types(self) -> tuple[str, ...]:
        """Media types of its request body."""
        return tuple(self.content)


class OpenApiDescription:
    """An OpenAPI document.

    Args:
        document: The document.
        load: Reads other files that it refers to.

    Attributes:
        operation_ids: ``operationId`` → path and method in lower case.
        repeated: Each ``operationId`` that more than one operation has.
    """

    def __init__(self, document: Document, load: Load) -> None:
        self.document = document
        self._references = References(load)
        self.operation_ids: dict[str, tuple[str, str]] = {}
        self.repeated: set[str] = set()
        for path, method, operation, _, _ in self.operations():
            name = operation.get("operationId")
            if isinstance(name, str):
                if name in self.operation_ids:
                    self.repeated.add(name)
                self.operation_ids.setdefault(name, (path, method))

    def by_id(self, operation_id: str) -> Operation:
        """Return the operation with this ``operationId``, which must exist.

        Raises:
            DescriptionError: Several operations have it, or its description cannot be used.
        """
        if operation_id in self.repeated:
            raise DescriptionError(f'several operations have the operationId "{operation_id}"')
        return self.at(*self.operation_ids[operation_id])

    def at(self, path: str, method: str) -> Operation:
        """Return the operation of a path and a method in lower case.

        Raises:
            DescriptionError: There is none, or its description cannot be used.
        """
        item, home = self.resolve(look_up(self.document.root, ("paths", path)), self.document)
        operation = None
        if isinstance(item, dict):
            more = item.get("additionalOperations")
            operation = item.get(method) or (more.get(method) if isinstance(more, dict) else None)
        if not isinstance(item, dict) or not isinstance(operation, dict):
            raise DescriptionError(f"there is no {method.upper()} {path}")
        parameters: dict[tuple[str, str], OperationParameter] = {}
        for raw in (*_items(item, "parameters"), *_items(operation, "parameters")):
            parameter = _parameter(self.resolve(raw, home)[0])
            if parameter is not None:
                parameters[parameter.where, parameter.name] = parameter
        body, _ = self.resolve(operation.get("requestBody"), home)
        content = body.get("content") if isinstance(body, dict) else None
        return Operation(
            method=method.upper(),
            path=path,
            parameters=parameters,
            content={
                kind: self._media_type(entry, home)
                for kind, entry in (content.items() if isinstance(content, dict) else ())
            },
            secured=self._secured,
            body_required=isinstance(body, dict) and body.get("required") is True,
            servers=tuple(self._servers(operation, item)),
            lacks=partial(self._answer_lacks, operation, home),
            sets_cookies=self._sets_cookies(operation, home),
        )

    def _response_schema(
        self, operation: dict[str, Any], home: Document
    ) -> tuple[Any, Document] | None:
        """Return the schema of an operation's successful JSON answer, and the document it is in.

        None if there is no such schema.

        Raises:
            DescriptionError: A reference cannot be resolved.
        """
        responses = operation.get("responses")
        for status, raw in responses.items() if isinstance(responses, dict) else ():
            if str(status).startswith("2"):
                response, at = self.resolve(raw, home)
                content = response.get("content") if isinstance(response, dict) else None
                for kind, entry in content.items() if isinstance(content, dict) else ():
                    if "json" in kind and isinstance(entry, dict) and "schema" in entry:
                        return entry["schema"], at
        return None

    def _sets_cookies(self, operation: dict[str, Any], home: Document) -> bool:
        responses = operation.get("responses")
        for raw in responses.values() if isinstance(responses, dict) else ():
            with suppress(DescriptionError):
                response, _ = self.resolve(raw, home)
                headers = response.get("headers") if isinstance(response, dict) else None
                if any(name.lower() == "set-cookie" for name in headers or ()):
                    return True
        return False

    def _answer_lacks(
        self, operation: dict[str, Any], home: Document, tokens: Sequence[str]
    ) -> list[str] | None:
        with suppress(DescriptionError):
            found = self._response_schema(operation, home)
            return None if found is None else self._lacks(*found, tokens)
        return None

    def _lacks(self, schema: Any, home: Document, tokens: Sequence[str]) -> list[str] | None:
        """Return the members that exist instead if tokens lead nowhere; None if they may lead on.

        Args:
            schema: The schema.
            home: The document that contains it.
            tokens: Names and indexes that lead into a value of the schema.

        Raises:
            DescriptionError: A reference in it cannot be resolved.
        """
        for token in tokens:
            schema, home = self.resolve(schema, home)
            if not isinstance(schema, dict) or any(word in schema for word in _COMPOSED):
                return None
            if schema.get("type") in ("array", ["array", "null"]):
                schema = schema.get("items")
                continue
            properties = schema.get("properties")
            if not isinstance(properties, dict) or schema.get("additionalProperties"):
                return None
            if token not in properties:
                return sorted(properties)
            schema = properties[token]
        return None

    @cached_property
    def _secured(self) -> frozenset[tuple[str, str]]:
        found = set()
        schemes = look_up(self.document.root, ("components", "securitySchemes"))
        for raw in schemes.values() if isinstance(schemes, dict) else ():
            with suppress(DescriptionError):
                scheme, _ = self.resolve(raw, self.document)
                if isinstance(scheme, dict) and scheme.get("type") == "apiKey":
                    where, name = str(scheme.get("in")), str(scheme.get("name"))
                    found.add((where, name.lower() if where == "header" else name))
        return frozenset(found)

    def _media_type(self, raw: Any, home: Document) -> MediaType:
        entry = raw if isinstance(raw, dict) else {}
        schema, _ = self.resolve(entry.get("schema"), home)
        required = _items(schema, "required")
        encoding = entry.get("encoding")
        return MediaType(
            required=tuple(name for name in required if isinstance(name, str)),
            encoding={
                name: self._encoding(name, one, home)
                for name, one in (encoding.items() if isinstance(encoding, dict) else ())
                if isinstance(one, dict)
            },
        )

    def _encoding(self, name: str, raw: dict[str, Any], home: Document) -> Encoding:
        style = None
        if any(word in raw for word in ("style", "explode", "allowReserved")):
            style = _parameter({**raw, "name": name, "in": "query"})
        headers = raw.get("headers")
        fixed = []
        for field_name, one in headers.items() if isinstance(headers, dict) else ():
            header, _ = self.resolve(one, home)
            schema = header.get("schema") if isinstance(header, dict) else None
            value = schema.get("const", schema.get("default")) if isinstance(schema, dict) else None
            if value is not None and field_name.lower() != "content-type":
                fixed.append((field_name, str(value)))
        kinds = str(raw.get("contentType", "")).split(",")
        kind = kinds[0].strip()
        return Encoding(style=style, content_type="" if "*" in kind else kind, headers=tuple(fixed))

    def _servers(self, operation: Any, item: Any) -> Iterator[str]:
        for holder in (operation, item, self.document.root):
            servers = _items(holder, "servers")
            if servers:
                yield from (_server_url(server) for server in servers if isinstance(server, dict))
                return

    def operations(self) -> Iterator[tuple[str, str, Any, Any, Document]]:
        """Yield path, method, operation, path item, and document of the latter, per operation."""
        paths = self.document.root.get("paths") if isinstance(self.document.root, dict) else None
        for path, raw in paths.items() if isinstance(paths, dict) else ():
            try:
                item, home = self.resolve(raw, self.document)
            except DescriptionError:
                continue  # reported if a step uses this path
            more = item.get("additionalOperations") if isinstance(item, dict) else None
            further = tuple(more) if isinstance(more, dict) else ()
            for method in (*METHODS, *further) if isinstance(item, dict) else ():
                operation = (more if method in further and isinstance(more, dict) else item).get(
                    method
                )
                if isinstance(operation, dict):
                    yield path, method, operation, item, home

    def resolve(self, value: Any, home: Document) -> tuple[Any, Document]:
        """Return a value with its reference resolved, and the document that contains it.

        Raises:
            DescriptionError: A reference leads nowhere, or references form a cycle.
        """
        try:
            return self._references.resolve(value, home)
        except ReferenceProblemError as error:
            raise DescriptionError(str(error)) from None


def _items(holder: Any, name: str) -> list[Any]:
    items = holder.get(name) if isinstance(holder, dict) else None
    return items if isinstance(items, list) else []


def _parameter(raw: Any) -> OperationParameter | None:
    if not isinstance(raw, dict):
        return None
    name, where = raw.get("name"), raw.get("in")
    if not isinstance(name, str) or where not in _PLACES:
        return None
    if where == "header" and name.lower() in _IGNORED_HEADERS:
        return None
    style = raw.get("style", "form" if where in {"query", "cookie"} else "simple")
    content = raw.get("content")
    return OperationParameter(
        name=name,
        where=where,
        required=raw.get("required") is True or where == "path",
        style=style,
        explode=bool(raw.get("explode", style == "form")),
        content_type=next(iter(content), "") if isinstance(content, dict) else "",
        allow_reserved=raw.get("allowReserved") is True,
    )


def default_parameter(name: str, where: str) -> OperationParameter:
    """Return a parameter that no operation describes, in the default style of its place."""
    style = "form" if where in {"query", "cookie"} else "simple"
    return OperationParameter(name=name, where=where, style=style, explode=style == "form")


def _server_url(server: Any) -> str:
    variables = server.get("variables")

    def default(match: re.Match[str]) -> str:
        variable = variables.get(match[1]) if isinstance(variables, dict) else None
        value = variable.get("default") if isinstance(variable, dict) else None
        return match[0] if value is None else str(value)

    return _VARIABLE.sub(default, str(server.get("url", "")))


def split_base(url: str, location: str) -> tuple[Origin, str]:
    """Return origin and path prefix of a base URL.

    Args:
        url: The URL; a relative one is resolved against ``location``.
        location: The location of the description.

    Raises:
        DescriptionError: It is not an http or https URL.
    """
    if "://" not in url and "://" in location:
        url = urljoin(location, url)
    try:
        parts = split_http_url(url)
    except ValueError as error:
        raise DescriptionError(f'"{url}" {error}') from None
    if not parts.hostname or _VARIABLE.search(url):
        raise DescriptionError(f'"{url}" is not an http or https URL')
    origin = Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])
    return origin, parts.path.rstrip("/")
