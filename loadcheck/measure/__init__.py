"""What is recorded while a run goes on: pure data that merges by ``a + b``."""

from loadcheck.measure.histogram import Histogram
from loadcheck.measure.ledger import Ledger, Outcome
from loadcheck.measure.timeline import Timeline

__all__ = ["Histogram", "Ledger", "Outcome", "Timeline"]
