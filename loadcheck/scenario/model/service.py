"""What a service is known for beyond its API: its regions, its limits, and what it charges for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the service documents that it takes; None where it documents nothing.

    Attributes:
        events_per_s: Events per second, of all users together.
        requests_per_s: Requests with events per second.
        user_events_per_s: Events per second of one user.
        events_per_request: Events in one request.
        request_bytes: Length of a request's body.
        query_cost_per_hour: Cost of all queries in an hour.
        export_bytes: Size of what can be exported at once.
    """

    events_per_s: int | None = None
    requests_per_s: int | None = None
    user_events_per_s: int | None = None
    events_per_request: int | None = None
    request_bytes: int | None = None
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
    """

    name: str = ""
    billed: str = ""
    stays: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)
    limits: ServiceLimits = field(default_factory=ServiceLimits)
