"""Compiles a scenario, and refuses all that cannot work, before the first byte is sent."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from loadcheck import scenario as scenarios
from loadcheck import secrets
from loadcheck.documents import split_http_url
from loadcheck.documents.document import MAX_BYTES, dotted
from loadcheck.emulator import config as emulator_config
from loadcheck.errors import (
    ConsentError,
    InputError,
    Problem,
    ScenarioError,
    WorkflowError,
    did_you_mean,
)
from loadcheck.load.engine import LoadSpec
from loadcheck.load.pacer import max_requests, pacer_of, planned_copies
from loadcheck.load.transport import TransportSettings
from loadcheck.load.transport.routes import FetchTransport, LeavingError, Proxies, Routes
from loadcheck.measure.record import WORKFLOW, whole_name
from loadcheck.pipeline import exported
from loadcheck.pipeline.data import user_problems, with_data
from loadcheck.pipeline.once import compile_once, offered, used_outputs
from loadcheck.pipeline.target import Address, tls_problems
from loadcheck.scenario import grammar
from loadcheck.scenario.model import Input, Once, OpenLoad, Scenario, Threshold, Timeouts
from loadcheck.secrets import keep, without_userinfo
from loadcheck.verify import lasts, thresholds
from loadcheck.verify import queries as marks
from loadcheck.verify.compiled import CompiledScenario, SharedPlan
from loadcheck.verify.metrics import MetricNames
from loadcheck.verify.queries import QueryFactory
from loadcheck.verify.session import VerificationSpec
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.copydata import PER_COPY
from loadcheck.workflow.description.loader import password_inputs
from loadcheck.workflow.identity import BUCKETS, Buckets, Run
from loadcheck.workflow.runtime import no_retry
from loadcheck.workflow.runtime.plan import Plan, Role, StepPlan

_TIMEOUT_S = 8.0
_MAX_REDIRECTS = 5
_QUERIES_AT_ONCE = 4


_FETCHED: ContextVar[dict[str, bytes] | None] = ContextVar("fetched", default=None)


@contextmanager
def fetching() -> Iterator[dict[str, bytes]]:
    """Record what is read from URLs in a block: URL → content."""
    noted: dict[str, bytes] = {}
    token = _FETCHED.set(noted)
    try:
        yield noted
    finally:
        _FETCHED.reset(token)


def fetch(url: str, *, consent: bool = False) -> bytes:
    """Return the content of a URL, cut off soon after the size limit of documents.

    Args:
        url: The URL of a description, which may be on another machine.
        consent: Whether the user lets requests leave this machine.

    Raises:
        ConsentError: The URL or a redirect leaves this machine, and ``consent`` is false.
        OSError: It cannot be fetched, or not within eight seconds in all.
    """
    try:
        split_http_url(url)
    except ValueError as error:
        raise OSError(str(error)) from None
    found: list[bytes | OSError | InputError] = []

    def work() -> None:
        try:
            found.append(_download(url, time.monotonic() + _TIMEOUT_S, consent=consent))
        except (OSError, InputError) as error:
            found.append(error)

    # httpx limits the wait for each piece only: headers that trickle in would never end
    thread = threading.Thread(target=work, name="fetch", daemon=True)
    thread.start()
    thread.join(_TIMEOUT_S)
    answer = found[0] if found else _too_late()
    if isinstance(answer, OSError | InputError):
        raise answer
    noted = _FETCHED.get()
    if noted is not None:
        noted[url] = answer
    return answer


def _too_late() -> OSError:
    return OSError(f"it did not arrive within {_TIMEOUT_S:g} s")


def _download(url: str, until: float, *, consent: bool) -> bytes:
    proxies = Proxies(os.environ)
    with httpx.Client(
        transport=FetchTransport(Routes(proxies=proxies, consent=consent)),
        timeout=_TIMEOUT_S,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        trust_env=False,
    ) as client:
        try:
            with client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
                if not response.is_success:
                    raise OSError(f"the server answered {response.status_code}")
                content = b""
                coding = response.headers.get("content-encoding", "identity")
                if coding != "identity":  # a few bytes may stand for any number
                    raise OSError(f"the answer is coded with {coding}, which was not asked for")
                for piece in response.iter_raw():
                    if time.monotonic() > until:
                        raise _too_late()
                    content += piece
                    if len(content) > MAX_BYTES:
                        break
                return content
        except LeavingError as error:
            message = f"the description {without_userinfo(url)} is not read: {error}"
            remedy = "or read it from a file: --source NAME=FILE"
            raise ConsentError(Problem(message=message, remedy=remedy)) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise OSError(str(error) or type(error).__name__) from error


_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def read_scenario(
    path: Path, changes: Sequence[str], *, profile: str, environment: Mapping[str, str]
) -> Scenario:
    """Return a scenario as the options change it; its workflow's passwords are among its secrets.

    Raises:
        ScenarioError: Something in it, or among the changes, cannot be used.
    """
    return hide_passwords(scenarios.load(path, overrides=changes, profile=profile, env=environment))


def hide_passwords(scenario: Scenario) -> Scenario:
    """Return the scenario with the inputs that its workflow declares as passwords made secret.

    Arazzo 1.1.0, ``format: password``. A document that cannot be read declares none: it is refused
    when it is compiled.
    """
    if scenario.flows:
        return replace(scenario, flows=tuple(map(hide_passwords, scenario.flows)))
    workflow = scenario.workflow
    names = password_inputs(workflow.document, workflow.id)
    once: dict[str, Any] = {}
    for key, part in (("setup", scenario.setup), ("teardown", scenario.teardown)):
        if part is not None:
            own = password_inputs(workflow.document, part.workflow)
            once[key] = replace(part, inputs=_without_passwords(part.inputs, own))
            names |= own
    return replace(scenario, inputs=_without_passwords(scenario.inputs, names), **once)


def _without_passwords(inputs: Mapping[str, Input], names: Collection[str]) -> dict[str, Input]:
    hidden = {
        name: replace(given, secret=True, hidden=given.hidden | {given.value})
        for name, given in inputs.items()
        if name in names and isinstance(given.value, str) and not given.value.startswith("$")
    }
    keep(value for given in hidden.values() for value in given.hidden)
    return {**inputs, **hidden}


def compile_scenario(
    scenario: Scenario, run: Run, address: Address, *, seed: int, consent: bool = False
) -> CompiledScenario:
    """Compile a scenario.

    Args:
        scenario: The scenario.
        run: Identity of the run, and what its target supplies.
        address: Where its requests go.
        seed: Random seed.
        consent: Whether descriptions may be read from other machines.

    Raises:
        InputError: With every problem found.
    """
    if scenario.flows:
        remedy = "loadcheck run and loadcheck check take several at once; here name one workflow"
        raise ScenarioError(scenario.problem("mix", "is several workflows", remedy))
    secrets.keep(scenario.secrets | frozenset(run.target.values()))
    verify = scenario.verify
    problems = _emulator_problems(scenario) + tls_problems(scenario)
    scenario, run = with_data(scenario, run, seed, problems)

    base = _settings(scenario, run, address, consent=consent)
    run, once = compile_once(scenario, replace(base, once=offered(scenario)))
    problems += [*_ingest_problems(scenario), *_rows_problems(scenario, seed)]
    settings = _copy_settings(scenario, replace(base, run=run))
    plan = _compile(scenario, problems, settings)
    ingest = _choose(scenario, "ingest", verify.ingest, _ingests(plan.steps), problems)
    observer = queries = factory = None
    if verify.enabled:
        observers = [step for step in plan.steps if _is_observer(scenario, step, ingest)]
        observer = _choose(scenario, "step", verify.step, observers, problems)
        if verify.uniques is None:
            message = "is missing: where in the observer step's answer is the count of users?"
            remedy = 'e.g. uniques = "$response.body#/data/count", or enabled = false'
            problems.append(scenario.problem("verify.uniques", message, remedy))
        elif observer is not None:
            factory = QueryFactory(verify, settings, observer, scenario.problem)
            queries = factory.queries(plan)
    problems += _misplaced_limits(scenario, plan)
    problems += _needless_leave(scenario, plan)
    problems += _needless_thought(scenario, plan)
    problems += _lost_marks(scenario)
    words = _vocabulary(scenario, plan, observer)
    limits, misfits = _thresholds(scenario, "thresholds", scenario.thresholds, words)
    problems += misfits
    problems += [] if ingest is None else user_problems(scenario, run, plan, ingest)
    problems += [] if problems else _unsendable(scenario, run, plan)
    if problems or ingest is None:
        raise ScenarioError(problems)
    load = scenario.load
    pacer = pacer_of(load, seed) if isinstance(load, OpenLoad) else None
    verification = None
    if observer is not None and queries is not None and factory is not None:
        verification = VerificationSpec(
            verify=verify,
            plan=plan,
            ingest=ingest,
            queries=queries,
            factory=factory,
            filtered="$run.id" in observer.uses,
            buckets=Buckets(run_id=run.id, copies=run.most_uploads),
            retry=scenario.retry,
            seed=seed,
            load_s=None if pacer is None else pacer.duration_s,
            lasting=lasts(scenario.target.kind),
        )
    spec = LoadSpec(
        workflow=settings,
        load=load,
        transport=load_transport(scenario, plan, consent=consent),
        seed=seed,
        ingest=ingest.index,
        observer=None if observer is None else observer.index,
        stages=frozenset(limit.metric.stage for limit in limits) - {""},
        retry=scenario.retry,
        limits=scenario.limits,
        drain_s=scenario.timeouts.drain_s,
    )
    compiled = CompiledScenario(
        scenario=scenario,
        run=run,
        seed=seed,
        plan=plan,
        ingest=ingest,
        observer=observer,
        load=spec,
        verification=verification,
        asking=query_transport(scenario, plan, consent=consent),
        thresholds=limits,
        pacer=pacer,
        setup=_once(scenario, plan, scenario.setup, (once.setup, once.renewal), consent=consent),
        teardown=_once(scenario, plan, scenario.teardown, (once.teardown,), consent=consent),
    )
    if verification is not None and verify.export is not None:
        exported.check(compiled)
    return compiled


def _unsendable(scenario: Scenario, run: Run, plan: Plan) -> list[Problem]:
    """Return why no copy can send anything: a value is missing that no response can give."""
    with run.shared.assumed():
        flow = plan.copy(0, time.time_ns() // 1_000_000, no_retry)
        if next(flow, None) is not None:
            flow.close()
            return []
    why = next(iter(plan.unsendable), "no step is run")
    plan.unsendable.clear()
    remedy = "give every workflow that is called the inputs that its requests are made of"
    return [scenario.problem("workflow", f"the first request cannot be made: {why}", remedy)]


def _settings(scenario: Scenario, run: Run, address: Address, *, consent: bool) -> CompileSettings:
    """Return the settings that all workflows of a scenario are compiled with."""
    return CompileSettings(
        document=scenario.workflow.document,
        name=scenario.workflow.name,
        sources=scenario.workflow.sources,
        servers={**scenario.target.servers, **address.servers},
        strict=scenario.workflow.strict,
        run=run,
        secrets=scenario.secrets,
        fetch=partial(fetch, consent=consent),
        cookies=True,
        folder=Path(scenario.file).parent,
    )


def _copy_settings(scenario: Scenario, base: CompileSettings) -> CompileSettings:
    """Return the settings that the workflow of copies is compiled with."""
    verify = scenario.verify
    condition = marks.acknowledged(scenario)
    criteria = {}
    if verify.ingest is not None and condition is not None:
        criteria[verify.ingest] = [condition]
    shares = scenario.load.copies_per_request > 1
    return replace(
        base,
        workflow_id=scenario.workflow.id,
        inputs=marks.inputs(scenario),
        overlay=marks.overlay(scenario, verify.ingest or ""),
        criteria=criteria,
        query=verify.query,
        ingest=verify.ingest,
        together=verify.batch if shares and verify.ingest else None,
        cookies=scenario.target.cookies,
    )


def _thresholds(
    scenario: Scenario, key: str, given: Sequence[Threshold], words: MetricNames
) -> tuple[tuple[thresholds.ParsedThreshold, ...], list[Problem]]:
    """Return the thresholds that parse, and a problem for each of the others, at its place."""
    limits, unparsable = thresholds.parse_all(given, words)
    return limits, [
        scenario.problem(f"{key}.{index}", problem.message, problem.remedy)
        for index, problem in unparsable.items()
    ]


def _ingest_problems(scenario: Scenario) -> list[Problem]:
    """Return problems of settings about the ingest step or its events that cannot be followed."""
    verify, load = scenario.verify, scenario.load
    needing = (
        ("verify.acknowledged", verify.acknowledged is not None),
        ("verify.split", verify.localizes),
        ("load.events_per_copy", load.events_per_copy > 1),
        ("load.copies_per_request", load.copies_per_request > 1),
    )
    remedy = "name the step that it is about in verify.ingest"
    problems = [
        scenario.problem(key, "has no step", remedy)
        for key, used in needing
        if used and verify.ingest is None
    ]
    if load.events_per_copy > 1 and verify.repeat is None:
        remedy = "say in [verify.repeat] how a copy sends further events"
        message = "the workflow's profile knows only one event a copy"
        problems.append(scenario.problem("load.events_per_copy", message, remedy))
    if load.copies_per_request > 1 and verify.batch is None:
        remedy = "name the place of the events in a request in [verify.batch]"
        message = "the workflow's profile knows only one copy a request"
        problems.append(scenario.problem("load.copies_per_request", message, remedy))
    return problems


def _once(
    scenario: Scenario,
    plan: Plan,
    wanted: Once | None,
    own: Sequence[Plan | None],
    *,
    consent: bool,
) -> SharedPlan | None:
    """Return a workflow that is run once, ready to run, with the one that renews its outputs."""
    first = own[0] if own else None
    if wanted is None or first is None:
        return None
    transport = query_transport(scenario, first, consent=consent)
    steps_s = _shorter(first, scenario.timeouts.request_s)
    return SharedPlan(
        wanted=wanted,
        plan=first,
        transport=replace(transport, timeouts=scenario.timeouts, steps_s=steps_s),
        used=used_outputs(scenario, plan, first),
        renewal=_once(scenario, plan, wanted, own[1:], consent=consent),
    )


def _rows_problems(scenario: Scenario, seed: int) -> list[Problem]:
    """Return why no count by bucket could ever be complete."""
    split = scenario.verify.split
    if split is None or not scenario.verify.localizes:
        return []
    planned = planned_copies(scenario.load, seed)
    rows = BUCKETS if planned is None else min(planned, BUCKETS)
    if split.limit > rows:
        return []
    message = (
        f"{split.limit:,} rows cannot tell a full answer of up to {rows:,} buckets from one that "
        "was cut off"
    )
    remedy = f"raise it above {rows:,}, or set verify.localize = false"
    return [scenario.problem("verify.split.limit", message, remedy)]


def _vocabulary(scenario: Scenario, plan: Plan, observer: StepPlan | None) -> MetricNames:
    """Return the names that thresholds may use."""
    load = scenario.load
    # if copies run the observer step, too, our own queries of it have another name
    ours = [f"{observer.step_id}@observer"] if observer and observer.role is Role.COPY else []
    undue = [step.step_id for step in plan.steps if step.role is not Role.COPY or step.dependent]
    return MetricNames(
        steps=[*(step.step_id for step in plan.steps), *ours, whole_name(plan.steps)],
        undue=[*undue, *ours],
        stages=[stage.name for stage in load.stages] if isinstance(load, OpenLoad) else (),
    )


def thresholds_together(scenario: Scenario) -> tuple[thresholds.ParsedThreshold, ...]:
    """Return the thresholds on all flows of a mix together.

    Raises:
        ScenarioError: A threshold is malformed, or on something that flows do not have together.
    """
    words = MetricNames(steps=[WORKFLOW], together=True)
    limits, misfits = _thresholds(scenario, "together.thresholds", scenario.together, words)
    if misfits:
        raise ScenarioError(misfits)
    return limits


def _is_observer(scenario: Scenario, step: StepPlan, ingest: StepPlan | None) -> bool:
    """Return whether one query of a step answers for all copies."""
    if scenario.verify.query == "after":
        return step.role is Role.OBSERVER
    return step is not ingest and not any(used.startswith(PER_COPY) for used in step.uses)


def _misplaced_limits(scenario: Scenario, plan: Plan) -> list[Problem]:
    """Return a problem for each limit on a step that copies do not run."""
    names = [step.step_id for step in plan.steps if step.role is Role.COPY]
    return [
        scenario.problem(
            f"limits.{name}", "is not a step that copies run", did_you_mean(name, names)
        )
        for name in scenario.limits
        if name not in names
    ]


def _lost_marks(scenario: Scenario) -> list[Problem]:
    """Return a problem for each overlay entry that replaces the mark set by an earlier one."""
    return [
        scenario.problem(
            f"overlay.{index}.at",
            f"replaces the whole of {edit.at}, and with it {mark.at}, by which the run is counted",
            f'add single values: at = "{edit.at}/NAME"',
        )
        for index, edit in enumerate(scenario.overlay)
        for mark in scenario.overlay[:index]
        if scenario.verify.enabled
        and mark.step == edit.step
        and mark.at.startswith(f"{edit.at}/")
        and "$run." in str(mark.value)
        and "$run." not in str(edit.value)
    ]


def _needless_leave(scenario: Scenario, plan: Plan) -> list[Problem]:
    """Return a problem if requests may be sent again, but none carries a deduplication key."""
    asked = scenario.places.get("retry.stale")
    if asked is None or asked.file != scenario.file or not scenario.retry.stale:
        return []
    if repeatable_steps(scenario, plan):
        return []
    message = "no request carries a key by which the service could recognise duplicates"
    remedy = "put $copy.insertId into the request, or leave stale out"
    return [scenario.problem("retry.stale", message, remedy)]


def _needless_thought(scenario: Scenario, plan: Plan) -> list[Problem]:
    """Return a problem if copies are to wait between steps, but have only one."""
    steps = [step.step_id for step in plan.steps if step.role is Role.COPY]
    sessions = scenario.sessions
    between = sessions is not None and sessions.most > 1 and "sessions.gap" not in scenario.places
    if scenario.load.think_time is None or len(steps) > 1 or between:
        return []
    message = f"has no effect: copies have one step, {', '.join(steps) or 'none'}"
    return [scenario.problem("load.think_time", message, "leave it out")]


def _compile(scenario: Scenario, problems: list[Problem], settings: CompileSettings) -> Plan:
    """Compile the plan; if that fails, report the problems found before as well."""
    try:
        return compile_plan(settings)
    except WorkflowError as error:
        named = {edit.step: f"overlay.{index}.step" for index, edit in enumerate(scenario.overlay)}
        named |= {scenario.verify.ingest or "": "verify.ingest"}
        named["load.copies_per_request"] = "load.copies_per_request"
        split = scenario.verify.split
        named |= {
            edit.at.removeprefix("$"): f"verify.split.tag.{index}.at"
            for index, edit in enumerate(split.tag if split else ())
        }
        named |= {f"inputs.{name}": dotted(["inputs", name]) for name in scenario.inputs}
        placed = [
            problem
            if problem.file or problem.key not in named
            else scenario.problem(named[problem.key], problem.message, _remedy(problem))
            for problem in error.problems
        ]
        raise ScenarioError([*problems, *placed]) from error


def _remedy(problem: Problem) -> str:
    """Return a problem's remedy, or a better one for a key below the wrong table."""
    table, _, name = problem.key.partition(".")
    if table == "inputs" and name in grammar.TOP:
        return "it belongs at the top, above the first [table]"
    return problem.remedy


def _ingests(steps: Sequence[StepPlan]) -> list[StepPlan]:
    copies = [step for step in steps if step.role is Role.COPY]
    writing = [step for step in copies if step.method not in _SAFE_METHODS]
    return writing or copies


def _choose(
    scenario: Scenario,
    key: str,
    wanted: str | None,
    candidates: Sequence[StepPlan],
    problems: list[Problem],
) -> StepPlan | None:
    """Return the step that ``verify.<key>`` means: the named one, or the only one."""
    path = f"verify.{key}"
    names = [step.step_id for step in candidates]
    role = "per-copy step that sends data" if key == "ingest" else "observer step"
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted is None:
        problem = (
            scenario.problem(
                path, f"the workflow has {len(names)} such steps", f"say which: {', '.join(names)}"
            )
            if names
            else scenario.problem(path, f"the workflow has no {role}", "see loadcheck check")
        )
        problems.append(problem)
        return None
    for step in candidates:
        if step.step_id == wanted:
            return step
    remedy = did_you_mean(wanted, names) if names else f"the workflow has no {role}"
    problems.append(scenario.problem(path, f'there is no {role} "{wanted}"', remedy))
    return None


def _emulator_problems(scenario: Scenario) -> list[Problem]:
    if scenario.target.kind != "emulator":
        return []
    try:
        emulator_config.parse(scenario.target.emulator)
    except emulator_config.ConfigError as error:
        return [
            scenario.problem(f"target.{problem.path}", problem.message, problem.remedy)
            for problem in error.problems
        ]
    return []


_INSERT_IDS = frozenset({"$copy.insertId", "$copy.insertUuid"})
"""A request that uses one carries a key by which the service recognises duplicates."""


def repeatable_steps(scenario: Scenario, plan: Plan) -> list[int]:
    """Return the steps whose requests may be sent again when an idle connection was closing."""
    if not scenario.retry.stale:
        return []
    return [step.index for step in plan.steps if step.uses & _INSERT_IDS]


def load_transport(scenario: Scenario, plan: Plan, *, consent: bool) -> TransportSettings:
    """Return the transport settings for the requests of copies."""
    return replace(
        _transport(scenario, plan, scenario.timeouts, consent=consent),
        max_connections=max_requests(scenario.load),
        repeatable=frozenset(repeatable_steps(scenario, plan)),
        transport=scenario.target.transport,
        compress=scenario.target.compress,
    )


def query_transport(scenario: Scenario, plan: Plan, *, consent: bool) -> TransportSettings:
    """Return the transport settings for queries: always httpx, with the target's proxy and TLS."""
    timeout_s = scenario.verify.timeout_s
    timeouts = replace(scenario.timeouts, request_s=timeout_s, write_s=None, read_s=None)
    return _transport(scenario, plan, timeouts, consent=consent)


def _transport(
    scenario: Scenario, plan: Plan, timeouts: Timeouts, *, consent: bool
) -> TransportSettings:
    target = scenario.target
    return TransportSettings(
        max_connections=_QUERIES_AT_ONCE,
        timeouts=timeouts,
        steps_s=_shorter(plan, timeouts.request_s),
        tls=target.tls,
        transport="httpx",
        proxy=target.proxy,
        # the wire transport ignores the environment's proxies
        proxies=target.kind == "live" and target.transport == "httpx",
        http2=target.http2,
        redirects=target.redirects,
        consent=consent,
    )


def _shorter(plan: Plan, most_s: float) -> dict[int, float]:
    """Return the timeouts, by step index, that the document sets shorter than the scenario."""
    return {
        step.index: step.timeout_s
        for step in plan.steps
        if step.timeout_s is not None and step.timeout_s < most_s
    }
