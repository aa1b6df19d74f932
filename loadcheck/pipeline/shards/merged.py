"""The records of several shards, merged into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.slices import Slice, SlicedPacer
from loadcheck.measure import Ledger, bitmap, pack, unpack
from loadcheck.measure.changes import BrokenChangeError, FrozenState, changed, digest, moving
from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, layout
from loadcheck.measure.record import Record
from loadcheck.measure.timeline import Timeline
from loadcheck.scenario.model import ClosedLoad, OpenLoad
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.exchange import Exchange

_HELD: Final = {name: place for place, name in enumerate(("outcomes", *Record._HELD))}  # noqa: SLF001
_TIMELINE: Final = {name: place for place, name in enumerate(Timeline().to_json())}
_NS_PER_S: Final = 1_000_000_000
_MOST_RATE: Final = 500_000
"""Requests per second, more than any process can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is known of a lost shard's end; times are nanoseconds since the load began.

    Attributes:
        heard_ns: When it was last known to be alive, within the load.
        ended_ns: The latest at which it may have sent a copy.
        due: How many of its copies may have fallen due by ``ended_ns``.
        whole: The schedule of the whole load; None if it is closed.
    """

    heard_ns: int
    ended_ns: int
    due: int
    whole: OpenPacer | None = None


class ShardRecord:
    """What one shard has reported so far.

    Attributes:
        part: Its part of the load.
        rows: Seconds of its timeline that it has reported.
        complete: Whether its last report has come.
        unsendable: Reason why requests could not be made → how many.
        lost: What is known of its end; None if it was not lost.
    """

    def __init__(self, part: Slice) -> None:
        self.part = part
        self.rows = 0
        self.complete = False
        self.lost: Loss | None = None
        self._tree: Any = None
        self._sequence = 0
        self._numbered: list[Any] = []

    def take(self, message: dict[str, Any]) -> None:
        """Apply the changes since the last message.

        Raises:
            BrokenChangeError: A message is malformed or missing, or the final digest differs.
        """
        try:
            sequence, by, rows = message["sequence"], message["change"], int(message["rows"])
            final = message["digest"] if message["is"] == "done" else None
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenChangeError(f"a field is missing or of the wrong type: {error!r}") from None
        if sequence != self._sequence:
            raise BrokenChangeError(f"message {sequence} came where {self._sequence} was due")
        self._sequence += 1
        self._tree = changed(self._tree, by)
        self.rows = rows
        if final is not None:
            if digest(self._tree) != final:
                raise BrokenChangeError("the reports do not add up to what was recorded")
            self.complete = True

    def held(self, name: str) -> Any:
        """Return a field of its record, frozen; None before its first report."""
        return None if self._tree is None else self._tree[0].held[_HELD[name]]

    @property
    def unsendable(self) -> dict[str, int]:
        """Reason why requests could not be made → how many."""
        return {} if self._tree is None else self._tree[3].held

    @property
    def lateness_p99_ms(self) -> float | None:
        """99th percentile of the lateness of its copies; None if unknown."""
        delays = self.held("delays")
        return None if delays is None else moving(delays).total.percentile_ms(99)

    def row(self, second: int) -> tuple[dict[str, Any], Any] | None:
        """Return a row of its timeline and the samples for its percentiles; None if it has none."""
        timeline = self.held("timeline")
        if timeline is None or second >= self.rows:
            return None
        columns, samples = timeline.held[0], timeline.held[1]
        return {name: columns[at][second] for name, at in _TIMELINE.items()}, samples[second]

    def gained(self) -> list[Any]:
        """Return what each of its sets has gained since the last call, in numbers of the run.

        They are the sets of the ledger, the copies skipped in a pause and those not sent; and, if
        copies make several uploads, the sets of the uploads' ledger.
        """
        ledger, most = self.held("ledger"), self.held("most_uploads")
        if ledger is None:
            return []
        now = [*ledger.held, self.held("paused"), self.held("unsent")]
        copies = len(now)
        if most > 1:
            now += self.held("uploads").held
        before = self._numbered or [BitMap() for _ in now]
        self._numbered = now
        found = []
        for place, (new, old) in enumerate(zip(now, before, strict=True)):
            if new is old:  # as most are
                found.append(BitMap())
                continue
            own = np.array((new - old).to_array(), dtype=np.int64)
            if place < copies:
                found.append(bitmap(self.part.numbers(own)))
            else:
                found.append(bitmap(self.part.numbers(own // most) * most + own % most))
        return found

    def unaccounted(self, due: int) -> int:
        """Return how many of its copies have no known outcome, if ``due`` of them fell due."""
        ended = ("skipped", "acknowledged", "rejected", "indeterminate")
        return max(due, self.held("due") or 0) - sum(self.held(name) or 0 for name in ended)

    def _fell_due(self, due: int, whole: OpenPacer) -> dict[int, int]:
        """Return how many of its unreported copies fell due in each second, by its beginning in ns.

        Args:
            due: How many of its copies fell due in all.
            whole: The schedule of the whole load.
        """
        found: Counter[int] = Counter()
        first = self.held("due") or 0
        begun = 0
        for instants in SlicedPacer.of(whole, self.part).chunks():
            unreported = instants[max(0, first - begun) : max(0, due - begun)]
            seconds, numbers = np.unique(unreported // _NS_PER_S, return_counts=True)
            found.update(dict(zip((seconds * _NS_PER_S).tolist(), numbers.tolist(), strict=True)))
            begun += instants.size
            if begun >= due:
                break
        return dict(found)

    def record(self, empty: Record) -> tuple[Record, list[tuple[int, dict[str, int]]]]:
        """Return its record in numbers of the run, and what its loss adds to the counts, and when.

        What fell due after its last report is not yet among the outcomes of the record.

        Args:
            empty: A record of the same run that holds nothing.
        """
        made: Record = empty if self._tree is None else moving(self._tree[0])
        gained = []
        if self.lost is not None:
            # copies that it has not reported may have been sent, at an unknown time
            lost = self.lost
            when = {} if lost.whole is None else self._fell_due(lost.due, lost.whole)
            gained = [(at_ns, {"due": number}) for at_ns, number in when.items()]
            there = made.lose(lost.due, lost.heard_ns, sum(when.values()))
            gained.append((lost.heard_ns, there))
        made.renumber(self.part.numbers)
        return made, gained

    def measures(self) -> tuple[Monitor, AckCurve]:
        """Return its monitor, and its acknowledgements over time."""
        if self._tree is None:
            return Monitor(), AckCurve()
        monitor, acks = moving(self._tree[1:3])
        if self.lost is not None:
            ended = self.held("acknowledged"), self.held("rejected")
            possible = max(self.lost.due, self.held("due")) - ended[1]
            acks.add(self.lost.ended_ns, ended[0], possible)
        return monitor, acks

    def started_by(self, since_begin_ns: int, load: OpenLoad | ClosedLoad, whole: Any) -> int:
        """Return an upper bound on the copies that it had started by an instant."""
        part = self.part
        if isinstance(load, OpenLoad):
            assert isinstance(whole, OpenPacer)
            return SlicedPacer.of(whole, part).due_before(since_begin_ns / 1e9)
        due = self.held("due") or 0
        told_ns = self.rows * 1_000_000_000
        most = due + max(0, since_begin_ns - told_ns) * _MOST_RATE // 1_000_000_000 * part.together
        return most if load.copies is None else part.count(load.copies)


class MergedRecord(Record):
    """The record of a load that several shards send, updated while it goes on.

    Counts, times and the timeline follow the last second that all have reported; values kept by
    interval are added at the end. This process makes the queries, so it records them itself.
    """

    __slots__ = ("_began_ns", "_own", "_shards")

    def __init__(self, empty: Any, shards: Sequence[ShardRecord]) -> None:
        self._own: Record = empty()
        self._shards = shards
        self._began_ns = 0
        super().__setstate__(empty().__getstate__())
        self.timeline = Timeline(keeps_samples=False)

    def begin(self, begin_ns: int) -> None:
        """Note when the load begins."""
        self._began_ns = begin_ns
        self._own.begin(begin_ns)
        super().begin(begin_ns)

    def record_query(self, exchange: Exchange) -> None:
        """Record a query of this process."""
        self._own.record_query(exchange)

    def show(self) -> None:
        """Bring everything up to date with the shards' reports."""
        shards = [shard for shard in self._shards if shard.held("due") is not None]
        sets = [*_sets(self.ledger), self.paused, self.unsent, *_sets(self.uploads)]
        for shard in shards:
            for known, gained in zip(sets, shard.gained(), strict=False):
                known |= gained  # noqa: PLW2901  # in place
        for name in Record.COUNTS:
            setattr(self, name, sum(shard.held(name) for shard in shards))
        acks = [shard.held("last_ack_ns") for shard in shards]
        self.last_ack_ns = max((ack for ack in acks if ack is not None), default=None)
        if not shards:
            return
        self.steps = tuple(
            own + moving(step) if own.attempts else moving(step)
            for own, step in zip(self._own.steps, _total(_held(shards, "steps")), strict=True)
        )
        self.queries = self._own.queries
        if self._own.workflow is not None:
            self.workflow = moving(_total(_held(shards, "workflow")))
        self.ingest = self.steps[self._ingest]
        self.stages = moving(_total(_held(shards, "stages")))
        self.delays = moving(_total(_held(shards, "delays")))
        self.lateness = self.delays.total
        self.dispatch_lag = moving(_total(_held(shards, "dispatch_lag")))

    def join_second(self, lost: Iterable[ShardRecord]) -> bool:
        """Append the next row of the timeline and return True, if all remaining shards have it."""
        second, gone = len(self.timeline), set(lost)
        open_ = [shard for shard in self._shards if shard not in gone and not shard.complete]
        if any(shard.rows <= second for shard in open_):
            return False
        rows = [row for shard in self._shards if (row := shard.row(second)) is not None]
        if not rows:
            return False
        self.timeline.join(rows, self.uniques)
        return True

    def conclude(self, empty: Callable[[], Record]) -> None:
        """Become the sum of all shards' records and of what was recorded here."""
        while self.join_second(self._shards):
            pass
        self.show()
        timeline, uniques, own = self.timeline, self.uniques, self._own
        records = []
        later: list[tuple[int, dict[str, int]]] = []
        for shard in self._shards:
            record, gained = shard.record(empty())
            for at_ns, counts in gained:
                timeline.add_at(at_ns // _NS_PER_S, counts)
            later += gained[:-1]
            record.timeline = Timeline()
            records.append(record)
        own.timeline = Timeline()
        own.end(self._began_ns + max(record.load_ns for record in records))
        super().__setstate__(reduce(add, (*records, own)).__getstate__())
        self.timeline, self.uniques = timeline, uniques
        # these intervals are only in the sum: a lost shard's own end when it was last heard from
        for at_ns, counts in later:
            self.outcomes().add_at(at_ns, counts)


def _held(shards: Sequence[ShardRecord], name: str) -> list[Any]:
    return [shard.held(name) for shard in shards]


def _total(trees: Sequence[Any]) -> Any:  # noqa: PLR0911  # a case for each kind
    """Return the sum of several trees, without values kept by interval."""
    first = trees[0]
    if isinstance(first, FrozenState):
        held = [tree.held for tree in trees]
        match first.kind:
            case "Histogram":
                return FrozenState(first.kind, _histogram(held))
            case "Counter":
                return FrozenState(first.kind, _merged(held, sum))
            case "IntervalHistograms":
                return FrozenState(first.kind, (first.held[0], 0, (b"", b"")))
            case "Tally" | "Stalls" | "StageSpan":
                return first
        return FrozenState(first.kind, _total(held))
    if isinstance(first, tuple):
        return tuple(_total(each) for each in zip(*trees, strict=True))
    if isinstance(first, dict):
        return _merged(trees, _total)
    if isinstance(first, str):
        return min(trees)
    return sum(trees) if isinstance(first, int) else first


def _merged(dicts: Sequence[dict[Any, Any]], how: Any) -> dict[Any, Any]:
    names = {name: None for each in dicts for name in each}
    return {name: how([each[name] for each in dicts if name in each]) for name in names}


def _histogram(held: Sequence[Any]) -> Any:
    counts = np.zeros(layout(SIGNIFICANT_DIGITS).size, dtype=np.uint64)
    for packed, *_ in held:
        unpack(packed, counts)
    lowest = [low for _, _, low, _ in held if low >= 0]
    return (
        pack(counts),
        sum(above for _, above, _, _ in held),
        min(lowest, default=-1),
        max(high for *_, high in held),
    )


def _sets(ledger: Ledger) -> Sequence[Any]:
    """Return the sets of a ledger, in the order in which a shard reports them."""
    return (
        ledger.started,
        ledger.skipped,
        ledger.acknowledged,
        ledger.rejected,
        ledger.indeterminate,
    )
