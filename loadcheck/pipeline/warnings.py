"""What a reader should know before trusting a result: all warnings are made here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from loadcheck.errors import many
from loadcheck.load.transport.routes import Proxies
from loadcheck.measure.record import Record, whole_name
from loadcheck.scenario.model import Target
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.judge import describe_pauses, is_paused
from loadcheck.verify.naming import UserNames
from loadcheck.workflow.exchange import Origin
from loadcheck.workflow.runtime.plan import Plan, Role

_LATE_MS = 10.0
"""Warn if the 99th percentile of the dispatch lag is above this."""
_LONG = 0.99
"""The quantile of waiting times that "up to" stands for."""
_MOST_UNSENDABLE = 3
"""Limit of the reasons shown why requests could not be made."""


def of_intent(compiled: CompiledScenario) -> list[str]:
    """Return the warnings on a scenario before anything is sent."""
    return [
        *(str(problem) for problem in compiled.plan.warnings),
        *_proxy_warnings(compiled.scenario.target, compiled.ingest.origin),
        *_shared_users(compiled),
        *_cut_short(compiled),
        *_later_steps(compiled),
    ]


def _later_steps(compiled: CompiledScenario) -> Iterator[str]:
    """Warn of thresholds on the latency of a step that follows another: they mean service time."""
    later = {step.step_id for step in compiled.plan.steps if step.dependent}
    whole = whole_name(compiled.plan.steps)
    for threshold in compiled.thresholds:
        metric = threshold.metric
        if metric.scope in later and metric.percentile is not None and not metric.time:
            statistic = metric.name.removeprefix(f"{metric.scope}.")
            yield (
                f'the threshold "{threshold.check}" is about service time, from sent to done: '
                f"{metric.scope} has no due time of its own. Write "
                f"{metric.scope}.service_time.{statistic}, or {whole}.{statistic} for copies from "
                "due to the end of their last step"
            )


def of_search(compiled: CompiledScenario, left_out: Sequence[str]) -> list[str]:
    """Return the warnings on a search for capacity.

    Args:
        compiled: The scenario whose capacity is searched for.
        left_out: Its thresholds that do not apply to a probe.
    """
    said = [
        f'the threshold "{check}" does not apply to a single rate and was ignored'
        for check in left_out
    ]
    given = compiled.scenario.document.get("load", {})
    shapes = [name for name in ("trace", "repeat", "spikes", "ramp") if name in given]
    if shapes:
        said.append(
            f"each probe holds one rate, in copies/s: load.{', load.'.join(shapes)} is left out"
        )
    if not compiled.scenario.verify.enabled:
        said.append("verify.enabled = false: it was not checked whether what was sent arrived")
    return [*of_intent(compiled), *said]


def of_run(plan: Plan, record: Record, *, failed_saves: int, notes: Sequence[str]) -> list[str]:
    """Return the warnings on a run that has ended, besides those given before it.

    Args:
        plan: The plan of its copies.
        record: What was measured.
        failed_saves: Number of interim saves that failed.
        notes: Notes made while it went on.
    """
    unsaved = f"{failed_saves:,} interim saves of the results failed: is the disk full?"
    return [
        *_skipped(record),
        *_unsendable(plan),
        *([unsaved] if failed_saves else []),
        *_late(record),
        *notes,
    ]


def _shared_users(compiled: CompiledScenario) -> Iterator[str]:
    """Warn of users that other runs of the scenario have as well."""
    if compiled.verification is None:
        return
    verify, run = compiled.scenario.verify, compiled.run
    names = UserNames(compiled.plan, compiled.ingest, verify.user)
    first = names.of(0)
    if not names.known:
        return
    if first == run.user_id(0):
        own = run.user_ids.keyed
    else:
        own = run.id in first or 0 in names.number(first)
    if own:
        return
    message = (
        f"its users, such as {first}, are those of every run of this scenario: the service knows"
        " them already, and may take their events for older ones"
    )
    if compiled.isolation == "baseline":
        message += "; counted without a filter for the run, they hide each other"
    yield message + "; {run} or {uuid} in [users] id makes them the run's own"


def _cut_short(compiled: CompiledScenario) -> Iterator[str]:
    """Warn of copies that take longer than the time left when the last has started."""
    scenario = compiled.scenario
    think, drain_s = scenario.load.think_time, scenario.timeouts.drain_s
    steps = sum(step.role is Role.COPY for step in compiled.plan.steps)
    sessions = scenario.sessions
    length_s = 0.0 if think is None else (steps - 1) * think.quantile(_LONG)
    if sessions is not None and sessions.most > 1:
        uploads = sessions.uploads.quantile(_LONG)
        length_s = uploads * length_s + (uploads - 1) * sessions.gap.quantile(_LONG)
    if length_s > drain_s:
        yield (
            f"copies think for up to {length_s:.0f} s, and those under way when the last has "
            f"started have {drain_s:g} s: the rest of their steps is not sent; raise timeouts.drain"
        )


def _proxy_warnings(target: Target, origin: Origin) -> list[str]:
    """Warn of the environment's proxies: copies and queries take the same route."""
    if target.kind != "live" or target.proxy is not None:
        return []
    proxies = Proxies(os.environ)
    proxy = None if target.transport == "httpx" else proxies.named(*origin)
    if proxy is None:
        return proxies.problems
    message = f"{proxy.variable} names a proxy for {origin}; neither copies nor queries go through"
    return [*proxies.problems, f'{message} it: set target.transport = "httpx" if they have to']


def _skipped(record: Record) -> Iterator[str]:
    crowded = record.skipped - len(record.paused)
    if crowded:
        yield (
            f"{many(crowded, 'copies were')} skipped because {record.max_in_flight:,} were "
            "already in flight: raise load.max_in_flight or lower the rate"
        )
    if record.stalls.pauses and not is_paused(record):
        # otherwise a finding says so
        yield describe_pauses(record)


def _unsendable(plan: Plan) -> Iterator[str]:
    for why, number in plan.unsendable.most_common(_MOST_UNSENDABLE):
        times = "a request" if number == 1 else many(number, "requests")
        yield f"{times} could not be made, and nothing was sent: {why}"


def _late(record: Record) -> Iterator[str]:
    late_ms = record.dispatch_lag.percentile_ms(99)
    if late_ms is not None and late_ms > _LATE_MS:
        yield (
            f"scheduling delay in the load generator: copies were started up to {late_ms:.1f} ms "
            "late (p99); response times include it"
        )
