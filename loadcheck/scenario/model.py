"""A scenario as frozen values: what to run, against what, how hard, and what must hold.

Durations are seconds as floats (``_s``), rates are copies per second. Every value here has been
checked; a :class:`Scenario` that exists can be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loadcheck.data import DataFile, Sessions
from loadcheck.data.order import Spread
from loadcheck.data.trace import Trace
from loadcheck.data.users import UserIds
from loadcheck.errors import Location, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the service documents that it takes; None where it documents nothing.

    Attributes:
        events_per_s: Events per second, of all users together.
        requests_per_s: Requests with events per second.
        bytes_per_s: Bytes of their bodies per second, before these are compressed.
        user_events_per_s: Events per second of one user.
        user_events_per_day: Events of one user in 24 hours.
        events_per_request: Events in one request.
        request_bytes: Length of a request's body, before it is compressed.
        event_bytes: Length of one event, with its share of the request around it.
        query_cost_per_hour: Cost of all queries in an hour.
        export_bytes: Size of what can be exported at once.
    """

    events_per_s: int | None = None
    requests_per_s: int | None = None
    bytes_per_s: int | None = None
    user_events_per_s: int | None = None
    user_events_per_day: int | None = None
    events_per_request: int | None = None
    request_bytes: int | None = None
    event_bytes: int | None = None
    query_cost_per_hour: int | None = None
    export_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as its profile knows it.

    Attributes:
        name: What people call it; "" if the profile does not say.
        billed: What each new user counts as; "" if users cost nothing.
        stays: What a run leaves behind.
        regions: Host → the region whose data centre it is.
        limits: What it takes.
        advice: What it asks not to exceed, without refusing it.
    """

    name: str = ""
    billed: str = ""
    stays: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    advice: ServiceLimits = field(default_factory=ServiceLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a run may not do, whatever else is set.

    Attributes:
        max_users: Users of the load at the most; None: any number.
        max_events: Events of the load at the most.
        max_rate: Copies per second at the most.
        hosts: Patterns of hosts that may be reached; empty: any.
        window: Minutes of the local day from which to which it may send; None: always.
        stop_file: Ends the load when it appears, relative to the scenario; "": none does.
        max_error_rate: Share of failed attempts of the ingest step, as of 1; None: any.
        max_throttled: Share of its attempts that are answered with 429.
        over_s: The time over which both are taken.
        stop_on_throttled: End the load when an answer names whom the service throttles.
    """

    max_users: int | None = None
    max_events: int | None = None
    max_rate: float | None = None
    hosts: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    stop_file: str = ""
    max_error_rate: float | None = None
    max_throttled: float | None = None
    over_s: float = 10.0
    stop_on_throttled: bool = False


@dataclass(frozen=True, slots=True)
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
        name: What the user called it: the name of a shipped one, or the path as written.
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
    """TLS verification settings and client certificate.

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
        cookies: Whether each copy keeps the cookies that it is given, and sends them.
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
    cookies: bool = False


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
class Once:
    """A workflow that is run once for all copies, before the load or behind it.

    Attributes:
        workflow: Its ``workflowId``, in the scenario's document.
        inputs: Its inputs, beside those of ``[inputs]`` that it declares.
        timeout_s: How long it may take in all.
        every_s: How often its outputs are renewed while the run goes on; None: never.
        renew: The workflow that renews them, or some of them; "": the same.
        public: Outputs that are no secrets, and may be shown.
    """

    workflow: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    timeout_s: float = 30.0
    every_s: float | None = None
    renew: str = ""
    public: frozenset[str] = frozenset()


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
class Count:
    """How a number is read off the observer step.

    Attributes:
        value: Runtime expression that gives it, e.g. ``$response.body#/data/seriesCollapsed/0/0``.
        overlay: Edits of the observer step's request that this count needs and others do not.
        select: What ``{$count}`` stands for where counts are made by bucket; None: uniques or
            totals, as the count is called.
    """

    value: str
    overlay: tuple[Edit, ...] = ()
    select: str | None = None


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

    In every string ``{$partition}`` stands for the name of a partition, and in the query and the
    place of its counts ``{$count}`` for what is counted, as :attr:`Count.select` says.

    Attributes:
        labels: Expression for the labels of the rows.
        values: Expression for their counts, in the same order.
        limit: The most rows that the service returns.
        tag: Edits of the ingest step that mark its events, made for every partition; the place
            ``$inputs.name`` adds text to an input.
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
class Following:
    """How the page of an export is asked for that follows another, by what the other says.

    Attributes:
        token: Member of an answer that names the next page, as a JSON Pointer: ``{$token}``.
        ends: What the last page has not: a token, or rows.
        path: Path and query, where they differ from the first page's.
        body: The body, where it differs.
    """

    token: str
    ends: Literal["token", "rows"] = "token"
    path: str | None = None
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where the service hands out the events themselves.

    In ``path``, ``body`` and ``headers`` ``{$run.id}`` and ``{$inputs.NAME}`` stand for what they
    are in the observer step, ``{$start}`` and ``{$end}`` for the first and the last hour,
    YYYYMMDDTHH in UTC, ``{$startTime}`` and ``{$endTime}`` for the same in ISO 8601, ``{$startMs}``
    and ``{$endMs}`` in milliseconds since 1970; of the pages before, ``{$last}`` for ``after`` of
    the last event, "" for the first page, ``{$offset}`` for the number of events, ``{$token}`` for
    what names the next page.

    Attributes:
        path: Path and query on the observer step's server.
        event: Place of the event in the ingest step's request: ``body#/json/pointer``; None where
            every field is compared with an input.
        method: The request's.
        body: Its body: a text as it stands, all else as JSON; None: it has none.
        headers: Its header fields, besides and instead of those of the observer step.
        format: JSON lines, a JSON array or answers that have ``rows``; or CSV with a header.
        rows: JSONPath to the arrays of events in an answer, of which there may be one a line;
            None: each line, or member of an array, is an event.
        empty: JSONPath to what an answer has that has no such array because there is no event.
        errors: JSONPaths to what an answer has in which something is missing.
        after: Member that events are ordered by, as a JSON Pointer: there are pages, and the last
            has no events.
        next: How further pages are asked for, where an answer says it.
        pages: The most pages that are read.
        servers: Server that queries go to → the one that exports, where that is another.
        deduplicated: Whether the export, as the count does, holds an event once that was taken
            twice by its deduplication key.
        run: Member that tells events of this run from others, as a JSON Pointer.
        fields: JSON Pointer into the exported event → pointer into the event sent, or
            ``$inputs.name``, for whatever must come out as it went in.
    """

    path: str
    run: str
    event: str | None = None
    method: Literal["GET", "POST"] = "GET"
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    format: Literal["json", "csv"] = "json"
    rows: str | None = None
    empty: str | None = None
    errors: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    next: Following | None = None
    pages: int = 10_000
    servers: Mapping[str, str] = field(default_factory=dict)
    deduplicated: bool = True

    def server(self, queries: str, base: str = "") -> str:
        """Return the base URL that exports, by the server and the base path of queries."""
        return self.servers.get(queries, f"{queries}{base}")

    @property
    def paged(self) -> bool:
        """Whether there may be more pages than one."""
        asked = f"{self.path} {self.body}"
        return self.after is not None or self.next is not None or "{$offset}" in asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """How the service tells how far deletions are that it does in its own time.

    Attributes:
        job: JSONPath to the day of the job in the answer to a request to delete.
        path: Where jobs are listed; ``{$start}`` and ``{$end}`` stand for the first and the last
            day of those wanted.
        days: JSONPath to the days of the jobs listed.
        states: JSONPath to their states, in the same order.
        done: The state that is the last.
    """

    job: str
    path: str
    days: str
    states: str
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How the users of a run are deleted: a request to the query's server, with its headers.

    In ``endpoint`` and ``body`` ``{$users}`` stands for the ids of a batch, ``{$run.id}`` for the
    mark of the run, ``{$inputs.NAME}`` for a run-wide input.

    Attributes:
        method: The request's.
        endpoint: Its path and query.
        body: Its body: a text as it stands, all else as JSON; None: it has none.
        batch: Ids in a request, at the most.
        every_s: Pause between two requests.
        quote: What stands around an id in a text.
        jobs: Where its progress is asked for; None: with the answer it is done, or soon.
        impossible: Why users cannot be deleted; "" if they can.
    """

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    endpoint: str = ""
    body: Any = None
    batch: int = 100
    every_s: float = 0.0
    quote: str = "'"
    jobs: Jobs | None = None
    impossible: str = ""

    @property
    def by_user(self) -> bool:
        """Whether ids are named."""
        return self._names("{$users}")

    @property
    def by_run(self) -> bool:
        """Whether the mark of the run is, so that nobody else's events are hit."""
        return self._names("{$run.id}")

    def _names(self, placeholder: str) -> bool:
        return placeholder in self.endpoint or placeholder in str(self.body)


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
class Batch:
    """How copies share a request, for ``load.copies_per_request`` above 1.

    Attributes:
        events: The array of events in the ingest step's request: ``body#/json/pointer``; ``body``
            if the bodies of copies are lines that follow each other.
        refused: Expressions for the indexes in it that an answer refuses: numbers, in arrays and
            objects of any depth.
        statuses: Expression for the HTTP statuses of all events, in their order, in an answer that
            may have taken only some of them; None if it has none.
    """

    events: str
    refused: tuple[str, ...] = ()
    statuses: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How the service is asked what arrived.

    Attributes:
        enabled: False sends load only: no query is sent, and thresholds alone decide.
        query: "after": the observer step is asked by loadcheck alone, for all copies. "each": every
            copy runs it too, as the workflow literally says.
        ingest: The per-copy step whose outcome is the copy's; None: the workflow's only one.
        step: The observer step; None: the workflow's only one.
        acknowledged: A condition beyond the step's own success criteria without which an answer
            of the ingest step does not count as an acknowledgement; None if there is none.
        user: Where the user id stands that is counted: in the ingest step's request,
            ``body#/json/pointer``, or an input, ``$inputs.name``; None: it is ``$copy.userId``.
        uniques: Where the unique-user count stands.
        totals: Where the event count stands; None if the service has none.
        evidence: What makes an answer no evidence.
        localize: Whether events carry buckets, so that the missing can be named and no sum hides
            them; None: if the workflow's profile knows how, and no error is declared.
        approximate: The error that the service's counts may have, as a share; None: they are exact.
        absent: What an answer without the count means; None: it is no evidence.
        partitions: How many hashed buckets each event carries.
        split: How buckets are put on events and counted; None if that is not possible.
        budget: What the service lets its users ask; None if there is no limit.
        export: Where the events themselves can be had; None if nowhere.
        repeat: How a copy sends several events; None if it cannot.
        batch: How copies share a request; None if they cannot.
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
    user: str | None = None
    uniques: Count | None = None
    totals: Count | None = None
    evidence: Evidence = field(default_factory=Evidence)
    localize: bool | None = None
    approximate: float | None = None
    absent: int | None = None
    partitions: int = 5
    split: Split | None = None
    budget: Budget | None = None
    export: Export | None = None
    repeat: Repeat | None = None
    batch: Batch | None = None
    bypass: tuple[Edit, ...] = ()
    cache: Literal["bypass", "respect"] = "bypass"
    every_s: float = 1.0
    quiet_s: float = 10.0
    deadline_s: float = 60.0
    timeout_s: float = 30.0

    @property
    def localizes(self) -> bool:
        """Whether events carry buckets."""
        if not self.enabled or self.split is None or self.approximate is not None:
            return False
        return self.localize is not False


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
        values: What ``$values.NAME`` gives: tables that are drawn for each copy, or plain JSON.
        document: The scenario as run, profile and overrides merged in, as JSON; secrets are
            ``{"env": NAME}``, never values.
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

    @property
    def deletes(self) -> bool:
        """Whether its users are deleted at the end of the run."""
        return bool(self.document.get("teardown", {}).get("delete"))

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
