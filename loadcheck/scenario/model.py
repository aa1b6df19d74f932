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
    """The documented limits of a service; None where nothing is documented.

    Attributes:
        events_per_s: Events per second, of all users together.
        requests_per_s: Requests with events per second.
        bytes_per_s: Bytes of their bodies per second, before compression.
        user_events_per_s: Events per second of one user.
        user_events_per_day: Events of one user in 24 hours.
        events_per_request: Events in one request.
        request_bytes: Size of a request's body, before compression.
        event_bytes: Size of one event, including its share of the rest of the request.
        query_cost_per_hour: Cost of all queries in an hour.
        export_bytes: Size of one export.
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
    """What the profile of a service states about it.

    Attributes:
        name: Its name for people; "" if the profile does not give one.
        billed: What each new user is billed as; "" if users cost nothing.
        stays: What a run leaves behind there.
        regions: Host → the region of its data centre.
        limits: Limits that it enforces.
        advice: Limits that it recommends without enforcing them.
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
        max_users: Most users of the load; None: any number.
        max_events: Most events of the load; None: any number.
        max_rate: Most copies per second; None: any rate.
        hosts: Patterns of hosts that may be contacted; empty: any.
        window: When it may send: start and end in minutes of the local day; None: always.
        stop_file: File whose appearance ends the load, relative to the scenario; "": none.
        max_error_rate: Largest share of failed attempts of the ingest step, 0 to 1; None: any.
        max_throttled: Largest share of its attempts answered with 429; None: any.
        over_s: The period over which both shares are measured.
        stop_on_throttled: End the load when an answer names who is throttled.
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
            along it are created.
        value: What to put there; strings at any depth may hold expressions.
    """

    step: str
    at: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowReference:
    """Which workflow, and how its document is to be read.

    Attributes:
        document: Path of the Arazzo document.
        name: The document as the user named it: a shipped workflow, or the path as written.
        id: The ``workflowId``; None if the document has only one.
        sources: Source description name → file or URL that replaces its ``url``.
        strict: Treat warnings as errors.
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
        ca: PEM file of the authorities to trust instead of the system's.
        cert: PEM file of the client certificate.
        key: PEM file of its private key; None: it is in ``cert``.
        server_name: The name that the server's certificate must have; None: the URL's host.
        verify: Whether the certificate is checked at all.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The service that receives the load.

    Attributes:
        kind: "emulator": the embedded one, started and stopped by the run. "live": the servers of
            the OpenAPI descriptions, or those in ``servers``.
        servers: Source description name → base URL that replaces the described servers.
        emulator: Configuration of the embedded emulator, as the emulator itself defines it: the
            keys of ``[target]`` that are not defined here, and ``region``.
        transport: "wire" is the fast path; "httpx" supports proxies, redirects and HTTP/2.
        tls: TLS settings for https servers.
        compress: Coding of request bodies.
        proxy: URL of the proxy for all requests; None without one.
        http2: Whether to use HTTP/2 where the server supports it.
        redirects: Whether to follow redirects.
        cookies: Whether each copy keeps the cookies it is given and sends them.
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
        secret: Whether the value must appear in no output.
        hidden: Texts that must appear in no output: values read from the environment, and those
            made from them.
    """

    value: Any
    secret: bool = False
    hidden: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        value = "<secret>" if self.secret else repr(self.value)
        return f"Input(value={value}, secret={self.secret})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A workflow that is run once for all copies, before or after the load.

    Attributes:
        workflow: Its ``workflowId`` in the scenario's document.
        inputs: Its inputs, in addition to those of ``[inputs]`` that it declares.
        timeout_s: How long it may take in all.
        every_s: Interval at which its outputs are renewed during the run; None: never.
        renew: The workflow that renews some or all of them; "": the same one.
        public: Outputs that are not secret and may be shown.
    """

    workflow: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    timeout_s: float = 30.0
    every_s: float | None = None
    renew: str = ""
    public: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of an open load: the rate changes linearly from ``rate`` to ``end_rate``."""

    name: str
    duration_s: float
    rate: float
    end_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A stretch of a closed load: the number of users changes evenly to ``concurrency``."""

    duration_s: float
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Copies arrive on a schedule, whether or not earlier ones have been answered.

    Attributes:
        stages: At least one; a constant rate is one stage.
        arrivals: "constant": evenly spaced. "poisson": independent, exponential gaps.
        trace: The recorded arrivals that copies follow, in one stage; None: the stages decide.
        max_in_flight: Most copies in flight; a copy that falls due beyond that is skipped.
        events_per_copy: Events that each copy sends for its user.
        copies_per_request: Copies whose events share one request; they fall due together.
        think_time: Wait of a copy between its steps, in seconds; None: none.
        preconnect: Connections to open before the first copy is due; None: as many as the rates
            require, and more ahead of a stage whose rate rises.
        copies: The load ends after this many, even before its time; None: with its last stage.
        workers: Processes that share the load; 0: as many as this machine has cores to spare;
            None: this process sends it, unless there are prefixes.
        prefixes: Commands that run another command elsewhere, such as ``ssh host``; each starts
            one worker, or they take turns if ``workers`` is given.
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
    """A fixed number of copies is in flight; the next starts when one ends.

    Attributes:
        concurrency: Most copies in flight.
        ramp: How the number of users changes, from 0; empty: all start at once.
        copies: How many copies in all; None if only the duration limits them.
        duration_s: For how long copies are started; None if only their number is limited.
        events_per_copy: Events that each copy sends for its user.
        copies_per_request: Copies whose events share one request.
        think_time: Wait of a copy between its steps, in seconds; None: none.
        preconnect: Connections to open before the first copy starts; None: as many as there are
            requests in flight.
        workers: As in :class:`OpenLoad`.
        prefixes: As in :class:`OpenLoad`.
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
    """How failed attempts are retried, where the workflow document itself does not say.

    Attributes:
        attempts: Attempts in all, the first included; 1 disables retries.
        backoff_s: Wait before the second attempt; doubled for each further one.
        max_backoff_s: The longest wait. A ``Retry-After`` of the answer overrides the backoff.
        on: What is retried: "timeout", "connection", and status codes or classes ("429", "5xx").
        stale: Whether a request whose idle connection was being closed is sent once more without
            counting as an attempt, if it carries ``$copy.insertId``.
    """

    attempts: int = 5
    backoff_s: float = 0.1
    max_backoff_s: float = 5.0
    on: tuple[str, ...] = ("429", "5xx", "timeout", "connection")
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits of one attempt and of the end of the load.

    Attributes:
        connect_s: To open a connection.
        request_s: From the first byte written to the last byte read.
        write_s: Until the system has accepted the whole request; None: as long as ``request_s``.
        read_s: Before the first piece of an answer and between two; None: as ``request_s``.
        max_idle_s: How long a connection may be idle and still be reused; less, where the server's
            ``Keep-Alive`` says so.
        drain_s: For copies in flight after the last one has started; requests still unanswered then
            are indeterminate.
    """

    connect_s: float = 5.0
    request_s: float = 10.0
    write_s: float | None = None
    read_s: float | None = None
    max_idle_s: float = 10.0
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Limits on the requests of one step, over all copies.

    Attributes:
        concurrency: Most requests in flight; None: unlimited.
        rate: Most requests per second; None: unlimited.
        phase_s: Minimum delay of the first request, so that generators which share a rate take
            turns.
    """

    concurrency: int | None = None
    rate: float | None = None
    phase_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A condition that must hold.

    Attributes:
        check: The expression, as written.
        abort: Whether the load is stopped when it does not hold.
        grace_s: For this long after the start of the load, or of the stage it is about, it does
            not stop the load.
    """

    check: str
    abort: bool = False
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How to search for the highest rate at which everything holds.

    Attributes:
        lowest: The first rate, copies per second; None: the lowest of the load's stages.
        highest: The highest rate to try; None: unlimited.
        precision: Width of the result's interval, relative to the result.
        climb: Factor between successive rates, as long as they hold.
        probe_s: Minimum time for which a rate is measured.
        warmup_s: Time for which a rate is held before it is measured.
        recovery_s: Pause after a rate that held; twice as long after one that did not.
        samples: Minimum number of copies measured at each rate; low rates are held for longer.
        probes: Most rates to try, repetitions included.
        budget_s: Most time for the whole search; None: unlimited.
        budget_events: Most events for the whole search; None: unlimited.
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
class CountExpression:
    """How a count is read from the answer of the observer step.

    Attributes:
        value: Runtime expression for it, e.g. ``$response.body#/data/seriesCollapsed/0/0``.
        overlay: Edits of the observer step's request that only this count needs.
        select: Replaces ``{$count}`` in counts by bucket; None: the name of the count, "uniques" or
            "totals".
    """

    value: str
    overlay: tuple[Edit, ...] = ()
    select: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Expressions for what an answer of the observer step states about itself; None: nothing.

    Attributes:
        pruned: True if groups were left out.
        sample_rate: The share of events that was counted, 1 if all.
        cached: Whether the answer was served from a cache.
        age_ms: How long ago it was computed, in milliseconds.
    """

    pruned: str | None = None
    sample_rate: str | None = None
    cached: str | None = None
    age_ms: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBy:
    """How events are marked with the buckets of their copy, and counted by bucket.

    In every string ``{$partition}`` stands for the name of a partition; in the query and in
    ``values``, ``{$count}`` stands for :attr:`CountExpression.select`.

    Attributes:
        labels: Expression for the labels of the rows.
        values: Expression for their counts, in the same order.
        limit: The most rows that the service returns.
        tag: Edits of the ingest step that mark its events, applied for every partition; the place
            ``$inputs.name`` appends text to an input.
        overlay: Edits of the observer step that group its answer by one partition.
    """

    labels: str
    values: str
    limit: int
    tag: tuple[Edit, ...] = ()
    overlay: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The query budget of the service.

    Attributes:
        cost: Most that all queries within a window may cost together.
        window_s: Length of the window.
        plain: Cost of a plain query.
        split: Cost of a query grouped by bucket.
        per_day: Whether both costs are per day of the range queried.
    """

    cost: int
    window_s: float
    plain: int = 1
    split: int = 1
    per_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How the next page of an export is requested, if each answer names the next one.

    Attributes:
        token: JSON Pointer to the member of an answer that names the next page: ``{$token}``.
        ends: What the last page lacks: a token, or rows.
        path: Path and query, if they differ from the first page's; None: the same.
        body: The body, if it differs from the first page's; None: the same.
    """

    token: str
    ends: Literal["token", "rows"] = "token"
    path: str | None = None
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """How the service exports the events themselves.

    In ``path``, ``body`` and ``headers``, ``{$run.id}`` and ``{$inputs.NAME}`` have their values in
    the observer step; ``{$start}`` and ``{$end}`` are the first and the last hour, YYYYMMDDTHH in
    UTC, ``{$startTime}`` and ``{$endTime}`` the same in ISO 8601, ``{$startMs}`` and ``{$endMs}``
    in milliseconds since 1970. Of the pages read so far, ``{$last}`` is the member ``after`` of the
    last event ("" on the first page), ``{$offset}`` the number of events, ``{$token}`` the name of
    the next page.

    Attributes:
        path: Path and query on the observer step's server.
        event: Place of the event in the ingest step's request: ``body#/json/pointer``; None if
            every field is compared with an input.
        method: The request method.
        body: The request body: a string as it is, other values as JSON; None without one.
        headers: Header fields, added to those of the observer step or replacing them.
        format: "json": JSON lines, a JSON array or answers with ``rows``; "csv": with a header.
        rows: JSONPath to the arrays of events in an answer, or in each of its lines; None: each
            line, or member of an array, is an event.
        empty: JSONPath to what an answer has if it lacks that array because there are no events.
        errors: JSONPaths that find something in an answer that is incomplete.
        after: JSON Pointer to the member by which events are ordered: there are pages, and the last
            one is empty.
        next: How further pages are requested, if each answer names the next; None if it does not.
        pages: Most pages to read.
        servers: Server of the queries → the server that exports, if it is a different one.
        deduplicated: Whether the export, like the count, holds only one of several events with the
            same deduplication key.
        run: JSON Pointer to the member that distinguishes this run's events from others.
        fields: JSON Pointer into the exported event → pointer into the event sent, or
            ``$inputs.name``, for every value that must be exported unchanged.
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
        """Return the base URL of the export, given the server and the base path of queries."""
        return self.servers.get(queries, f"{queries}{base}")

    @property
    def paged(self) -> bool:
        """Whether there may be more than one page."""
        asked = f"{self.path} {self.body}"
        return self.after is not None or self.next is not None or "{$offset}" in asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """How to query the progress of deletions that the service runs asynchronously.

    Attributes:
        job: JSONPath to the day of the job, in the answer to a deletion request.
        path: Path that lists the jobs; ``{$start}`` and ``{$end}`` are the first and the last day
            to list.
        days: JSONPath to the days of the jobs listed.
        states: JSONPath to their states, in the same order.
        done: The final state.
    """

    job: str
    path: str
    days: str
    states: str
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How the users of a run are deleted: a request to the query's server, with its headers.

    In ``endpoint`` and ``body``, ``{$users}`` stands for the ids of a batch, ``{$run.id}`` for the
    mark of the run, ``{$inputs.NAME}`` for a run-wide input.

    Attributes:
        method: The request method.
        endpoint: Its path and query.
        body: The request body: a string as it is, other values as JSON; None without one.
        batch: Most ids in one request.
        every_s: Pause between two requests, in seconds.
        quote: Quotation mark around each id in a string.
        jobs: How progress is queried; None: the deletion is done when answered, or soon after.
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
        """Whether the request names users by id."""
        return self._names("{$users}")

    @property
    def by_run(self) -> bool:
        """Whether the request names the mark of the run, so that only its events are deleted."""
        return self._names("{$run.id}")

    def _names(self, placeholder: str) -> bool:
        return placeholder in self.endpoint or placeholder in str(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """How a copy sends further events of its user, for ``load.events_per_copy`` above 1.

    In every string ``{$event}`` stands for the number of the event, from 1.

    Attributes:
        event: Place of the first event in the ingest step's request; edits of the overlay within it
            are applied to the further ones as well.
        at: Place of a further event.
        value: The event as the workflow has it.
        overlay: Edits of a further event, applied last, with pointers relative to that event.
    """

    event: str
    at: str
    value: Any
    overlay: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """How copies share a request, for ``load.copies_per_request`` above 1.

    Attributes:
        events: Place of the array of events in the ingest step's request: ``body#/json/pointer``;
            ``body`` if the bodies of the copies are joined as lines.
        refused: Expressions for the indexes that an answer refuses: numbers, in arrays and objects
            of any depth.
        statuses: Expression for the HTTP statuses of all events, in order, in an answer that may
            have accepted only some of them; None if there are none.
    """

    events: str
    refused: tuple[str, ...] = ()
    statuses: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How the service is queried for what has arrived.

    Attributes:
        enabled: False: only send load, query nothing, and let the thresholds alone decide.
        query: "after": only loadcheck runs the observer step, for all copies. "each": every copy
            runs it too, as the workflow literally says.
        ingest: The per-copy step whose outcome is the copy's; None: the workflow's only one.
        step: The observer step; None: the workflow's only one.
        acknowledged: A condition that an answer of the ingest step must meet, beyond the step's own
            success criteria, to count as an acknowledgement; None if there is none.
        user: Place of the user id that the service counts: ``body#/json/pointer`` in the ingest
            step's request, or an input, ``$inputs.name``; None: it is ``$copy.userId``.
        uniques: The count of unique users.
        totals: The count of events; None if the service has none.
        evidence: What an answer states about itself that makes it no evidence.
        localize: Whether events carry buckets, so that missing users can be named and no sum hides
            them; None: if the workflow's profile has buckets and counts are exact.
        approximate: The error that the service's counts may have, as a share; None: they are exact.
        absent: The count that an answer without one stands for; None: it is not evidence.
        partitions: How many hashed buckets each event carries.
        split: How buckets are put on events and counted; None if that is not possible.
        budget: The query budget of the service; None if there is no limit.
        export: How the service exports events; None if it does not.
        repeat: How a copy sends several events; None if it cannot.
        batch: How copies share a request; None if they cannot.
        bypass: Edits that make a query bypass the service's result cache.
        cache: Whether ``bypass`` is applied.
        every_s: Pause between two observations.
        quiet_s: The count has settled when it has not changed for this long.
        deadline_s: How long after the last acknowledgement to wait for the count to settle and for
            missing users.
        timeout_s: Time limit of one query.
    """

    enabled: bool = True
    query: Literal["after", "each"] = "after"
    ingest: str | None = None
    step: str | None = None
    acknowledged: str | None = None
    user: str | None = None
    uniques: CountExpression | None = None
    totals: CountExpression | None = None
    evidence: Evidence = field(default_factory=Evidence)
    localize: bool | None = None
    approximate: float | None = None
    absent: int | None = None
    partitions: int = 5
    split: GroupBy | None = None
    budget: Budget | None = None
    export: Export | None = None
    repeat: Repeat | None = None
    batch: BatchSpec | None = None
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
        mix: Name of the mix.
        flow: Name of the flow.
        place: Its index among the flows, from 0.
        flows: Names of all flows.
        limits: Thresholds on all flows together, as written.
        id: Id of the mix's run; "" before there is one.
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
        profile: The one of its own profiles that was applied; "" for none.
        seed: Random seed; None: drawn at the start and recorded.
        overlay: Edits of the workflow's requests, the profile's first.
        thresholds: What must hold.
        limits: Step → limits on its requests.
        capacity: How its capacity is searched for.
        files: The data files, by name.
        user_ids: How users are named.
        sessions: Uploads per copy and returning users; None: one upload each, no user returns.
        flows: The flows, if this is a mix, which cannot be run as one scenario.
        together: Thresholds on all flows of a mix together.
        part: Which flow of a mix this is; None if it is not part of one.
        setup: The workflow to run once before the load; None for none.
        teardown: The workflow to run once after the load; None for none.
        labels: Labels that distinguish the run later.
        guard: What it may not do, whatever else is set.
        service: Facts about the service, such as its regions and limits.
        deletion: How its users are deleted; None if unknown.
        values: The values of ``$values.NAME``: tables drawn for each copy, or plain JSON.
        document: The scenario as run, profile and overrides merged in, as JSON; secrets are
            ``{"env": NAME}``, never values.
        places: Dotted key → where it was written: ``file``, the profile or an override.
    """

    name: str
    description: str
    file: str
    workflow: WorkflowReference
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
        """Return a problem with the value at ``key``, located where that value was written.

        List entries are numbered from 0 (``thresholds.2``). If nothing was written at ``key``, the
        location is that of the nearest table above it.
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
