"""Progress of a running load, as shown to the user."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.record import Record
from loadcheck.verify.evidence import Observation
from loadcheck.verify.thresholds import Judged

_CPU_S = 0.9
"""The least seconds between two readings of the CPU time."""


def _nothing() -> Sequence[Judged]:
    return ()


_CpuTimes = tuple[tuple[float, float], ...]
"""Of each process, for how many seconds it has used a core, and by when."""


def _none(_first: int = 0) -> Mapping[str, Any]:
    return {}


class Phase(enum.Enum):
    """The phase that a run is in."""

    STARTING = "starting"
    LOAD = "load"
    SETTLE = "settle"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is known about a run before it begins.

    Attributes:
        name: The scenario's name.
        run_id: The run's id.
        planned: The total number of copies, if known.
        pacer: The schedule of an open load.
        duration_s: How long the load is to last, if known.
        stages: Names of the load's stages, and when each ends, since the load began.
        checked: Whether the service is queried for what arrived.
        labels: The run's labels.
        deadline_s: For how many seconds, after the last acknowledgement, it is queried.
        flow: Name of the flow of a mix; "" for none.
    """

    name: str
    run_id: str
    planned: int | None = None
    pacer: OpenPacer | None = None
    duration_s: float | None = None
    stages: Sequence[tuple[str, float]] = ()
    checked: bool = True
    deadline_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    flow: str = ""


@dataclass(slots=True)
class Progress:
    """The state of a run, for views to read whenever they draw it.

    Attributes:
        outline: What was known about it before.
        record: What has been measured.
        thresholds: Judges the thresholds as if the load ended now.
        together: Judges those of all flows of a mix, if this is the flow that reports them.
        phase: The phase that the run is in.
        begin_ns: Monotonic instant at which the load began; 0 before.
        observation: The service's last answer; None before the first.
        signals: Signals received: the first ends the load, the second the waiting.
        notes: Messages that the views want shown among the run's warnings.
        news: Messages about workers to show at once, during the load; the latest last.
        aborted: Whether a threshold has stopped the load.
        users: Returns how many users must be counted; None: one per acknowledged copy.
        document: The results document as far as it is known; without what changes every second.
        asked: Returns the answers so far as the results file holds them: ``observations`` from a
            given index on, ``controls``, and the ``lost``; nothing without verification.
        workers: Returns the workers as the results file holds them; nothing if there are none.
        spent: Returns how many queries were sent so far, and what they cost.
    """

    outline: Outline
    record: Record
    thresholds: Callable[[], Sequence[Judged]] = _nothing
    together: Callable[[], Sequence[Judged]] = field(init=False, default=_nothing)
    phase: Phase = field(init=False, default=Phase.STARTING)
    begin_ns: int = field(init=False, default=0)
    observation: Observation | None = field(init=False, default=None)
    signals: int = field(init=False, default=0)
    notes: list[str] = field(init=False, default_factory=list)
    news: list[str] = field(init=False, default_factory=list)
    aborted: bool = field(init=False, default=False)
    users: Callable[[], int] | None = field(init=False, default=None)
    document: Mapping[str, Any] = field(init=False, default_factory=dict)
    asked: Callable[[int], Mapping[str, Any]] = field(init=False, default=_none)
    workers: Callable[[], Mapping[str, Any]] = field(init=False, default=_none)
    spent: Callable[[], Mapping[str, int]] = field(init=False, default=_none)
    _cpu: tuple[_CpuTimes, float | None] = field(init=False, default=((), None))
    _cpu_s: float = field(init=False, default=0.0)
    _signalled: anyio.Event = field(init=False, default_factory=anyio.Event)

    def interrupt(self) -> None:
        """Count a signal."""
        self.signals += 1
        self._wake()

    def announce(self, news: str) -> None:
        """Have the views show a message at once."""
        self.news.append(news)
        self._wake()

    def _wake(self) -> None:
        self._signalled.set()
        self._signalled = anyio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until a signal or news arrives."""
        with anyio.move_on_after(seconds):
            await self._signalled.wait()

    @property
    def acknowledged_users(self) -> int:
        """Users that must be counted, as far as is known by now."""
        return self.record.acknowledged if self.users is None else self.users()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began."""
        if not self.begin_ns:
            return 0.0
        # workers begin together at an instant that is still to come
        return max(0.0, (time.monotonic_ns() - self.begin_ns) / 1e9)

    @property
    def asked_rate(self) -> float | None:
        """The schedule's current target rate, in copies per second; None for a closed load."""
        return self.outline.pacer.rate_at(self.elapsed_s) if self.outline.pacer else None

    @property
    def stage(self) -> str:
        """The state of the run, in a word."""
        if self.phase is Phase.LOAD and (self.signals or self.aborted):
            return "stopping"
        return self.phase.value

    @property
    def part(self) -> str:
        """Which stage of the load the run is in; "" if the load has none, or only one."""
        if len(self.outline.stages) < 2:  # noqa: PLR2004  # one is not a part
            return ""
        elapsed_s = self.elapsed_s
        ended = sum(elapsed_s >= end_s for _, end_s in self.outline.stages[:-1])
        name = self.outline.stages[ended][0]
        return f"{name} ({ended + 1} of {len(self.outline.stages)})"

    @property
    def left_s(self) -> float | None:
        """Seconds until the load ends, or at most until the waiting does; None if unknown."""
        if self.phase is Phase.SETTLE:
            # without an acknowledgement nothing is waited for
            last_s = (self.record.last_ack_ns or 0) / 1e9
            return max(0.0, last_s + self.outline.deadline_s - self.elapsed_s)
        if self.outline.duration_s is None or self.phase is not Phase.LOAD:
            return None
        return max(0.0, self.outline.duration_s - self.elapsed_s)

    @property
    def times(self) -> Histogram:
        """The latency distribution of the ingest step so far."""
        ingest = self.record.ingest
        return ingest.service_time if ingest.response_time is None else ingest.response_time

    @property
    def is_shared(self) -> bool:
        """Whether workers send the load."""
        return self.workers is not _none

    def cpu_share(self) -> float | None:
        """Return what share of a core was used lately; None if not yet known.

        It is this process's share, or if workers send the load that of the busiest of them.
        """
        now_s = time.monotonic()
        before, share = self._cpu
        if before and now_s - self._cpu_s < _CPU_S:
            return share
        shards = self.workers().get("shards", ())
        found = tuple((each["cpu_s"], each["watched_s"]) for each in shards)
        found = found or ((time.process_time(), now_s),)
        if len(found) == len(before):
            # a worker that has reported nothing since has no share
            lately = [
                (used_s - before_used_s) / (until_s - since_s)
                for (used_s, until_s), (before_used_s, since_s) in zip(found, before, strict=True)
                if until_s > since_s
            ]
            share = max(lately, default=share)
        self._cpu, self._cpu_s = (found, share), now_s
        return share

    @property
    def trouble(self) -> str:
        """Why the last query had no usable answer; "" if it had one, or none was sent."""
        return self.observation.error if self.observation else ""

    def latest(self, column: str) -> float | None:
        """Return a timeline column's value in the last full second."""
        values = self.record.timeline.column(column)
        return values[-1] if values else None

    def recent(self, column: str, seconds: int) -> Sequence[float | None]:
        """Return a timeline column's values in the last full seconds, the oldest first."""
        return self.record.timeline.column(column)[-seconds:]


ProgressView = Callable[[Progress], Coroutine[Any, Any, None]]
"""Shows the progress of a run; called once, cancelled when the run has ended."""
