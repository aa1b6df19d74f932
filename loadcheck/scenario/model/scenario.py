"""The scenario as a whole, and where its values were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadcheck.data.users import UserIds
from loadcheck.data.variety import DataFile
from loadcheck.data.visits import Sessions
from loadcheck.errors import Place, Problem
from loadcheck.scenario.model.load import (
    Capacity,
    ClosedLoad,
    Limit,
    OpenLoad,
    Retry,
    Threshold,
    Timeouts,
)
from loadcheck.scenario.model.sending import Edit, Guard, Input, Once, Service, Target, Workflow
from loadcheck.scenario.model.verify import Deletion, Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOfMix:
    """Which flow of a mix a scenario is.

    Copy *n* of the flow is copy ``n × len(flows) + place`` of the mix.

    Attributes:
        mix: What the mix is called.
        flow: What the flow is called.
        place: Its place among the flows, from 0.
        flows: What all of them are called.
        limits: What must hold of all of them together, as written.
        id: Which run of the mix it is of; "" before there is one.
    """

    mix: str
    flow: str
    place: int
    flows: tuple[str, ...]
    limits: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything a run is told.

    Attributes:
        name: Short name, part of the results file's name: letters, digits, "-" and "_".
        description: One line for people.
        file: The file as the user named it.
        profile: The one of its profiles that it was read with; "" for none.
        seed: Seed of everything random; None: drawn at the start and recorded.
        overlay: Edits of the workflow's requests, the profile's first.
        thresholds: What must hold.
        limits: Step → what it may ask of the service.
        capacity: How its capacity is searched for.
        files: The data files, by name.
        user_ids: What users are called.
        sessions: How often they come; None: once.
        flows: The flows, if this is a mix of several: it cannot be run as one scenario then.
        together: What must hold of all flows of a mix together.
        part: Which flow of a mix it is; None: of none.
        setup: What is run once before the load; None: nothing.
        teardown: What is run once behind it; None: nothing.
        labels: What the run is told apart by later.
        guard: What it may not do, whatever else is said.
        service: What the service is known for: its regions, its limits.
        deletion: How its users are deleted; None: nobody said.
        deletes: Whether they are at the end of the run.
        values: What ``$values.NAME`` gives: tables that are drawn for each copy, or plain JSON.
        document: The scenario as run, profile and overrides merged in, as JSON; secrets are
            ``{"env": NAME}``, never values.
        lines: Dotted key → line in ``file``, for problems found after parsing.
        places: Dotted key → where it was written, be it ``file``, the profile or an override.
    """

    name: str
    description: str
    file: str
    workflow: Workflow
    target: Target
    inputs: Mapping[str, Input]
    load: OpenLoad | ClosedLoad
    retry: Retry
    timeouts: Timeouts
    verify: Verify
    overlay: tuple[Edit, ...]
    thresholds: tuple[Threshold, ...]
    seed: int | None
    document: Mapping[str, Any]
    lines: Mapping[str, int]
    places: Mapping[str, Place] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)
    profile: str = ""
    files: Mapping[str, DataFile] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    user_ids: UserIds = field(default_factory=UserIds)
    sessions: Sessions | None = None
    flows: tuple[Scenario, ...] = ()
    together: tuple[Threshold, ...] = ()
    part: FlowOfMix | None = None
    setup: Once | None = None
    teardown: Once | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    service: Service = field(default_factory=Service)
    guard: Guard = field(default_factory=Guard)
    deletion: Deletion | None = None
    deletes: bool = False

    @property
    def secrets(self) -> frozenset[str]:
        """Every value that must appear in no file, log or message."""
        once = [each.inputs.values() for each in (self.setup, self.teardown) if each is not None]
        return frozenset().union(
            *(entry.hidden for entries in (self.inputs.values(), *once) for entry in entries)
        )

    def problem(self, key: str, message: str, remedy: str = "") -> Problem:
        """Return a problem with the value at ``key``, telling where that value was written.

        List entries are numbered from 0 (``thresholds.2``). Where nothing was written at ``key``,
        the nearest table above it is named.
        """
        above, rest = key, ""
        while above and above not in self.places:
            above, _, last = above.rpartition(".")
            rest = f".{last}{rest}"
        place = self.places.get(above)
        if place is None:
            return Problem(message=message, file=self.file, key=key, remedy=remedy)
        return Problem(
            message=message, file=place.file, line=place.line, key=place.key + rest, remedy=remedy
        )

    def line(self, key: str) -> int | None:
        """Return the line of ``key``, or of the nearest key above it that has one."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None
