"""What is recorded while a run goes on: pure data that merges by ``a + b``."""

from loadcheck.measure.grid import Grid
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.intervals import Delays, StepTimes, Tally
from loadcheck.measure.ledger import Ledger, Outcome
from loadcheck.measure.timeline import PAUSE_NS, RESOLUTION_NS, Pause, Stalls, Timeline

__all__ = [
    "PAUSE_NS",
    "RESOLUTION_NS",
    "Delays",
    "Grid",
    "Histogram",
    "Ledger",
    "Outcome",
    "Pause",
    "Stalls",
    "StepTimes",
    "Tally",
    "Timeline",
]
