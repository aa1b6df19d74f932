"""The program: scenario → plan → load → observe → reconcile → result."""

from loadcheck.pipeline.prepare import Prepared, prepare
from loadcheck.pipeline.progress import Phase, Progress
from loadcheck.pipeline.run import Options, run
from loadcheck.pipeline.work import Finished

__all__ = ["Finished", "Options", "Phase", "Prepared", "Progress", "prepare", "run"]
