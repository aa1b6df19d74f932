"""A scenario as frozen values: what to run, against what, how hard, and what must hold.

Durations are seconds as floats (``_s``), rates are copies per second. Every value here has been
checked; a :class:`Scenario` that exists can be run.
"""

from loadcheck.scenario.model.load import (
    Capacity,
    ClosedLoad,
    Limit,
    OpenLoad,
    Retry,
    Stage,
    Threshold,
    Timeouts,
    Users,
)
from loadcheck.scenario.model.scenario import FlowOfMix, Scenario
from loadcheck.scenario.model.sending import (
    Edit,
    Guard,
    Input,
    Once,
    Service,
    ServiceLimits,
    Target,
    Tls,
    Workflow,
)
from loadcheck.scenario.model.verify import (
    Batch,
    Budget,
    Count,
    Deletion,
    Evidence,
    Export,
    Following,
    Jobs,
    Repeat,
    Split,
    Verify,
)

__all__ = [
    "Batch",
    "Budget",
    "Capacity",
    "ClosedLoad",
    "Count",
    "Deletion",
    "Edit",
    "Evidence",
    "Export",
    "FlowOfMix",
    "Following",
    "Guard",
    "Input",
    "Jobs",
    "Limit",
    "Once",
    "OpenLoad",
    "Repeat",
    "Retry",
    "Scenario",
    "Service",
    "ServiceLimits",
    "Split",
    "Stage",
    "Target",
    "Threshold",
    "Timeouts",
    "Tls",
    "Users",
    "Verify",
    "Workflow",
]
