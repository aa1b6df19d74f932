"""What was measured of the copies that fell due in one stage of an open load.

A copy belongs to the stage that it was due in, however late its answer comes: the slow answers of a
burst are the burst's, also those that arrive when it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadcheck.measure import Histogram

if TYPE_CHECKING:
    from loadcheck.load.pacer import OpenPacer, StageLike
    from loadcheck.load.record import StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpan:
    """Where a stage lies in a load.

    Attributes:
        name: The stage's.
        begin_s: When it begins, since the load began.
        end_s: When it ends.
        first: Number of its first copy.
        last: Number of the first copy after it.
    """

    name: str
    begin_s: float
    end_s: float
    first: int
    last: int


def stage_spans(
    pacer: OpenPacer, stages: Iterable[tuple[str, StageLike]], wanted: Collection[str]
) -> tuple[StageSpan, ...]:
    """Return where the stages that are wanted lie in a schedule."""
    spans = []
    begin_s, first = 0.0, 0
    for name, stage in stages if wanted else ():
        end_s = begin_s + stage.duration_s
        last = pacer.due_before(end_s)
        if name in wanted:
            spans.append(StageSpan(name=name, begin_s=begin_s, end_s=end_s, first=first, last=last))
        begin_s, first = end_s, last
    return tuple(spans)


class StageRecord:
    """One stage.

    Attributes:
        span: Where it lies.
        steps: What its copies measured, by index in the plan; queries belong to the stage in which
            they were sent.
        lateness: Due to sent of each copy's first request.
        dispatch_lag: Due to started of each copy.
        loop_lag: The event loop's, while the stage went on.
        begin_ns: Monotonic instant of its beginning; 0 before the load has begun.
        end_ns: That of its end.
    """

    __slots__ = ("begin_ns", "dispatch_lag", "end_ns", "lateness", "loop_lag", "span", "steps")

    def __init__(self, span: StageSpan, steps: Sequence[StepRecord]) -> None:
        self.span = span
        self.steps = tuple(steps)
        self.lateness = Histogram()
        self.dispatch_lag = Histogram()
        self.loop_lag = Histogram()
        self.begin_ns = self.end_ns = 0

    def begin(self, load_begin_ns: int) -> None:
        """Note when the load began."""
        self.begin_ns = load_begin_ns + round(self.span.begin_s * 1e9)
        self.end_ns = load_begin_ns + round(self.span.end_s * 1e9)

    def holds(self, instant_ns: int) -> bool:
        """Return whether an instant falls into it."""
        return self.begin_ns <= instant_ns < self.end_ns
