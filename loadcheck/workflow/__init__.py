"""Arazzo documents compiled to plans that need no network to run."""

from loadcheck.workflow.compile.compiler import Settings, compile_plan, lint
from loadcheck.workflow.runtime.plan import (
    Answer,
    Flow,
    Plan,
    Query,
    RetryPolicy,
    Role,
    StepPlan,
)

__all__ = [
    "Answer",
    "Flow",
    "Plan",
    "Query",
    "RetryPolicy",
    "Role",
    "Settings",
    "StepPlan",
    "compile_plan",
    "lint",
]
