"""A scenario as frozen values: what to run, against what, how hard, and what must hold.

Durations are seconds as floats (``_s``), rates are copies per second. Every value here has been
checked; a :class:`Scenario` that exists can be run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from loadcheck.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written.

    Attributes:
        file: The scenario or profile as the user named it, or the override: ``--set seed=7``.
        line: The line in that file, counted from 1; None for an override.
        key: The dotted key as it counts in that file: list entries are numbered from 0.
    """

    file: str
    line: int | None
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One addition to, or replacement in, a step's request: an entry of the overlay.

    Attributes:
        step: The step it changes; "" in :class:`Verify` for the observer step, where the scenario
            does not name it.
        at: The place: ``body#/json/pointer``, ``query.NAME``, ``query.NAME#/json/pointer`` (a
            parameter that holds JSON text), ``header.NAME``, ``path.NAME`` or ``cookie.NAME``.
            A pointer that ends in ``/-`` appends (RFC 6901 section 4); missing objects and arrays
            on the way are made.
        value: What to put there; strings may hold expressions, also deep inside.
    """

    step: str
    at: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Which workflow, and how its document is to be read.

    Attributes:
        document: Path of the Arazzo document.
        name: What the user called it: a shipped name ("amplitude") or the path as written.
        id: The ``workflowId``; None if the document has only one.
        sources: Source description name → file or URL that stands in for its ``url``.
        strict: Refuse what is accepted with a warning otherwise.
    """

    document: Path
    name: str
    id: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How an https server is told from an impostor, and what it is shown.

    Attributes:
        ca: PEM file of the authorities that are trusted instead of the system's.
        cert: PEM file of the client certificate.
        key: PEM file of its private key; None: it is in ``cert``.
        server_name: The name that the server's certificate must bear; None: the URL's host.
        verify: Whether the certificate is checked at all.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who receives the load.

    Attributes:
        kind: "emulator": the embedded one, started and stopped by the run. "live": the servers of
            the OpenAPI descriptions, or those in ``servers``.
        servers: Source description name → base URL that stands in for the described servers.
        emulator: Configuration of the embedded emulator, as the emulator itself defines it:
            every key of ``[target]`` other than ``kind``, ``servers`` and ``transport``.
        transport: "wire" is the fast path, "httpx" knows proxies, redirects and HTTP/2.
        tls: How https servers are verified.
        compress: Coding of request bodies.
        proxy: URL of the proxy through which everything goes.
        http2: Whether HTTP/2 is spoken where the server does.
        redirects: Whether they are followed.
    """

    kind: Literal["emulator", "live"]
    servers: Mapping[str, str] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)
    transport: Literal["wire", "httpx"] = "wire"
    tls: Tls = field(default_factory=Tls)
    compress: Literal["none", "gzip"] = "none"
    proxy: str | None = None
    http2: bool = False
    redirects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One workflow input.

    Attributes:
        value: Any JSON value; strings may be or hold expressions (``$copy.userId``).
        secret: Whether it came from the environment, and so must appear nowhere.
        env: Name of the environment variable it came from, or None.
        hidden: What must appear nowhere: the values read from the environment, and those made of
            them.
    """

    value: Any
    secret: bool = False
    env: str | None = None
    hidden: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        value = "<secret>" if self.secret else repr(self.value)
        return f"Input(value={value}, secret={self.secret}, env={self.env!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of an open load: the rate goes linearly from ``rate`` to ``end_rate``."""

    name: str
    duration_s: float
    rate: float
    end_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Copies arrive on a schedule, whether or not earlier ones have been answered.

    Attributes:
        stages: At least one; a constant rate is one stage.
        arrivals: "constant": evenly spaced. "poisson": independent, exponential gaps.
        max_in_flight: Copies that may be under way; one that falls due beyond is skipped, counted.
        events_per_copy: Events that each copy sends of its user.
        copies_per_request: Copies whose events go into one request; they fall due together.
        preconnect: Connections that are open before the first copy is due; None: as many as the
            rates let expect, and more ahead of a stage whose rate rises.
    """

    stages: tuple[Stage, ...]
    arrivals: Literal["constant", "poisson"] = "constant"
    max_in_flight: int = 2000
    events_per_copy: int = 1
    copies_per_request: int = 1
    preconnect: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """A fixed number of copies is under way; the next starts when one ends.

    Attributes:
        concurrency: Copies in flight.
        copies: How many in all; None if the duration decides.
        duration_s: How long copies are started; None if the number decides.
        events_per_copy: Events that each copy sends of its user.
        copies_per_request: Copies whose events go into one request.
        preconnect: Connections that are open before the first copy starts; None: as many as there
            are requests in flight.
    """

    concurrency: int
    copies: int | None = None
    duration_s: float | None = None
    events_per_copy: int = 1
    copies_per_request: int = 1
    preconnect: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What to do with an attempt that failed, where the workflow document itself does not say.

    Attributes:
        attempts: Attempts in all, the first included; 1 switches retries off.
        backoff_s: Wait before the second attempt; doubled for each further one.
        max_backoff_s: The longest wait. A ``Retry-After`` of the answer overrules the backoff.
        on: What is retried: "timeout", "connection", and status codes or classes ("429", "5xx").
    """

    attempts: int = 5
    backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    on: tuple[str, ...] = ("429", "5xx", "timeout", "connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one attempt and of the end of the load.

    Attributes:
        connect_s: To open a connection.
        request_s: From the first byte written to the last byte read.
        write_s: Until the system has taken all of the request; None: as long as ``request_s``.
        read_s: Between two pieces of an answer, and before the first; None: likewise.
        drain_s: For copies under way when the last one has started; what is still out then is
            indeterminate.
    """

    connect_s: float = 5.0
    request_s: float = 10.0
    write_s: float | None = None
    read_s: float | None = None
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How a number is read off the observer step.

    Attributes:
        value: Runtime expression that gives it, e.g. ``$response.body#/data/seriesCollapsed/0/0``.
        overlay: Edits of the observer step's request that this count needs and others do not.
    """

    value: str
    overlay: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an answer of the observer step says about itself; read where it is there.

    Attributes:
        pruned: Expression that is true if groups were left out.
        sample_rate: The share of events that was counted, 1 if all.
        cached: Whether the answer was served from a cache.
        age_ms: How long ago it was computed, in milliseconds.
    """

    pruned: str | None = None
    sample_rate: str | None = None
    cached: str | None = None
    age_ms: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How events are marked with the buckets of their copy, and counted by bucket.

    In every string ``{$partition}`` stands for the name of a partition.

    Attributes:
        labels: Expression for the labels of the rows.
        values: Expression for their counts, in the same order.
        limit: The most rows that the service returns.
        tag: Edits of the ingest step that mark its events, made for every partition.
        overlay: Edits of the observer step that group its answer by one partition.
    """

    labels: str
    values: str
    limit: int
    tag: tuple[Edit, ...] = ()
    overlay: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the service lets its users ask.

    Attributes:
        cost: The sum of the costs of all queries in a window.
        window_s: Its length.
        plain: What a query costs.
        split: What one costs that is grouped by a bucket.
        per_day: Whether both are for each day of the range that is asked about.
    """

    cost: int
    window_s: float
    plain: int = 1
    split: int = 1
    per_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where the service hands out the events themselves: a ZIP of gzipped JSON lines.

    Attributes:
        path: Path on the observer step's server; ``{$start}`` and ``{$end}`` stand for the first
            and the last hour, YYYYMMDDTHH in UTC.
        event: Place of the event in the ingest step's request: ``body#/json/pointer``.
        run: Member that tells events of this run from others, as a JSON Pointer.
        fields: JSON Pointer into the exported event → pointer into the event sent, for whatever
            must come out as it went in.
    """

    path: str
    event: str
    run: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """How a copy sends further events of its user, for ``load.events_per_copy`` above 1.

    In every string ``{$event}`` stands for the number of the event, from 1.

    Attributes:
        event: Place of the first event in the ingest step's request; edits of the overlay beneath
            it are made to the further ones as well.
        at: Place of a further one.
        value: The event as the workflow has it.
        overlay: Edits of a further event after all others, their pointers beginning at it.
    """

    event: str
    at: str
    value: Any
    overlay: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one step may ask of the service, over all copies.

    Attributes:
        concurrency: Requests under way at once; None for as many as come.
        rate: Requests per second; None for as many as come.
    """

    concurrency: int | None = None
    rate: float | None = None


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
    probe_s: float = 8.0
    warmup_s: float = 2.0
    recovery_s: float = 1.0
    samples: int = 1000
    probes: int = 12
    budget_s: float | None = None
    budget_events: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How the service is asked what arrived.

    Attributes:
        enabled: False sends load only; consistency is then ``unknown``.
        query: "after": the observer step is asked by loadcheck alone, for all copies. "each": every
            copy runs it too, as the workflow literally says.
        ingest: The per-copy step whose outcome is the copy's; None: the workflow's only one.
        step: The observer step; None: the workflow's only one.
        acknowledged: A condition beyond the step's own success criteria without which an answer
            of the ingest step does not count as an acknowledgement; None if there is none.
        uniques: Where the unique-user count stands.
        totals: Where the event count stands; None if the service has none.
        evidence: What makes an answer no evidence.
        localize: Whether events carry buckets, so that the missing can be named; None: on the
            embedded emulator.
        partitions: How many hashed buckets each event carries.
        split: How buckets are put on events and counted; None if that is not possible.
        budget: What the service lets its users ask; None if there is no limit.
        export: Where the events themselves can be had; None if nowhere.
        repeat: How a copy sends several events; None if it cannot.
        bypass: Edits that get a query past the service's result cache.
        cache: Whether ``bypass`` is used.
        every_s: Pause between two observations.
        quiet_s: The count has settled when it has not moved for this long.
        deadline_s: After the last acknowledgement, how long to wait for the count to settle, and
            for users that are missing.
        timeout_s: Deadline of one query.
    """

    enabled: bool = True
    query: Literal["after", "each"] = "after"
    ingest: str | None = None
    step: str | None = None
    acknowledged: str | None = None
    uniques: Count | None = None
    totals: Count | None = None
    evidence: Evidence = field(default_factory=Evidence)
    localize: bool | None = None
    partitions: int = 5
    split: Split | None = None
    budget: Budget | None = None
    export: Export | None = None
    repeat: Repeat | None = None
    bypass: tuple[Edit, ...] = ()
    cache: Literal["bypass", "respect"] = "bypass"
    every_s: float = 1.0
    quiet_s: float = 10.0
    deadline_s: float = 60.0
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything a run is told.

    Attributes:
        name: Short name, part of the results file's name: letters, digits, "-" and "_".
        description: One line for people.
        file: The file as the user named it.
        seed: Seed of everything random; None: drawn at the start and recorded.
        overlay: Edits of the workflow's requests, the profile's first.
        thresholds: What must hold.
        limits: Step → what it may ask of the service.
        capacity: How its capacity is searched for.
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
    places: Mapping[str, Place] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)

    @property
    def localizes(self) -> bool:
        """Whether events carry buckets."""
        verify = self.verify
        if not verify.enabled or verify.split is None:
            return False
        return self.target.kind == "emulator" if verify.localize is None else verify.localize

    @property
    def secrets(self) -> frozenset[str]:
        """Every value that must appear in no file, log or message."""
        return frozenset().union(*(entry.hidden for entry in self.inputs.values()))

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
