"""A scenario as frozen values: what to run, against what, how hard, and what must hold.

Durations are seconds as floats (``_s``), rates are copies per second. Every value here has been
checked; a :class:`Scenario` that exists can be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loadcheck.data import DataFile, Sessions
from loadcheck.data.order import Spread
from loadcheck.data.trace import Trace
from loadcheck.data.users import UserIds
from loadcheck.errors import Location, Problem
from loadcheck.scenario.model.sending import (
    Edit,
    Guard,
    Input,
    Once,
    Service,
    ServiceLimits,
    Target,
    Tls,
    Workflow,
)
from loadcheck.scenario.model.verify import (
    Batch,
    Budget,
    Count,
    Deletion,
    Evidence,
    Export,
    Following,
    Jobs,
    Repeat,
    Split,
    Verify,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of an open load: the rate goes linearly from ``rate`` to ``end_rate``."""

    name: str
    duration_s: float
    rate: float
    end_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A stretch of a closed load: users come or go evenly until their number is reached."""

    duration_s: float
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Copies arrive on a schedule, whether or not earlier ones have been answered.

    Attributes:
        stages: At least one; a constant rate is one stage.
        arrivals: "constant": evenly spaced. "poisson": independent, exponential gaps.
        trace: The recorded arrivals that copies follow, in one stage; None: the stages say when.
        max_in_flight: Copies that may be under way; one that falls due beyond is skipped, counted.
        events_per_copy: Events that each copy sends of its user.
        copies_per_request: Copies whose events go into one request; they fall due together.
        think_time: How long a copy waits between its steps, seconds; None: not at all.
        preconnect: Connections that are open before the first copy is due; None: as many as the
            rates let expect, and more ahead of a stage whose rate rises.
        copies: The load ends with so many, even before its time; None: with its last stage.
        workers: Processes that share the load; 0: as many as this machine has cores to spare;
            None: this process sends it, unless there are prefixes.
        prefixes: Commands that run another command elsewhere, such as ``ssh host``; the workers
            are started behind them in turn, one each unless ``workers`` says otherwise.
    """

    stages: tuple[Stage, ...]
    arrivals: Literal["constant", "poisson"] = "constant"
    trace: Trace | None = None
    max_in_flight: int = 2000
    events_per_copy: int = 1
    copies_per_request: int = 1
    think_time: Spread | None = None
    preconnect: int | None = None
    copies: int | None = None
    workers: int | None = None
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """A fixed number of copies is under way; the next starts when one ends.

    Attributes:
        concurrency: Copies in flight, at the most.
        ramp: How users come and go, from none; empty: all are there from the start.
        copies: How many in all; None if the duration decides.
        duration_s: How long copies are started; None if the number decides.
        events_per_copy: Events that each copy sends of its user.
        copies_per_request: Copies whose events go into one request.
        think_time: How long a copy waits between its steps, seconds; None: not at all.
        preconnect: Connections that are open before the first copy starts; None: as many as there
            are requests in flight.
        workers: Processes that share the load, as of an open one.
        prefixes: Commands behind which they are started.
    """

    concurrency: int
    ramp: tuple[Users, ...] = ()
    copies: int | None = None
    duration_s: float | None = None
    events_per_copy: int = 1
    copies_per_request: int = 1
    think_time: Spread | None = None
    preconnect: int | None = None
    workers: int | None = None
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What to do with an attempt that failed, where the workflow document itself does not say.

    Attributes:
        attempts: Attempts in all, the first included; 1 switches retries off.
        backoff_s: Wait before the second attempt; doubled for each further one.
        max_backoff_s: The longest wait. A ``Retry-After`` of the answer overrules the backoff.
        on: What is retried: "timeout", "connection", and status codes or classes ("429", "5xx").
        stale: Whether a request that met an idle connection being closed is sent once more without
            counting as an attempt, if it carries ``$copy.insertId``.
    """

    attempts: int = 5
    backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    on: tuple[str, ...] = ("429", "5xx", "timeout", "connection")
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one attempt and of the end of the load.

    Attributes:
        connect_s: To open a connection.
        request_s: From the first byte written to the last byte read.
        write_s: Until the system has taken all of the request; None: as long as ``request_s``.
        read_s: Between two pieces of an answer, and before the first; None: likewise.
        max_idle_s: How long a connection may have been idle to be used again; less, where the
            server's ``Keep-Alive`` says so.
        drain_s: For copies under way when the last one has started; what is still out then is
            indeterminate.
    """

    connect_s: float = 5.0
    request_s: float = 10.0
    write_s: float | None = None
    read_s: float | None = None
    max_idle_s: float = 10.0
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one step may ask of the service, over all copies.

    Attributes:
        concurrency: Requests under way at once; None for as many as come.
        rate: Requests per second; None for as many as come.
        phase_s: How much later than at once the first is sent, at the earliest: several generators
            that share a rate take turns.
    """

    concurrency: int | None = None
    rate: float | None = None
    phase_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One thing that must hold.

    Attributes:
        check: The expression, as written.
        abort: Whether the load is stopped when it does not hold.
        grace_s: So long after the beginning of the load, or of the stage that it is about, it is
            not looked at for that.
    """

    check: str
    abort: bool = False
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How the highest rate at which everything holds is searched for.

    Attributes:
        lowest: The rate to begin with, copies per second; None: the lowest of the load's stages.
        highest: The highest rate to try; None: as high as it goes.
        precision: Width of the answer's interval, as a share of it.
        climb: Each rate over the one before it, as long as all hold.
        probe_s: How long a rate is measured, at least.
        warmup_s: How long it is held before that.
        recovery_s: Pause after a rate that held; twice as long after one that did not.
        samples: Copies to measure at each rate, at least: at a low rate it is held for longer.
        probes: The most rates to try, repetitions included.
        budget_s: The most time that all may take; None: as long as it takes.
        budget_events: The most events that all may send; None: as many as it takes.
    """

    lowest: float | None = None
    highest: float | None = None
    precision: float = 0.04
    climb: float = 3.0
    probe_s: float = 8.0
    warmup_s: float = 2.0
    recovery_s: float = 1.0
    samples: int = 1000
    probes: int = 12
    budget_s: float | None = None
    budget_events: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOfMix:
    """Which flow of a mix a scenario is.

    Copy *n* of the flow is copy ``n × len(flows) + place`` of the mix.

    Attributes:
        mix: What the mix is called.
        flow: What the flow is called.
        place: Its place among the flows, from 0.
        flows: What all of them are called.
        limits: What must hold of all of them together, as written.
        id: Which run of the mix it is of; "" before there is one.
    """

    mix: str
    flow: str
    place: int
    flows: tuple[str, ...]
    limits: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a run is configured by.

    Attributes:
        name: Short name, part of the results file's name: letters, digits, "-" and "_".
        description: One line for people.
        file: The file as the user named it.
        profile: The one of its profiles that it was read with; "" for none.
        seed: Seed of everything random; None: drawn at the start and recorded.
        overlay: Edits of the workflow's requests, the profile's first.
        thresholds: What must hold.
        limits: Step → what it may ask of the service.
        capacity: How its capacity is searched for.
        files: The data files, by name.
        user_ids: What users are called.
        sessions: How often they come; None: once.
        flows: The flows, if this is a mix of several: it cannot be run as one scenario then.
        together: What must hold of all flows of a mix together.
        part: Which flow of a mix it is; None: of none.
        setup: What is run once before the load; None: nothing.
        teardown: What is run once behind it; None: nothing.
        labels: What identifies the run later.
        guard: What it may not do, whatever else is said.
        service: What the service is known for: its regions, its limits.
        deletion: How its users are deleted; None: nobody said.
        deletes: Whether they are at the end of the run.
        values: What ``$values.NAME`` gives: tables that are drawn for each copy, or plain JSON.
        document: The scenario as run, profile and overrides merged in, as JSON; secrets are
            ``{"env": NAME}``, never values.
        lines: Dotted key → line in ``file``, for problems found after parsing.
        places: Dotted key → where it was written, be it ``file``, the profile or an override.
    """

    name: str
    description: str
    file: str
    workflow: Workflow
    target: Target
    inputs: Mapping[str, Input]
    load: OpenLoad | ClosedLoad
    retry: Retry
    timeouts: Timeouts
    verify: Verify
    overlay: tuple[Edit, ...]
    thresholds: tuple[Threshold, ...]
    seed: int | None
    document: Mapping[str, Any]
    lines: Mapping[str, int]
    places: Mapping[str, Location] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)
    profile: str = ""
    files: Mapping[str, DataFile] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    user_ids: UserIds = field(default_factory=UserIds)
    sessions: Sessions | None = None
    flows: tuple[Scenario, ...] = ()
    together: tuple[Threshold, ...] = ()
    part: FlowOfMix | None = None
    setup: Once | None = None
    teardown: Once | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    service: Service = field(default_factory=Service)
    guard: Guard = field(default_factory=Guard)
    deletion: Deletion | None = None
    deletes: bool = False

    @property
    def secrets(self) -> frozenset[str]:
        """Every value that must appear in no file, log or message."""
        once = [each.inputs.values() for each in (self.setup, self.teardown) if each is not None]
        return frozenset().union(
            *(entry.hidden for entries in (self.inputs.values(), *once) for entry in entries)
        )

    def problem(self, key: str, message: str, remedy: str = "") -> Problem:
        """Return a problem with the value at ``key``, telling where that value was written.

        List entries are numbered from 0 (``thresholds.2``). Where nothing was written at ``key``,
        the nearest table above it is named.
        """
        above, rest = key, ""
        while above and above not in self.places:
            above, _, last = above.rpartition(".")
            rest = f".{last}{rest}"
        place = self.places.get(above)
        if place is None:
            return Problem(message=message, file=self.file, key=key, remedy=remedy)
        return Problem(
            message=message, file=place.file, line=place.line, key=place.key + rest, remedy=remedy
        )

    def line(self, key: str) -> int | None:
        """Return the line of ``key``, or of the nearest key above it that has one."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None


__all__ = [
    "Batch",
    "Budget",
    "Capacity",
    "ClosedLoad",
    "Count",
    "Deletion",
    "Edit",
    "Evidence",
    "Export",
    "FlowOfMix",
    "Following",
    "Guard",
    "Input",
    "Jobs",
    "Limit",
    "Once",
    "OpenLoad",
    "Repeat",
    "Retry",
    "Scenario",
    "Service",
    "ServiceLimits",
    "Split",
    "Stage",
    "Target",
    "Threshold",
    "Timeouts",
    "Tls",
    "Users",
    "Verify",
    "Workflow",
]
