"""Starts copies when they are due and follows each to its end.

A copy is a generator of the plan; the runner drives it by callbacks, so that a copy in flight costs
neither a task nor a future. The schedule is absolute: a late start never moves a later one. Copies
that fall due while the process pauses are skipped, and counted.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint

from loadcheck.load.limiter import Later, StepLimiter, WaitQueue
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.retry import Backoff, attempt_outcome, merge
from loadcheck.load.slices import Copies, WaitTime
from loadcheck.load.transport import Transport
from loadcheck.measure import Outcome
from loadcheck.measure.record import Record
from loadcheck.measure.timeline import PAUSE_NS, RESOLUTION_NS
from loadcheck.scenario.model import ClosedLoad, Limit
from loadcheck.workflow.exchange import Exchange, Failure, Gap, Request, Wait
from loadcheck.workflow.runtime.plan import Flow

SPIN_NS = 1_500_000
"""Timers of an event loop are exact to a millisecond: for the rest of a wait, the loop spins."""
MOST_COPIES = 2**32
"""A ledger's numbers have 32 bits: even a load that only time bounds ends here."""
_BURST_NS = 500_000
"""Longest burst of starts before responses are processed."""
_PROMPT_NS = 100_000_000
"""Copies late by less are started at once; later ones, no faster than :data:`_HASTE` allows."""
_HASTE = 1.25
"""Multiple of the schedule's peak rate at which copies are started that a late loop held up."""
LOOK_NS = 100_000_000
"""How soon a long wait notices that the run is stopping."""
Waiting: TypeAlias = "WaitQueue[_Thinker]"
"""A queue of copies in their think time."""
FOREVER_NS = 1 << 62
"""An instant that never comes."""
_ACKNOWLEDGED, _REJECTED = Outcome.ACKNOWLEDGED, Outcome.REJECTED
_ABORT_S = 10.0
"""Seconds for an aborted transport to hand back its requests."""


class Begin(NamedTuple):
    """The instant at which a load begins.

    Attributes:
        ns: On this process's monotonic clock.
        unix_ms: The same as a date, in milliseconds since 1970: what ``$copy.time`` counts from.
    """

    ns: int
    unix_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every copy of a load.

    Attributes:
        backoff: Decides about retries.
        ingest: Index of the step whose outcome is the copy's.
        together: Copies that share a request. They fall due together, when the first of them does.
        uploads: The most uploads of a copy.
        think: How long a copy waits before each step but the first of an upload, in seconds, by
            the upload's number and how often it has waited; None: not at all.
        limits: Step index → the limit of its requests, for steps that are metered.
    """

    backoff: Backoff
    ingest: int = 0
    together: int = 1
    uploads: int = 1
    think: WaitTime | None = None
    limits: Mapping[int, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock of a runner, and how it waits.

    Attributes:
        now_ns: Monotonic nanoseconds, of the same clock as the transport's.
        spin_ns: How long before a copy is due to stop sleeping and spin the loop instead; 0 for a
            clock that sleeps exactly.
        follow: Fetches the next instant when each has come, or at the latest after
            :data:`LOOK_NS`, and returns when there is none; None: the runner sleeps and spins.
        waiting: Wakes copies after their think time, of all the runners that share it; None: a
            queue of its own, whose timer is a task.
    """

    now_ns: Callable[[], int] = time.monotonic_ns
    spin_ns: int = SPIN_NS
    follow: Callable[[Iterator[int]], Awaitable[None]] | None = None
    waiting: Waiting | None = None


def wait_queue(now_ns: Callable[[], int], later: Later) -> Waiting:
    """Return a queue that wakes copies after their think time, for one runner or several.

    Args:
        now_ns: The clock of their runners.
        later: Calls back after some seconds, and returns at once.
    """
    return WaitQueue(now_ns, _wake, later)


def _nothing() -> None:
    """Do nothing when a load begins."""


class Runner:
    """Runs one load: starts its copies and follows each, retries included, to its outcome.

    Args:
        plan: The workflow of a copy.
        transport: Carries the requests.
        record: Receives everything measured.
        rules: What holds for every copy.
        clock: The clock; None for the system's.

    Attributes:
        begin_ns: When the load began, or begins; 0 before that is known.
        lease_ns: From this instant on no further copy is started, not even by a process that was
            suspended until then: it reads the clock first.
        is_expired: Whether the lease ended the load.
        whole: Record of copies as a whole; None where each has one step.
    """

    def __init__(
        self,
        plan: Copies,
        transport: Transport,
        record: Record,
        rules: Rules,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._together = rules.together
        self._uploads = rules.uploads
        self._wait = rules.think
        self._single = rules.together == 1 and rules.uploads == 1
        self._plain = self._single and rules.think is None
        self._ingest = rules.ingest
        self._transport = transport
        self._record = record
        self.whole = record.workflow
        self._backoff = rules.backoff
        clock = Clock() if clock is None else clock
        self._clock = clock.now_ns
        self._spin_ns, self._follow = clock.spin_ns, clock.follow or self._turn
        self._limiters = {
            step: StepLimiter(limit, transport.submit, clock.now_ns)
            for step, limit in rules.limits.items()
        }
        # most requests go straight there: a method in between would cost every copy
        self.submit = None if self._limiters or rules.think else transport.submit
        self._copies: set[_Copy] = set()
        self._unable: set[_Copy] = set()  # whose last attempt this machine could not send
        self._waiting = clock.waiting or wait_queue(clock.now_ns, self._later)
        self._halted = False
        self._refill: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._stopping = anyio.Event()  # set with it, for tasks that wait
        self._draining = False
        self._users = self._wanted = 0  # of a closed load: present, and wanted
        self._idle = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self.begin_ns = 0
        self._begin_ms = 0
        self.lease_ns = FOREVER_NS
        self.is_expired = False

    async def run_open(
        self,
        pacer: OpenPacer,
        *,
        max_in_flight: int,
        drain_s: float,
        begin: Begin | None = None,
        began: Callable[[], None] = _nothing,
    ) -> None:
        """Start each copy when the pacer says it is due; return when all have ended.

        Args:
            pacer: The schedule.
            max_in_flight: The most copies in flight; one that falls due beyond them is skipped.
            drain_s: Seconds to wait for the copies in flight when the last one has started.
            begin: The start of the schedule, in the future; None: at once.
            began: Called when the start is known, before anything is sent.
        """
        # counting random arrivals takes long: do it before the clock runs
        planned = pacer.planned if self._together > 1 else 0
        async with self._serving() as tasks:
            self._begin(tasks, begin)
            began()
            await self._follow(self._dispatch(pacer, max_in_flight, planned))
            self._record.end(max(self._clock(), self.begin_ns + 1))
            await self._drain(drain_s)
        self._raise()

    async def run_closed(
        self,
        load: ClosedLoad,
        *,
        drain_s: float,
        users: Iterator[tuple[float, int]] | None = None,
        begin: Begin | None = None,
        began: Callable[[], None] = _nothing,
    ) -> None:
        """Keep copies in flight until their number or the time is used up.

        Args:
            load: How many, and for how long.
            users: Seconds since the load began, and the number of users from then on; None: all of
                them from the start.
            drain_s: Seconds to wait for the copies in flight when the last one has started.
            begin: When the first copies are started, in the future; None: at once.
            began: Called when that is known, before anything is sent.
        """
        copies, duration_s = load.copies, load.duration_s
        async with self._serving() as tasks:
            self._begin(tasks, begin)
            began()
            await self._follow(self._until(self.begin_ns))
            until_ns = FOREVER_NS if duration_s is None else self.begin_ns + int(duration_s * 1e9)
            number, record, together = 0, self._record, self._together
            most = MOST_COPIES if copies is None else copies
            starting = False
            self._users = self._wanted = -(-load.concurrency // together)

            async def later() -> None:
                refill()

            def refill() -> None:
                nonlocal number, starting
                if self._users > self._wanted:
                    self._users -= 1
                    return
                if starting:
                    # it ended without a request: let the loop have its turn, and the stack unwind
                    tasks.start_soon(later)
                    return
                now = self._clock()
                over = now >= until_ns or now >= self.lease_ns
                if over or self._stopped or number >= most:
                    self.is_expired = now >= self.lease_ns
                    self._end()
                    return
                count = 1 if together == 1 else min(together, most - number)
                record.due += count
                if now >= record.grid.next_ns:
                    record.grid.enter(number, now)
                first, number = number, number + count
                starting = True
                self._start(first, now, now, count)
                starting = False

            self._refill = refill
            if users is None:
                for _ in range(self._users):
                    if not self._stopped:
                        refill()
            else:
                await self._come_and_go(users, refill, until_ns)
            await self._stopping.wait()
            self._refill = None
            self._record.end(max(self._clock(), self.begin_ns + 1))
            await self._drain(drain_s)
        self._raise()

    async def _come_and_go(
        self, users: Iterator[tuple[float, int]], refill: Callable[[], None], until_ns: int
    ) -> None:
        """Add users when it is time; one that is to go leaves when a copy has ended."""
        self._users = 0
        for at_s, level in users:
            await self._follow(self._until(self.begin_ns + int(at_s * 1e9)))
            self._wanted = -(-level // self._together)
            while self._users < self._wanted and not self._stopped:
                self._users += 1
                refill()
        await self._follow(self._until(until_ns))
        self._end()

    def stop(self) -> None:
        """Start no further copies; end those in think time, follow the others to their end."""
        self._halted = True
        self._end()
        for copy in [copy for copy in self._copies if copy.paused == "think"]:
            self._give_up(copy)

    def _end(self) -> None:
        """Start no further copies."""
        self._stopped = True
        self._stopping.set()

    def fail(self, error: BaseException) -> None:
        """Keep an internal error and end the run; the method that runs the load raises it."""
        if self._error is None:
            self._error = error
        self._end()
        self._idle.set()

    # the schedule

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[anyio.abc.TaskGroup]:
        """Hold the tasks of a load; after the block no waiting copy is woken any more."""
        try:
            async with anyio.create_task_group() as tasks:
                yield tasks
                tasks.cancel_scope.cancel()
        finally:
            for copy in self._copies:
                copy.paused = ""

    def _begin(self, tasks: anyio.abc.TaskGroup, begin: Begin | None) -> None:
        self._tasks = tasks
        for limiter in self._limiters.values():
            tasks.start_soon(limiter.serve)
        if begin is None:
            begin = Begin(self._clock(), time.time_ns() // 1_000_000)
        self.begin_ns, self._begin_ms = begin
        self._record.begin(self.begin_ns)

    def _dispatch(  # noqa: C901  # one loop, as a call more would cost every copy
        self, pacer: OpenPacer, max_in_flight: int, planned: int
    ) -> Iterator[int]:
        """Start copies that are due; yield the instants at which to go on."""
        record, clock, grid = self._record, self._clock, self._record.grid
        begin_ns = looked_ns = self.begin_ns
        together = self._together
        number = begun = 0
        held_ns, gap_ns = 0, int(together * 1e9 / (_HASTE * pacer.peak_rate))
        for chunk in pacer.chunks():
            for offset_ns in chunk.tolist():
                number += 1
                if number <= begun:
                    continue  # was sent with the first copy of its request
                due_ns = begin_ns + offset_ns
                now = clock()
                ready_ns = due_ns if now - due_ns <= _PROMPT_NS else held_ns
                if now < ready_ns or now - looked_ns > _BURST_NS:
                    should_ns = ready_ns if now < ready_ns else looked_ns + _BURST_NS
                    yield from self._until(ready_ns)
                    now = looked_ns = clock()
                    if now >= self.lease_ns:
                        self.is_expired = True
                        self._end()
                    if now - should_ns > RESOLUTION_NS:
                        begun = self._stalled(pacer, begun, planned, (should_ns, now))
                        if number <= begun:
                            continue
                if now - due_ns > _PROMPT_NS:
                    held_ns = max(held_ns, now - _PROMPT_NS) + gap_ns
                if self._stopped:
                    return
                first, count = begun, 1 if together == 1 else min(together, planned - begun)
                begun += count
                record.due += count
                if due_ns >= grid.next_ns:
                    grid.enter(first, due_ns)
                if record.in_flight + count <= max_in_flight:
                    record.record_dispatch(due_ns, now)
                    self._start(first, due_ns, now, count)
                else:
                    record.skip(first, begun)
        yield from self._until(begin_ns + int(pacer.duration_s * 1e9))

    def _stalled(self, pacer: OpenPacer, begun: int, planned: int, stall: tuple[int, int]) -> int:
        """Record that the loop was late, and skip the copies that fell due if it was a pause.

        Sent at once when it is over, they would be a burst that the scenario does not ask for.

        Args:
            pacer: The schedule.
            begun: Number of the first copy that has not been handled.
            planned: Number of all copies, if some share a request.
            stall: When the loop should have had its turn, and when it had it.

        Returns:
            Number of the first copy that is still to be handled.
        """
        grid, begin_ns, together = self._record.grid, self.begin_ns, self._together
        should_ns, now = stall
        self._record.stalls.add(should_ns, now)
        if now - should_ns < PAUSE_NS or self._stopped:
            return begun
        last = max(begun, pacer.due_before((now - begin_ns) / 1e9))
        if together > 1:
            last = min(-(-last // together) * together, planned)
        entered_ns = 0
        while entered_ns < grid.next_ns <= now:
            entered_ns = grid.next_ns
            first = pacer.due_before((entered_ns - begin_ns) / 1e9)
            grid.enter(min(max(first, begun), last), entered_ns)
        self._record.due += last - begun
        self._record.skip(begun, last, paused=True)
        return last

    def _until(self, due_ns: int) -> Iterator[int]:
        """Yield an instant, at least once, until it has come or the run stops."""
        while True:
            yield due_ns
            if self._stopped or self._clock() >= due_ns:
                return

    async def _turn(self, instants: Iterator[int]) -> None:
        """Fetch the next instant when each has come; spin the loop for the rest of a wait."""
        for instant_ns in instants:
            if self._clock() >= instant_ns:
                await checkpoint()
            while (gap_ns := instant_ns - self._clock()) > 0 and not self._stopped:
                if gap_ns > self._spin_ns:
                    await anyio.sleep(min(gap_ns - self._spin_ns / 2, LOOK_NS) / 1e9)
                else:
                    await checkpoint()

    async def _drain(self, drain_s: float) -> None:
        """Wait for the copies in flight; after ``drain_s`` give them up as they stand."""
        self._draining = True
        if self._copies and self._error is None:
            with anyio.move_on_after(drain_s):
                await self._idle.wait()
        self._backoff.closed = True
        for limiter in self._limiters.values():
            limiter.close()
        for copy in [copy for copy in self._copies if copy.paused]:
            self._give_up(copy)
        if self._copies and self._error is None:
            self._transport.abort()
            with anyio.move_on_after(_ABORT_S):
                await self._idle.wait()
        if self._copies and self._error is None:
            raise RuntimeError(f"{len(self._copies)} requests never came back from the transport")

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # the copies

    def _start(self, number: int, due_ns: int, now: int, count: int) -> None:
        time_ms = self._begin_ms + (due_ns - self.begin_ns) // 1_000_000
        if self._plain:
            self._record.start(number)
            copy = _Copy()
            copy.flow = self._plan.copy(number, time_ms, self._backoff)
        elif self._together == 1:
            self._record.start(number)
            if self._uploads > 1:
                copy = session = _Session()
                session.begin(number * self._uploads, self._record)
            else:
                copy = thinker = _Thinker()
                thinker.begin_thinking(number)
            copy.flow = self._plan.copy(number, time_ms, self._backoff)
        else:
            numbers = range(number, number + count)
            for each in numbers:
                self._record.start(each)
            copy = batch = _Batch()
            batch.begin(numbers, self._record)
            copy.flow = self._plan.batch(numbers, time_ms, self._backoff, batch.refuse)
        copy.runner, copy.number, copy.due_ns, copy.started_ns = self, number, due_ns, now
        copy.outcome, copy.paused, copy.resends, copy.sent = None, "", False, False
        self._copies.add(copy)
        copy.advance(None)

    def pause(self, copy: _Copy, pause: Wait) -> None:
        """Resume a copy after a pause; end it if the run no longer waits."""
        assert self._tasks is not None
        copy.paused = "retry"
        gap = isinstance(pause, Gap)
        if gap:
            copy.end_upload()
        if self._backoff.closed or (gap and self._halted):
            copy.give_up()
        elif gap:
            assert isinstance(copy, _Thinker)
            self._think(copy, pause.seconds)
        else:
            self._tasks.start_soon(self._resume, copy, pause.seconds)

    def _think(self, copy: _Thinker, seconds: float) -> int:
        """Let a copy wait, not counted as in flight; return for how long, in nanoseconds."""
        length_ns = int(seconds * 1e9)
        copy.paused = "think"
        self._record.in_flight -= 1
        self._waiting.add(self._clock() + length_ns, copy)
        return length_ns

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call back after some seconds, in a task of its own."""
        assert self._tasks is not None

        async def wait() -> None:
            await anyio.sleep(seconds)
            call()

        self._tasks.start_soon(wait)

    def wake(self, copy: _Thinker) -> None:
        """Resume a copy after its think time."""
        now, record = self._clock(), self._record
        try:
            if now >= self.lease_ns:  # the coordinator takes this process for lost
                self._give_up(copy)
                return
            copy.paused = ""
            record.in_flight = in_flight = record.in_flight + 1
            if in_flight > record.max_in_flight:  # noqa: PLR1730  # max() costs every copy a call
                record.max_in_flight = in_flight
            held = copy.held
            if held is not None:
                copy.held = None
                if self._limiters:
                    self._submit(copy, held)
                else:
                    self._transport.submit(held, copy.advance)
                return
            assert isinstance(copy, _Session)
            copy.go_on(now)
        except BaseException as error:  # noqa: BLE001  # raised again by the runner
            self.fail(error)
            return
        copy.advance(None)

    def _give_up(self, copy: _Copy) -> None:
        """End a waiting copy with the outcome that its attempts have proven."""
        if copy.paused == "think":
            self._record.in_flight += 1  # settling subtracts it again
        copy.give_up()

    async def _resume(self, copy: _Copy, seconds: float) -> None:
        await anyio.sleep(seconds)
        if copy.paused:
            copy.paused = ""
            self._record.retries += 1
            copy.advance(None)

    def send(self, copy: _Copy, request: Request) -> None:
        """Hand a copy's request to the transport, after its think time."""
        wait, step = self._wait, request.step
        if wait is not None and isinstance(copy, _Thinker) and step != copy.step:
            first, copy.step = copy.step < 0, step
            if not first:
                if self._backoff.closed or self._halted:
                    copy.give_up()
                else:
                    copy.held = request
                    copy.thought_ns += self._think(copy, wait(copy.upload, copy.turn))
                    copy.turn += 1
                return
        if self._limiters or copy.resends:
            self._submit(copy, request)
        else:
            self._transport.submit(request, copy.advance)

    def _submit(self, copy: _Copy, request: Request) -> None:
        """Hand a copy's request to the transport, through its step's limiter if it has one."""
        if copy.resends:
            copy.resends = False
            self._record.resends += 1
        limiter = self._limiters.get(request.step) if self._limiters else None
        submit = self._transport.submit if limiter is None else limiter.submit
        submit(request, copy.advance)

    def add(self, copy: _Copy, exchange: Exchange) -> None:
        """Record a judged attempt of a copy."""
        record = self._record
        if not copy.sent and exchange.sent_ns:
            copy.sent = True
            record.record_send(copy.due_ns, exchange.sent_ns)
        step = exchange.request.step
        record.steps[step].add(exchange, copy.due_ns, copy.started_ns)
        if not exchange.success:
            if exchange.failure is Failure.LOCAL:
                self._unable.add(copy)
            else:
                self._unable.discard(copy)
        if step == self._ingest:
            if exchange.success:
                copy.outcome = _ACKNOWLEDGED  # whatever there was before
                record.last_ack_ns = exchange.done_ns - self.begin_ns
            else:
                copy.outcome = merge(copy.outcome, attempt_outcome(exchange))

    def completed(self, copy: _Copy, exchange: Exchange, *, success: bool) -> None:
        """Record that a copy of several steps has ended, and how long it took.

        Each of several uploads counts as one: the last says nothing about those before it.
        """
        assert self.whole is not None
        if self._record.most_uploads > 1:
            success = exchange.success
        done_ns = exchange.done_ns
        if self._wait is not None and isinstance(copy, _Thinker):
            done_ns -= copy.thought_ns
        if success:
            self.whole.complete(copy.due_ns, copy.started_ns, done_ns)
        else:
            self.whole.give_up(copy.due_ns)

    def ended(self, copy: _Copy) -> None:
        """Record a copy that has ended, by its outcome: rejected if it never reached the ingest."""
        self._copies.discard(copy)
        if self._unable and copy in self._unable:
            self._unable.discard(copy)
            if copy.proven() in (None, Outcome.REJECTED):
                self._record.unsent.update(copy.numbers())
        if self._single:
            self._record.settle(copy.number, copy.outcome or _REJECTED)
        else:
            copy.settle(self._record)
        if self._refill is not None:
            self._refill()
        if self._draining and not self._copies:
            self._idle.set()


class _Copy:
    """One copy that has started and not ended."""

    __slots__ = (
        "due_ns",
        "flow",
        "number",
        "outcome",
        "paused",
        "resends",
        "runner",
        "sent",
        "started_ns",
    )

    runner: Runner
    flow: Flow[bool]
    number: int
    due_ns: int
    started_ns: int
    outcome: Outcome | None
    paused: Literal["", "retry", "think"]
    resends: bool
    sent: bool

    def advance(self, exchange: Exchange | None) -> None:
        """Let the flow judge the exchange, and do what it yields next: the transport's sink.

        An exception here is an internal error that must not reach the transport: the runner keeps
        it and ends the run.
        """
        runner = self.runner
        try:
            try:
                effect = self.flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                effect = None
                if runner.whole is not None and exchange is not None:
                    runner.completed(self, exchange, success=stop.value)
            if exchange is not None:
                runner.add(self, exchange)
            if effect is None:
                runner.ended(self)
            elif isinstance(effect, Request):
                if runner.submit is None or self.resends:
                    runner.send(self, effect)
                else:
                    runner.submit(effect, self.advance)
            else:
                if isinstance(effect, Gap) and runner.whole is not None and exchange is not None:
                    runner.completed(self, exchange, success=exchange.success)
                runner.pause(self, effect)
        except BaseException as error:  # noqa: BLE001  # raised again by the runner
            runner.fail(error)

    def give_up(self) -> None:
        """End a waiting copy with the outcome that its attempts have proven."""
        self.paused = ""
        self.flow.close()
        self.runner.ended(self)

    def numbers(self) -> Iterable[int]:
        """Return the numbers of the copies whose outcome it still decides."""
        return (self.number,)

    def proven(self) -> Outcome | None:
        """Return the outcome that its attempts have proven; None before any."""
        return self.outcome

    def end_upload(self) -> None:
        """Record the outcome of one upload of several."""

    def settle(self, record: Record) -> None:
        """Record its outcome."""
        record.settle(self.number, self.outcome or Outcome.REJECTED)


class _Thinker(_Copy):
    """A copy that may wait before each step but the first of an upload.

    Attributes:
        held: The request that its think time holds back; None if there is none.
        step: The step of its last request; negative: there was none.
        thought_ns: The think time of this upload so far.
        turn: How often it has waited in this upload.
        upload: The number of the upload.
    """

    __slots__ = ("held", "step", "thought_ns", "turn", "upload")

    held: Request | None
    upload: int

    def begin_thinking(self, upload: int) -> None:
        """Begin an upload, by its number."""
        self.upload, self.held = upload, None
        self.step, self.turn, self.thought_ns = -1, 0, 0


def _wake(copies: Sequence[_Thinker]) -> None:
    """Resume copies after their think time, unless they were ended meanwhile."""
    for copy in copies:
        if copy.paused:
            copy.runner.wake(copy)


class _Session(_Thinker):
    """A copy that makes several uploads, each with an outcome of its own."""

    __slots__ = ("_open", "_record", "_whole")

    _whole: Outcome | None

    def begin(self, first: int, record: Record) -> None:
        """Begin the first upload, by its number."""
        self.begin_thinking(first)
        self._record = record
        self._open, self._whole = True, None
        record.uploads.started.add(first)

    def end_upload(self) -> None:
        """Record the outcome of the current upload."""
        outcome = self.outcome or Outcome.REJECTED
        self._record.uploads.settle(self.upload, outcome)
        self._whole = merge(self._whole, outcome)
        self._open, self.outcome = False, None

    def go_on(self, now_ns: int) -> None:
        """Go on to the next upload, which is due now."""
        self._open = True
        self.begin_thinking(self.upload + 1)
        self._record.uploads.started.add(self.upload)
        self.due_ns = self.started_ns = now_ns

    def proven(self) -> Outcome | None:
        """Return what all uploads have proven together: whether its user must be counted."""
        return self._whole if self.outcome is None else merge(self._whole, self.outcome)

    def settle(self, record: Record) -> None:
        """Record the outcome of the last upload, and of all together."""
        if self._open:
            self.end_upload()
        record.settle(self.number, self._whole or Outcome.REJECTED)


class _Batch(_Copy):
    """Copies that share a request, and its outcome as long as they do."""

    __slots__ = ("_left", "_numbers", "_record")

    def begin(self, numbers: Sequence[int], record: Record) -> None:
        """Begin with the copies of these numbers."""
        self._numbers = numbers
        self._left = set(numbers)
        self._record = record

    def refuse(self, places: Sequence[int]) -> None:
        """Settle copies refused individually by the service; an earlier attempt may have landed."""
        for place in places:
            number = self._numbers[place]
            self._left.discard(number)
            self._record.settle(number, merge(self.outcome, Outcome.REJECTED))
        self.resends = bool(self._left)

    def numbers(self) -> Iterable[int]:
        """Return the numbers of the copies that were not refused individually."""
        return self._left

    def settle(self, record: Record) -> None:
        """Record the outcome of the copies that were not refused individually."""
        for number in sorted(self._left):
            record.settle(number, self.outcome or Outcome.REJECTED)
