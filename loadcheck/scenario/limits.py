"""``[limits.STEP]``: what a step that the service meters may ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import Limit
from loadcheck.scenario.reader import Table

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_limits(top: Table) -> Mapping[str, Limit]:
    """Read ``[limits]``: a table per step."""
    table = top.table("limits", None)
    if table is None:
        return {}
    limits = {}
    for step, node in table.entries.items():
        if not isinstance(node.value, dict):
            table.report.add(node, "is no table", "expected { concurrency = 4, rate = 5 }")
            continue
        entry = Table(node, table.report, known=grammar.LIMIT)
        if not entry.entries:
            table.report.add(node, "limits nothing", "expected concurrency, rate or both")
        limits[step] = Limit(
            concurrency=entry.whole("concurrency", least=1, most=grammar.MAX_IN_FLIGHT),
            rate=entry.rate("rate"),
        )
    return limits
