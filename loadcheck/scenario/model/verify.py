"""How the service is asked what arrived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loadcheck.scenario.model.sending import Edit


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
        enabled: False sends load only: nobody is asked, and thresholds alone decide.
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
