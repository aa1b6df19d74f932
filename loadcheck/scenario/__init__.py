"""What to run, against what, how hard, and what must hold: a TOML file as frozen values.

:func:`load` reads one, with the profile of its workflow and the user's overrides, and reports
every problem at once.
"""

from loadcheck.documents import format_duration, parse_duration
from loadcheck.errors import Place
from loadcheck.scenario.library import shipped
from loadcheck.scenario.loader import load, restore
from loadcheck.scenario.model import (
    ClosedLoad,
    Count,
    Edit,
    Input,
    OpenLoad,
    Retry,
    Scenario,
    Stage,
    Target,
    Timeouts,
    Verify,
    Workflow,
)
from loadcheck.scenario.target import environment

__all__ = [
    "ClosedLoad",
    "Count",
    "Edit",
    "Input",
    "OpenLoad",
    "Place",
    "Retry",
    "Scenario",
    "Stage",
    "Target",
    "Timeouts",
    "Verify",
    "Workflow",
    "environment",
    "format_duration",
    "load",
    "parse_duration",
    "restore",
    "shipped",
]
