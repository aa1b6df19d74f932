"""One load in one process: pacer, runner, limiter, transport and monitor, put together.

Workers wait by a timer of the kernel, because an event loop rounds waits to a millisecond. A single
process spins its loop for the rest of a wait instead, which is some 50 µs more exact but keeps a
core busy. Several that did so would take the core from their target and from each other; they
sleep, and the scheduler is asked to run them first when they wake.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import anyio

from loadcheck.load.monitor import Monitor, each_second, take_short_turns
from loadcheck.load.pacer import OpenPacer, Warmup, levels, pacer_of, stage_spans, warmups
from loadcheck.load.retry import Backoff
from loadcheck.load.runner import LOOK_NS, Begin, Clock, Rules, Runner, Waiting, wait_queue
from loadcheck.load.slices import (
    Copies,
    SessionPlan,
    Slice,
    SlicedPacer,
    SlicedPlan,
    share_of,
)
from loadcheck.load.transport import LoadTransport, TransportSettings
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.measure.grid import Grid
from loadcheck.measure.record import Record
from loadcheck.scenario.model import ClosedLoad, Limit, OpenLoad, Retry
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.runtime.plan import Plan

_ABSOLUTE = 1
_S = 1_000_000_000
_APART_NS = 100_000
"""Least time between two rings of the alarm: copies due in between are started together."""
_FAST_APART_NS = 250_000
"""The same for loads so fast that :data:`_MANY` requests fall due in between: waking for each costs
as much again as sending it, and two workers and a target on two cores sustain 55,000 copies/s this
way instead of 48,000."""
_MANY = 4


class Alarm:
    """Calls back at instants of the monotonic clock, without waking a task or spinning the loop.

    Args:
        fd: A timer of the kernel, which becomes readable when it rings.
        apart_ns: The least time between two rings.
    """

    def __init__(self, fd: int, apart_ns: int) -> None:
        self._fd = fd
        self._apart_ns = apart_ns
        self._settime = ctypes.CDLL(None).timerfd_settime
        self._times = (ctypes.c_long * 4)()
        self._instants: Iterator[int] = iter(())
        self._over: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def follow(self, instants: Iterator[int]) -> None:
        """Fetch the next instant when each one has come; return when there is none left.

        The alarm rings exactly then, but at least ``apart_ns`` and at most :data:`LOOK_NS` after
        the last time. Other callbacks have a turn in between.
        """
        self._instants, self._over = instants, self._loop.create_future()
        try:
            self.ring()
            await self._over
        finally:
            self._over = None
            self._set(0)

    def ring(self) -> None:
        """Fetch the next instant and set the timer to it."""
        over = self._over
        if over is None or over.done():
            self._set(0)
            return
        try:
            instant_ns, now = next(self._instants), time.monotonic_ns()
            self._set(min(max(instant_ns, now + self._apart_ns), now + LOOK_NS))
        except StopIteration:
            over.set_result(None)
            self._set(0)
        except BaseException as error:  # noqa: BLE001  # raised by who waits
            over.set_exception(error)
            self._set(0)

    def _set(self, instant_ns: int) -> None:
        """Ring at an instant, and no longer for an earlier one, handled or not; 0: not at all."""
        times = self._times
        times[2], times[3] = divmod(instant_ns, _S)
        self._settime(self._fd, _ABSOLUTE, times, None)


@contextmanager
def open_alarm(apart_ns: int = _APART_NS) -> Iterator[Alarm | None]:
    """Yield an alarm for the running loop; None where there is no such timer: only Linux has it.

    Args:
        apart_ns: The least time between two rings.
    """
    create = getattr(ctypes.CDLL(None), "timerfd_create", None)
    fd = -1 if create is None else create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        yield None
        return
    loop, alarm = asyncio.get_running_loop(), Alarm(fd, apart_ns)
    loop.add_reader(fd, alarm.ring)
    try:
        yield alarm
    finally:
        loop.remove_reader(fd)
        os.close(fd)


_GC_THRESHOLD = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """What to send, and when.

    Pure data, so that it can be handed to another process, which compiles the same plan from it.

    Attributes:
        workflow: What the plan is compiled from.
        load: How many copies, and when they are due.
        transport: How requests are sent.
        seed: Random seed of arrivals, and of the waits between attempts.
        ingest: Index of the step whose outcome is the copy's.
        observer: Index of the step that returns the counts; None if there is none.
        stages: Names of the stages that are measured on their own.
        retry: How a failed attempt is retried.
        limits: Step id → the limit of its requests, over all copies.
        drain_s: Seconds to wait for the copies in flight when the last one has started.
        part: The part of the load that is sent here; None: all of it.
    """

    workflow: CompileSettings
    load: OpenLoad | ClosedLoad
    transport: TransportSettings
    seed: int
    ingest: int
    observer: int | None = None
    stages: frozenset[str] = frozenset()
    retry: Retry = field(default_factory=Retry)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    drain_s: float = 30.0
    part: Slice | None = None

    @property
    def pacer(self) -> OpenPacer | None:
        """The schedule of an open load, all of it; None for a closed one."""
        return pacer_of(self.load, self.seed) if isinstance(self.load, OpenLoad) else None

    def new_record(self, plan: Plan) -> Record:
        """Return an empty record of the load, cut at the boundaries of its stages."""
        load, pacer = self.load, self.pacer
        if isinstance(load, OpenLoad):
            grid = Grid([stage.duration_s for stage in load.stages])
        else:
            lengths = [stretch.duration_s for stretch in load.ramp]
            grid = Grid(lengths or ([load.duration_s] if load.duration_s is not None else ()))
        spans = stage_spans(pacer, self.stages) if pacer is not None else ()
        record = Record(plan.steps, self.ingest, self.observer, spans, grid)
        visits = self.workflow.run.visits
        record.most_uploads = 1 if visits is None else visits.most
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Callbacks during a load.

    Attributes:
        began: Called when the start of the load is known, before anything is sent.
        second: Called with each second since then that is over, once it is in the timeline.
    """

    began: Callable[[], None] = lambda: None
    second: Callable[[int], None] = lambda _: None


class LoadEngine:
    """One load, ready to be sent.

    Args:
        spec: What to send, and when.
        plan: The compiled workflow.
        transport: Carries the requests.
        clock: The clock; None for the system's.

    Attributes:
        record: What is measured; empty before.
        monitor: What is measured of the generator itself.
    """

    def __init__(
        self, spec: LoadSpec, plan: Plan, transport: LoadTransport, clock: Clock | None = None
    ) -> None:
        part, load, limits, seed = spec.part, spec.load, spec.limits, spec.seed
        copies: Copies = plan
        think = None if load.think_time is None else load.think_time.of(seed, "load.think_time")
        visits = spec.workflow.run.visits
        uploads = 1 if visits is None else visits.most
        if visits is not None and uploads > 1:
            copies = SessionPlan(copies, visits)
        self._pacer, self._ahead, self._part = spec.pacer, warmups(load), part
        if part is not None:
            if self._pacer is not None:
                self._pacer = SlicedPacer.of(self._pacer, part)
            self._ahead = [part.warmup(each) for each in self._ahead]
            load, limits = share_of(load, part), part.limits(limits)
            copies = SlicedPlan(copies, part)
            think = None if think is None else part.waits(think, uploads)
            seed = part.seed(seed)
        self._load, self._drain_s = load, spec.drain_s
        self._transport = transport
        self._origin = plan.steps[spec.ingest].origin
        self.record = spec.new_record(plan)
        # the record of a single process is not added to another
        self.record.timeline.keeps_samples = part is not None
        self.monitor = Monitor(self.record.stages, self.record.stalls)
        by_step = {
            step.index: limits[step.step_id] for step in plan.steps if step.step_id in limits
        }
        rules = Rules(
            backoff=Backoff(spec.retry, seed),
            ingest=spec.ingest,
            together=load.copies_per_request,
            uploads=uploads,
            think=think,
            limits=by_step,
        )
        self._runner = Runner(copies, transport, self.record, rules, clock)

    @property
    def begin_ns(self) -> int:
        """Monotonic instant at which the load began; 0 before."""
        return self._runner.begin_ns

    @property
    def is_expired(self) -> bool:
        """Whether the load ended because its lease ran out."""
        return self._runner.is_expired

    def lend(self, until_ns: int) -> None:
        """Lease the load until an instant: from then on no copy is started, unless renewed."""
        self._runner.lease_ns = until_ns

    def stop(self) -> None:
        """Start no further copies; those in flight are followed to their end."""
        self._runner.stop()

    def close(self) -> None:
        """Record the end of a load that an error has ended."""
        if self.begin_ns and not self.record.load_ns:
            self.record.end(time.monotonic_ns())

    async def warm(self) -> None:
        """Open the connections that the load is to find open, and collect the garbage.

        To be called before the start of the load is set: both take time.
        """
        for warmup in self._ahead:
            if not warmup.at_s:
                await self._transport.warm(self._origin, warmup.connections)
        gc.collect()

    async def run(self, listener: Listener, begin: Begin | None = None) -> None:
        """Send the load; return when every copy has ended.

        Args:
            listener: Called as the load proceeds.
            begin: The start of the schedule, in the future; None: at once.
        """
        with _collector.deferred():
            async with anyio.create_task_group() as tasks:

                def began() -> None:
                    tasks.start_soon(each_second, self.begin_ns, self._close(listener))
                    tasks.start_soon(self.monitor.watch_loop)
                    for warmup in self._ahead:
                        if warmup.at_s:
                            tasks.start_soon(self._warm_later, warmup)
                    listener.began()

                with self.monitor.measuring():
                    await self._send(begin, began)
                tasks.cancel_scope.cancel()
        record = self.record
        record.stale_retries = self._transport.stale_retries
        elapsed_s = (time.monotonic_ns() - self.begin_ns) / 1e9
        if elapsed_s > len(record.timeline):
            record.close_second(int(elapsed_s))

    async def _send(self, begin: Begin | None, began: Callable[[], None]) -> None:
        load, drain_s, pacer = self._load, self._drain_s, self._pacer
        if isinstance(load, ClosedLoad):
            users = None
            if load.ramp:
                part = self._part
                users = (
                    (at_s, total if part is None else part.share_of_copies(total))
                    for at_s, total in levels(load)
                )
            await self._runner.run_closed(
                load, drain_s=drain_s, users=users, begin=begin, began=began
            )
        elif pacer is not None:
            await self._runner.run_open(
                pacer,
                max_in_flight=load.max_in_flight,
                drain_s=drain_s,
                begin=begin,
                began=began,
            )

    def _close(self, listener: Listener) -> Callable[[int], None]:
        def close(second: int) -> None:
            self.record.close_second(second)
            listener.second(second)

        return close

    async def _warm_later(self, warmup: Warmup) -> None:
        """Open connections ahead of a stage whose rate rises."""
        ahead_s = max(0.0, self.begin_ns - time.monotonic_ns()) / 1e9
        await anyio.sleep(ahead_s + warmup.at_s)
        await self._transport.warm(self._origin, warmup.connections)


def loop_waiting() -> Waiting:
    """Return a queue of copies in their think time, for the running loop."""
    return wait_queue(time.monotonic_ns, asyncio.get_running_loop().call_later)


@asynccontextmanager
async def open_engine(
    spec: LoadSpec, plan: Plan | None = None, waiting: Waiting | None = None
) -> AsyncIterator[LoadEngine]:
    """Yield a load that is ready to be sent; what it opens is closed when the block ends.

    Args:
        spec: What to send, and when.
        plan: The compiled workflow; None to compile it now, as another process has to.
        waiting: Queue of copies in their think time, for all loads that share it; None: its own.

    Raises:
        WorkflowError: The workflow does not compile.
    """
    compiled = compile_plan(spec.workflow) if plan is None else plan
    async with open_transport(spec.transport) as transport:
        waiting = waiting or loop_waiting()
        if spec.part is None:
            yield LoadEngine(spec, compiled, transport, Clock(waiting=waiting))
            return
        take_short_turns()
        pacer = None if spec.pacer is None else SlicedPacer.of(spec.pacer, spec.part)
        with open_alarm(apart_ns(pacer, spec.load.copies_per_request)) as alarm:
            clock = Clock(follow=None if alarm is None else alarm.follow, waiting=waiting)
            yield LoadEngine(spec, compiled, transport, clock)


def apart_ns(pacer: OpenPacer | None, together: int = 1) -> int:
    """Return the least time between the starts of a worker's requests, in ns.

    Args:
        pacer: Its part of an open load; None for a closed one.
        together: Copies that share a request.
    """
    requests = 0.0 if pacer is None else pacer.peak_rate / together
    return _FAST_APART_NS if requests * _FAST_APART_NS >= _MANY * _S else _APART_NS


def open_transport(settings: TransportSettings) -> AbstractAsyncContextManager[LoadTransport]:
    """Open a transport of the kind that the settings name, for the length of a block."""
    return (wire_transport if settings.transport == "wire" else httpx_transport)(settings)


class _Collector:
    """Keeps the garbage collector's long passes out of loads: a pause would look like latency."""

    def __init__(self) -> None:
        self._loads = 0  # flows of a mix end one after the other
        self._thresholds = gc.get_threshold()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Spare existing objects, and collect rarely, until the last of the loads ends."""
        if not self._loads:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(_GC_THRESHOLD, *self._thresholds[1:])
        self._loads += 1
        gc.freeze()
        try:
            yield
        finally:
            self._loads -= 1
            if not self._loads:
                gc.set_threshold(*self._thresholds)
                gc.unfreeze()


_collector = _Collector()
