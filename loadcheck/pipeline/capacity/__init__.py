"""The highest rate at which everything holds: a search whose probes are runs."""

from loadcheck.pipeline.capacity.run import Options, Searched, View, search

__all__ = ["Options", "Searched", "View", "search"]
