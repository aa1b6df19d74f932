"""What is run once for all copies: the workflows of ``[setup]`` and ``[teardown]``."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import orjson

from loadcheck.data.values import LITERAL, word_of
from loadcheck.documents.document import dotted
from loadcheck.errors import Problem, ScenarioError, WorkflowError, did_you_mean
from loadcheck.load.retry import Backoff
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.scenario.model import Once as Wanted
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import HIDDEN, redactor
from loadcheck.verify.compiled import CompiledScenario, SharedPlan
from loadcheck.verify.query_client import drive
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.copydata import PER_COPY
from loadcheck.workflow.exchange import Exchange, Request
from loadcheck.workflow.identity import Run, SharedOutputs
from loadcheck.workflow.runtime.plan import CompiledOnce, Plan

Outputs = Mapping[str, Any]
Distribute = Callable[[Outputs], Awaitable[None]]
"""Sends outputs to other processes."""

_USED: Final = re.compile(r"\$setup\.outputs\.([A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)")
_COPIES: Final = (*PER_COPY, "$setup.")
_SHOWN: Final = 300
"""How many characters of a response are shown."""
_AGAIN_S: Final = 5.0
"""Wait after a failed renewal; it doubles with each further failure, up to ``every``."""
_TELLING: Final = re.compile(
    r"token|secret|passw|api.?key|session|cookie|authori|credential|jwt|signature", re.IGNORECASE
)


# before the run


def texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the strings in a value that may hold expressions, with their places in the scenario."""
    if isinstance(value, Mapping) and value.keys() == {LITERAL}:
        return
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | list | tuple):
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from texts(part, f"{key}.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OncePlans:
    """The plans of the workflows that are run once; None where there is none.

    Attributes:
        setup: Before the load.
        renewal: While it goes on.
        teardown: After everything else.
    """

    setup: Plan | None = None
    renewal: Plan | None = None
    teardown: Plan | None = None


def compile_once(scenario: Scenario, base: CompileSettings) -> tuple[Run, OncePlans]:
    """Compile what is run once; return the run with the set-up's outputs to come, and the plans.

    Args:
        scenario: The scenario.
        base: Settings of their plans, apart from workflows and inputs.

    Raises:
        ScenarioError: One cannot be compiled, or an output that is used does not exist.
    """
    run, setup, plan, renewal = base.run, scenario.setup, None, None
    problems = [*_own_inputs(scenario, "setup"), *_own_inputs(scenario, "teardown")]
    if setup is not None:
        plan = _compiled(scenario, "setup.workflow", setup, base, problems)
        if setup.renew:
            own = {name: given.value for name, given in setup.inputs.items()}
            more = replace(base, once={**(base.once or {}), **own})
            again = replace(setup, workflow=setup.renew, inputs={})
            renewal = _compiled(scenario, "setup.renew", again, more, problems)
            problems += [
                scenario.problem(
                    "setup.renew",
                    f'its output "{name}" is none of {plan.workflow_id}',
                    did_you_mean(name, plan.outputs),
                )
                for name in renewal.outputs
                if name not in plan.outputs
            ]
            if not renewal.outputs:
                message, remedy = "gives no output, so it renews nothing", "add outputs to it"
                problems.append(scenario.problem("setup.renew", message, remedy))
        run = replace(run, shared=SharedOutputs(plan.workflow_id, plan.outputs, setup.public))
        problems += [
            scenario.problem(
                "setup.public",
                f'the workflow "{plan.workflow_id}" has no output "{name}"',
                did_you_mean(name, plan.outputs),
            )
            for name in sorted(setup.public - frozenset(plan.outputs))
        ]
    problems += _unknown_outputs(scenario, plan)
    if problems:
        raise ScenarioError(problems)
    teardown = scenario.teardown
    last = None
    if teardown is not None:
        last = _compiled(scenario, "teardown.workflow", teardown, replace(base, run=run), [])
    return run, OncePlans(setup=plan, renewal=renewal, teardown=last)


def offered(scenario: Scenario) -> dict[str, Any]:
    """Return the ``[inputs]`` that are usable in a workflow that is run once."""
    return {
        name: given.value
        for name, given in scenario.inputs.items()
        if not any(word in text for _, text in texts(given.value, "") for word in _COPIES)
        and word_of(given.value) is None
    }


def _own_inputs(scenario: Scenario, key: str) -> list[Problem]:
    """Return a problem for each input of ``[setup]`` or ``[teardown]`` that depends on a copy."""
    wanted = scenario.setup if key == "setup" else scenario.teardown
    also = ("$setup.",) if key == "setup" else ()
    if wanted is None:
        return []
    return [
        scenario.problem(
            place,
            f'"{text}" has no value there: the workflow is run once, for all copies',
            "give it a value that needs no copy" + (" and no output of its own" if also else ""),
        )
        for name, given in wanted.inputs.items()
        for place, text in texts(given.value, dotted([key, "inputs", name]))
        if any(word in text for word in (*PER_COPY, *also))
    ]


def _unknown_outputs(scenario: Scenario, plan: Plan | None) -> list[Problem]:
    """Return a problem for each place that names an output which ``[setup]`` does not have."""
    names = () if plan is None else plan.outputs
    once = [] if scenario.teardown is None else [("teardown.inputs", scenario.teardown.inputs)]
    places = [
        (dotted([*table.split("."), name]), given.value)
        for table, entries in (("inputs", scenario.inputs), *once)
        for name, given in entries.items()
    ]
    places += [(f"overlay.{n}.value", edit.value) for n, edit in enumerate(scenario.overlay)]
    places += [("verify", scenario.document.get("verify")), ("values", dict(scenario.values))]
    found = []
    for place, value in places:
        for key, text in texts(value, place):
            for name in _USED.findall(text):
                words = name.split(".")
                if any(".".join(words[:end]) in names for end in range(1, len(words) + 1)):
                    continue
                if plan is None:
                    message, remedy = (
                        f'"$setup.outputs.{name}": the scenario has no [setup]',
                        'name the workflow that gives it: [setup] workflow = "login"',
                    )
                else:
                    message = f'the workflow "{plan.workflow_id}" has no output "{words[0]}"'
                    remedy = did_you_mean(words[0], names) or "it declares none: add outputs to it"
                found.append(scenario.problem(key, message, remedy))
    return found


def used_outputs(scenario: Scenario, plan: Plan, own: Plan) -> tuple[str, ...]:
    """Return the outputs of the set-up that copies, queries or the tear-down need."""
    words = {word for step in plan.steps for word in step.uses if word.startswith("$setup.")}
    parts = [scenario.document.get(key) for key in ("inputs", "overlay", "verify", "teardown")]
    written = {name for _, text in texts(parts, "") for name in _USED.findall(text)}
    words |= {f"$setup.outputs.{name}" for name in written}
    return tuple(name for name in own.outputs if f"$setup.outputs.{name}" in words)


def _compiled(
    scenario: Scenario, key: str, wanted: Wanted, base: CompileSettings, problems: list[Problem]
) -> Plan:
    inputs = {name: given.value for name, given in wanted.inputs.items()}
    try:
        return compile_plan(replace(base, workflow_id=wanted.workflow, inputs=inputs))
    except WorkflowError as error:
        placed = []
        for problem in error.problems:
            at = ""
            if problem.message.startswith("there is no workflow"):
                at = key
            elif problem.key.startswith("inputs.") and not problem.file:
                at = f"{key.partition('.')[0]}.{problem.key}"
            placed.append(scenario.problem(at, problem.message, problem.remedy) if at else problem)
        raise ScenarioError([*problems, *placed]) from error


# during the run


class SharedSteps:
    """Runs the workflows of ``[setup]`` and ``[teardown]`` of one run, or of several flows.

    Args:
        compiled: The compiled scenario.
        others: Further flows whose set-up and tear-down are the same: they are run for all.

    Attributes:
        notes: Notes on them, for the results.
        runs: How often the set-up has succeeded.
        failed: How often it has failed.
        ended: Why the tear-down failed; "" if it succeeded, None if it has not run.
    """

    def __init__(self, compiled: CompiledScenario, *others: CompiledScenario) -> None:
        self._compiled = compiled
        self._setup = _used_by_all([compiled, *others])
        self._teardown = compiled.teardown
        self._takers: list[tuple[SharedOutputs, Distribute | None]] = []
        self._one, self._keeper = anyio.Lock(), anyio.Lock()
        self._why: str | None = None
        self._due_s = self._behind_s = 0.0
        self._touched = False
        self.notes: list[str] = []
        self.runs = self.failed = 0
        self.ended: str | None = None
        if others and _names_run(compiled):
            self.notes.append(
                f"[setup] and [teardown] run once for {1 + len(others)} flows, and $run.id in them "
                f"is that of {compiled.scenario.name}: data that is taken away by $run.id needs a "
                "[teardown] in each flow"
            )

    async def set_up(
        self, compiled: CompiledScenario | None = None, distribute: Distribute | None = None
    ) -> str:
        """Run the set-up, unless another flow has; return why the load cannot begin, or "".

        Args:
            compiled: The flow that uses its outputs; None: the only one.
            distribute: Sends the outputs to the processes that send its load.
        """
        if self._setup is None:
            return ""
        async with self._one:
            if self._why is None:
                self._why = "it was cut short"  # kept if cancelled: it is not begun again
                self._why = await self._renew(self._setup)
                self._due_s = anyio.current_time() + (self._setup.wanted.every_s or 0.0)
            if self._why:
                return f"the set-up failed: {self._why}"
            taker = ((compiled or self._compiled).run.shared, distribute)
            self._takers.append(taker)
            await self._hand([taker])
        return ""

    async def keep_renewed(self) -> None:
        """Renew the set-up's outputs at the scenario's interval, until cancelled.

        If several flows share it, one of them does; when that one has ended, another takes over.
        """
        setup = self._setup
        if setup is None or setup.wanted.every_s is None:
            return
        every_s, part = setup.wanted.every_s, setup.renewal or setup
        async with self._keeper:
            while True:
                await anyio.sleep(max(0.0, self._due_s - anyio.current_time()))
                async with self._one:
                    why = await self._renew(part)
                    if not why:
                        await self._hand(self._takers)
                if why:
                    text = "the outputs of the set-up were not renewed, the old ones are used"
                    self._note(f"{text}: {why}")
                    wait_s = self._behind_s or min(_AGAIN_S, every_s)
                    self._behind_s = min(2 * wait_s, every_s)
                else:
                    wait_s, self._behind_s = every_s, 0.0
                self._due_s = anyio.current_time() + wait_s

    async def tear_down(self) -> None:
        """Run the tear-down, if the run has got as far as its set-up, within its time limit."""
        teardown = self._teardown
        if teardown is None or self.ended is not None or not (self._touched or self._setup is None):
            return
        self.ended = "it was cut short"
        self.ended = await self._run(teardown, self._begun(teardown))
        made = self.runs or self._setup is None or not teardown.plan.unsendable
        if self.ended and made:  # else the set-up failed before there was anything to take away
            self._note(f"the tear-down failed: {self.ended}")

    def summary(self) -> dict[str, Any]:
        """Return their sections of the results file."""
        found: dict[str, Any] = {}
        if self._setup is not None:
            found["setup"] = {
                "workflow": self._setup.wanted.workflow,
                "outputs": list(self._compiled.run.shared.names),
                "runs": self.runs,
                "failed": self.failed,
            }
        if self._teardown is not None:
            found["teardown"] = {
                "workflow": self._teardown.wanted.workflow,
                "success": None if self.ended is None else not self.ended,
                "error": self.ended or None,
            }
        return found

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    async def _renew(self, setup: SharedPlan) -> str:
        """Run the set-up and adopt its outputs; return why that failed, or ""."""
        shared = self._compiled.run.shared
        run, why, ended = self._begun(setup), "it was cut short", False
        try:
            why, ended = await self._run(setup, run), True
        finally:
            outputs = run.outputs()
            lacking = [name for name in setup.used if name not in outputs]
            if not why and lacking:
                why = "its answers have no value for the output " + ", ".join(lacking)
            self.failed += bool(why) and (ended or not self.runs)
            # the tear-down has to take away what half a set-up has made
            if not why or not self.runs:
                shared.take({**shared.values, **outputs}, run.passed())
        if why:
            return why
        self.runs += 1
        return ""

    async def _hand(self, takers: Iterable[tuple[SharedOutputs, Distribute | None]]) -> None:
        """Give flows the outputs, and the secrets that the set-up has seen."""
        shared = self._compiled.run.shared
        for taker, distribute in list(takers):
            if taker is not shared:
                taker.values, taker.hidden = shared.values, taker.hidden | shared.hidden
            if distribute is not None:
                await distribute(shared.values)

    def _begun(self, part: SharedPlan) -> CompiledOnce:
        part.plan.unsendable.clear()
        backoff = Backoff(self._compiled.scenario.retry, self._compiled.seed)
        return part.plan.once(time.time_ns() // 1_000_000, backoff)

    async def _run(self, part: SharedPlan, run: CompiledOnce) -> str:
        """Run a workflow; return why it failed, "" if it did not."""
        asked: list[Exchange] = []
        success: bool | None = None
        with anyio.move_on_after(part.wanted.timeout_s):
            async with httpx_transport(part.transport) as transport:

                async def send(request: Request) -> Exchange:
                    self._touched = True
                    asked.append(await transport.send(request))
                    return asked[-1]

                success = await drive(run.flow, send)
        last = asked[-1] if asked else None
        self._compiled.run.shared.hide(run.outputs(), run.passed())
        if success is None:
            step = f" behind the step {part.plan.steps[last.request.step].step_id}" if last else ""
            return f"it was not over within {part.wanted.timeout_s:g} s{step}"
        if success:
            return ""
        unsendable = "; ".join(part.plan.unsendable)
        why = self._failure(part.plan, last) if last is not None and not last.success else ""
        return why or unsendable or "none of its steps could be run"

    def _failure(self, plan: Plan, exchange: Exchange) -> str:
        """Return the response to a failed step, without anything that may be a secret."""
        step = plan.steps[exchange.request.step]
        hidden = redactor(self._compiled.secrets)
        text = f"the step {step.step_id} ({step.method} {step.origin}{step.path})"
        text += f" was answered {exchange.status}: " if exchange.status else ": "
        text += exchange.reason or "it failed"
        body = _masked_beginning(exchange.body)
        return hidden.text(f"{text}; the answer: {body}" if body else text)


def alike(flows: Sequence[CompiledScenario]) -> list[SharedSteps]:
    """Return the steps that each flow runs once: one object for flows that want the same."""
    groups: dict[str, list[CompiledScenario]] = {}
    keys = [_wish(each) for each in flows]
    for key, each in zip(keys, flows, strict=True):
        groups.setdefault(key, []).append(each)
    made = {key: SharedSteps(*each) for key, each in groups.items()}
    return [made[key] for key in keys]


def _wish(compiled: CompiledScenario) -> str:
    """Return a key of a flow's set-up and tear-down: equal for flows that can share them."""
    scenario, run = compiled.scenario, compiled.run
    steps = {step.step_id for part in compiled.once for step in part.plan.steps}
    with run.shared.assumed():
        inputs = [sorted(part.plan.inputs(0, 0).items()) for part in compiled.once]
    parts = (
        replace(scenario.workflow, id=None),
        scenario.target,
        [replace(part.wanted, inputs={}) for part in compiled.once],
        [edit for edit in scenario.overlay if edit.step in steps],
        inputs,
    )
    return repr(parts).replace(run.id, "")


def _used_by_all(flows: Sequence[CompiledScenario]) -> SharedPlan | None:
    """Return a set-up with every output that one of the flows uses."""
    setup = flows[0].setup
    if setup is None:
        return None
    wanted = {name for each in flows if each.setup is not None for name in each.setup.used}
    used = tuple(sorted(wanted))
    renewal = setup.renewal
    if renewal is not None:
        own = tuple(name for name in used if name in renewal.plan.outputs)
        renewal = replace(renewal, used=own)
    return replace(setup, used=used, renewal=renewal)


def _names_run(compiled: CompiledScenario) -> bool:
    return any(
        word.startswith("$run.id")
        for part in compiled.once
        for step in part.plan.steps
        for word in step.uses
    )


def _masked_beginning(body: bytes) -> str:
    """Return the beginning of a response, without the values of members named like secrets."""
    try:
        text = orjson.dumps(_masked(orjson.loads(body))).decode()
    except ValueError:
        text = "" if b"\0" in body else body[: 4 * _SHOWN].decode("utf-8", "replace")
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN
            if _TELLING.search(name) and isinstance(each, str | int) and len(str(each)) > 1
            else _masked(each)
            for name, each in value.items()
        }
    return [_masked(each) for each in value] if isinstance(value, list) else value
