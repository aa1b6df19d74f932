"""The program: scenario → plan → load → observe → reconcile → result."""

from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.run import Options, run
from loadcheck.pipeline.session import CompletedRun
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.progress import Phase, Progress

__all__ = [
    "CompiledScenario",
    "CompletedRun",
    "Options",
    "Phase",
    "Progress",
    "compile_scenario",
    "run",
]
