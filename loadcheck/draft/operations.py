"""The operations of a description, each with the fields of its request and of its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from loadcheck.documents.document import MISSING, Document
from loadcheck.draft.fields import ANSWER, Field, Schemas, Tree, leaves
from loadcheck.workflow.description import SourceReference
from loadcheck.workflow.description.loader import Fetch, Source, SourceReader, open_source
from loadcheck.workflow.description.openapi import DescriptionError, OpenApiDescription, Operation

_PLACES: Final = ("path", "query", "header", "cookie")
_CREDENTIAL_PLACES: Final = ("header", "query", "cookie")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """The credential that authorizes a request.

    Attributes:
        scheme: Name of its security scheme in the description.
        kind: ``basic``, ``bearer`` or ``key``.
        place: ``header``, ``query`` or ``cookie``.
        name: Name of the parameter.
        prefix: Text before the value, such as ``"Bearer "``; "" for none.
    """

    scheme: str
    kind: str
    place: str
    name: str
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An operation that a step may be drafted from.

    Attributes:
        operation: The operation, as requests are compiled from it.
        operation_id: Its ``operationId``; None if it is missing or not unique.
        text: Its summary and description.
        tags: Its tags.
        parameters: The fields outside the body, without credentials.
        body: The fields of its body; None if it has none that can be drafted.
        content_type: Media type of the body; "" if none is described.
        answer: The fields of its successful answer.
        credentials: The credentials that it requires.
    """

    operation: Operation
    operation_id: str | None
    text: str
    tags: tuple[str, ...]
    parameters: tuple[Field, ...]
    body: Tree | None
    content_type: str
    answer: tuple[Field, ...]
    credentials: tuple[Credential, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields of its request."""
        return (*self.parameters, *(leaves(self.body) if self.body is not None else ()))

    @property
    def name(self) -> str:
        """The name by which the user can select it: its id, or method and path."""
        return self.operation_id or f"{self.operation.method} {self.operation.path}"

    @property
    def label(self) -> str:
        """Its id, method and path, for messages."""
        request = f"{self.operation.method} {self.operation.path}"
        return f"{self.operation_id} ({request})" if self.operation_id else request

    @property
    def words(self) -> set[str]:
        """Words of its path, its id and its tags, in lower case and without a plural's "s"."""
        plain = re.sub(r"\{[^{}]*\}", " ", self.operation.path)
        return set(words_of(" ".join((plain, self.operation_id or "", *self.tags))))


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a name or a sentence, in lower case and without a plural's "s"."""
    for match in _WORD.finditer(text):
        word = match[0].lower()
        plural = word.endswith("s") and not word.endswith(("ss", "us", "is"))
        yield word[:-1] if plural and len(word) > 3 else word  # noqa: PLR2004  # "ids", "as"


def open_description(source: str, fetch: Fetch) -> Source:
    """Read an OpenAPI description.

    Args:
        source: A file or a URL.
        fetch: Reads URLs.

    Raises:
        InputError: It cannot be read, or is not an OpenAPI description.
    """
    here = Document(name="", location=str(Path.cwd() / "here"), root={})
    reader = SourceReader(fetch, {}, mapped=True)
    reference = SourceReference(path=(), name="api", url=source, type="openapi", fields={})
    return open_source(reference, reader.read(source, here), reader)


def candidates(description: OpenApiDescription) -> list[Candidate]:
    """Return the operations of a description that can be sent."""
    schemas = Schemas(description)
    found = []
    for path, method, raw, item, home in description.operations():
        try:
            found.append(_candidate(description, schemas, (path, method, raw, item, home)))
        except DescriptionError:
            continue  # a broken reference: no request can be made
    return found


def _candidate(
    description: OpenApiDescription, schemas: Schemas, place: tuple[str, str, Any, Any, Document]
) -> Candidate:
    path, method, raw, item, home = place
    operation_id = raw.get("operationId")
    if not isinstance(operation_id, str) or operation_id in description.repeated:
        operation_id = None
    operation = description.at(path, method)
    credentials = tuple(_credentials(description, raw))
    taken = {(each.place, each.name.lower()) for each in credentials} | {("header", "accept")}
    body, content_type = _body(description, schemas, raw, home)
    return Candidate(
        operation=operation,
        operation_id=operation_id,
        text=" ".join(str(raw.get(word, "")) for word in ("summary", "description")),
        tags=tuple(tag for tag in _array(raw.get("tags")) if isinstance(tag, str)),
        parameters=tuple(
            each
            for each in _parameters(description, schemas, (item, raw), home)
            if (each.place, each.name.lower()) not in taken
        ),
        body=body,
        content_type=content_type,
        answer=tuple(_answer(description, schemas, raw, home)),
        credentials=credentials,
    )


def _parameters(
    description: OpenApiDescription, schemas: Schemas, holders: tuple[Any, Any], home: Document
) -> Iterator[Field]:
    found: dict[tuple[str, str], Field] = {}
    for holder in holders:
        for entry in _array(holder.get("parameters")):
            raw, at = description.resolve(entry, home)
            if not isinstance(raw, dict) or str(raw.get("in")) not in _PLACES:
                continue
            name, where = str(raw.get("name")), str(raw["in"])
            schema = raw.get("schema")
            content = raw.get("content")
            if schema is None and isinstance(content, dict) and content:
                media = next(iter(content.values()))
                schema = media.get("schema") if isinstance(media, dict) else None
            kind = schemas.kind(schema, at, _example(description, raw, at))
            if not kind.text and raw.get("description"):
                kind = replace(kind, text=" ".join(str(raw["description"]).split()))
            required = raw.get("required") is True or where == "path"
            found[where, name] = Field(place=where, tokens=(name,), kind=kind, required=required)
    yield from found.values()


def _body(
    description: OpenApiDescription, schemas: Schemas, raw: Any, home: Document
) -> tuple[Tree | None, str]:
    body, at = description.resolve(raw.get("requestBody"), home)
    content = body.get("content") if isinstance(body, dict) else None
    if not isinstance(content, dict):
        return None, ""
    kinds = sorted(content, key=_preference)
    if not kinds or _preference(kinds[0]) > 1:
        return None, kinds[0] if kinds else ""
    entry = content[kinds[0]] if isinstance(content[kinds[0]], dict) else {}
    example = _example(description, entry, at)
    tree = schemas.tree(entry.get("schema"), at, "body", example, required=True)
    kind = "application/json" if "*" in kinds[0] else kinds[0]
    return tree, kind


def _preference(content_type: str) -> int:
    """Return the rank of a body's media type: JSON 0, a form 1, one that cannot be drafted 2."""
    bare = content_type.partition(";")[0].strip().lower()
    if bare.endswith(("/json", "+json")) or bare in {"*/*", "application/*"}:
        return 0
    return 1 if bare == "application/x-www-form-urlencoded" else 2


def _answer(
    description: OpenApiDescription, schemas: Schemas, raw: Any, home: Document
) -> Iterator[Field]:
    responses = raw.get("responses")
    for status, entry in _object(responses).items():
        if not str(status).startswith("2"):
            continue
        response, at = description.resolve(entry, home)
        content = response.get("content") if isinstance(response, dict) else None
        for kind, media in _object(content).items():
            if isinstance(media, dict) and ("json" in kind or "*" in kind or "text/plain" in kind):
                example = _example(description, media, at)
                tree = schemas.tree(media.get("schema"), at, ANSWER, example, required=True)
                yield from leaves(tree)
                return


def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _example(description: OpenApiDescription, holder: Mapping[str, Any], home: Document) -> Any:
    """Return the example of a parameter or a media type; ``MISSING`` if it has none."""
    if "example" in holder:
        return holder["example"]
    examples = holder.get("examples")
    for entry in _object(examples).values():
        example, _ = description.resolve(entry, home)
        if isinstance(example, dict):
            for word in ("dataValue", "value"):
                if word in example:
                    return example[word]
    return MISSING


def _credentials(description: OpenApiDescription, raw: Any) -> Iterator[Credential]:
    root = description.document.root
    wanted = raw.get("security", root.get("security"))
    alternatives = [each for each in _array(wanted) if isinstance(each, dict)]
    if not alternatives or {} in alternatives:
        return
    schemes = _object(_object(root.get("components")).get("securitySchemes"))
    for name in alternatives[0]:
        scheme, _ = description.resolve(schemes.get(name), description.document)
        found = _credential(name, scheme) if isinstance(scheme, dict) else None
        if found is not None:
            yield found


def _credential(name: str, scheme: Mapping[str, Any]) -> Credential | None:
    kind = str(scheme.get("type", "")).lower()
    if kind == "apikey":
        place = str(scheme.get("in"))
        if place not in _CREDENTIAL_PLACES:
            return None
        return Credential(scheme=name, kind="key", place=place, name=str(scheme.get("name")))
    http = str(scheme.get("scheme", "bearer")).lower()
    if kind == "http" and http == "basic":
        return Credential(
            scheme=name, kind="basic", place="header", name="Authorization", prefix="Basic "
        )
    if kind in {"http", "oauth2", "openidconnect"}:
        prefix = f"{scheme.get('scheme', 'Bearer')} ".capitalize()
        return Credential(
            scheme=name, kind="bearer", place="header", name="Authorization", prefix=prefix
        )
    return None
