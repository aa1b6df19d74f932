"""Nothing leaves this machine unless the user has said so."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from loadcheck.errors import ConsentError

if TYPE_CHECKING:
    from loadcheck.scenario.model import Scenario
    from loadcheck.workflow.plan import Plan


def require_consent(scenario: Scenario, plan: Plan, *, consent: bool, copies: int | None) -> None:
    """Refuse to leave this machine unless the user has said so.

    Args:
        scenario: What to do.
        plan: The same, compiled.
        consent: Whether the user has said so.
        copies: How many may be sent; None: there is no bound.

    Raises:
        ConsentError: A request would go elsewhere and ``consent`` is false.
    """
    away = sorted({str(s.origin) for s in plan.steps if not is_loopback(s.origin.host)})
    if not away or consent:
        return
    number = "an unlimited number of" if copies is None else f"{copies:,}"
    raise ConsentError(
        scenario.problem(
            "target",
            f"this run would send {number} events of as many new users to {', '.join(away)}",
            "events cannot be taken back and users count against the plan; "
            "add --live to say that it may",
        )
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host is certainly this machine: a loopback address, or "localhost"."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
