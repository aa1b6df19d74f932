"""What a run will cost, and whether the service allows it, before anything is sent.

The figures come from what the run itself is made of: its compiled scenario, its schedule, its
requests. The digest covers everything that decides them, so that what was approved is what runs;
the values of secrets are not in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from loadcheck.documents.files import noting
from loadcheck.errors import InputError, Problem
from loadcheck.measure import known_sum
from loadcheck.pipeline import warnings
from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.once import SharedSteps, alike
from loadcheck.pipeline.prepare import compile_scenario, fetching, thresholds_together
from loadcheck.pipeline.preview import people, request_sizes
from loadcheck.pipeline.target import Destination, addressed, destinations
from loadcheck.scenario.grammar import MAX_SEED
from loadcheck.scenario.model import ClosedLoad, Guard, OpenLoad, Scenario, Service
from loadcheck.secrets import redactor
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.guard import PlannedLoad, forecast_queries, guard_problems, most_cost
from loadcheck.verify.session import slack_s
from loadcheck.workflow.runtime.plan import Role

SCHEMA: Final = "loadcheck.plan/1"
DIGEST: Final = 32
"""Hexadecimal digits of a digest: 128 bits."""
_HEX: Final = re.compile(rf"[0-9A-Fa-f]{{{DIGEST}}}")
_RATES: Final = ("events_per_s", "requests_per_s", "bytes_per_s")
_STEP: Final = 0x9E3779B97F4A7C15
_HOUR_S: Final = 3600.0
_OURS: Final = Path(__file__).resolve().parents[1]
_MATTERS_NOT: Final = ("labels", "description")
"""Keys of a scenario that affect neither what is sent nor where."""


class Sources:
    """What was read to make a run: files, and descriptions from other machines."""

    def __init__(self) -> None:
        self.files: Collection[Path] = ()
        self.fetched: Mapping[str, bytes] = {}

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Record what is read in a block."""
        with noting() as self.files, fetching() as self.fetched:
            yield


def digest(
    scenario: Scenario, sources: Sources, reached: Iterable[Destination], *, seed: int | None
) -> str:
    """Return the digest of all that decides what a run sends, and where.

    Args:
        scenario: As loaded: with profile and overrides, and secrets by name only.
        sources: What was read when it was compiled.
        reached: The machines that bytes go to.
        seed: The seed of the command line or the scenario; None if neither has one.

    Raises:
        InputError: A file cannot be read any more.
    """
    document = {
        name: value for name, value in scenario.document.items() if name not in _MATTERS_NOT
    }
    tls = scenario.target.tls
    private = {path.resolve() for path in (tls.key, tls.cert) if path is not None}
    own = Path(scenario.file).resolve()
    files = sorted(
        _file_digest(path)
        for path in {path.resolve() for path in sources.files} - private - {own}
        if path.suffix != ".toml" or not path.is_relative_to(_OURS)
    )
    fetched = sorted(hashlib.sha256(content).hexdigest() for content in sources.fetched.values())
    whole = {
        "scenario": document,
        "seed": seed,
        "files": files,
        "fetched": fetched,
        "destinations": sorted([each.origin, each.away] for each in reached),
    }
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        message = (error.strerror or str(error)).lower()
        raise InputError(Problem(message=message, file=str(path))) from None


def seed_of_digest(found: str) -> int:
    """Return the seed of a planned run that sets none, so that the plan's figures are exact.

    Raises:
        InputError: It is not a digest.
    """
    if not _HEX.fullmatch(found):
        message = "the digest of a plan has 32 hexadecimal digits"
        raise InputError(Problem(message=message, remedy="loadcheck plan prints it"))
    return int(found[:8], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """One limit of the service, compared with the plan.

    Attributes:
        limit: Its name in ``[service.limits]``, or ``verify.budget``.
        says: What it limits, in words.
        allowed: What the service allows.
        planned: The most that the run needs; None if that cannot be known.
        remedy: The setting that would fit; "" if there is none, or the limit holds.
        advice: Whether the service only recommends it, and accepts more.
    """

    limit: str
    says: str
    allowed: float
    planned: float | None
    remedy: str = ""
    advice: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the run stays within it; None if that cannot be known."""
        return None if self.planned is None else self.planned <= self.allowed

    def to_json(self) -> dict[str, Any]:
        """Return its entry in the plan."""
        return asdict(self) | {"holds": self.holds}


def plan(scenario: Scenario, *, seed: int | None = None, consent: bool = False) -> dict[str, Any]:
    """Return the plan of a scenario, as JSON.

    Args:
        scenario: The scenario.
        seed: Overrides the scenario's seed.
        consent: Whether descriptions may be read from other machines.

    Raises:
        InputError: With every problem found.
    """
    chosen = scenario.seed if seed is None else seed
    parts, sources = scenario.flows or (scenario,), Sources()
    thresholds_together(scenario)  # what a run would refuse has no plan
    # with a port and keys like those of a run, so that requests have the same length
    with addressed(parts[0]) as address:

        def compiled_with(number: int) -> list[CompiledScenario]:
            found = []
            for place, part in enumerate(parts):
                own = flow_seed(number, place)
                run = new_run(part, datetime.now(UTC), address.supplied, seed=own)
                found.append(compile_scenario(part, run, address, seed=own, consent=consent))
            return found

        with sources.noted():
            compiled = compiled_with(0 if chosen is None else chosen)
        reached = _reached(compiled)
        found = digest(scenario, sources, reached, seed=chosen)
        number = seed_of_digest(found) if chosen is None else chosen
        if chosen is None:
            compiled = compiled_with(number)
    head = {"schema": SCHEMA, "digest": found, "seed": number}
    plans = [_redacted(each) for each in compiled]
    run_by: set[SharedSteps] = set()
    for own, each in zip(alike(compiled), plans, strict=True):
        if own in run_by:  # another flow's are run for this one
            each["once"] = 0
        run_by.add(own)
    if not scenario.flows:
        return {**head, **plans[0]}
    away = [each["leaves_this_machine"] for each in plans]
    return {
        **head,
        "scenario": scenario.name,
        "leaves_this_machine": any(away),
        "destinations": _places(scenario, reached),
        "flows": plans,
    }


def flow_seed(seed: int, place: int) -> int:
    """Return the seed of one flow of a mix: with the same seed, flows would arrive in step."""
    return (seed + place * _STEP) % MAX_SEED if place else seed


def _reached(compiled: Iterable[CompiledScenario]) -> list[Destination]:
    found: dict[Destination, None] = {}
    for each in compiled:
        found |= dict.fromkeys(destinations(each.scenario, each.steps, metrics=True))
    return [*found]


def _redacted(compiled: CompiledScenario) -> dict[str, Any]:
    with compiled.run.shared.assumed():
        made = _plan(compiled, _reached([compiled]))
    made["warnings"] = redactor(compiled.secrets).document(made["warnings"])
    return made


def _places(scenario: Scenario, reached: Iterable[Destination]) -> list[dict[str, Any]]:
    regions = scenario.service.regions
    return [
        {
            "origin": each.origin,
            "what": each.what,
            "region": regions.get((urlsplit(each.origin).hostname or "").lower()),
            "away": each.away,
        }
        for each in reached
    ]


def _plan(compiled: CompiledScenario, reached: Sequence[Destination]) -> dict[str, Any]:
    scenario, service = compiled.scenario, compiled.scenario.service
    enforced = any(each.away and each.load for each in reached)
    sent, queries = _sent(compiled), _queries(compiled)
    checks = limits(compiled, sent, queries)
    users = sent["users"]
    return {
        "scenario": scenario.name,
        "file": scenario.file,
        "profile": scenario.profile or None,
        "target": scenario.target.kind,
        "service": service.name or None,
        "destinations": _places(scenario, reached),
        "leaves_this_machine": any(each.away for each in reached),
        **sent,
        "new_users": {"billed": service.billed or None, **users},
        "queries": queries,
        "duration_s": _duration(compiled),
        "limits": [each.to_json() for each in checks],
        "enforced": enforced,
        "stays": _stays(compiled, reached),
        "warnings": [
            *warnings.of_intent(compiled),
            *(_advised(service, checks) if enforced else ()),
        ],
    }


def _advised(service: Service, checks: Iterable[LimitCheck]) -> Iterator[str]:
    name = service.name or "the service"
    for each in checks:
        if each.advice and each.holds is False:
            yield (
                f"{each.planned:,.10g} {each.says} are more than the {each.allowed:,} that {name} "
                f"asks for; {each.remedy} would fit"
            )


def _range(least: float | None, most: float | None) -> dict[str, float | None]:
    return {"least": least, "most": most}


def _sent(compiled: CompiledScenario) -> dict[str, Any]:
    """Return users, events, requests and bytes; equal bounds where they are exact."""
    load, scenario = compiled.scenario.load, compiled.scenario
    counted, together = people(compiled), load.copies_per_request
    users, events, copies = counted["users"], counted["events"], compiled.planned
    # a closed load may reach its duration before its number of copies
    cut = isinstance(load, ClosedLoad) and load.duration_s is not None
    sizes = request_sizes(compiled)
    runs, steps = sizes.runs, sizes.steps
    least, usual, most = sizes.total_bytes()
    if scenario.target.http2:
        # how far HTTP/2 compresses a head depends on the connection
        least, most = 0, usual

    requests = None if runs is None or steps is None else runs * steps

    def bounds(number: int | None) -> dict[str, float | None]:
        return _range(0 if cut else number or 0, number)

    peak = compiled.pacer.peak_rate if compiled.pacer is not None else None
    return {
        "copies": bounds(copies),
        "users": bounds(users),
        "events": bounds(events),
        "requests": bounds(requests)
        if steps is not None
        else _range(0 if cut else runs or 0, None),
        "bytes": {"least": 0 if cut else least or 0, "usual": usual, "most": most},
        "user_events": counted["user_events"],
        "request_bytes": max(sizes.bodies),
        "peak": {
            "events_per_s": None if peak is None else peak * load.events_per_copy,
            "requests_per_s": None
            if peak is None or steps is None or scenario.sessions is not None
            else peak / together * steps,
            "bytes_per_s": None if peak is None else round(sizes.mean_bytes * peak / together),
            "body_bytes_per_s": None
            if peak is None
            else round(sum(sizes.bodies) / len(sizes.bodies) * peak / together),
        },
        "once": sum(len(part.plan.steps) for part in (compiled.setup, compiled.teardown) if part),
    }


def _queries(compiled: CompiledScenario) -> dict[str, Any] | None:
    """Return how many queries a run makes, and their cost; None if it is not verified."""
    spec, scenario = compiled.verification, compiled.scenario
    if spec is None:
        return None
    found = forecast_queries(
        spec, drain_s=scenario.timeouts.drain_s, events_per_copy=scenario.load.events_per_copy
    )
    observer = compiled.observer
    each = 0 if observer is None or observer.role is not Role.COPY else compiled.planned
    budget, export = scenario.verify.budget, scenario.verify.export
    usual = found.usual
    return {
        "asked": {
            "least": found.least.plain + found.least.split,
            "usual": None if usual is None else usual.plain + usual.split,
            "most": None if found.most is None else found.most.plain + found.most.split,
        },
        "cost": {
            "least": found.least.cost(spec),
            "usual": None if usual is None else usual.cost(spec),
            "most": most_cost(spec, found),
        },
        "plain_cost": spec.queries.counts.cost,
        "split_cost": spec.queries.split_cost,
        "split": found.least.split,
        "every_s": found.pause_s,
        "by_copies": each,
        "budget": None if budget is None else {"cost": budget.cost, "window_s": budget.window_s},
        "hour": most_cost(spec, found, _HOUR_S),
        # reconciling later takes the queries of a run that has no load
        "reconcile": found.least.cost(spec) - spec.queries.counts.cost,
        "export": None if export is None else "pages" if export.paged else "one",
        "preflight": int(spec.filtered),
        "controls": found.controls,
        "control_users": found.new_users,
    }


def _duration(compiled: CompiledScenario) -> dict[str, float | None]:
    """Return how long the run takes, in seconds: with everything counted at once, and at most."""
    scenario, load = compiled.scenario, compiled.scenario.load
    verify, timeouts = scenario.verify, scenario.timeouts
    length_s = load.duration_s if isinstance(load, ClosedLoad) else None
    if compiled.pacer is not None:
        length_s = compiled.pacer.duration_s
    if length_s is None:
        return _range(0.0, None)
    once_s = sum(part.timeout_s for part in (scenario.setup, scenario.teardown) if part)
    most_s = once_s + length_s + timeouts.drain_s
    if compiled.verification is not None:
        most_s += verify.deadline_s + slack_s(verify)
    least_s = 0.0 if isinstance(load, ClosedLoad) and load.copies is not None else length_s
    return _range(least_s, most_s)


def limits(
    compiled: CompiledScenario, sent: Mapping[str, Any], queries: Mapping[str, Any] | None
) -> list[LimitCheck]:
    """Return each limit of the service, compared with the plan.

    Args:
        compiled: The run.
        sent: The plan of what it sends.
        queries: The plan of its queries; None if it is not verified.
    """
    service, found = compiled.scenario.service, []
    for each in [*_of_load(compiled, sent), *_of_queries(compiled, sent, queries)]:
        for allowed in (service.limits, service.advice):
            most = getattr(allowed, each.limit, None)
            if each.limit == "verify.budget" and allowed is service.limits:
                budget = compiled.scenario.verify.budget
                most = None if budget is None else budget.cost
            if most is not None:
                fits = each.planned is not None and each.planned <= most
                found.append(
                    LimitCheck(
                        limit=each.limit,
                        says=each.says,
                        allowed=most,
                        planned=each.planned,
                        remedy="" if fits else each.fit(most),
                        advice=allowed is service.advice,
                    )
                )
    return found


class _Figure(NamedTuple):
    """A figure that may be limited: the limit's name, words for it, the plan, what would fit."""

    limit: str
    says: str
    planned: float | None
    fit: Callable[[int], str]


def _of_load(compiled: CompiledScenario, sent: Mapping[str, Any]) -> Iterator[_Figure]:
    scenario, load, peak = compiled.scenario, compiled.scenario.load, sent["peak"]
    each, together, body = load.events_per_copy, load.copies_per_request, sent["request_bytes"]
    rate, volume = peak["requests_per_s"], peak["body_bytes_per_s"]
    single = "load.events_per_copy = {}".format

    def slower(most: float) -> str:
        return _slower(scenario, most)

    def fewer(most: int) -> str:
        fit = slower(most * together)
        if rate and scenario.verify.batch is not None and compiled.pacer is not None:
            fit = f"load.copies_per_request = {math.ceil(rate * together / most)}, or {fit}"
        return fit

    def smaller(most: int) -> str:
        if together > 1:
            return f"load.copies_per_request = {max(1, int(together * most / body))}"
        return "smaller events"

    def shared(most: int) -> str:
        if each > most:
            return single(most)
        return f"load.copies_per_request = {most // each}"

    def rarer(most: int) -> str:
        if scenario.sessions is None:
            return single(most)
        return "fewer sessions.uploads or sessions.returning"

    per_second = peak["events_per_s"]
    yield _Figure("events_per_s", "events a second", per_second, lambda most: slower(most / each))
    yield _Figure("requests_per_s", "requests a second", rate, fewer)
    yield _Figure(
        "bytes_per_s",
        "bytes a second",
        volume,
        lambda most: slower(
            most / volume * compiled.pacer.peak_rate if volume and compiled.pacer else most
        ),
    )
    # a retry is not another event, and a user's next upload waits for this one
    yield _Figure("user_events_per_s", "events a second of one user", each, single)
    yield _Figure("user_events_per_day", "events a day of one user", sent["user_events"], rarer)
    yield _Figure("events_per_request", "events in a request", each * together, shared)
    yield _Figure("request_bytes", "bytes in a request", body, smaller)
    event = math.ceil(body / (each * together))
    yield _Figure("event_bytes", "bytes in an event", event, lambda _: "smaller events")


def _of_queries(
    compiled: CompiledScenario, sent: Mapping[str, Any], queries: Mapping[str, Any] | None
) -> Iterator[_Figure]:
    verify = compiled.scenario.verify
    if queries is not None:
        says = "cost of one query"
        if verify.budget is not None:
            says += f", of {verify.budget.cost:,} in {verify.budget.window_s:g} s"
        single = max(queries["plain_cost"], queries["split_cost"])
        yield _Figure("verify.budget", says, single, lambda _: "a shorter load: fewer days")
        cost = queries["hour"]
        if queries["by_copies"] and cost is not None:
            cost += queries["by_copies"] * queries["plain_cost"]
        rarer = 'verify.query = "after"' if queries["by_copies"] else "a longer verify.every"
        yield _Figure("query_cost_per_hour", "cost of queries in an hour", cost, lambda _: rarer)
    if verify.export is not None:
        usual = sent["bytes"]["usual"]
        yield _Figure("export_bytes", "bytes to export, as sent", usual, lambda _: "a shorter load")


def _slower(scenario: Scenario, rate: float) -> str:
    """Return the setting that keeps a load within a rate of copies per second."""
    load = scenario.load
    written = f"{math.floor(rate * 100) / 100:g}"
    if not isinstance(load, OpenLoad):
        return f'model = "open" with load.rate = {written}: a closed load goes as fast as it can'
    if len(load.stages) == 1 and "load.stages" not in scenario.places:
        return f"load.rate = {written}"
    over = [
        f"load.stages.{number}.{key} = {written}"
        for number, stage in enumerate(load.stages)
        for key, value in (("rate", stage.rate), ("ramp_to", stage.end_rate))
        if value > rate and f"load.stages.{number}.{key}" in scenario.places
    ]
    return ", ".join(over) or f"load.rate = {written}"


def _stays(compiled: CompiledScenario, reached: Iterable[Destination]) -> list[str]:
    """Return what a run leaves behind."""
    scenario = compiled.scenario
    if scenario.target.kind == "emulator":
        return ["nothing but the results file: the emulator ends with the run"]
    service = scenario.service
    left = [service.stays] if service.stays else ["whatever the service keeps of what it is sent"]
    if scenario.deletes:
        left.append("users are deleted when all is over: teardown.delete")
    if compiled.verification is not None and compiled.verification.filtered:
        left.append("up to the number of control users above, if users are missing")
    if any("metrics" in each.what for each in reached):
        left.append("metrics of the run, at the collector")
    if scenario.setup is not None and scenario.teardown is None:
        left.append("what the set-up makes: there is no tear-down")
    return left


def require_plan(
    scenario: Scenario,
    compiled: Sequence[CompiledScenario],
    sources: Sources,
    *,
    seed: int | None,
    approved: str | None,
    forced: bool,
) -> None:
    """Refuse a run that is not the approved one, or that breaks a documented limit.

    Limits are those of the service, and hold for other machines only: an emulator accepts more.

    Args:
        scenario: The scenario.
        compiled: The run, or the flows of a mix.
        sources: What was read to compile it.
        seed: The seed of the command line or the scenario; None if neither has one.
        approved: The digest of the approved plan; None: any run is allowed.
        forced: Whether the user insists on breaking limits.

    Raises:
        InputError: It is another run; or it breaks limits, with each of them and what would fit.
    """
    reached = _reached(compiled)
    require_guard(compiled, reached)
    if approved is not None:
        found = digest(scenario, sources, reached, seed=seed)
        if approved.lower() != found:
            raise InputError(_another(found))
    if forced or not any(each.away and each.load for each in reached):
        return
    flows = [_redacted(each) for each in compiled]
    problems = refused(scenario, {"flows": flows} if scenario.flows else flows[0])
    if problems:
        raise InputError(problems)


def require_guard(compiled: Sequence[CompiledScenario], reached: Iterable[Destination]) -> None:
    """Refuse a run that ``[guard]`` forbids.

    Args:
        compiled: The run, or the flows of a mix: the first has the guard of all.
        reached: The machines that bytes go to.

    Raises:
        InputError: With every rule that it breaks.
    """
    scenario = compiled[0].scenario
    if scenario.guard == Guard():
        return
    sizes = [people(each) for each in compiled]
    rates = [None if each.pacer is None else each.pacer.peak_rate for each in compiled]
    load = PlannedLoad(
        users=known_sum(each["users"] for each in sizes),
        events=known_sum(each["events"] for each in sizes),
        peak_rate=known_sum(rates),
    )
    _refuse_unguarded(scenario, load, reached)


def require_guarded_search(compiled: CompiledScenario) -> None:
    """Refuse a search for capacity that ``[guard]`` forbids, or may forbid before it ends.

    Raises:
        InputError: With every rule that it breaks.
    """
    scenario, most = compiled.scenario, compiled.scenario.capacity.budget_events
    load = PlannedLoad(users=most, events=most, peak_rate=scenario.capacity.highest)
    _refuse_unguarded(scenario, load, _reached([compiled]), search=True)


def _refuse_unguarded(
    scenario: Scenario, load: PlannedLoad, reached: Iterable[Destination], *, search: bool = False
) -> None:
    hosts = sorted({urlsplit(each.origin).hostname or "" for each in reached})
    problems = guard_problems(scenario, load, hosts, search=search)
    if problems:
        raise InputError(problems)


def _another(found: str) -> Problem:
    return Problem(
        message=f"this run is not the one that was approved: the digest of its plan is {found}",
        remedy="its scenario, a file, an option or a destination has changed: look at "
        "loadcheck plan, and approve it again",
    )


def refused(scenario: Scenario, planned: Mapping[str, Any]) -> list[Problem]:
    """Return why a plan is refused: limits that a run on another machine would break."""
    flows = [each for each in planned.get("flows", (planned,)) if each["enforced"]]
    names = {field.name for field in fields(LimitCheck)}
    checks = [
        LimitCheck(**{name: value for name, value in limit.items() if name in names})
        for flow in flows
        for limit in flow["limits"]
        if not limit["advice"]
    ]
    for name in _RATES if len(flows) > 1 else ():
        # flows that each stay within a limit may break it together
        each = [check for check in checks if check.limit == name and check.planned is not None]
        total = sum(check.planned or 0.0 for check in each)
        if each and total > each[0].allowed and all(check.holds for check in each):
            remedy = f"load.rate lower by {1 - each[0].allowed / total:.0%} in every flow"
            checks.append(replace(each[0], planned=total, remedy=remedy))
    return broken(scenario, checks)


def broken(scenario: Scenario, checks: Iterable[LimitCheck]) -> list[Problem]:
    """Return a problem for each limit that would be broken, with the setting that would fit."""
    name = scenario.service.name or "the service"
    return [
        scenario.problem(
            "verify" if "query" in each.limit or "verify" in each.limit else "load",
            f"{each.planned:,.10g} {each.says} break a limit of {name}: {each.allowed:,}",
            f"{each.remedy} would fit; if your contract says otherwise, set {_key(each.limit)}; "
            "--force-limits insists",
        )
        for each in checks
        if each.holds is False
    ]


def _key(limit: str) -> str:
    return f"{limit}.cost" if limit.startswith("verify") else f"service.limits.{limit}"
