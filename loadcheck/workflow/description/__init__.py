"""An Arazzo document as frozen values, each with its path in the document.

References to components are resolved: a step holds the parameters and actions themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from loadcheck.documents.reader import Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkflowSignature:
    """The part of a workflow that other workflows may refer to.

    Attributes:
        key: Its name, unique among all workflows of the plan.
        inputs: Input name → whether it is required.
        outputs: Output name → its expression.
        referenced_outputs: Names of the outputs that are read.
    """

    key: str
    inputs: Mapping[str, bool]
    outputs: Mapping[str, Any]
    referenced_outputs: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepSignature:
    """The part of a step that expressions may refer to: its outputs and its workflow call."""

    outputs: Mapping[str, Any]
    call: WorkflowSignature | None = None


Outputs: TypeAlias = Mapping[str, Any]
"""Output name → its runtime expression or, from 1.1 on, Selector Object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReference:
    """A Source Description Object."""

    path: Path
    name: str
    url: str
    type: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A Parameter Object; ``where`` is its ``in``, None for the input of a workflow."""

    path: Path
    name: str
    where: str | None
    value: Any
    value_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A Payload Replacement Object.

    ``selector`` is its selector type; "" if not given: XPath in an XML body, else a JSON Pointer.
    """

    path: Path
    target: str
    value: Any
    selector: str | None = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A Request Body Object; ``payload`` is ``MISSING`` if there is none."""

    path: Path
    content_type: str
    payload: Any
    replacements: tuple[Replacement, ...]
    payload_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A Criterion Object."""

    path: Path
    condition: str
    context: str | None
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A Success Action or Failure Action Object."""

    path: Path
    name: str
    type: Literal["end", "goto", "retry"]
    step_id: str | None
    workflow_id: str | None
    retry_after_s: float
    retry_limit: int
    criteria: tuple[Criterion, ...]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A Step Object.

    ``asynchronous`` is whether it is an AsyncAPI step; ``timeout_s`` is None without a timeout.
    """

    path: Path
    step_id: str
    operation_id: str | None
    operation_path: str | None
    workflow_id: str | None
    parameters: tuple[Parameter, ...]
    body: Body | None
    criteria: tuple[Criterion, ...]
    on_success: tuple[Action, ...]
    on_failure: tuple[Action, ...]
    outputs: Outputs
    asynchronous: bool = False
    timeout_s: float | None = None
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A Workflow Object."""

    path: Path
    workflow_id: str
    inputs: Any
    depends_on: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    on_success: tuple[Action, ...]
    on_failure: tuple[Action, ...]
    steps: tuple[Step, ...]
    outputs: Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Arazzo:
    """An Arazzo Description; ``identity`` is its ``$self`` as written, "" without one."""

    version: str
    identity: str
    title: str
    sources: tuple[SourceReference, ...]
    workflows: tuple[Workflow, ...]
    components: Mapping[str, Any] = field(default_factory=dict)
