"""Runs a compiled workflow: a generator that yields requests and is sent the exchanges.

Each copy has its own cookies (RFC 6265): those set by its answers are sent with its later requests.
Domain, path and secure are respected, as is an age or a date that removes a cookie.
"""

from __future__ import annotations

import email.utils
import time
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from loadcheck.workflow.exchange import Exchange, Request, Wait, retry_after_s
from loadcheck.workflow.expressions import Frame, Slot, UnsendableError
from loadcheck.workflow.runtime import (
    MAX_DEPTH,
    MAX_JUMPS,
    CompiledAction,
    CompiledStep,
    CompiledWorkflow,
    Flow,
    Inputs,
    RetryPolicy,
    enter,
)


class Cookie(NamedTuple):
    """One cookie: its value, whether it is sent over https only, and only to the exact host."""

    value: str
    secure: bool
    host_only: bool


Jar: TypeAlias = dict[tuple[str, str, str], Cookie]
"""Domain, path and name → the cookie."""


def store_cookies(jar: Jar, exchange: Exchange) -> None:
    """Store the cookies of an answer in a jar, and remove those that it expires."""
    host = exchange.request.origin.host.lower()
    for field in exchange.header_values("set-cookie"):
        pair, _, rest = field.partition(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            continue
        attributes = {
            key.strip().lower(): text.strip()
            for key, _, text in (part.partition("=") for part in rest.split(";"))
        }
        domain = attributes.get("domain", "").lstrip(".").lower()
        if domain and domain != host and not host.endswith(f".{domain}"):
            continue  # set for a foreign domain
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = urlsplit(exchange.request.target).path.rpartition("/")[0] or "/"
        key = (domain or host, path, name)
        if _is_over(attributes):
            jar.pop(key, None)
        else:
            jar[key] = Cookie(value.strip(), "secure" in attributes, not domain)


def _is_over(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age", "")
    if age.lstrip("-").isdecimal():
        return int(age) <= 0
    try:
        expires = email.utils.parsedate_to_datetime(attributes["expires"])
        return expires.timestamp() <= time.time()
    except (KeyError, ValueError, OverflowError):
        return False


def with_cookies(jar: Jar, request: Request) -> Request:
    """Return a request with the matching cookies of a jar added after its own."""
    host, secure = request.origin.host.lower(), request.origin.scheme == "https"
    path = urlsplit(request.target).path or "/"
    chosen = [
        f"{name}={cookie.value}"
        for (domain, prefix, name), cookie in jar.items()
        if (host == domain or (not cookie.host_only and host.endswith(f".{domain}")))
        and (secure or not cookie.secure)
        and (path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/"))
    ]
    if not chosen:
        return request
    lines = request.head.split(b"\r\n")
    written = "; ".join(chosen).encode()
    for place, line in enumerate(lines):
        if line[:7].lower() == b"cookie:":
            lines[place] = line + b"; " + written
            return request._replace(head=b"\r\n".join(lines))
    return request._replace(head=request.head + b"Cookie: " + written + b"\r\n")


_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff", b"\0")
_SHOWN: Final = 200
"""Most characters of a Location that are shown."""
_GIVE_UP: Final = CompiledAction(kind="end")


def run(machine: CompiledWorkflow, frame: Frame, retry: RetryPolicy, end: int) -> Flow[bool]:
    """Run a workflow from its first step.

    Args:
        machine: The workflow.
        frame: Its frame.
        retry: Decides when a step fails and the document does not say what to do.
        end: Index of the first step that is not run: reaching it is success.

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
                machine.unsendable[f"{step.step_id}: {error}"] += 1
                return False
            frame[0] = exchange = yield request
            success = judge(step, frame, exchange)
        action = None
        if not success:
            action = yield from _recover(machine, step, frame, request, exchange, retry)
            success = action is None
        if step.outputs or step.on_success:
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


def _follow(
    step: CompiledStep, frame: Frame, action: CompiledAction | None, *, success: bool
) -> CompiledAction | None:
    """Store the outputs of a step; return the action to take next, None to go on."""
    for slot, evaluate in step.outputs:
        frame[slot] = evaluate(frame)
    return _matching(step.on_success, frame) if success else action


def judge(step: CompiledStep, frame: Frame, exchange: Exchange) -> bool:
    """Judge an attempt by the step's success criteria; record the result in the exchange."""
    if exchange.failure is not None:
        exchange.reason = exchange.detail or exchange.failure.value
        return False
    for criterion in step.criteria:
        if not criterion.holds(frame):
            exchange.reason = f"{criterion.text} does not hold{_hint(exchange)}"
            return False
    if not step.criteria and exchange.status not in _SUCCESS:
        exchange.reason = f"status {exchange.status}{_hint(exchange)}"
        return False
    exchange.success = True
    return True


def _hint(exchange: Exchange) -> str:
    """Return an explanation of an unexpected answer, to append to the reason; "" if none fits."""
    location = exchange.header("location") if exchange.status in _REDIRECTS else None
    if location is not None:
        shown = "".join(sign if sign.isprintable() else "?" for sign in location[:_SHOWN])
        return f" (redirected to {shown}, which is not followed)"
    if exchange.body.startswith(_UTF_16) or exchange.body[1:2] == b"\0":
        return " (the body is UTF-16; JSON is UTF-8: RFC 8259 section 8.1)"
    return ""


def _transfer(
    machine: CompiledWorkflow, step: CompiledStep, action: CompiledAction, frame: Frame
) -> Frame | None:
    """Return the frame in which the run continues after a goto; None if it may not continue."""
    if not frame[Slot.WORKFLOWS].count_transfer():
        machine.unsendable[f"{step.step_id}: more than {MAX_JUMPS} transfers of control"] += 1
        return None
    if action.workflow is None:
        return frame
    return _entered(action.workflow, step, action.inputs, frame)


def _entered(
    target: CompiledWorkflow, step: CompiledStep, inputs: Inputs | None, frame: Frame
) -> Frame | None:
    try:
        return enter(target, frame, {} if inputs is None else inputs(frame))
    except UnsendableError as error:
        target.unsendable[f"{step.step_id}: {error}"] += 1
        return None


def _make(machine: CompiledWorkflow, step: CompiledStep, frame: Frame) -> Request | None:
    if step.render is None:
        return None
    try:
        return step.render(frame)
    except UnsendableError as error:
        machine.unsendable[f"{step.step_id}: {error}"] += 1
        return None


def _recover(
    machine: CompiledWorkflow,
    step: CompiledStep,
    frame: Frame,
    request: Request | None,
    exchange: Exchange | None,
    retry: RetryPolicy,
) -> Flow[CompiledAction | None]:
    """Retry a step that failed; return None once it succeeds, else the action to take."""
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
        yield Wait(wait)
        attempt += 1
        if request is None:
            success = yield from _call(step, frame, retry)
        else:
            exchange = yield request
            frame[0] = exchange
            success = judge(step, frame, exchange)
        if success:
            return None


def _delay_s(action: CompiledAction, exchange: Exchange | None) -> float:
    asked = None if exchange is None else retry_after_s(exchange)
    return action.retry_after_s if asked is None else asked


def _prepare(
    machine: CompiledWorkflow,
    step: CompiledStep,
    action: CompiledAction,
    request: Request | None,
    frame: Frame,
    retry: RetryPolicy,
) -> Flow[tuple[bool, Request | None]]:
    """Run the step or workflow that a retry refers to; return whether to retry, and the request.

    The request object stays the same unless its content has changed.
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


def run_step(
    machine: CompiledWorkflow, step: CompiledStep, frame: Frame, retry: RetryPolicy
) -> Flow[bool]:
    """Run one step on its own, without its actions; return whether it succeeded."""
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


def _call(step: CompiledStep, frame: Frame, retry: RetryPolicy) -> Flow[bool]:
    """Run the workflow that a step calls; return whether the step succeeded."""
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
    target: CompiledWorkflow,
    step: CompiledStep,
    inputs: Inputs | None,
    frame: Frame,
    retry: RetryPolicy,
) -> Flow[Frame | None]:
    """Run a workflow to its end; return its frame, None if it failed."""
    journey = frame[Slot.WORKFLOWS]
    if not journey.count_transfer() or journey.depth >= MAX_DEPTH:
        target.unsendable[f"{step.step_id}: workflows call each other too often or too deeply"] += 1
        return None
    inner = _entered(target, step, inputs, frame)
    if inner is None:
        return None
    journey.depth += 1
    success = yield from run(target, inner, retry, len(target.steps))
    journey.depth -= 1
    return inner if success else None


def _matching(actions: tuple[CompiledAction, ...], frame: Frame) -> CompiledAction | None:
    for action in actions:
        if all(criterion.holds(frame) for criterion in action.criteria):
            return action
    return None


def _failure_action(
    actions: tuple[CompiledAction, ...], frame: Frame, used: dict[int, int]
) -> tuple[bool, CompiledAction | None]:
    """Return whether any action matches, and the first that does and has retries left."""
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
