"""The compiled workflow that the interpreter runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from loadcheck.workflow.exchange import Exchange, Request, Wait
from loadcheck.workflow.expressions import Evaluate, Frame, Slot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledCriterion:
    """A compiled criterion.

    Attributes:
        text: The condition in words, for the reason of a failure.
        holds: Whether it holds in a frame that contains the exchange to judge.
        uses: What it depends on.
    """

    text: str
    holds: Callable[[Frame], bool]
    uses: frozenset[str]


T = TypeVar("T")
Flow: TypeAlias = Generator[Request | Wait, Exchange, T]
"""Yields requests to send and pauses to make; is sent the exchange that each request led to."""
Inputs: TypeAlias = Callable[[Frame], dict[str, Any]]
"""Returns the inputs of a workflow, given its caller's frame."""


def first_request(flow: Flow[Any]) -> Request | None:
    """Return the first request of a flow, and close it; None if it sends nothing or waits first."""
    effect = next(flow, None)
    flow.close()
    return effect if isinstance(effect, Request) else None


MAX_JUMPS: Final = 1000
"""Most transfers of control (goto, calls, steps run before a retry) that one copy may make."""

MAX_DEPTH: Final = 50
"""Maximum depth of workflows that call each other."""


class RetryPolicy(Protocol):
    """Decides what to do when a step failed and no failure action of the document applies."""

    def __call__(self, exchange: Exchange, attempt: int, /) -> float | None:
        """Return how many seconds to wait before the next attempt, or None to give up.

        Args:
            exchange: The attempt that failed.
            attempt: Its number, counted from 1.
        """


def no_retry(_exchange: Exchange, _attempt: int, /) -> None:
    """Give up at once."""


@dataclass(slots=True, kw_only=True, eq=False)
class CompiledAction:
    """A success or failure action.

    Attributes:
        kind: What to do.
        criteria: The action is taken if all of them hold.
        step: Index of the step to go to, or to run before a retry; None for none.
        workflow: The workflow to go to, or to run before a retry; None for none.
        inputs: Returns that workflow's inputs.
        retry_after_s: Wait before a retry, unless the answer has a ``Retry-After``.
        retry_limit: Most retries.
    """

    kind: Literal["end", "goto", "retry"]
    criteria: tuple[CompiledCriterion, ...] = ()
    step: int | None = None
    workflow: CompiledWorkflow | None = None
    inputs: Inputs | None = None
    retry_after_s: float = 0.0
    retry_limit: int = 1


@dataclass(slots=True, kw_only=True, eq=False)
class CompiledStep:
    """A compiled step: a request, or the call of a workflow.

    Attributes:
        step_id: Its name.
        render: Makes the request; None if the step calls a workflow.
        call: The workflow that it calls; None if it sends a request.
        inputs: Returns the call's inputs; optional ones without a value are left out.
        once: The call is a dependency: skipped if the workflow has completed in this copy.
        criteria: Success criteria; without any, a 2xx status is a success.
        outputs: Slot in the frame and value of each output that is read.
        on_success: Success actions; the first whose criteria hold is taken.
        on_failure: Failure actions, likewise.
    """

    step_id: str
    render: Callable[[Frame], Request] | None = None
    call: CompiledWorkflow | None = None
    inputs: Inputs | None = None
    once: bool = False
    criteria: tuple[CompiledCriterion, ...] = ()
    outputs: tuple[tuple[int, Evaluate], ...] = ()
    on_success: tuple[CompiledAction, ...] = ()
    on_failure: tuple[CompiledAction, ...] = ()

    @property
    def has_transfers(self) -> bool:
        """Whether it calls a workflow or has an action that transfers control."""
        if self.call is not None:
            return True
        actions = (*self.on_success, *self.on_failure)
        return any(action.step is not None or action.workflow is not None for action in actions)


@dataclass(slots=True, kw_only=True, eq=False)
class CompiledWorkflow:
    """A compiled workflow.

    Attributes:
        key: Its name, unique among all workflows of the plan.
        steps: Its steps in order.
        empty_frame: The initial frame, copied for every run.
        outputs: Name and value of each output that is read.
        unsendable: Reason why requests could not be made → how often.
    """

    key: str
    steps: tuple[CompiledStep, ...] = ()
    empty_frame: Frame = field(default_factory=list)
    outputs: tuple[tuple[str, Evaluate], ...] = ()
    unsendable: Counter[str] = field(default_factory=Counter)


class CallContext:
    """State shared by all workflows that one copy runs.

    Attributes:
        depth: How many calls are nested at present.
        jumps: Transfers of control so far.
        workflows: Key of each completed workflow → its inputs and outputs.
    """

    __slots__ = ("depth", "jumps", "workflows")

    def __init__(self) -> None:
        self.depth = 0
        self.jumps = 0
        self.workflows: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def count_transfer(self) -> bool:
        """Count a transfer of control; return False if there have been too many."""
        self.jumps += 1
        return self.jumps <= MAX_JUMPS


def enter(machine: CompiledWorkflow, frame: Frame, inputs: Mapping[str, Any]) -> Frame:
    """Return a frame for a workflow that is called, or jumped to, from ``frame``."""
    inner = machine.empty_frame.copy()
    inner[Slot.NUMBER : Slot.INPUTS] = frame[Slot.NUMBER : Slot.INPUTS]
    inner[Slot.INPUTS] = inputs
    inner[Slot.WORKFLOWS] = frame[Slot.WORKFLOWS]
    return inner
