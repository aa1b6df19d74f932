"""What a run would send, without sending it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from loadcheck.data.order import Spread
from loadcheck.load.pacer import OpenPacer, max_requests, warmups
from loadcheck.load.transport import encode_gzip, encode_plain
from loadcheck.pipeline import warnings
from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.shards import check_shares
from loadcheck.pipeline.target import UNSTARTED, Address, destinations
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario
from loadcheck.secrets import Redactor, redactor
from loadcheck.verify import queries as marks
from loadcheck.verify.compiled import CompiledScenario, SharedPlan
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.expressions import UnsendableError
from loadcheck.workflow.identity import SEQUENCES, partitions
from loadcheck.workflow.runtime import first_request, no_retry
from loadcheck.workflow.runtime.plan import StepPlan

_OWN = frozenset(
    {
        *("emulator", "live", "wire", "httpx", "open", "closed", "baseline"),
        *("per-copy", "observer", "setup", "renewal", "teardown"),
        *("fixed", "uniform", "normal", "lognormal"),
    }
)
"""Our own words in a preview, which are never redacted."""

_SHAPE_COLUMNS: Final = 60
_SAMPLES: Final = 3
_SIZED: Final = (1_000, 50_000)
"""The fewest and the most copies whose requests are measured."""
_PRECISION: Final = 0.01
"""The mean is known when three standard errors are no more than this share of it."""
_STAND_INS: Final = ("0" * 36, "0")
"""Stand-ins for what a response gives to the next request: as long as a UUID, or very short."""


def preview(scenario: Scenario, *, seed: int = 0, consent: bool = False) -> dict[str, Any]:
    """Return what a scenario would send, as JSON.

    Args:
        scenario: The scenario.
        seed: Seed of the arrivals.
        consent: Whether descriptions may be read from other machines.

    Raises:
        InputError: With every problem found.
    """
    address = UNSTARTED if scenario.target.kind == "emulator" else Address()
    run = new_run(scenario, datetime.now(UTC), address.supplied, seed=seed)
    compiled = compile_scenario(scenario, run, address, seed=seed, consent=consent)
    check_shares(scenario)
    with compiled.run.shared.assumed():
        return _preview(scenario, compiled, address, consent=consent)


def _preview(
    scenario: Scenario, compiled: CompiledScenario, address: Address, *, consent: bool
) -> dict[str, Any]:
    reached = destinations(scenario, compiled.steps, metrics=True)
    hidden = redactor(compiled.secrets)
    plan, verify = compiled.plan, scenario.verify
    copies = compiled.planned
    shown: dict[str, Any] = {
        "scenario": scenario.name,
        "description": scenario.description,
        "profile": scenario.profile or None,
        "target": scenario.target.kind,
        "transport": scenario.target.transport,
        "connection": _connection(scenario),
        "workflow": plan.workflow_id,
        "steps": [
            *_once("setup", compiled.setup),
            *(_step(step, step.role.value) for step in plan.steps),
            *_once("teardown", compiled.teardown),
        ],
        "overlay": [
            {"step": edit.step, "at": edit.at, "value": hidden.document(edit.value)}
            for edit in scenario.overlay
        ],
        "ingest": compiled.ingest.step_id,
        "observer": compiled.observer.step_id if compiled.observer else None,
        "isolation": compiled.isolation,
        "load": _load(scenario, compiled)
        | {
            "copies": copies,
            **people(compiled),
            "think_time": _wait(scenario.load.think_time),
            "copies_per_request": scenario.load.copies_per_request,
            "requests": copies and -(-copies // scenario.load.copies_per_request),
        },
        "approximate": verify.approximate,
        "buckets": _buckets(compiled, address, consent=consent),
        "thresholds": [threshold.check for threshold in scenario.thresholds],
        "stops_after_s": [
            threshold.grace_s if threshold.abort else None for threshold in scenario.thresholds
        ],
        "settles": {"quiet_s": verify.quiet_s, "deadline_s": verify.deadline_s},
        "leaves_this_machine": any(each.away for each in reached),
        "destinations": [_picked(each, "origin", "what", "away") for each in reached],
        "first_request": _first_request(compiled, hidden, _together(scenario, copies)),
        "first_query": _first_query(compiled, hidden),
        "samples": _samples(compiled, hidden),
        "sizes": _sizes(compiled),
        "warnings": warnings.of_intent(compiled),
    }
    clean: dict[str, Any] = hidden.document(shown, _OWN | set(_keys(shown)))
    return clean


def _step(step: StepPlan, role: str) -> dict[str, Any]:
    return {
        "step": step.step_id,
        "role": role,
        "request": f"{step.method} {step.origin}{step.path}",
        "depends_on": sorted(step.uses),
    }


def _once(role: str, part: SharedPlan | None) -> list[dict[str, Any]]:
    """Return the steps that are run once for all copies, and at what interval they are repeated."""
    if part is None:
        return []
    again = None if part.renewal else part.wanted.every_s
    first = [_step(step, role) | {"every_s": again} for step in part.plan.steps]
    steps = () if part.renewal is None else part.renewal.plan.steps
    return [*first, *(_step(step, "renewal") | {"every_s": part.wanted.every_s} for step in steps)]


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of a preview, which are all ours."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _keys(part)


def _picked(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _connection(scenario: Scenario) -> dict[str, Any]:
    """Return the settings of connections, and the timeouts."""
    target, tls = scenario.target, scenario.target.tls
    return {
        "opened_ahead": [asdict(warmup) for warmup in warmups(scenario.load)],
        "at_most": max_requests(scenario.load),
        **_picked(target, "compress", "proxy", "http2", "redirects", "cookies"),
        "tls": {
            "ca": str(tls.ca) if tls.ca else None,
            "cert": str(tls.cert) if tls.cert else None,
            **_picked(tls, "server_name", "verify"),
        },
        "timeouts": _picked(scenario.timeouts, "connect_s", "write_s", "read_s", "request_s"),
    }


def _load(scenario: Scenario, compiled: CompiledScenario) -> dict[str, Any]:
    load, pacer = scenario.load, compiled.pacer
    if isinstance(load, ClosedLoad):
        return {
            "model": "closed",
            "concurrency": load.concurrency,
            "duration_s": load.duration_s,
            "peak_rate": None,
            "ramp": [asdict(stretch) for stretch in load.ramp],
            "shape": _users(load) if load.ramp else None,
        }
    assert isinstance(load, OpenLoad)
    assert pacer is not None
    return {
        "model": "open",
        "arrivals": load.arrivals,
        "duration_s": pacer.duration_s,
        "peak_rate": pacer.peak_rate,
        "events_per_copy": load.events_per_copy,
        "trace": load.trace and {"file": load.trace.shown, "rows": load.trace.rows},
        "shape": _rates(pacer),
        "max_in_flight": load.max_in_flight,
        "stages": [_picked(each, "name", "duration_s", "rate", "end_rate") for each in load.stages],
    }


def _rates(pacer: OpenPacer) -> list[float] | None:
    """Return the rates of a load in stretches of the same length; None where it is constant."""
    width_s = pacer.duration_s / _SHAPE_COLUMNS
    ends = [pacer.expected_at(column * width_s) for column in range(_SHAPE_COLUMNS + 1)]
    rates = [(end - begin) / width_s for begin, end in itertools.pairwise(ends)]
    return None if max(rates) - min(rates) <= 1e-6 * max(rates) else rates


def _users(load: ClosedLoad) -> list[float]:
    """Return how many users a closed load has in the middle of stretches of the same length."""
    ends_s = np.cumsum([0.0, *(stretch.duration_s for stretch in load.ramp)])
    users = [0, *(stretch.concurrency for stretch in load.ramp)]
    middles = (np.arange(_SHAPE_COLUMNS) + 0.5) * ends_s[-1] / _SHAPE_COLUMNS
    found: list[float] = np.interp(middles, ends_s, users).tolist()
    return found


_MOST_COUNTED: Final = 2_000_000


def people(compiled: CompiledScenario) -> dict[str, Any]:
    """Return how many users the copies are, and how many events and uploads they send.

    ``user_events`` is the events of the user who sends most; None if that is not known.
    """
    copies, visits = compiled.planned, compiled.run.visits
    each, sessions = compiled.scenario.load.events_per_copy, compiled.scenario.sessions
    if visits is None or sessions is None:
        return {
            "users": copies,
            "events": copies and copies * each,
            "user_events": each,
            "sessions": None,
        }
    repeats = {
        "uploads": round(sessions.uploads.mean, 1),
        "uploads_most": visits.most,
        "gap": _wait(sessions.gap) if visits.most > 1 else None,
        "returning": sessions.returning,
    }
    if copies is None or copies > _MOST_COUNTED:
        user_events = None if sessions.returning else visits.most * each
        return {"users": None, "events": None, "user_events": user_events, "sessions": repeats}
    uploads = visits.of_copies(np.arange(copies, dtype=np.int64))
    _, counts = np.unique(visits.users(uploads), return_counts=True)
    return {
        "users": int(counts.size),
        "events": int(uploads.size) * each,
        "user_events": int(counts.max(initial=0)) * each,
        "sessions": repeats,
    }


def _wait(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return {
        "kind": spread.kind,
        "mean_s": round(spread.mean, 3),
        "p99_s": round(spread.quantile(0.99), 3),
    }


def _first_request(compiled: CompiledScenario, hidden: Redactor, copies: int = 1) -> dict[str, Any]:
    return _shown(_request(compiled, range(copies)), hidden)


def _request(compiled: CompiledScenario, numbers: Sequence[int]) -> Request:
    """Return the first request of a copy, or of those that share it."""
    now_ms, plan = time.time_ns() // 1_000_000, compiled.plan
    if len(numbers) > 1:
        flow = plan.batch(numbers, now_ms, no_retry, lambda _: None)
    else:
        flow = plan.copy(numbers[0], now_ms, no_retry)
    request = first_request(flow)
    assert request is not None
    return request


def _samples(compiled: CompiledScenario, hidden: Redactor) -> list[dict[str, Any]]:
    """Return what the first copies send."""
    shown = min(_SAMPLES, _SAMPLES if compiled.planned is None else max(1, compiled.planned))
    found = [(number, _shown(_request(compiled, [number]), hidden)) for number in range(shown)]
    return [{"copy": number, "url": each["url"], "body": each["body"]} for number, each in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of a run's requests, by a random sample of the runs through the steps.

    Attributes:
        runs: How often the steps are run, by one copy or by several that share requests; None if
            that is not known.
        steps: Requests of each of these; None if responses decide that.
        totals: Bytes of each one sampled, as written.
        shortest: The same if responses give as little as possible to further requests.
        bodies: The longest body of each one sampled, before it is compressed.
    """

    runs: int | None
    steps: int | None
    totals: list[int]
    shortest: list[int]
    bodies: list[int]

    @property
    def mean_bytes(self) -> float:
        """Mean of ``totals``."""
        return sum(self.totals) / len(self.totals)

    def total_bytes(self) -> tuple[int | None, int | None, int | None]:
        """Return the bytes sent, without retries: at least, most likely and at most."""
        if self.runs is None:
            return None, None, None
        usual = round(self.mean_bytes * self.runs)
        least = round(sum(self.shortest) / len(self.shortest) * self.runs)
        known = self.steps is not None
        return least, usual if known else None, usual if known and usual == least else None


def request_sizes(compiled: CompiledScenario) -> Sizes:
    """Measure requests of copies from all over the run, as many as their mean requires."""
    together, copies = compiled.scenario.load.copies_per_request, compiled.planned
    visits = compiled.run.visits
    runs = None if copies is None else math.ceil(copies / together)
    uploads = None
    if visits is not None and copies is not None:
        uploads = visits.of_copies(np.arange(min(copies, _MOST_COUNTED), dtype=np.int64))
        runs = None if copies > _MOST_COUNTED else int(uploads.size)
    least, most = (math.ceil(number / together) for number in _SIZED)
    span = least if runs is None else runs
    # at random: places that are evenly spaced may meet the same row of a file each time
    places = np.random.default_rng(0).choice(span, size=min(span, most), replace=False)
    found = Sizes(runs=runs, steps=0, totals=[], shortest=[], bodies=[])
    for count, place in enumerate(places.tolist(), 1):
        number = place if uploads is None else int(uploads[place])
        last = together if copies is None else min(together, copies - place * together)
        shared = range(place * together, place * together + last)
        found = _measured(compiled, shared if together > 1 else [number], found)
        if count >= least and count % 100 == 0 and _is_known(found.totals, span):
            break
    return found


def _measured(compiled: CompiledScenario, numbers: Sequence[int], sizes: Sizes) -> Sizes:
    """Add the requests of a copy, or of several that share them, to sizes."""
    requests, shorter = [], None
    steps = 1 if len(numbers) > 1 else sizes.steps
    if len(numbers) == 1 and steps is not None:
        now_ms = time.time_ns() // 1_000_000
        usual, little = _STAND_INS
        try:
            requests = [*compiled.plan.foreseen(numbers[0], now_ms, usual)]
            steps = len(requests)
            if steps > 1:
                shorter = [*compiled.plan.foreseen(numbers[0], now_ms, little)]
        except UnsendableError:
            steps = None
    requests = requests or [_request(compiled, numbers)]
    encode = encode_gzip if compiled.scenario.target.compress == "gzip" else encode_plain
    total = sum(len(encode(request)) for request in requests)
    sizes.totals.append(total)
    sizes.shortest.append(
        total if shorter is None else sum(len(encode(request)) for request in shorter)
    )
    sizes.bodies.append(max(len(request.body) for request in requests))
    return replace(sizes, steps=steps)


def _is_known(sizes: Sequence[int], of: int) -> bool:
    """Return whether a sample of the ``of`` sizes there are is large enough to know their mean."""
    spread = float(np.std(sizes)) * math.sqrt((1 - len(sizes) / of) / len(sizes))
    return 3 * spread <= _PRECISION * float(np.mean(sizes))


def _sizes(compiled: CompiledScenario) -> dict[str, Any]:
    """Return the sizes of requests, and the bytes per second at the peak rate."""
    sizes, together = request_sizes(compiled).totals, compiled.scenario.load.copies_per_request
    peak = None if compiled.pacer is None else compiled.pacer.peak_rate / together
    return {
        "requests": len(sizes),
        "p50_bytes": int(np.percentile(sizes, 50, method="higher")),
        "p99_bytes": int(np.percentile(sizes, 99, method="higher")),
        "peak_bytes_per_s": None if peak is None else round(sum(sizes) / len(sizes) * peak),
    }


def _bytes(compiled: CompiledScenario) -> int:
    """Return the length of the first request."""
    length: int = _first_request(compiled, redactor(()))["bytes"]
    return length


def _together(scenario: Scenario, copies: int | None) -> int:
    """Return how many copies the first request carries."""
    together = scenario.load.copies_per_request
    return together if copies is None else min(together, max(1, copies))


def _first_query(compiled: CompiledScenario, hidden: Redactor) -> dict[str, Any] | None:
    if compiled.verification is None:
        return None
    request = first_request(compiled.verification.queries.counts.uniques.run(1))
    assert request is not None
    return _shown(request, hidden)


def _buckets(
    compiled: CompiledScenario, address: Address, *, consent: bool
) -> dict[str, Any] | None:
    """Return where events carry their buckets, and how many bytes these add to a request."""
    scenario = compiled.scenario
    split = scenario.verify.split
    if not scenario.verify.localizes or split is None:
        return None
    plain = replace(scenario, verify=replace(scenario.verify, localize=False))
    seed = compiled.seed
    bare = compile_scenario(plain, compiled.run, address, seed=seed, consent=consent)
    added = _bytes(compiled) - _bytes(bare)
    names = partitions(scenario.verify.partitions)
    return {
        "places": list(
            dict.fromkeys(marks.location(edit, name) for name in names for edit in split.tag)
        ),
        "partitions": len(names),
        "added_bytes": added,
        # one by send order, one more where copies share its buckets, one of the events
        "queries": 1
        + (compiled.planned is None or compiled.planned > SEQUENCES)
        + (scenario.load.events_per_copy > 1),
        "cost": compiled.verification.queries.split_cost if compiled.verification else 1,
    }


def _shown(request: Request, hidden: Redactor) -> dict[str, Any]:
    shown: dict[str, Any] = hidden.document(
        {
            "method": request.method,
            "url": request.url,
            "headers": [[name, value] for name, value in request.headers],
            "body": request.body.decode("utf-8", "replace"),
            "bytes": len(request.head) + len(request.body),
        },
    )
    return shown
