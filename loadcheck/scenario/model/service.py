"""What a service is known for beyond its API: its regions, its limits, what it charges for.

And what a run against it may not do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the service documents that it takes; None where it documents nothing.

    Attributes:
        events_per_s: Events per second, of all users together.
        requests_per_s: Requests with events per second.
        bytes_per_s: Bytes of their bodies per second, before these are compressed.
        user_events_per_s: Events per second of one user.
        user_events_per_day: Events of one user in 24 hours.
        events_per_request: Events in one request.
        request_bytes: Length of a request's body, before it is compressed.
        event_bytes: Length of one event, with its share of the request around it.
        query_cost_per_hour: Cost of all queries in an hour.
        export_bytes: Size of what can be exported at once.
    """

    events_per_s: int | None = None
    requests_per_s: int | None = None
    bytes_per_s: int | None = None
    user_events_per_s: int | None = None
    user_events_per_day: int | None = None
    events_per_request: int | None = None
    request_bytes: int | None = None
    event_bytes: int | None = None
    query_cost_per_hour: int | None = None
    export_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as its profile knows it.

    Attributes:
        name: What people call it; "" if the profile does not say.
        billed: What each new user counts as; "" if users cost nothing.
        stays: What a run leaves behind.
        regions: Host → the region whose data centre it is.
        limits: What it takes.
        advice: What it asks not to exceed, without refusing it.
    """

    name: str = ""
    billed: str = ""
    stays: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    advice: ServiceLimits = field(default_factory=ServiceLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a run may not do, whatever else it is told.

    Attributes:
        max_users: Users of the load at the most; None: any number.
        max_events: Events of the load at the most.
        max_rate: Copies per second at the most.
        hosts: Patterns of hosts that may be reached; empty: any.
        window: Minutes of the local day from which to which it may send; None: always.
        stop_file: Ends the load when it appears, relative to the scenario; "": none does.
        max_error_rate: Share of failed attempts of the ingest step, as of 1; None: any.
        max_throttled: Share of its attempts that are answered with 429.
        over_s: The time over which both are taken.
        stop_on_throttled: End the load when an answer names whom the service throttles.
    """

    max_users: int | None = None
    max_events: int | None = None
    max_rate: float | None = None
    hosts: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    stop_file: str = ""
    max_error_rate: float | None = None
    max_throttled: float | None = None
    over_s: float = 10.0
    stop_on_throttled: bool = False
