"""What one load is: the part of a compiled scenario that a generator needs, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from loadcheck.load.pacer import OpenPacer, Warmup, stage_spans, warmups
from loadcheck.load.slices import Copies, Slice, SlicedPacer, SlicedPlan, share_of
from loadcheck.measure import Grid
from loadcheck.measure.record import Record, StageSpan
from loadcheck.scenario.model import ClosedLoad, Limit, OpenLoad, Retry
from loadcheck.workflow.runtime.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """What copies do, and when they do it.

    Attributes:
        plan: What a copy does.
        ingest: Index of the step whose outcome is the copy's.
        observer: Index of the step that is queried beside the load; None: nobody is asked.
        load: When copies start, and how many may be in flight.
        retry: What follows a failed attempt, where the workflow document does not say.
        limits: Step index → what it may ask of the service, for steps that are metered.
        drain_s: How long copies in flight are awaited when the last one has started.
        named: Names of the stages that thresholds are about: they are measured on their own.
        seed: Of arrivals and of the waits before retries.
        part: The part of a load that is shared; None: it is not.
        ahead: Connections to open ahead; None: as many as the load lets expect.
        pacer: The schedule of an open load; None for a closed one.
    """

    plan: Plan
    ingest: int
    load: OpenLoad | ClosedLoad
    observer: int | None = None
    retry: Retry = field(default_factory=Retry)
    limits: Mapping[int, Limit] = field(default_factory=dict)
    drain_s: float = 30.0
    named: Collection[str] = ()
    seed: int = 0
    part: Slice | None = None
    ahead: tuple[Warmup, ...] | None = None
    pacer: OpenPacer | None = field(init=False)

    def __post_init__(self) -> None:
        pacer = pacer_of(self.load, self.seed)
        if pacer is not None and self.part is not None:
            pacer = SlicedPacer.of(pacer, self.part)
        object.__setattr__(self, "pacer", pacer)

    def shared(self, part: Slice) -> LoadSpec:
        """Return one generator's part of the load."""
        return replace(
            self,
            load=share_of(self.load, part),
            limits=part.limits(self.limits),
            part=part,
            ahead=tuple(part.warmup(warmup) for warmup in self.warmups),
        )

    @property
    def copies(self) -> Copies:
        """What a copy does, by its number here."""
        return self.plan if self.part is None else SlicedPlan(self.plan, self.part)

    @property
    def retry_seed(self) -> int:
        """Seed of the waits before retries: generators that retry in step are a burst."""
        return self.seed if self.part is None else self.part.seed(self.seed)

    @property
    def planned(self) -> int | None:
        """How many copies are asked for; None if time alone decides."""
        return planned_copies(self.load, self.seed)

    @property
    def duration_s(self) -> float | None:
        """How long copies are started; None if their number decides."""
        if isinstance(self.load, ClosedLoad):
            return self.load.duration_s
        return sum(stage.duration_s for stage in self.load.stages)

    @property
    def max_requests(self) -> int:
        """The most requests of copies in flight at once: the connections needed."""
        return -(-max_in_flight(self.load) // self.load.copies_per_request)

    @property
    def warmups(self) -> list[Warmup]:
        """How many connections to open ahead, and when."""
        if self.ahead is not None:
            return list(self.ahead)
        load, limit = self.load, self.max_requests
        if load.preconnect is not None:
            return [Warmup(at_s=0.0, connections=min(load.preconnect, limit))]
        if isinstance(load, ClosedLoad):
            return [Warmup(at_s=0.0, connections=limit)]
        return warmups(load.stages, together=load.copies_per_request, limit=limit)

    def stages(self) -> tuple[StageSpan, ...]:
        """Return where the stages lie that are measured on their own."""
        # by the numbers of the run, also where only a part of it is sent
        pacer = pacer_of(self.load, self.seed)
        if pacer is None or not isinstance(self.load, OpenLoad):
            return ()
        stages = [(stage.name, stage) for stage in self.load.stages]
        return stage_spans(pacer, stages, self.named)

    def new_record(self) -> Record:
        """Return an empty record, with the load's stages and intervals."""
        load = self.load
        if isinstance(load, OpenLoad):
            grid = Grid([stage.duration_s for stage in load.stages])
        else:
            grid = Grid([load.duration_s] if load.duration_s is not None else ())
        return Record(self.plan.steps, self.ingest, self.observer, self.stages(), grid)


def pacer_of(load: OpenLoad | ClosedLoad, seed: int) -> OpenPacer | None:
    """Return the schedule of an open load; None for a closed one."""
    if isinstance(load, ClosedLoad):
        return None
    return OpenPacer(stages=load.stages, arrivals=load.arrivals, seed=seed)


def planned_copies(load: OpenLoad | ClosedLoad, seed: int) -> int | None:
    """Return how many copies a load asks for; None if time alone decides."""
    pacer = pacer_of(load, seed)
    if isinstance(load, ClosedLoad) or pacer is None:
        return load.copies if isinstance(load, ClosedLoad) else None
    return pacer.planned


def max_in_flight(load: OpenLoad | ClosedLoad) -> int:
    """Return the most copies that may be in flight at once."""
    return load.concurrency if isinstance(load, ClosedLoad) else load.max_in_flight
