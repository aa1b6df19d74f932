"""``thresholds``: what must hold, and what ends a load early when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import Threshold
from loadcheck.scenario.reader import Table, given, text

if TYPE_CHECKING:
    from loadcheck.scenario.tree import Node


def read_thresholds(top: Table) -> tuple[Threshold, ...]:
    """Read ``thresholds``: texts, and tables where there is more to say than the text."""
    entries = top.array("thresholds", "strings, or tables { check, abort, grace }")
    read = [_threshold(node, top) for node in entries or ()]
    return tuple(threshold for threshold in read if threshold is not None)


def _threshold(node: Node, top: Table) -> Threshold | None:
    if not isinstance(node.value, dict):
        check = text(node, top.report)
        return None if check is None else Threshold(check=check)
    table = Table(node, top.report, known=grammar.THRESHOLD)
    table.require("check", 'expected what must hold, e.g. check = "error_rate < 1%"')
    check, abort = table.text("check"), table.flag("abort")
    grace_s = table.duration("grace", zero=True)
    if "grace" in table and not abort:
        table.report.add(table["grace"], "without abort = true", "grace delays nothing else")
    return None if check is None else Threshold(check=check, **given(abort=abort, grace_s=grace_s))
