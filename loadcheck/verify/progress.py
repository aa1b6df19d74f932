"""Progress of a running load, as shown to the user."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

import anyio

from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.record import Record
from loadcheck.verify.evidence import Observation


class Phase(enum.Enum):
    """Where a run is."""

    STARTING = "starting"
    LOAD = "load"
    SETTLE = "settle"
    DONE = "done"


@dataclass(slots=True, kw_only=True)
class Progress:
    """The state of a run, to be looked at whenever somebody draws it.

    Attributes:
        name: The scenario's.
        run_id: The run's.
        record: What has been measured.
        planned: Copies in all, if known.
        pacer: The schedule of an open load.
        duration_s: How long the load is to last, if known.
        phase: Where the run is.
        begin_ns: Monotonic instant at which the load began; 0 before.
        observation: What the service said last.
        signals: How many have come: the first ends the load, the second the waiting.
        notes: What those who watch the run want said among its warnings.
        aborted: Whether a threshold has stopped the load.
    """

    name: str
    run_id: str
    record: Record
    planned: int | None = None
    pacer: OpenPacer | None = None
    duration_s: float | None = None
    phase: Phase = Phase.STARTING
    begin_ns: int = 0
    observation: Observation | None = None
    signals: int = 0
    notes: list[str] = field(default_factory=list)
    aborted: bool = False
    _signalled: anyio.Event = field(default_factory=anyio.Event)

    def interrupt(self) -> None:
        """Note a signal."""
        self.signals += 1
        self._signalled.set()
        self._signalled = anyio.Event()

    async def wait(self, seconds: float) -> None:
        """Return after a time, or at once when a signal comes."""
        with anyio.move_on_after(seconds):
            await self._signalled.wait()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began."""
        return (time.monotonic_ns() - self.begin_ns) / 1e9 if self.begin_ns else 0.0

    @property
    def asked_rate(self) -> float | None:
        """Copies per second that the schedule asks for now; None for a closed load."""
        return self.pacer.rate_at(self.elapsed_s) if self.pacer else None

    @property
    def stage(self) -> str:
        """Where the run is, in a word."""
        if self.phase is Phase.LOAD and (self.signals or self.aborted):
            return "stopping"
        return self.phase.value

    @property
    def trouble(self) -> str:
        """Why the last question to the service had no answer; "" if it had one."""
        return self.observation.error if self.observation else ""

    def latest(self, column: str) -> float | None:
        """Return a timeline column's value in the last full second."""
        values = self.record.timeline.column(column)
        return values[-1] if values else None
