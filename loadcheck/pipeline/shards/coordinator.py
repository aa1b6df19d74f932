"""One load by several shards: start them together, add up their results, notice lost ones.

Each shard begins at an agreed instant of its own clock. Copies of a lost shard are never sent again
by another: those that fell due while it may have been alive are indeterminate, which the ledger can
record and a rerun could not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, Final

import anyio
import anyio.abc

from loadcheck.errors import Problem
from loadcheck.load.engine import Listener, LoadSpec
from loadcheck.load.monitor import Monitor
from loadcheck.load.slices import Slice
from loadcheck.measure.changes import BrokenChangeError
from loadcheck.measure.record import Record
from loadcheck.pipeline.shards.members import (
    LEASE_S,
    READY_S,
    Crew,
    Member,
    arm,
    connections_of,
    crowded_workers,
    disarm,
    greet,
    late_workers,
    launch,
    measure,
    paused_workers,
    prepare,
    slow_line,
)
from loadcheck.pipeline.shards.merged import MergedRecord
from loadcheck.pipeline.shards.remote import Engine, Gone, Message, Secret
from loadcheck.verify.judge import LostShard
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.runtime.plan import Plan

SILENT_S: Final = 3.0
"""A shard that has sent nothing for this long is reported as silent; the run goes on."""
_GRACE_S: Final = 2.0
_BEAT_S: Final = 1.0
_TRIES: Final = 3
_ALIGNED_NS: Final = 100_000_000
"""A clock error above this is noted in the results."""
_S: Final = 1_000_000_000


class ShardedEngine:
    """A load that several shards send, used like the engine of a single process.

    Attributes:
        record: The shards' records as one; empty before the load.
        monitor: The shards' monitors added up; empty before the load has ended.
        acks: Acknowledgements over time, as the shards sampled them; None before the load has
            ended.
        begin_ns: Monotonic instant at which the load began; 0 before.
        lost: The shards that were lost, or ended early.
        notes: Notes on the load, for the results.
        announce: Called with each message that is to be shown at once.
    """

    def __init__(
        self, spec: LoadSpec, plan: Plan, engine: Engine, *, keep_going: bool = False
    ) -> None:
        self._spec = spec
        self._plan = plan
        self._engine = engine
        self._keep_going = keep_going
        self._crew = Crew()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._needed: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._second: Callable[[int], None] = lambda _: None
        self.record: MergedRecord = MergedRecord(self._empty, ())
        self.monitor = Monitor()
        self.acks: AckCurve | None = None
        self.begin_ns = 0
        self.lost: list[LostShard] = []
        self.notes: list[str] = []
        self.announce: Callable[[str], None] = lambda _: None

    # before the load

    async def open(
        self,
        specs: Sequence[Message],
        fingerprint: str,
        tell: Callable[[str], None],
        connections: Counter[str],
    ) -> None:
        """Start the shards, and check that all have made the same plan.

        Args:
            specs: The message ``spec`` for each.
            fingerprint: The fingerprint that each must find.
            tell: Called with a message about each shard that is slow to start.
            connections: What the flows of a mix need on each machine; this one adds its own until
                it is shut.

        Raises:
            InputError: A shard does not start, cannot do its part, or runs another version.
        """
        together = self._spec.load.copies_per_request
        parts = [Slice(index=each, of=len(specs), together=together) for each in range(len(specs))]
        await launch(self._engine, parts, self._welcome)
        self.record = MergedRecord(self._empty, [shard.record for shard in self._crew])
        self.notes += await greet(self._crew, tell)
        await prepare(self._crew, specs, fingerprint, tell, connections)
        self._needed, self._connections = connections_of(self._crew), connections
        connections.update(self._needed)

    def _welcome(self, shard: Member) -> None:
        self._crew.add(shard)
        self._start(self._hear(shard))

    async def warm(self) -> None:
        """Have every shard open its connections before the load begins."""
        await self._crew.send(lambda _: {"is": "warm"}, within_s=READY_S)
        await self._crew.until(lambda: all(s.warmed or s.gone for s in self._crew), READY_S)

    async def share(self, outputs: Mapping[str, Any]) -> None:
        """Send the set-up's outputs to the shards, before the load and after each renewal."""
        for shard in self._crew:
            if not shard.over:
                said = {"is": "outputs", "outputs": Secret(outputs)}
                self._start(shard.remote.send(said))
        await asyncio.sleep(0)

    # the load

    async def run(self, listener: Listener) -> None:
        """Send the load; return when every shard has finished or is lost.

        Args:
            listener: Called when the load begins, and for each second that all have reported.
        """
        try:
            if not self._stopping and await self._agree():
                self._second = listener.second
                async with anyio.create_task_group() as tasks:
                    listener.began()
                    tasks.start_soon(self._beat)
                    await self._crew.until(lambda: all(shard.over for shard in self._crew), None)
                    tasks.cancel_scope.cancel()
                if self._crew.error is not None:
                    raise self._crew.error
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish()

    async def _agree(self) -> bool:
        """Agree with all shards on the instant at which the load begins; return whether it does."""
        await measure(self._crew)
        unarmed: list[Member] = []
        for _ in range(_TRIES):
            if self._stopping or any(shard.gone for shard in self._crew):
                unarmed = []
                break
            if slow := slow_line(self._crew):
                self.announce(slow)
            begin_ns = await arm(self._crew)
            unarmed = [shard for shard in self._crew if not shard.armed]
            if not unarmed:
                self._begin(begin_ns)
                return True
            if not await disarm(self._crew):
                # a shard has begun, or may have: so the load has begun
                self._begin(begin_ns)
                unarmed = [shard for shard in self._crew if not shard.armed]
                break
        for shard in unarmed:
            shard.gone = shard.gone or Gone(why="it could not begin in time", certain=False)
        for shard in self._crew:
            self._lose(shard)
        return bool(self.begin_ns)

    def _begin(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        for shard in self._crew:
            shard.offset.settle()
            shard.heard_ns = begin_ns
        self.record.begin(begin_ns)
        errors = [shard.offset.error_ns(begin_ns) for shard in self._crew]
        if max(errors) > _ALIGNED_NS:
            self.notes.append(
                f"the workers' clocks are known to {max(errors) / 1e6:.0f} ms only: seconds of the "
                "timeline are joined by them"
            )

    async def _beat(self) -> None:
        """Renew the shards' leases, and deal with those that have fallen silent."""
        before_ns = time.monotonic_ns()
        while True:
            now_ns = time.monotonic_ns()
            # if this process stood still, messages that came meanwhile are still unread
            deaf = now_ns - before_ns > 2 * _BEAT_S * _S
            for shard in self._crew:
                if shard.over:
                    continue
                if shard.beat is None or shard.beat.done():
                    until_ns = shard.offset.theirs(now_ns) + int(LEASE_S * _S)
                    beat = {"is": "ping", "sent_ns": now_ns, "until_ns": until_ns}
                    shard.beat = self._start(shard.remote.send(beat))
                if not deaf:
                    self._look_after(shard, now_ns)
            if any(shard.silent and not shard.over for shard in self._crew):
                # rows wait for the silent shard; the others' reports are still shown and saved
                self.record.show()
                self._second(len(self.record.timeline) - 1)
            before_ns = now_ns
            await asyncio.sleep(_BEAT_S)

    def _look_after(self, shard: Member, now_ns: int) -> None:
        silent_s = (now_ns - shard.heard_ns) / _S
        if silent_s > LEASE_S + _GRACE_S:
            why = f"nothing was heard from it for {silent_s:.0f} s"
            shard.gone = Gone(why=why, certain=False)
            self._lose(shard)
            # it must not go on if it comes back
            self._start(shard.remote.kill())
        elif silent_s > SILENT_S and not shard.silent:
            shard.silent = True
            at_s = (now_ns - self.begin_ns) / _S
            self.notes.append(f"{shard.name} was silent {at_s:.0f} s into the load")
            self.announce(f"{shard.name} is silent: nothing was heard from it for {silent_s:.0f} s")

    def stop(self) -> None:
        """Start no further copies; those in flight are followed to their end."""
        if self._stopping:
            return
        self._stopping = True
        for shard in self._crew:
            if not shard.over:
                self._start(shard.remote.send({"is": "stop"}))
        self._crew.change()

    def close(self) -> None:
        """Conclude the record of a load that an error has ended."""
        if self.begin_ns and not self.record.load_ns:
            self._conclude()

    # messages from shards

    async def _hear(self, shard: Member) -> None:
        """Process a shard's messages until it is gone; an exception here ends the load."""
        try:
            while not await self._heard(shard):
                self._crew.change()
        except Exception as error:  # noqa: BLE001  # raised again by whoever waits for the load
            self._crew.error = error
        self._crew.change()

    async def _heard(self, shard: Member) -> bool:
        """Process the next message of a shard; return whether it was the last."""
        arrived_ns, said = await shard.remote.receive()
        if isinstance(said, Gone):
            shard.gone = shard.gone or said
            self._lose(shard, arrived_ns)
            return True
        if shard.silent:
            shard.silent = False
            self.announce(f"{shard.name} reports again")
        try:
            self._take(shard, arrived_ns, said)
        except (BrokenChangeError, LookupError, TypeError, ValueError) as error:
            certain = await shard.remote.kill()
            told = error if isinstance(error, BrokenChangeError) else repr(error)
            shard.gone = Gone(why=f"one of its messages cannot be used: {told}", certain=certain)
            self._lose(shard, time.monotonic_ns())
            return True
        if shard.gone is not None:
            self._lose(shard, arrived_ns)
        if said["is"] in ("snap", "done"):
            self._join()
        return False

    def _take(  # noqa: C901  # a case for each message
        self, shard: Member, arrived_ns: int, said: dict[str, Any]
    ) -> None:
        shard.heard_ns = arrived_ns
        match said["is"]:
            case "hello":
                shard.hello = said
            case "ready":
                shard.ready = said
            case "warmed":
                shard.warmed = True
            case "pong":
                shard.offset.add(said["sent_ns"], said["read_ns"], arrived_ns)
            case "armed":
                shard.armed = said["at_ns"] == shard.begin_ns
            case "late":
                shard.late = said["at_ns"] == shard.begin_ns
            case "cancelled":
                shard.cancelled, shard.armed = True, False
            case "failed" if shard.ready is None:
                shard.problems = [Problem(**each) for each in said["problems"]]
                if said["error"]:
                    shard.problems.append(Problem(message=said["error"]))
            case "failed":
                shard.gone = Gone(why=said["error"] or said["problems"][0]["message"], certain=True)
            case "snap" | "done" if shard.lost is None:
                shard.record.take(said)
                shard.end = said.get("end", "")
                if shard.end == "lease":
                    self.lost.append(shard.ended_early())

    def _join(self) -> None:
        """Add the seconds to the timeline that all remaining shards have reported."""
        lost = [shard.record for shard in self._crew if shard.lost is not None]
        while self.record.join_second(lost):
            self.record.show()
            self._second(len(self.record.timeline) - 1)

    def _lose(self, shard: Member, at_ns: int | None = None) -> None:
        """Record a shard that is gone as lost, with the copies that it may have sent."""
        self._crew.change()
        if shard.over or shard.gone is None or (self._stopping and not self.begin_ns):
            return
        shard.lose(self._spec, self.begin_ns, at_ns)
        assert shard.lost is not None
        self.lost.append(shard.lost)
        self.announce(f"{shard.name} is lost: {shard.gone.why}")
        if self.begin_ns:
            self._join()
            if not self._keep_going:
                self.stop()

    # the end

    async def _finish(self) -> None:
        """Kill the shards that have not finished, and add up all records."""
        for shard in self._crew:
            if self.begin_ns and not shard.over:
                certain = await shard.remote.kill()
                shard.gone = shard.gone or Gone(why="the run ended without it", certain=certain)
                shard.gone = Gone(why=shard.gone.why, certain=certain)
                self._keep_going = True
                self._lose(shard, time.monotonic_ns())
        # a shard that has not begun need not go on, and does not count as lost
        self._stopping = True
        if self.begin_ns and not self.record.load_ns:
            self._conclude()

    def _conclude(self) -> None:
        records = [shard.record for shard in self._crew]
        self.record.conclude(self._empty)
        now_ns = time.monotonic_ns()
        errors = [shard.offset.strayed_ns(now_ns) for shard in self._crew]
        if self.record.last_ack_ns is not None:
            self.record.last_ack_ns += max(errors)
        measures = [each.measures() for each in records]
        self.monitor = reduce(add, (monitor for monitor, _ in measures))
        curves = zip((acks for _, acks in measures), errors, strict=True)
        self.acks = reduce(add, (acks.blurred(error) for acks, error in curves))
        self.acks.begin(self.begin_ns)
        for each in records:
            self._plan.unsendable.update(each.unsendable)
        late = late_workers({s.name: s.record.lateness_p99_ms for s in self._crew})
        crowded = crowded_workers(records, self._spec.load)
        paused = paused_workers({s.name: len(s.record.held("paused") or ()) for s in self._crew})
        self.notes += [note for note in (paused, late, crowded) if note]

    def summary(self) -> dict[str, Any]:
        """Return the results file's section on the workers."""
        return {
            "engine": self._engine.name,
            "lease_s": LEASE_S,
            "shards": [shard.to_json() for shard in self._crew],
        }

    async def shut(self) -> None:
        """End all shards, and close the engine."""
        self._connections.subtract(self._needed)
        async with asyncio.TaskGroup() as ending:
            for shard in self._crew:
                ending.create_task(shard.remote.end())
        for task in self._tasks:
            task.cancel()
        await self._engine.close()

    def _empty(self) -> Record:
        return self._spec.new_record(self._plan)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
