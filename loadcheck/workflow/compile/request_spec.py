"""A step's request before it is compiled: from the document, edited by the overlay.

Payload and replacements of its body are those of Arazzo 1.0.1, "Request Body Object".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from loadcheck.documents.document import MISSING, parse_pointer
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.errors import Problem, did_you_mean
from loadcheck.scenario.model import Edit
from loadcheck.workflow import description
from loadcheck.workflow.compile.encode import percent
from loadcheck.workflow.compile.inputs import parse_place, put
from loadcheck.workflow.compile.operations import find_operation
from loadcheck.workflow.description.loader import Source
from loadcheck.workflow.description.openapi import Operation
from loadcheck.workflow.exchange import Origin
from loadcheck.workflow.expressions import (
    Dynamic,
    Frame,
    Json,
    JsonTemplate,
    Template,
    UnsendableError,
    as_dynamic,
    as_text,
    uses_of,
)
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.resolve import Resolver, json_tree
from loadcheck.workflow.expressions.selectors import locate_jsonpath, replace_xpath

BODY: Final = "Request Body Object"

_ALWAYS: Final = {"header": frozenset({"accept", "content-type", "authorization", "user-agent"})}
"""Parameters that no description needs to list, or whose description is ignored."""


class RequestError(ValueError):
    """A request cannot be compiled from what the document says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """A request before it is compiled.

    Attributes:
        index: Index of the step in the plan.
        operation: The operation in the description.
        origin: The server that it is sent to.
        base: Path prefix of the server.
        values: Place and name of a parameter → its value.
        body: The payload; ``MISSING`` if there is none.
        content_type: Media type of the body; "" if it is not given.
        run_dependencies: Run-wide expressions of our own whose values it contains.
    """

    index: int
    operation: Operation
    origin: Origin
    base: str
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    body: Any = MISSING
    content_type: str = ""
    run_dependencies: frozenset[str] = frozenset()

    def edited(self, edits: Iterable[tuple[Edit, Any]]) -> RequestSpec:
        """Return the request with edits applied, in order.

        Args:
            edits: Edits, each with its value resolved.

        Raises:
            RequestError: The place of an edit is not in this request.
        """
        draft = self
        for edit, value in edits:
            try:
                draft = _edited(draft, edit, value)
            except ValueError as error:
                raise RequestError(f"{edit.at}: {error}") from None
        return draft

    def lacking(self) -> Iterator[str]:
        """Yield, in words, what the description requires and the request lacks."""
        headers = {name.lower() for where, name in self.values if where == "header"}
        for (where, name), parameter in self.operation.parameters.items():
            given = name.lower() in headers if where == "header" else (where, name) in self.values
            if parameter.required and not given and where != "path":
                yield f'the {where} parameter "{name}"'
        if self.operation.body_required and self.body is MISSING:
            yield "a body"
        described = self.operation.content.get(media_type(self.content_type))
        for name in described.required if described is not None else ():
            if isinstance(self.body, dict) and name not in self.body:
                yield f'the property "{name}" in its body'


def _edited(draft: RequestSpec, edit: Edit, value: Any) -> RequestSpec:
    where, name, pointer = parse_place(edit.at)
    if where == "body":
        tree = None if draft.body is MISSING else _tree(draft.body)
        return replace(draft, body=put(tree, pointer or (), value))
    key = (where, name)
    if where == "header":
        key = next((known for known in draft.values if _same_header(known, name)), key)
    if pointer is None:
        return replace(draft, values={**draft.values, key: value})
    old = draft.values.get(key)
    written = Json(put(None if old is None else _tree(old), pointer, value))
    return replace(draft, values={**draft.values, key: written})


def _tree(value: Any) -> Any:
    """Return the value of a parameter or payload, parsed if it is JSON text.

    Raises:
        RequestError: It is text, but not JSON.
    """
    if isinstance(value, Json):
        return value.tree
    if isinstance(value, str | JsonTemplate):
        try:
            return json_tree(value)
        except ValueError:
            raise RequestError("it is not JSON text") from None
    if isinstance(value, Template):
        raise RequestError("it is not JSON text")
    return value


def _same_header(key: tuple[str, str], name: str) -> bool:
    return key[0] == "header" and key[1].lower() == name.lower()


REPLACEMENT: Final = "Payload Replacement Object"


FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"


def media_type(field: str) -> str:
    """Return the media type in a ``Content-Type`` field, without its parameters."""
    return field.partition(";")[0].strip().lower()


def gather_body(body: description.Body, content_type: str, resolver: Resolver) -> Any:
    """Return the payload with its replacements; ``MISSING`` if there is none.

    Args:
        body: The body in the document. Problems with it are reported.
        content_type: The content type of the request; values inserted into a form that is a string
            are percent-encoded.
        resolver: Resolves its strings.
    """
    payload = MISSING
    if isinstance(body.payload, str) and media_type(content_type) == FORM:
        encoding = Resolver(resolver.scope, resolver.reporter, encode=percent)
        payload = encoding.string(body.payload, body.payload_path)
    elif body.payload is not MISSING:
        payload = resolver.value(body.payload, body.payload_path)
    for replacement in body.replacements:
        value = resolver.value(replacement.value, (*replacement.path, "value"))
        if value is not MISSING:
            xml = "xml" in media_type(content_type)
            payload = _replaced(payload, replacement, value, resolver.reporter, xml=xml)
    return payload


def _replaced(
    payload: Any,
    replacement: description.Replacement,
    value: Any,
    reporter: DocumentReporter,
    *,
    xml: bool,
) -> Any:
    path = (*replacement.path, "target")
    try:
        if (replacement.selector or "").startswith("xpath") or (xml and not replacement.selector):
            return _replaced_xml(payload, replacement, value)
        return _replaced_json(payload, replacement, value)
    except ExpressionError as error:
        reporter.error(path, error.message, error.remedy, REPLACEMENT)
    except ValueError as error:
        message = re.sub(r": line 1 column.*", "", str(error))
        remedy = "expected a target that is in the payload, and a value that fits there"
        reporter.error(path, message, remedy, REPLACEMENT)
    return payload


def _replaced_json(payload: Any, replacement: description.Replacement, value: Any) -> Any:
    target = replacement.target
    if isinstance(payload, Template):
        raise ValueError("the payload is not JSON")  # noqa: TRY004 -- reported by the caller
    tree = json_tree(payload) if isinstance(payload, str | JsonTemplate) else payload
    tree = {} if tree is MISSING else tree
    if replacement.selector == "jsonpath":
        places = locate_jsonpath(target)(tree)
        if not places:
            raise ValueError(f'the JSONPath "{target}" finds nothing in the payload')
        for place in places:
            tree = put(tree, place, value)
        return tree
    if target and not target.startswith("/"):
        raise ExpressionError(
            f'the target "{target}" is not a JSON Pointer', f'it starts with "/": "/{target}"'
        )
    return put(tree, parse_pointer(target), value)


def _replaced_xml(payload: Any, replacement: description.Replacement, value: Any) -> Any:
    replace_in = replace_xpath(replacement.target, replacement.selector or "xpath")
    text, new = as_dynamic(payload), as_dynamic(value)
    if text is None and new is None:
        return replace_in(as_text(payload), as_text(value))

    def evaluate(frame: Frame) -> str:
        try:
            return replace_in(
                as_text(payload if text is None else text.require(frame)),
                as_text(value if new is None else new.require(frame)),
            )
        except ValueError as error:
            raise UnsendableError(str(error)) from None

    return Dynamic(
        text=f"the payload with {replacement.target} replaced",
        evaluate=evaluate,
        uses=uses_of(payload) | uses_of(value),
    )


def gather_draft(
    step: description.Step,
    shared: Iterable[description.Parameter],
    *,
    index: int,
    sources: Mapping[str, Source | None],
    servers: Mapping[str, str],
    resolver: Resolver,
) -> RequestSpec | None:
    """Return the request of a step; None if its operation is unknown, which was reported.

    Args:
        step: The step.
        shared: Parameters of its workflow, which those of the step override.
        index: Its index in the plan.
        sources: Source descriptions by name.
        servers: Source description name → base URL that replaces the described one.
        resolver: Resolves the document's expressions.
    """
    found = find_operation(step, sources, servers, resolver.reporter)
    resolver.scope.run_dependencies.clear()
    if found is not None:
        _check_offered(step, found[0], resolver.reporter)
    merged = {
        (parameter.where or "", parameter.name): parameter
        for parameter in (*shared, *step.parameters)
    }
    values = {
        key: resolver.value(parameter.value, parameter.value_path)
        for key, parameter in merged.items()
    }
    described = found[0].content_types if found is not None else ()
    body, content_type = MISSING, ""
    if step.body is not None:
        content_type = step.body.content_type or next(iter(described), "")
        if not step.body.content_type and len(described) > 1:
            resolver.reporter.warn(
                step.body.path,
                f"the operation takes {' and '.join(described)}; the first is sent",
                f"say which: contentType: {content_type}",
                "Request Body Object",
            )
        body = gather_body(step.body, content_type, resolver)
    if found is None:
        return None
    operation, origin, base = found
    return RequestSpec(
        index=index,
        operation=operation,
        origin=origin,
        base=base,
        values={key: value for key, value in values.items() if value is not MISSING},
        body=body,
        content_type=content_type,
        run_dependencies=frozenset(resolver.scope.run_dependencies),
    )


def _check_offered(
    step: description.Step, operation: Operation, reporter: DocumentReporter
) -> None:
    """Report parameters, a body or a content type of a step that the operation does not have.

    Parameters of the whole workflow need not apply to every step, and nothing is concluded from an
    operation that describes no parameters at all.
    """
    name = f"{operation.method} {operation.path}"
    for parameter in step.parameters:
        where = parameter.where or ""
        key = parameter.name.lower() if where == "header" else parameter.name
        known = {
            other.lower() if where == "header" else other
            for place, other in operation.parameters
            if place == where
        }
        if key in known or (where, key) in operation.secured or key in _ALWAYS.get(where, ()):
            continue
        message = f'{name} has no {where} parameter "{parameter.name}"'
        if where == "path":
            inside = re.findall(r"\{([^{}]+)\}", operation.path)
            if parameter.name not in inside:
                reporter.error(
                    parameter.path, message, did_you_mean(key, inside), "Parameter Object"
                )
            continue
        remedy = did_you_mean(key, known) or "it is sent all the same"
        if operation.parameters:
            reporter.warn(parameter.path, message, remedy, "Parameter Object")
    body = step.body
    if body is None:
        return
    if not operation.content:
        reporter.warn(body.path, f"{name} takes no body", "it is sent all the same", BODY)
    elif body.content_type and not _is_offered(media_type(body.content_type), operation):
        offered = ", ".join(operation.content_types)
        message = f"{name} does not take {media_type(body.content_type)}"
        reporter.warn((*body.path, "contentType"), message, f"it takes {offered}", BODY)


def _is_offered(kind: str, operation: Operation) -> bool:
    return any(fnmatchcase(kind, media_type(offered)) for offered in operation.content_types)


def edit_draft(
    draft: RequestSpec, edits: Iterable[Edit], *, resolver: Resolver, path: Path, name: str
) -> RequestSpec:
    """Return a request with edits applied; problems with them are reported.

    Args:
        draft: The request.
        edits: The edits, in order.
        resolver: Resolves expressions, our own included.
        path: Path of its workflow in the document.
        name: Name of the step, for messages.
    """
    scope = resolver.scope
    scope.answered = False
    scope.run_dependencies.clear()
    for edit in edits:
        value = resolver.value(edit.value, path)
        try:
            draft = draft.edited([(edit, value)])
        except RequestError as error:
            remedy = "see at and value of [[overlay]]"
            problem = Problem(message=str(error), key=f"overlay of step {name}", remedy=remedy)
            resolver.reporter.report.add(problem)
    return replace(draft, run_dependencies=draft.run_dependencies | scope.run_dependencies)
