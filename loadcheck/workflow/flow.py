"""Running a compiled workflow: a generator that yields requests and is sent what came of them."""

from __future__ import annotations

import email.utils
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar

from loadcheck.workflow.exchange import Exchange, Pause, Request
from loadcheck.workflow.values import Evaluate, Frame, Slot, UnsendableError

if TYPE_CHECKING:
    from loadcheck.workflow.criteria import Criterion

T = TypeVar("T")
Flow: TypeAlias = Generator[Request | Pause, Exchange, T]
Inputs: TypeAlias = Callable[[Frame], dict[str, Any]]

MAX_JUMPS: Final = 1000
"""Transfers of control (goto, calls, steps run before a retry) that one copy may make."""

MAX_DEPTH: Final = 50
"""Workflows that call each other may be nested this deep."""

_SUCCESS: Final = range(200, 300)


class RetryPolicy(Protocol):
    """What to do when a step failed and no failure action of the document says."""

    def __call__(self, exchange: Exchange, attempt: int, /) -> float | None:
        """Return how many seconds to wait before the next attempt, or None to give up.

        Args:
            exchange: The attempt that failed.
            attempt: Its number, counted from 1.
        """


def no_retry(_exchange: Exchange, _attempt: int, /) -> None:
    """Give up at once."""


@dataclass(slots=True, kw_only=True, eq=False)
class Action:
    """A success or failure action.

    Attributes:
        kind: What to do.
        criteria: All must hold for it to be taken.
        step: Index of the step to go to, or to run before a retry; None: not a step.
        workflow: The workflow to go to, or to run before a retry.
        inputs: Gives that workflow's inputs.
        retry_after_s: Wait before a retry.
        retry_limit: How many retries in all.
    """

    kind: Literal["end", "goto", "retry"]
    criteria: tuple[Criterion, ...] = ()
    step: int | None = None
    workflow: Machine | None = None
    inputs: Inputs | None = None
    retry_after_s: float = 0.0
    retry_limit: int = 1


@dataclass(slots=True, kw_only=True, eq=False)
class Step:
    """A compiled step: a request, or the call of a workflow.

    Attributes:
        step_id: Its name.
        render: Makes the request; None if the step calls a workflow.
        call: The workflow that it calls.
        inputs: The call's inputs; an optional one without value is left out.
        once: The call is a dependency: skipped if the workflow has completed in this copy.
        criteria: Success criteria; without any, a 2xx status is a success.
        outputs: Where in the frame to put which value.
        on_success: Success actions; the first whose criteria hold is taken.
        on_failure: Failure actions, likewise.
    """

    step_id: str
    render: Callable[[Frame], Request] | None = None
    call: Machine | None = None
    inputs: Inputs | None = None
    once: bool = False
    criteria: tuple[Criterion, ...] = ()
    outputs: tuple[tuple[int, Evaluate], ...] = ()
    on_success: tuple[Action, ...] = ()
    on_failure: tuple[Action, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether there is something to do behind it."""
        return bool(self.outputs or self.on_success)

    @property
    def journeys(self) -> bool:
        """Whether it calls a workflow, or an action of it transfers control."""
        if self.call is not None:
            return True
        actions = (*self.on_success, *self.on_failure)
        return any(action.step is not None or action.workflow is not None for action in actions)


@dataclass(slots=True, kw_only=True, eq=False)
class Machine:
    """A compiled workflow.

    Attributes:
        key: Names it among all workflows of the plan.
        steps: Its steps in order.
        blank: A frame with nothing in it yet.
        outputs: The workflow's outputs that somebody reads.
        unsent: Why requests could not be made, with how often.
    """

    key: str
    steps: tuple[Step, ...] = ()
    blank: Frame = field(default_factory=list)
    outputs: tuple[tuple[str, Evaluate], ...] = ()
    unsent: Counter[str] = field(default_factory=Counter)


class Journey:
    """What the workflows that one copy runs through have in common."""

    __slots__ = ("depth", "jumps", "workflows")

    def __init__(self) -> None:
        self.depth = 0
        self.jumps = 0
        self.workflows: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def jump(self) -> bool:
        """Count a transfer of control; False if there have been too many."""
        self.jumps += 1
        return self.jumps <= MAX_JUMPS


_GIVE_UP: Final = Action(kind="end")


def enter(machine: Machine, frame: Frame, inputs: Mapping[str, Any]) -> Frame:
    """Return a frame for a workflow that is reached from ``frame``."""
    inner = machine.blank.copy()
    inner[Slot.NUMBER : Slot.INPUTS] = frame[Slot.NUMBER : Slot.INPUTS]
    inner[Slot.INPUTS] = inputs
    inner[Slot.WORKFLOWS] = frame[Slot.WORKFLOWS]
    return inner


def run(machine: Machine, frame: Frame, retry: RetryPolicy, end: int) -> Flow[bool]:
    """Run a workflow from its first step.

    Args:
        machine: The workflow.
        frame: Its frame.
        retry: Asked when a step fails and the document does not say what to do.
        end: Index of the step that is not run any more: reaching it is success.

    Returns:
        Whether the workflow succeeded.
    """
    steps = machine.steps
    position = 0
    while position < end:
        step = steps[position]
        exchange = request = None
        if step.render is None:
            success = yield from _call(step, frame, retry)
        else:
            try:
                request = step.render(frame)
            except UnsendableError as error:
                machine.unsent[f"{step.step_id}: {error}"] += 1
                return False
            frame[0] = exchange = yield request
            success = judge(step, frame, exchange)
        action = None
        if not success:
            action = yield from _recover(machine, step, frame, request, exchange, retry)
            success = action is None
        if step.follows:
            action = _follow(step, frame, action, success=success)
        if action is None:
            position += 1
            continue
        entered = None if action.kind == "end" else _transfer(machine, step, action, frame)
        if entered is None:
            return success and action.kind == "end"
        position = action.step or 0
        if action.workflow is not None:
            machine, frame = action.workflow, entered
            steps, end = machine.steps, len(machine.steps)
    return True


def _follow(step: Step, frame: Frame, action: Action | None, *, success: bool) -> Action | None:
    """Store the outputs of a step; return what to do next."""
    for slot, evaluate in step.outputs:
        frame[slot] = evaluate(frame)
    return _matching(step.on_success, frame) if success else action


def judge(step: Step, frame: Frame, exchange: Exchange) -> bool:
    """Judge an attempt by the step's success criteria; tell the exchange."""
    if exchange.failure is not None:
        exchange.reason = exchange.detail or exchange.failure.value
        return False
    for criterion in step.criteria:
        if not criterion.holds(frame):
            exchange.reason = f"{criterion.text} does not hold"
            return False
    if not step.criteria and exchange.status not in _SUCCESS:
        exchange.reason = f"status {exchange.status}"
        return False
    exchange.success = True
    return True


def _transfer(machine: Machine, step: Step, action: Action, frame: Frame) -> Frame | None:
    """Return the frame in which the run goes on behind a goto; None if it may not."""
    if not frame[Slot.WORKFLOWS].jump():
        machine.unsent[f"{step.step_id}: more than {MAX_JUMPS} transfers of control"] += 1
        return None
    if action.workflow is None:
        return frame
    return _entered(action.workflow, step, action.inputs, frame)


def _entered(target: Machine, step: Step, inputs: Inputs | None, frame: Frame) -> Frame | None:
    try:
        return enter(target, frame, {} if inputs is None else inputs(frame))
    except UnsendableError as error:
        target.unsent[f"{step.step_id}: {error}"] += 1
        return None


def _make(machine: Machine, step: Step, frame: Frame) -> Request | None:
    if step.render is None:
        return None
    try:
        return step.render(frame)
    except UnsendableError as error:
        machine.unsent[f"{step.step_id}: {error}"] += 1
        return None


def _recover(
    machine: Machine,
    step: Step,
    frame: Frame,
    request: Request | None,
    exchange: Exchange | None,
    retry: RetryPolicy,
) -> Flow[Action | None]:
    """Repeat a step that failed; return None once it succeeds, else what to do."""
    attempt = 1
    used: dict[int, int] = {}
    while True:
        found, action = _failure_action(step.on_failure, frame, used)
        if action is None:
            wait = None if found or exchange is None else retry(exchange, attempt)
        elif action.kind != "retry":
            return action
        else:
            wait = _delay_s(action, exchange)
            ready, request = yield from _prepare(machine, step, action, request, frame, retry)
            wait = wait if ready else None
        if wait is None:
            return _GIVE_UP
        if wait > 0:
            yield Pause(wait)
        attempt += 1
        if request is None:
            success = yield from _call(step, frame, retry)
        else:
            exchange = yield request
            frame[0] = exchange
            success = judge(step, frame, exchange)
        if success:
            return None


def _delay_s(action: Action, exchange: Exchange | None) -> float:
    asked = None if exchange is None else retry_after_s(exchange)
    return action.retry_after_s if asked is None else asked


def _prepare(
    machine: Machine,
    step: Step,
    action: Action,
    request: Request | None,
    frame: Frame,
    retry: RetryPolicy,
) -> Flow[tuple[bool, Request | None]]:
    """Run what a retry refers to; return whether to retry, and the request then.

    The request stays the very same unless an output that it holds has changed.
    """
    if action.workflow is not None:
        inner = yield from _nested(action.workflow, step, action.inputs, frame, retry)
        ready = inner is not None
    elif action.step is not None:
        ready = _transfer(machine, step, action, frame) is not None
        if ready:
            ready = yield from run_step(machine, machine.steps[action.step], frame, retry)
    else:
        return True, request
    if not ready or step.render is None:
        return ready, request
    made = _make(machine, step, frame)
    return made is not None, request if made == request else made


def run_step(machine: Machine, step: Step, frame: Frame, retry: RetryPolicy) -> Flow[bool]:
    """Run one step on its own, without the actions that follow it."""
    if step.render is None:
        success = yield from _call(step, frame, retry)
    else:
        request = _make(machine, step, frame)
        if request is None:
            return False
        exchange = yield request
        frame[0] = exchange
        success = judge(step, frame, exchange)
    for slot, evaluate in step.outputs:
        frame[slot] = evaluate(frame)
    return success


def _call(step: Step, frame: Frame, retry: RetryPolicy) -> Flow[bool]:
    """Run the workflow that a step calls."""
    target, journey = step.call, frame[Slot.WORKFLOWS]
    if target is None or (step.once and target.key in journey.workflows):
        return True
    inner = yield from _nested(target, step, step.inputs, frame, retry)
    if inner is None:
        return False
    frame[0] = inner[0]
    outputs = {name: evaluate(inner) for name, evaluate in target.outputs}
    frame[Slot.OUTPUTS] = outputs
    journey.workflows[target.key] = (dict(inner[Slot.INPUTS]), outputs)
    return all(criterion.holds(frame) for criterion in step.criteria)


def _nested(
    target: Machine, step: Step, inputs: Inputs | None, frame: Frame, retry: RetryPolicy
) -> Flow[Frame | None]:
    """Run a workflow to its end; return its frame, None if it failed."""
    journey = frame[Slot.WORKFLOWS]
    if not journey.jump() or journey.depth >= MAX_DEPTH:
        target.unsent[f"{step.step_id}: workflows call each other too often or too deeply"] += 1
        return None
    inner = _entered(target, step, inputs, frame)
    if inner is None:
        return None
    journey.depth += 1
    success = yield from run(target, inner, retry, len(target.steps))
    journey.depth -= 1
    return inner if success else None


def _matching(actions: tuple[Action, ...], frame: Frame) -> Action | None:
    for action in actions:
        if all(criterion.holds(frame) for criterion in action.criteria):
            return action
    return None


def _failure_action(
    actions: tuple[Action, ...], frame: Frame, used: dict[int, int]
) -> tuple[bool, Action | None]:
    """Return whether any action matches, and the first that is not a retry used up."""
    found = False
    for index, action in enumerate(actions):
        if all(criterion.holds(frame) for criterion in action.criteria):
            found = True
            if action.kind != "retry":
                return True, action
            if used.get(index, 0) < action.retry_limit:
                used[index] = used.get(index, 0) + 1
                return True, action
    return found, None


def retry_after_s(exchange: Exchange) -> float | None:
    """Return how long the answer asks to wait (RFC 9110 section 10.2.3), None if it does not."""
    value = exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    at = _date(value)
    if at is None:
        return None
    now = _date(exchange.header("date") or "")
    return max(0.0, at - (time.time() if now is None else now))


def _date(value: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
