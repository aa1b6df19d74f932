"""How hard, for how long, what is done about failures, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadcheck.data.order import Spread
from loadcheck.data.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of an open load: the rate goes linearly from ``rate`` to ``end_rate``."""

    name: str
    duration_s: float
    rate: float
    end_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A stretch of a closed load: users come or go evenly until there are so many."""

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
