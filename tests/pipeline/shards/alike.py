"""One load sent by one runner, and by several whose records are merged: what differs.

The runners are the real ones, under virtual time; the target answers each copy after a delay, and
with a status, that are recorded: they depend on the copy's number alone. So every figure of the
merged record can be held against the single one's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trio
import trio.testing

from loadcheck.load.monitor import Monitor, each_second
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.retry import Backoff
from loadcheck.load.runner import Clock, Rules, Runner
from loadcheck.load.slices import Slice, SlicedPacer, SlicedPlan
from loadcheck.measure.changes import change, decode, digest, encode, still
from loadcheck.measure.grid import Grid
from loadcheck.measure.record import Record
from loadcheck.pipeline.shards.merged import MergedRecord, ShardRecord
from loadcheck.scenario.model import Retry
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.exchange import Request
from tests.load.stages import stage
from tests.load.test_runner import FakeTransport, OneStep, Shared, now_ns

_PERCENTILES = (0, 50, 90, 99, 99.9, 100)
_COUNTS = ("due", "started", "skipped", "acknowledged", "rejected", "indeterminate", "retries")
_TIMES = ("response_time", "service_time", "response_time_low", "service_time_low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A load.

    Attributes:
        pacer: The whole schedule.
        together: Copies that share a request.
        seed: Of what the target does.
    """

    pacer: OpenPacer
    together: int = 1
    seed: int = 1

    def answer(self, request: Request, _before: int) -> tuple[float, int]:
        """Return the delay of a request, in whole microseconds, and its status."""
        number = int(request.body.split(b",")[0])
        random = np.random.default_rng([self.seed, number])
        # two humps, one beyond a second
        centre = 5.0 if random.random() < 0.9 else 1300.0
        status = int(random.choice([200, 200, 200, 200, 200, 503, 429, 0]))
        return int(1000 * centre * random.lognormal(0, 0.7)) / 1e6, status

    def empty(self) -> Record:
        """Return a record of it that holds nothing."""
        plan = OneStep() if self.together == 1 else Shared()
        grid = Grid([stage.duration_s for stage in self.pacer.stages])
        return Record(plan.steps, 0, None, (), grid)

    def sent(self, part: Slice | None = None) -> tuple[Record, list[dict[str, Any]]]:
        """Send it, or a part of it; return its record, and what a shard would have told."""
        told: list[dict[str, Any]] = []

        async def main() -> Record:
            record, monitor, tree = self.empty(), Monitor(), None

            def tell(kind: str, **more: Any) -> None:
                nonlocal tree
                now = still((record, monitor, AckCurve(), Counter[str]()))
                if kind == "done":
                    more["digest"] = digest(now)
                change_ = {"rows": len(record.timeline), "change": change(tree, now), **more}
                told.append(decode(encode({"is": kind, "sequence": len(told), **change_})))
                tree = now

            def close(second: int) -> None:
                record.close_second(second)
                if part is not None:
                    tell("snap")

            plan: Any = OneStep() if self.together == 1 else Shared()
            pacer = self.pacer
            if part is not None:
                plan, pacer = SlicedPlan(plan, part), SlicedPacer.of(pacer, part)
            rules = Rules(backoff=Backoff(Retry(attempts=1), seed=1), together=self.together)
            async with trio.open_nursery() as nursery:
                transport = FakeTransport(nursery, self.answer)
                runner = Runner(plan, transport, record, rules, Clock(now_ns=now_ns, spin_ns=0))

                def began() -> None:
                    # nothing else happens at these instants, so that no order is left to chance
                    nursery.start_soon(each_second, runner.begin_ns + 300, close, now_ns)

                await runner.run_open(pacer, max_in_flight=1 << 30, drain_s=1000, began=began)
                nursery.cancel_scope.cancel()
            elapsed_s = (now_ns() - runner.begin_ns) / 1e9
            if elapsed_s > len(record.timeline):
                record.close_second(int(elapsed_s))
            if part is not None:
                tell("done")
            record.close()
            return record

        record: Record = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        return record, told

    def merged(self, of: int) -> Record:
        """Send it as so many shards; return what their messages come to."""
        parts = [Slice(index=k, of=of, together=self.together) for k in range(of)]
        told = [ShardRecord(part) for part in parts]
        streams = [self.sent(part)[1] for part in parts]
        merged = MergedRecord(self.empty, told)
        merged.begin(77)
        for messages in _by_turns(streams):
            for shard, message in messages:
                told[shard].take(message)
            while merged.join_second([]):
                merged.show()
        merged.conclude(self.empty)
        merged.close()
        return merged


CASES = {
    "constant": Case(pacer=OpenPacer(stages=(stage(3, 120, 120),))),
    "poisson": Case(pacer=OpenPacer(stages=(stage(3, 120, 120),), arrivals="poisson", seed=7)),
    "staged": Case(
        pacer=OpenPacer(stages=(stage(1, 20, 200), stage(1, 200, 200), stage(1, 200, 0)))
    ),
    "batched": Case(pacer=OpenPacer(stages=(stage(3, 120, 120),)), together=10),
}
"""One of each kind of schedule."""


def _by_turns(
    streams: Sequence[list[dict[str, Any]]],
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    for turn in range(max(map(len, streams))):
        yield [(k, stream[turn]) for k, stream in enumerate(streams) if turn < len(stream)]


def differences(merged: Record, alone: Record) -> list[str]:
    """Return what of a merged record is not as a single process has it."""
    found = [name for name in _COUNTS if getattr(merged, name) != getattr(alone, name)]
    if merged.ledger != alone.ledger:
        found.append("ledger")
    times = {name: [getattr(r.steps[0], name) for r in (merged, alone)] for name in _TIMES[:2]}
    times |= {
        name: [getattr(r.steps[0].times, name) for r in (merged, alone)] for name in _TIMES[2:]
    }
    times |= {
        name: [getattr(r.steps[0], name) for r in (merged, alone)]
        for name in ("failed", "throttled")
    }
    times["lateness"] = [merged.lateness, alone.lateness]
    for name, (one, other) in times.items():
        if not np.array_equal(one.counts(), other.counts()) or one.count != other.count:
            found.append(name)
        pairs = zip(
            one.percentiles_ms(_PERCENTILES), other.percentiles_ms(_PERCENTILES), strict=True
        )
        # the clock of these runs is a float of seconds: a nanosecond is within its error
        if any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > 1e-5 for a, b in pairs):
            found.append(f"percentiles of {name}")
    found += [
        f"{name} by second"
        for name in ("due", "started", "acknowledged", "rejected", "indeterminate")
        if list(merged.timeline.column(name)) != list(alone.timeline.column(name))
    ]
    if merged.outcomes().columns() != alone.outcomes().columns():
        found.append("outcomes by interval")
    return found
