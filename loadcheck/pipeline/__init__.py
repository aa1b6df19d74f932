"""The program: scenario → plan → load → observe → reconcile → result."""

from loadcheck.pipeline.prepare import prepare
from loadcheck.pipeline.run import Options, run
from loadcheck.pipeline.session import Finished
from loadcheck.verify.compiled import Prepared
from loadcheck.verify.progress import Phase, Progress

__all__ = ["Finished", "Options", "Phase", "Prepared", "Progress", "prepare", "run"]
