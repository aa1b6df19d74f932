"""From the tree of a document to the model, by the tables of the specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from loadcheck.errors import Problem, WorkflowError
from loadcheck.workflow.model import Arazzo, Body, Replacement, SourceReference, Step, Workflow
from loadcheck.workflow.parts import Parts
from loadcheck.workflow.reader import Reader
from loadcheck.workflow.values import MISSING, describe

if TYPE_CHECKING:
    from loadcheck.workflow.problems import Path, Scribe

_ID: Final = re.compile(r"[A-Za-z0-9_\-]+")
_VERSION = re.compile(r"1\.0\.[0-9]+(?:-.+)?")

_ROOT = ("arazzo", "info", "sourceDescriptions", "workflows", "components")
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


def parse_arazzo(scribe: Scribe) -> Arazzo:
    """Read a whole document; what is not as it should be is reported and left out.

    Raises:
        WorkflowError: It is another kind of document altogether.
    """
    root = scribe.document.root
    if isinstance(root, dict) and "arazzo" not in root and ("openapi" in root or "swagger" in root):
        message = "an OpenAPI description, not an Arazzo document"
        remedy = "name the document whose sourceDescriptions lead to it"
        raise WorkflowError(
            Problem(message=message, file=scribe.document.name, line=1, remedy=remedy)
        )
    return _Parser(scribe).document()


class _Parser:
    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._root = self._reader(scribe.document.root, (), "Arazzo Specification Object", _ROOT)
        self._parts = Parts(self._root.raw.get("components", {}), scribe)

    def _reader(self, raw: Any, path: Path, section: str, known: tuple[str, ...]) -> Reader:
        return Reader(raw, path, self._scribe, section, known)

    def document(self) -> Arazzo:
        root = self._root
        root.require("arazzo", "info", "sourceDescriptions", "workflows")
        version = root.text("arazzo")
        if version is not None and not _VERSION.fullmatch(version):
            root.error(("arazzo",), f'version "{version}" is not known here', "expected 1.0.x")
        info = self._reader(root.raw.get("info", {}), ("info",), "Info Object", _INFO)
        if "info" in root:
            info.require("title", "version")
        if not isinstance(info.raw.get("version", ""), str):
            message = f'"version" is {describe(info.raw["version"])}'
            self._scribe.warn(("info", "version"), message, "put it in quotes", info.section)
        sources = tuple(self._sources())
        workflows = tuple(self._workflows())
        self._parts.check_components()
        return Arazzo(
            title=info.text("title") or "",
            sources=sources,
            workflows=workflows,
            components=self._parts.components,
        )

    def _sources(self) -> Iterator[SourceReference]:
        seen: set[str] = set()
        for raw, path in self._root.items("sourceDescriptions", filled=True):
            entry = self._reader(raw, path, "Source Description Object", _SOURCE)
            entry.require("name", "url")
            name, url = entry.text("name", _ID), entry.text("url")
            kind = entry.choice("type", ("openapi", "arazzo"))
            if name in seen:
                entry.error(("name",), f'the source description "{name}" stands twice')
            elif name is not None and url is not None:
                seen.add(name)
                yield SourceReference(path=path, name=name, url=url, type=kind, fields=entry.raw)

    def _workflows(self) -> Iterator[Workflow]:
        seen: set[str] = set()
        for raw, path in self._root.items("workflows", filled=True):
            entry = self._reader(raw, path, "Workflow Object", _WORKFLOW)
            entry.require("workflowId", "steps")
            name = entry.text("workflowId", _ID)
            workflow = Workflow(
                path=path,
                workflow_id=name or "",
                inputs=raw.get("inputs") if entry.usable else None,
                depends_on=tuple(
                    item for item, _ in entry.items("dependsOn") if isinstance(item, str)
                ),
                parameters=tuple(self._parts.parameters(entry)),
                on_success=tuple(self._parts.actions(entry, "successActions", "successActions")),
                on_failure=tuple(self._parts.actions(entry, "failureActions", "failureActions")),
                steps=tuple(self._steps(entry)),
                outputs=self._parts.outputs(entry),
            )
            if name in seen:
                entry.error(("workflowId",), f'the workflow "{name}" stands twice')
            elif name:
                seen.add(name)
                yield workflow

    def _steps(self, workflow: Reader) -> Iterator[Step]:
        seen: set[str] = set()
        for raw, path in workflow.items("steps", filled=True):
            entry = self._reader(raw, path, "Step Object", _STEP)
            entry.require("stepId")
            name = entry.text("stepId", _ID)
            kinds = [
                kind for kind in ("operationId", "operationPath", "workflowId") if kind in entry
            ]
            if entry.usable and len(kinds) != 1:
                found = f"found {' and '.join(kinds)}" if kinds else "found none"
                message = "a step has one of operationId, operationPath and workflowId"
                entry.error((), message, found)
            step = Step(
                path=path,
                step_id=name or "",
                operation_id=entry.text("operationId"),
                operation_path=entry.text("operationPath"),
                workflow_id=entry.text("workflowId"),
                parameters=tuple(self._parts.parameters(entry, call="workflowId" in entry)),
                body=self._body(entry),
                criteria=tuple(self._parts.criteria(entry, "successCriteria")),
                on_success=tuple(self._parts.actions(entry, "onSuccess", "successActions")),
                on_failure=tuple(self._parts.actions(entry, "onFailure", "failureActions")),
                outputs=self._parts.outputs(entry),
            )
            if name in seen:
                entry.error(("stepId",), f'the step "{name}" stands twice in its workflow')
            elif name:
                seen.add(name)
                yield step

    def _body(self, step: Reader) -> Body | None:
        if "requestBody" not in step:
            return None
        path = (*step.path, "requestBody")
        fields = ("contentType", "payload", "replacements")
        entry = self._reader(step.raw["requestBody"], path, "Request Body Object", fields)
        return Body(
            path=path,
            content_type=entry.text("contentType") or "",
            payload=entry.raw.get("payload", MISSING),
            replacements=tuple(self._replacements(entry)),
        )

    def _replacements(self, body: Reader) -> Iterator[Replacement]:
        for raw, path in body.items("replacements"):
            entry = self._reader(raw, path, "Payload Replacement Object", ("target", "value"))
            entry.require("target", "value")
            target = entry.text("target")
            if target is not None and "value" in entry:
                yield Replacement(path=path, target=target, value=entry.raw["value"])
