"""Parse the tree of a document into the model, by the tables of the specification."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from loadcheck.documents.document import MISSING
from loadcheck.documents.formats import describe
from loadcheck.documents.reader import DocumentReporter, ObjectDescription, Path, Reader
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.workflow.description import (
    Action,
    Arazzo,
    Body,
    Criterion,
    Outputs,
    Parameter,
    Replacement,
    SourceReference,
    Step,
    Workflow,
)
from loadcheck.workflow.expressions.grammar import LATER, is_expression, is_selector, version_of

_KEY: Final = re.compile(r"[a-zA-Z0-9.\-_]+")
_COMPONENTS = ("inputs", "parameters", "successActions", "failureActions")
_REUSABLE = ObjectDescription("Reusable Object", ("reference", "value"), ignores=True)
_ACTIONS: Final = {
    "successActions": ("Success Action Object", ("end", "goto")),
    "failureActions": ("Failure Action Object", ("end", "goto", "retry")),
}
_EXPRESSION_TYPES: Final = {
    "jsonpath": ("draft-goessner-dispatch-jsonpath-00",),
    "xpath": ("xpath-30", "xpath-20", "xpath-10"),
}


_STEP_1_1 = ("timeout", "dependsOn", "channelPath", "correlationId", "action")
_FIELDS_1_1: Final = {
    "Arazzo Specification Object": ("$self",),
    "Step Object": _STEP_1_1,
    "Payload Replacement Object": ("targetSelectorType",),
    "Success Action Object": ("parameters",),
    "Failure Action Object": ("parameters",),
}
_NEEDS_LATER: Final = "it needs arazzo: 1.1.0"
_MORE_PLACES: Final = {"1.0.0": ("body",), "1.1": ("querystring",)}
_VERSIONS_1_1: Final = {
    "jsonpath": ("rfc9535", "draft-goessner-dispatch-jsonpath-00"),
    "xpath": ("xpath-31", "xpath-30", "xpath-20", "xpath-10"),
    "jsonpointer": ("rfc6901",),
}


def _described(section: str, known: tuple[str, ...], *, later: bool) -> ObjectDescription:
    """Return the description of an object; ``later``: whether it may have the fields of 1.1."""
    fields = {} if later else dict.fromkeys(_FIELDS_1_1.get(section, ()), _NEEDS_LATER)
    return ObjectDescription(section, known, later=fields)


class ComponentParser:
    """Parses parameters, criteria, actions and outputs, in place or from the components.

    Args:
        components: The document's ``components``; anything but an object is reported.
        reporter: Receives problems.

    Attributes:
        components: The components as written; empty if they are not an object.
    """

    def __init__(self, components: Any, reporter: DocumentReporter) -> None:
        self._reporter = reporter
        version = version_of(reporter.document.root)
        self._later = version == LATER
        self._places = ("path", "query", "header", "cookie", *_MORE_PLACES.get(version, ()))
        self._components = self.reader(
            components, ("components",), "Components Object", _COMPONENTS
        )
        self.components = self._components.raw

    def reader(self, raw: Any, path: Path, section: str, known: tuple[str, ...]) -> Reader:
        """Return a reader of one object of the document; ``known`` are its fields."""
        return Reader(raw, path, self._reporter, _described(section, known, later=self._later))

    def parameters(self, holder: Reader, *, call: bool = False) -> Iterator[Parameter]:
        """Yield parameters; those of a workflow ``call`` are its inputs and need no ``in``."""
        seen: set[tuple[str | None, str]] = set()
        for raw, path in holder.items("parameters"):
            parameter = self._parameter(raw, path, call=call)
            if parameter is None:
                continue
            if (parameter.where, parameter.name) in seen:
                message = f'duplicate parameter "{parameter.name}"'
                self._reporter.error(path, message, "leave one of them out", "Parameter Object")
            seen.add((parameter.where, parameter.name))
            yield parameter

    def _parameter(self, raw: Any, path: Path, *, call: bool) -> Parameter | None:
        reused = self._reused(raw, path, "parameters")
        if reused is not None:
            raw, path = reused[0], reused[1]
        if raw is None:
            return None
        entry = self.reader(raw, path, "Parameter Object", ("name", "in", "value"))
        overridden = reused is not None and reused[2] is not MISSING
        entry.require("name", *(() if overridden else ("value",)))
        name = entry.text("name")
        places = self._places
        where = entry.choice("in", places, _MORE_PLACES["1.1"], _NEEDS_LATER)
        if "in" not in entry and not call and entry.usable:
            entry.error((), 'the field "in" is missing', f"expected one of {', '.join(places)}")
        if name is None or (where is None and not call):
            return None
        value, home = entry.raw.get("value"), path
        if reused is not None and overridden:
            value, home = reused[2:]
        return Parameter(
            path=path, name=name, where=where, value=value, value_path=(*home, "value")
        )

    def _reused(self, raw: Any, path: Path, kind: str) -> tuple[Any, Path, Any, Path] | None:
        """Return the target of a Reusable Object, its path, the overriding value, and own path.

        None if it is not a Reusable Object; the target is None if a problem was reported.
        """
        if not isinstance(raw, dict) or "reference" not in raw:
            return None
        entry = Reader(raw, path, self._reporter, _REUSABLE)
        reference = entry.text("reference")
        prefix = f"$components.{kind}."
        known = self._components.raw.get(kind)
        names = known if isinstance(known, dict) else {}
        name = (reference or "").removeprefix(prefix)
        if reference is not None and not reference.startswith(prefix):
            entry.error(
                ("reference",), f'"{reference}" is not a reference', f"expected {prefix}NAME"
            )
        elif reference is not None and name not in names:
            entry.error(("reference",), f'"{reference}" leads nowhere', did_you_mean(name, names))
        else:
            value = raw.get("value", MISSING) if kind == "parameters" else MISSING
            return names.get(name), ("components", kind, name), value, path
        return None, path, MISSING, path

    def criteria(self, holder: Reader, name: str) -> Iterator[Criterion]:
        """Yield the valid criteria; the others are reported."""
        for raw, path in holder.items(name, filled=name == "criteria"):
            entry = self.reader(raw, path, "Criterion Object", ("context", "condition", "type"))
            entry.require("condition")
            condition, context = entry.text("condition"), entry.text("context")
            kind = self._criterion_type(entry)
            if kind not in {"simple", None} and "context" not in entry:
                message = f"a criterion of type {kind} has no context"
                entry.error((), message, "expected context: $response.body")
            elif condition is not None and kind is not None:
                yield Criterion(path=path, condition=condition, context=context, type=kind)

    def _criterion_type(self, entry: Reader) -> str | None:
        if "type" not in entry:
            return "simple"
        if isinstance(entry.raw["type"], dict):
            return self.selector_type(entry, "type")
        return entry.choice("type", ("simple", "regex", "jsonpath", "xpath"))

    def selector_type(self, entry: Reader, name: str) -> str | None:
        """Return the type of a selector: "" if the field is absent, None if it was reported.

        It is written as a word or an Expression Type Object; XPath with a version is returned as
        "xpath-10" and the like.
        """
        raw = entry.raw.get(name)
        if name not in entry or raw is None:
            return ""
        if not isinstance(raw, dict):
            return entry.choice(name, ("jsonpath", "xpath", "jsonpointer"))
        path = (*entry.path, name)
        section = "Expression Type Object" if self._later else "Criterion Expression Type Object"
        inner = self.reader(raw, path, section, ("type", "version"))
        inner.require("type", "version")
        versions = _VERSIONS_1_1 if self._later else _EXPRESSION_TYPES
        kind = inner.choice("type", tuple(versions), tuple(_VERSIONS_1_1), _NEEDS_LATER)
        if kind is None:
            return None
        version = inner.choice("version", versions[kind], _VERSIONS_1_1[kind], _NEEDS_LATER)
        return version if kind == "xpath" and version is not None else kind

    def actions(self, holder: Reader, name: str, kind: str) -> Iterator[Action]:
        """Yield actions; ``kind`` is "successActions" or "failureActions"."""
        seen: set[str] = set()
        for raw, path in holder.items(name):
            reused = self._reused(raw, path, kind)
            found = (raw, path) if reused is None else (reused[0], reused[1])
            action = None if found[0] is None else self._action(*found, kind)
            if action is None:
                continue
            if action.name and action.name in seen:
                message = f'duplicate action "{action.name}"'
                remedy = "give each a name of its own: the second would never be taken"
                self._reporter.error(path, message, remedy, holder.section)
            seen.add(action.name)
            yield action

    def _action(self, raw: Any, path: Path, kind: str) -> Action | None:
        section, types = _ACTIONS[kind]
        fields: tuple[str, ...] = ("name", "type", "workflowId", "stepId", "criteria")
        fields += ("parameters",) if self._later else ()
        if kind == "failureActions":
            fields += ("retryAfter", "retryLimit")
        entry = self.reader(raw, path, section, fields)
        entry.require("name", "type")
        chosen = entry.choice("type", types)
        step_id, workflow_id = entry.text("stepId"), entry.text("workflowId")
        if step_id is not None and workflow_id is not None:
            entry.error((), "an action has stepId or workflowId, not both")
        if chosen == "goto" and step_id is None and workflow_id is None:
            entry.error((), "a goto has neither stepId nor workflowId")
        if chosen == "end" and (step_id is not None or workflow_id is not None):
            entry.error((), "an end goes nowhere: stepId and workflowId belong to goto and retry")
        after = entry.number("retryAfter", whole=False)
        limit = entry.number("retryLimit", whole=True)
        criteria = tuple(self.criteria(entry, "criteria"))
        parameters = tuple(self.parameters(entry, call=True))
        if parameters and workflow_id is None:
            entry.error(("parameters",), "parameters of an action are inputs of its workflowId")
        if chosen is None:
            return None
        return Action(
            path=path,
            name=entry.text("name") or "",
            type=cast("Any", chosen),
            step_id=step_id,
            workflow_id=workflow_id,
            retry_after_s=float(after or 0),
            retry_limit=1 if limit is None else int(limit),
            criteria=criteria,
            parameters=parameters,
        )

    def outputs(self, holder: Reader) -> Outputs:
        """Return outputs: name → runtime expression or Selector Object."""
        outputs: dict[str, Any] = {}
        for name, value, path in holder.members("outputs"):
            if not _KEY.fullmatch(name):
                message = f'"{name}" is not an output name'
                holder.error(("outputs", name), message, f"expected {_KEY.pattern}")
            elif self._later and is_selector(value):
                self._check_selector(value, path)
                outputs[name] = value
            elif not isinstance(value, str):
                remedy = "selectors need arazzo: 1.1.0" if is_selector(value) else ""
                message = "an output is a runtime expression"
                self._reporter.error(path, message, remedy, holder.section)
            else:
                self._check_output(value, path, holder.section)
                outputs[name] = value
        return outputs

    def _check_selector(self, raw: Any, path: Path) -> None:
        entry = self.reader(raw, path, "Selector Object", ("context", "selector", "type"))
        entry.require("context", "selector", "type")
        entry.text("context")
        entry.text("selector")
        self.selector_type(entry, "type")

    def _check_output(self, text: str, path: Path, section: str) -> None:
        """Report an output that is not an expression: its value would be its own text."""
        if is_expression(text, own=True) or "{$" in text:
            return
        message = f'the output "{text}" is not a runtime expression'
        report = self._reporter.error if text.startswith("$") else self._reporter.warn
        report(path, message, "expected one such as $response.body#/id", section)

    def check_components(self) -> None:
        """Report problems with all components, including those that nothing refers to."""
        for _, raw, path in self._components.members("parameters"):
            self._parameter(raw, path, call=True)
        for kind in _ACTIONS:
            for _, raw, path in self._components.members(kind):
                self._action(raw, path, kind)
        for _ in self._components.members("inputs"):
            pass


_ID: Final = re.compile(r"[A-Za-z0-9_\-]+")
_VERSION = re.compile(r"1\.[01]\.[0-9]+(?:-.+)?")

_ROOT = ("arazzo", "$self", "info", "sourceDescriptions", "workflows", "components")
_INFO = ("title", "summary", "description", "version")
_SOURCE = ("name", "url", "type")
_WORKFLOW = (
    "workflowId", "summary", "description", "inputs", "dependsOn", "steps", "successActions",
    "failureActions", "outputs", "parameters",
)  # fmt: skip
_STEP = (
    "description", "stepId", "operationId", "operationPath", "workflowId", "parameters",
    "requestBody", "successCriteria", "onSuccess", "onFailure", "outputs",
)  # fmt: skip
_CALLS = ("operationId", "operationPath", "workflowId", "channelPath")


def _only_calls(workflow: Any) -> bool:
    """Return whether every step of a workflow calls another one, so that parameters are inputs."""
    steps = workflow.get("steps") if isinstance(workflow, Mapping) else None
    listed = steps if isinstance(steps, list) else []
    return bool(listed) and all(
        isinstance(step, Mapping) and "workflowId" in step for step in listed
    )


def _body_parameter(parameters: Iterable[Parameter]) -> Body | None:
    """Return the body given by a parameter with ``in: body`` (Arazzo 1.0.0); None without one."""
    for given in parameters:
        if given.where == "body":
            return Body(
                path=given.path,
                content_type="",
                payload=given.value,
                replacements=(),
                payload_path=given.value_path,
            )
    return None


def parse_arazzo(reporter: DocumentReporter) -> Arazzo:
    """Parse a whole document; invalid parts are reported and left out.

    Raises:
        WorkflowError: It is an OpenAPI description.
    """
    root = reporter.document.root
    if isinstance(root, dict) and "arazzo" not in root and ("openapi" in root or "swagger" in root):
        message = "an OpenAPI description, not an Arazzo document"
        remedy = "name the document whose sourceDescriptions lead to it"
        raise WorkflowError(
            Problem(message=message, file=reporter.document.name, line=1, remedy=remedy)
        )
    return _Parser(reporter).document()


class _Parser:
    def __init__(self, reporter: DocumentReporter) -> None:
        self._reporter = reporter
        root = reporter.document.root
        self._later = version_of(root) == LATER
        known = _ROOT if self._later else tuple(name for name in _ROOT if name != "$self")
        if isinstance(root, Mapping) and "$schema" in root:
            message, remedy = '"$schema" is for editors and no field of Arazzo', "it is ignored"
            reporter.warn(("$schema",), message, remedy, "Arazzo Specification Object")
            root = {name: value for name, value in root.items() if name != "$schema"}
        components = root.get("components", {}) if isinstance(root, Mapping) else {}
        self._parts = ComponentParser(components, reporter)
        self._root = self._parts.reader(root, (), "Arazzo Specification Object", known)

    def document(self) -> Arazzo:
        root = self._root
        root.require("arazzo", "info", "sourceDescriptions", "workflows")
        version = root.text("arazzo")
        if version is not None and not _VERSION.fullmatch(version):
            message = f'version "{version}" is not known here'
            root.error(("arazzo",), message, "expected 1.0.x or 1.1.x")
        info = self._parts.reader(root.raw.get("info", {}), ("info",), "Info Object", _INFO)
        if "info" in root:
            info.require("title", "version")
        if not isinstance(info.raw.get("version", ""), str):
            message = f'"version" is {describe(info.raw["version"])}'
            self._reporter.warn(("info", "version"), message, "put it in quotes", info.section)
        sources = tuple(self._sources())
        workflows = tuple(self._workflows())
        self._parts.check_components()
        return Arazzo(
            version=version_of(self._root.raw),
            identity=root.text("$self") or "",
            title=info.text("title") or "",
            sources=sources,
            workflows=workflows,
            components=self._parts.components,
        )

    def _sources(self) -> Iterator[SourceReference]:
        seen: set[str] = set()
        for raw, path in self._root.items("sourceDescriptions", filled=True):
            entry = self._parts.reader(raw, path, "Source Description Object", _SOURCE)
            entry.require("name", "url")
            name, url = entry.text("name", _ID), entry.text("url")
            kinds = ("openapi", "arazzo", *(("asyncapi",) if self._later else ()))
            kind = entry.choice("type", kinds, ("asyncapi",), _NEEDS_LATER)
            if name in seen:
                entry.error(("name",), f'duplicate source description "{name}"')
            elif name is not None and url is not None:
                seen.add(name)
                yield SourceReference(path=path, name=name, url=url, type=kind, fields=entry.raw)

    def _workflows(self) -> Iterator[Workflow]:
        seen: set[str] = set()
        for raw, path in self._root.items("workflows", filled=True):
            entry = self._parts.reader(raw, path, "Workflow Object", _WORKFLOW)
            entry.require("workflowId", "steps")
            name = entry.text("workflowId", _ID)
            workflow = Workflow(
                path=path,
                workflow_id=name or "",
                inputs=raw.get("inputs") if entry.usable else None,
                depends_on=tuple(
                    item for item, _ in entry.items("dependsOn") if isinstance(item, str)
                ),
                parameters=tuple(self._parts.parameters(entry, call=_only_calls(raw))),
                on_success=tuple(self._parts.actions(entry, "successActions", "successActions")),
                on_failure=tuple(self._parts.actions(entry, "failureActions", "failureActions")),
                steps=tuple(self._steps(entry)),
                outputs=self._parts.outputs(entry),
            )
            if name in seen:
                entry.error(("workflowId",), f'duplicate workflow "{name}"')
            elif name:
                seen.add(name)
                yield workflow

    def _steps(self, workflow: Reader) -> Iterator[Step]:
        seen: set[str] = set()
        for raw, path in workflow.items("steps", filled=True):
            known = (*_STEP, *_STEP_1_1) if self._later else _STEP
            entry = self._parts.reader(raw, path, "Step Object", known)
            entry.require("stepId")
            name = entry.text("stepId", _ID)
            kinds = [kind for kind in _CALLS if kind in entry]
            if entry.usable and len(kinds) != 1:
                found = f"found {' and '.join(kinds)}" if kinds else "found none"
                message = "a step has one of operationId, operationPath and workflowId"
                entry.error((), message, found)
            asynchronous = self._later and ("channelPath" in entry or "action" in entry)
            call = "workflowId" in entry or asynchronous
            parameters = tuple(self._parts.parameters(entry, call=call))
            timeout_ms = entry.number("timeout", whole=True)
            step = Step(
                path=path,
                step_id=name or "",
                operation_id=entry.text("operationId"),
                operation_path=entry.text("operationPath"),
                workflow_id=entry.text("workflowId"),
                parameters=tuple(given for given in parameters if given.where != "body"),
                body=self._body(entry) or _body_parameter(parameters),
                criteria=tuple(self._parts.criteria(entry, "successCriteria")),
                on_success=tuple(self._parts.actions(entry, "onSuccess", "successActions")),
                on_failure=tuple(self._parts.actions(entry, "onFailure", "failureActions")),
                outputs=self._parts.outputs(entry),
                asynchronous=asynchronous,
                timeout_s=None if timeout_ms is None else timeout_ms / 1000,
                depends_on=tuple(
                    item for item, _ in entry.items("dependsOn") if isinstance(item, str)
                ),
            )
            if name in seen:
                entry.error(("stepId",), f'duplicate step "{name}" in its workflow')
            elif name:
                seen.add(name)
                yield step

    def _body(self, step: Reader) -> Body | None:
        if "requestBody" not in step:
            return None
        path = (*step.path, "requestBody")
        fields = ("contentType", "payload", "replacements")
        entry = self._parts.reader(step.raw["requestBody"], path, "Request Body Object", fields)
        return Body(
            path=path,
            content_type=entry.text("contentType") or "",
            payload=entry.raw.get("payload", MISSING),
            payload_path=(*path, "payload"),
            replacements=tuple(self._replacements(entry)),
        )

    def _replacements(self, body: Reader) -> Iterator[Replacement]:
        for raw, path in body.items("replacements"):
            known = ("target", "value", *(("targetSelectorType",) if self._later else ()))
            entry = self._parts.reader(raw, path, "Payload Replacement Object", known)
            entry.require("target", "value")
            target = entry.text("target")
            selector = self._parts.selector_type(entry, "targetSelectorType")
            if target is not None and "value" in entry:
                yield Replacement(
                    path=path, target=target, value=entry.raw["value"], selector=selector
                )
