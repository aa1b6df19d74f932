"""Collects a run's measurements while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.measure import Ledger, Outcome, Recorded, bitmap
from loadcheck.measure.grid import Grid, OutcomeCounts
from loadcheck.measure.histogram import Histogram, percentiles_of
from loadcheck.measure.intervals import BUFFERED, Delays, StepTimes, Tally
from loadcheck.measure.timeline import Stalls, Timeline
from loadcheck.workflow.exchange import Exchange, Failure
from loadcheck.workflow.runtime.plan import Role, StepPlan

Numbers = npt.NDArray[np.int64]
_ACKNOWLEDGED = Outcome.ACKNOWLEDGED  # what is looked up for every copy costs every copy


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpan:
    """Where a stage lies in a load.

    Attributes:
        name: The stage's name.
        begin_s: When it begins, in seconds since the load began.
        end_s: When it ends.
        first: Number of its first copy.
        last: Number of the first copy after it.
    """

    name: str
    begin_s: float
    end_s: float
    first: int
    last: int


class StageRecord(Recorded):
    """What was measured in one stage.

    Attributes:
        span: Where it lies in the load.
        steps: What its copies measured, by index in the plan; queries belong to the stage in which
            they were sent.
        workflow: Its copies as a whole; None if each has one step.
        lateness: Due to sent of each copy's first request.
        dispatch_lag: Due to started of each copy.
        loop_lag: The lag of the event loop during the stage.
    """

    __slots__ = (
        *("_begin_ns", "_end_ns", "dispatch_lag", "lateness", "loop_lag", "span", "steps"),
        "workflow",
    )

    def __init__(
        self, span: StageSpan, steps: Sequence[StepRecord], workflow: StepRecord | None = None
    ) -> None:
        self.span = span
        self.steps = tuple(steps)
        self.workflow = workflow
        self.lateness = Histogram()
        self.dispatch_lag = Histogram()
        self.loop_lag = Histogram()
        self._begin_ns = self._end_ns = 0

    def begin(self, load_begin_ns: int) -> None:
        """Note when the load began."""
        self._begin_ns = load_begin_ns + round(self.span.begin_s * 1e9)
        self._end_ns = load_begin_ns + round(self.span.end_s * 1e9)

    def contains(self, instant_ns: int) -> bool:
        """Return whether an instant falls into the stage."""
        return self._begin_ns <= instant_ns < self._end_ns

    def __getstate__(self) -> tuple[Any, ...]:
        times = self.lateness, self.dispatch_lag, self.loop_lag
        return self.span, self.steps, *times, self.workflow

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.span, self.steps, *times, self.workflow = state
        self.lateness, self.dispatch_lag, self.loop_lag = times
        self._begin_ns = self._end_ns = 0

    def __add__(self, other: StageRecord) -> StageRecord:
        """Return the stage with the measurements of both.

        Raises:
            ValueError: They are different stages.
        """
        if self.span != other.span:
            raise ValueError(f'stages "{self.span.name}" and "{other.span.name}" do not merge')
        merged = StageRecord(
            self.span,
            _sums(self.steps, other.steps),
            _optional_sum(self.workflow, other.workflow),
        )
        merged.lateness = self.lateness + other.lateness
        merged.dispatch_lag = self.dispatch_lag + other.dispatch_lag
        merged.loop_lag = self.loop_lag + other.loop_lag
        return merged


_TOO_MANY_REQUESTS = 429


class StepRecord(Recorded):
    """What was measured for one step.

    Latencies of successful attempts are kept apart from those of failed ones, and a 429 is mixed
    into neither: a refusal is quick and would flatter both.

    Attributes:
        step_id: The step.
        service_time: Sent to done, of each successful attempt.
        response_time: Due to done of each success, retries spanned; None for a step that has no due
            time of its own.
        failed: Sent to done of attempts that failed with anything but a 429.
        throttled: Sent to done of attempts answered with 429.
        attempts: Exchanges, sent or not.
        succeeded: Attempts whose criteria held.
        answers: How often each status code, or failure by name, came back.
        times: The response and service times, by interval of the copy's due time; for a query of
            our own, of the instant at which it was sent.
        failures: Attempts that failed, by the same intervals; None where no intervals are kept.
        reasons: Why attempts failed, counted; at most 20 kinds in each process.
        shortages: What this machine lacked, so that an attempt was never sent, counted: these are
            not failures of the target.
        examples: The beginning of the first failed response's body, by status code.
        parts: The stages that thresholds name, each with its record of this step.
    """

    __slots__ = (
        "answers",
        "attempts",
        "examples",
        "failed",
        "failures",
        "parts",
        "reasons",
        "response_time",
        "service_time",
        "shortages",
        "step_id",
        "succeeded",
        "throttled",
        "times",
    )

    _MAX_REASONS = 20
    _OTHER = "other reasons"
    _EXAMPLE_BYTES = 4096  # more than is shown, so that no secret is cut before it is hidden

    def __init__(
        self,
        step_id: str,
        *,
        has_due_time: bool,
        grid: Grid | None = None,
        stalls: Stalls | None = None,
    ) -> None:
        self.step_id = step_id
        self.times = StepTimes(grid, has_due_time=has_due_time, stalls=stalls)
        self.service_time = self.times.service_time
        self.response_time = self.times.response_time
        self.failures = Tally(grid) if grid is not None else None
        self.failed = Histogram()
        self.throttled = Histogram()
        self.attempts = 0
        self.succeeded = 0
        self.answers: dict[int | str, int] = {}
        self.reasons: Counter[str] = Counter()
        self.shortages: Counter[str] = Counter()
        self.examples: dict[int, str] = {}
        self.parts: tuple[tuple[StageRecord, StepRecord], ...] = ()

    _HELD = (
        "step_id",
        "times",
        "failures",
        "failed",
        "throttled",
        "attempts",
        "succeeded",
        "answers",
        "reasons",
        "shortages",
        "examples",
    )

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._HELD)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(self._HELD, state, strict=True):
            setattr(self, name, value)
        self.service_time = self.times.service_time
        self.response_time = self.times.response_time
        self.parts = ()

    def __add__(self, other: StepRecord) -> StepRecord:
        """Return the step with the measurements of both.

        Raises:
            ValueError: They are different steps.
        """
        if self.step_id != other.step_id:
            raise ValueError(f'steps "{self.step_id}" and "{other.step_id}" do not merge')
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in self._HELD
            if name not in ("step_id", "failures", "answers", "examples")
        }
        sums["answers"] = dict(Counter(self.answers) + Counter(other.answers))
        sums["step_id"] = self.step_id
        sums["failures"] = _optional_sum(self.failures, other.failures)
        # which of two processes had its example first is not known
        sums["examples"] = {
            status: min(
                found.examples[status] for found in (self, other) if status in found.examples
            )
            for status in {**self.examples, **other.examples}
        }
        merged = StepRecord.__new__(StepRecord)
        merged.__setstate__(tuple(sums[name] for name in self._HELD))
        return merged

    def main_reasons(self) -> dict[str, int]:
        """Return why attempts failed: the most frequent reasons, and how many had another."""
        if len(self.reasons) <= self._MAX_REASONS + 1:
            return dict(self.reasons)
        named = Counter({why: n for why, n in self.reasons.items() if why != self._OTHER})
        most = sorted(named.items(), key=lambda reason: (-reason[1], reason[0]))
        kept = dict(most[: self._MAX_REASONS])
        return {**kept, self._OTHER: self.reasons.total() - sum(kept.values())}

    def add(
        self, exchange: Exchange, due_ns: int | None = None, started_ns: int | None = None
    ) -> None:
        """Record one judged attempt, of a copy or of a query of our own.

        Args:
            exchange: The attempt.
            due_ns: When the copy was due; None for a query of our own.
            started_ns: When it was started; None: when it was due.
        """
        done_ns, sent_ns = exchange.done_ns, exchange.sent_ns
        since_ns = sent_ns if due_ns is None else due_ns
        for stage, part in self.parts:
            if stage.contains(since_ns):
                part.add(exchange, due_ns, started_ns)
        self.attempts += 1
        if exchange.success:
            self.succeeded += 1
            # a Counter would take as long as everything else here
            self.answers[exchange.status] = self.answers.get(exchange.status, 0) + 1
            waiting = self.times.waiting
            waiting += (since_ns, started_ns or since_ns, sent_ns, done_ns)
            if len(waiting) >= BUFFERED:
                self.times.fold()
        else:
            self._failed(exchange, since_ns)

    def complete(self, due_ns: int, started_ns: int, done_ns: int) -> None:
        """Record a copy that has succeeded as a whole.

        Args:
            due_ns: When it was due.
            started_ns: When it was started.
            done_ns: When its last step had ended, less its think time.
        """
        for stage, part in self.parts:
            if stage.contains(due_ns):
                part.complete(due_ns, started_ns, done_ns)
        self.attempts += 1
        self.succeeded += 1
        waiting = self.times.waiting
        waiting += (due_ns, started_ns, started_ns, done_ns)
        if len(waiting) >= BUFFERED:
            self.times.fold()

    def give_up(self, due_ns: int) -> None:
        """Record a copy that has failed in one of its steps."""
        for stage, part in self.parts:
            if stage.contains(due_ns):
                part.give_up(due_ns)
        self.attempts += 1
        if self.failures is not None:
            self.failures.record(due_ns)

    def _failed(self, exchange: Exchange, since_ns: int) -> None:
        if exchange.failure is Failure.LOCAL:
            self.shortages[exchange.reason] += 1
        elif self.failures is not None:
            self.failures.record(since_ns)
        answer = exchange.status if exchange.failure is None else exchange.failure.value
        self.answers[answer] = self.answers.get(answer, 0) + 1
        if exchange.failure is not None:
            reason = exchange.reason
        else:
            reason = f"{_named(exchange.status)}: {exchange.reason}"
            if exchange.status not in self.examples:
                beginning = exchange.body[: self._EXAMPLE_BYTES]
                self.examples[exchange.status] = beginning.decode("utf-8", "replace")
        if reason not in self.reasons and len(self.reasons) >= self._MAX_REASONS:
            reason = self._OTHER
        self.reasons[reason] += 1
        if exchange.sent_ns:
            kept = self.throttled if exchange.status == _TOO_MANY_REQUESTS else self.failed
            kept.record(exchange.done_ns - exchange.sent_ns)

    @property
    def error_rate(self) -> float | None:
        """Share of failures among attempts that this machine could make; None if there are none."""
        made = self.attempts - self.shortages.total()
        # not "1 - …": rounded twice, a share could exceed a limit that it equals
        return (made - self.succeeded) / made if made else None


def _named(status: int) -> str:
    """Return a status code with its name, where it has one."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class Record(Recorded):
    """Everything measured in one run.

    Counters are kept beside the ledger, because a bitmap's length is a walk over its containers.

    Attributes:
        steps: The steps by index in the plan, observer steps included.
        ingest: The step whose outcome is the copy's.
        queries: Our own queries of an observer step that copies run too; None if they do not.
        workflow: The copies as a whole, from due to the end of the last step of those that
            succeeded; None if each has one step, whose times are the same.
        lateness: Due to sent of each copy's first request.
        dispatch_lag: Due to started of each copy of an open load: the part of its lateness that is
            the generator's alone, before it waits for a connection.
        ledger: Which copies have which outcome.
        timeline: What happened in each second.
        due: Copies that have fallen due.
        started, skipped, acknowledged, rejected, indeterminate: As in the ledger.
        retries: Attempts beyond the first of a step.
        stale_retries: Requests that the transport sent a second time, because the connection of the
            first had been idle and was being closed; not attempts of their own.
        unsent: Rejected copies that this machine could not send, for lack of a port, a file
            descriptor or memory: not errors of the target.
        resends: Shared requests that were resent without the copies refused individually.
        in_flight: Copies in flight now.
        max_in_flight: The most copies that were in flight at once.
        load_ns: For how long copies were started; 0 while they still are.
        last_ack_ns: When the last acknowledgement came, in ns since the load began; None before.
        uniques: The users that the service counted last; None before the first count.
        stages: The stages of an open load that are measured on their own.
        grid: Intervals by which times, failures, lateness and outcomes are kept.
        delays: The lateness by interval.
        stalls: When the generator itself stood still.
        uploads: The uploads of copies that make several, by number: the copy's number times
            ``most_uploads``, plus the upload's place. Empty where each copy makes one.
        paused: Of the copies skipped, those that fell due during a pause of the generator.
    """

    # an instance with more than thirty attributes has a slow dictionary otherwise
    __slots__ = (
        "_ingest",
        "_origin_ns",
        "_outcomes",
        "_seen_lateness",
        "_seen_times",
        "_times",
        "acknowledged",
        "delays",
        "dispatch_lag",
        "due",
        "grid",
        "in_flight",
        "indeterminate",
        "ingest",
        "last_ack_ns",
        "lateness",
        "ledger",
        "load_ns",
        "max_in_flight",
        "most_uploads",
        "paused",
        "queries",
        "rejected",
        "resends",
        "retries",
        "skipped",
        "stages",
        "stale_retries",
        "stalls",
        "started",
        "steps",
        "timeline",
        "uniques",
        "unsent",
        "uploads",
        "workflow",
    )

    def __init__(
        self,
        steps: Sequence[StepPlan],
        ingest: int,
        observer: int | None = None,
        stages: Sequence[StageSpan] = (),
        grid: Grid | None = None,
    ) -> None:
        self.grid = Grid() if grid is None else grid
        self.stalls = Stalls()
        self.steps = _records(steps, self.stalls, self.grid)
        self._ingest = ingest
        self.ingest = self.steps[ingest]
        shared = observer is not None and steps[observer].role is Role.COPY
        self.queries = (
            StepRecord(
                f"{steps[observer].step_id}@observer",
                has_due_time=False,
                grid=self.grid,
                stalls=self.stalls,
            )
            if shared and observer is not None
            else None
        )
        self.workflow = _whole(steps, self.stalls, self.grid)
        self.stages = tuple(
            StageRecord(span, _records(steps, self.stalls), _whole(steps, self.stalls))
            for span in stages
        )
        if self.workflow is not None:
            self.workflow.parts = tuple(
                (stage, stage.workflow) for stage in self.stages if stage.workflow is not None
            )
        for index, step in enumerate(self.steps):
            step.parts = tuple((stage, stage.steps[index]) for stage in self.stages)
        self.delays = Delays(self.grid)
        self.lateness = self.delays.total
        self.dispatch_lag = Histogram()
        self.ledger = Ledger()
        self.uploads = Ledger()
        self.most_uploads = 1
        self.timeline = Timeline()
        self.due = self.started = self.skipped = 0
        self.paused = BitMap()
        self.acknowledged = self.rejected = self.indeterminate = 0
        self.retries = self.stale_retries = self.resends = 0
        self.unsent = BitMap()
        self.in_flight = 0
        self.max_in_flight = 0
        self.load_ns = 0
        self.last_ack_ns: int | None = None
        self.uniques: int | None = None
        self._origin_ns = 0
        self._outcomes: OutcomeCounts | None = None
        self._times = self.ingest.response_time or self.ingest.service_time
        self._seen_times = self._times.counts()
        self._seen_lateness = self.lateness.counts()

    def begin(self, begin_ns: int) -> None:
        """Note when the load began, before its first copy is started."""
        self._origin_ns = begin_ns
        self.grid.begin(begin_ns)
        self.stalls.begin(begin_ns)
        for stage in self.stages:
            stage.begin(begin_ns)

    def end(self, end_ns: int) -> None:
        """Note that no further copy will be started."""
        self.load_ns = end_ns - self._origin_ns
        self.grid.end(end_ns)

    def record_dispatch(self, due_ns: int, now_ns: int) -> None:
        """Record how late a copy of an open load was started."""
        self.dispatch_lag.record(now_ns - due_ns)
        for stage in self.stages:
            if stage.contains(due_ns):
                stage.dispatch_lag.record(now_ns - due_ns)

    def record_send(self, due_ns: int, sent_ns: int) -> None:
        """Record how late the first request of a copy was sent."""
        waiting = self.delays.waiting
        waiting += (due_ns, sent_ns)
        if len(waiting) >= BUFFERED:
            self.delays.fold()
        for stage in self.stages:
            if stage.contains(due_ns):
                stage.lateness.record(sent_ns - due_ns)

    def record_query(self, exchange: Exchange) -> None:
        """Record a query of our own, apart from those that copies make of the same step."""
        kept = self.steps[exchange.request.step] if self.queries is None else self.queries
        kept.add(exchange)

    def start(self, number: int) -> None:
        """Record a copy before its first byte is sent."""
        self.started += 1
        self.ledger.started.add(number)
        self.in_flight = in_flight = self.in_flight + 1
        if in_flight > self.max_in_flight:  # noqa: PLR1730  # max() costs every copy a call
            self.max_in_flight = in_flight

    def skip(self, first: int, last: int, *, paused: bool = False) -> None:
        """Record copies that are not sent, because too many are in flight or the generator paused.

        Args:
            first: Number of the first.
            last: Number of the first that is not skipped.
            paused: Whether the reason is that the generator paused when they fell due.
        """
        self.skipped += last - first
        self.ledger.skipped.add_range(first, last)
        if paused:
            self.paused.add_range(first, last)

    def settle(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of a copy that has ended."""
        self.in_flight -= 1
        if outcome is _ACKNOWLEDGED:
            self.acknowledged += 1
            self.ledger.acknowledged.add(number)
            return
        self.ledger.settle(number, outcome)
        if outcome is Outcome.REJECTED:
            self.rejected += 1
        else:
            self.indeterminate += 1

    @property
    def unconfirmed(self) -> int:
        """Copies that a lost generator may have started, beyond those known to have been."""
        # by the sets: copies that think are neither in flight nor have they an outcome
        return int(self.ledger.indeterminate.difference_cardinality(self.ledger.started))

    @property
    def started_at_most(self) -> int:
        """Copies that can have been started, those of a lost generator included."""
        return self.started + self.unconfirmed

    @property
    def possible(self) -> int:
        """Copies that can have taken effect."""
        return self.started_at_most - self.rejected

    def pauses(self) -> list[dict[str, Any]]:
        """Return the generator's pauses, in seconds since the load began."""
        return [
            {
                "at_s": round(pause.at_ns / 1e9, 3),
                "length_s": round(pause.length_ns / 1e9, 3),
                "suspended": pause.suspended,
            }
            for pause in self.stalls.pauses
        ]

    def close(self) -> None:
        """Record copies still in flight as indeterminate: the run ends without their responses."""
        self.indeterminate += len(self.ledger.open())
        self.in_flight = 0
        self.ledger.close()
        self.uploads.close()

    def close_second(self, second: int) -> None:
        """Write the timeline's row of a second that has passed."""
        times, lateness = self._times, self.lateness
        samples = times.gain(self._seen_times), lateness.gain(self._seen_lateness)
        p50_ms, p99_ms, max_ms = percentiles_of(samples[0], (50, 99, 100), max_ns=times.max_ns)
        (lateness_p99_ms,) = percentiles_of(samples[1], (99,), max_ns=lateness.max_ns)
        self.timeline.close_second(
            second,
            {
                "due": self.due,
                "started": self.started,
                "skipped": self.skipped,
                "acknowledged": self.acknowledged,
                "rejected": self.rejected,
                "indeterminate": self.indeterminate,
                "retries": self.retries,
            },
            {"in_flight": self.in_flight, "uniques": self.uniques},
            {
                "p50_ms": p50_ms,
                "p99_ms": p99_ms,
                "max_ms": max_ms,
                "lateness_p99_ms": lateness_p99_ms,
            },
            samples,
        )

    def outcomes(self) -> OutcomeCounts:
        """Return how many copies fell due in each interval and what became of them."""
        if self._outcomes is not None:
            return self._outcomes
        return self.grid.outcomes(self.ledger, self.due)

    def renumber(self, numbers: Callable[[Numbers], Numbers]) -> None:
        """Give the copies of one of several generators the numbers that they have in the run.

        Counts that depend on the order of its own numbers are taken before.

        Args:
            numbers: Returns, for an ascending array of its own numbers, those in the run.
        """
        self._outcomes = self.outcomes()

        def renumbered(copies: BitMap) -> BitMap:
            return bitmap(numbers(np.array(copies.to_array(), dtype=np.int64)))

        self.ledger.__setstate__(tuple(map(renumbered, self.ledger.__getstate__())))
        most = self.most_uploads

        def of_uploads(uploads: BitMap) -> BitMap:
            copies, places = np.divmod(np.array(uploads.to_array(), dtype=np.int64), most)
            return bitmap(numbers(copies) * most + places)

        self.uploads.__setstate__(tuple(map(of_uploads, self.uploads.__getstate__())))
        self.paused = renumbered(self.paused)
        self.unsent = renumbered(self.unsent)

    def lose(self, due: int, since_begin_ns: int, placed: int = 0) -> dict[str, int]:
        """Mark the generator as lost: copies that fell due may or may not have been sent.

        They are indeterminate but not started: only copies that certainly were count as started.

        Args:
            due: How many of its copies fell due before it was certainly gone.
            since_begin_ns: When it was last heard from, in ns since the load began.
            placed: How many of those that it has not reported the caller counts among its outcomes,
                at the instants at which they fell due.

        Returns:
            What counts at the instant when it was last heard from, by name.
        """
        ledger, outcomes = self.ledger, self.outcomes()
        due = max(due, self.due)
        unknown = BitMap()
        unknown.add_range(0, due)
        unknown -= ledger.acknowledged | ledger.rejected | ledger.skipped | ledger.indeterminate
        gained = {
            "due": due - self.due,
            "indeterminate": len(unknown),
        }
        ledger.indeterminate |= unknown
        if self.most_uploads > 1:
            # also those of copies that have an outcome: how many more these made is unknown
            made = self.uploads
            made.indeterminate.add_range(0, due * self.most_uploads)
            made.indeterminate -= made.acknowledged | made.rejected
        there = {**gained, "due": gained["due"] - placed}
        outcomes.add_at(since_begin_ns, there)
        self._outcomes = outcomes
        for name, count in gained.items():
            setattr(self, name, getattr(self, name) + count)
        self.in_flight = 0
        if not self.load_ns:
            self.end(max(since_begin_ns, 1))
        return there

    COUNTS = (
        "due",
        "started",
        "skipped",
        "acknowledged",
        "rejected",
        "indeterminate",
        "retries",
        "stale_retries",
        "resends",
        "in_flight",
        "max_in_flight",
    )
    _SUMS = ("delays", "dispatch_lag", "ledger", "uploads", "timeline", "stalls", *COUNTS)
    """What adds up over processes; for the most in flight, the sum is an upper bound."""
    _HELD = (
        *_SUMS,
        "grid",
        "steps",
        "queries",
        "workflow",
        "stages",
        "paused",
        "unsent",
        "load_ns",
        "last_ack_ns",
        "uniques",
        "_ingest",
        "most_uploads",
    )

    def __getstate__(self) -> tuple[Any, ...]:
        return self.outcomes(), *(getattr(self, name) for name in self._HELD)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._outcomes, *held = state
        for name, value in zip(self._HELD, held, strict=True):
            setattr(self, name, value)
        self.ingest = self.steps[self._ingest]
        self.lateness = self.delays.total
        self._origin_ns = 0
        self._times = self.ingest.response_time or self.ingest.service_time
        self._seen_times, self._seen_lateness = self._times.counts(), self.lateness.counts()

    def __add__(self, other: Record) -> Record:
        """Return the record of both, whose copies are numbered within one run.

        Raises:
            ValueError: They are records of different scenarios, or one keeps no samples of seconds.
        """
        if len(self.stages) != len(other.stages):
            raise ValueError("records of different stages do not merge")
        both = (self, other)
        merged = Record.__new__(Record)
        sums = {name: getattr(self, name) + getattr(other, name) for name in self._SUMS}
        sums |= {
            "grid": self.grid + other.grid,
            "steps": _sums(self.steps, other.steps),
            "queries": _optional_sum(self.queries, other.queries),
            "workflow": _optional_sum(self.workflow, other.workflow),
            "stages": tuple(a + b for a, b in zip(self.stages, other.stages, strict=True)),
            "paused": self.paused | other.paused,
            "unsent": self.unsent | other.unsent,
            "load_ns": max(self.load_ns, other.load_ns) if self.load_ns and other.load_ns else 0,
            "last_ack_ns": _latest(record.last_ack_ns for record in both),
            "uniques": _latest(record.uniques for record in both),
            "_ingest": self._ingest,
            "most_uploads": self.most_uploads,
        }
        outcomes = self.outcomes() + other.outcomes()
        merged.__setstate__((outcomes, *(sums[name] for name in self._HELD)))
        return merged


def _sums(one: Sequence[StepRecord], other: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    if len(one) != len(other):
        raise ValueError("records of different steps do not merge")
    return tuple(a + b for a, b in zip(one, other, strict=True))


_T = TypeVar("_T", StepRecord, Tally)


def _optional_sum(one: _T | None, other: _T | None) -> _T | None:
    return one + other if one is not None and other is not None else one or other


def _latest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _records(
    steps: Sequence[StepPlan], stalls: Stalls, grid: Grid | None = None
) -> tuple[StepRecord, ...]:
    return tuple(
        StepRecord(
            step.step_id,
            has_due_time=step.role is Role.COPY and not step.dependent,
            grid=grid,
            stalls=stalls,
        )
        for step in steps
    )


WORKFLOW: Final = "workflow"
"""Name of copies as a whole among the steps, unless a step has that name."""


def whole_name(steps: Sequence[StepPlan]) -> str:
    """Return the name of copies as a whole among these steps."""
    return f"{WORKFLOW}@copy" if any(step.step_id == WORKFLOW for step in steps) else WORKFLOW


def _whole(
    steps: Sequence[StepPlan], stalls: Stalls, grid: Grid | None = None
) -> StepRecord | None:
    if sum(step.role is Role.COPY for step in steps) < 2:  # noqa: PLR2004  # one is the whole
        return None
    return StepRecord(whole_name(steps), has_due_time=True, grid=grid, stalls=stalls)
