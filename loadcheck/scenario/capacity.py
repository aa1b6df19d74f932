"""``[capacity]``: how ``loadcheck capacity`` searches for the highest rate that holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.duration import parse_duration
from loadcheck.scenario.model import Capacity
from loadcheck.scenario.reader import Table, found, given

if TYPE_CHECKING:
    from loadcheck.scenario.tree import Node

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_BUDGET = 'expected a length of time ("5m"), a number of events (2_000_000), or a list of both'


def read_capacity(top: Table) -> Capacity:
    """Read ``[capacity]``."""
    table = top.table("capacity", grammar.CAPACITY)
    if table is None:
        return Capacity()
    lowest, highest = table.rate("from"), table.rate("to")
    if lowest is not None and highest is not None and lowest >= highest:
        table.report.contradiction(table["to"], table["from"], "the search goes up")
    budget_s, budget_events = _budget(table)
    return Capacity(
        lowest=lowest,
        highest=highest,
        budget_s=budget_s,
        budget_events=budget_events,
        **given(
            precision=_precision(table),
            climb=_climb(table),
            probe_s=table.duration("probe"),
            warmup_s=table.duration("warmup", zero=True),
            recovery_s=table.duration("recovery", zero=True),
            samples=table.whole("samples", least=1, most=grammar.MAX_COPIES),
            probes=table.whole("probes", least=1, most=grammar.MAX_PROBES),
        ),
    )


def _precision(table: Table) -> float | None:
    node = table.get("precision")
    if node is None:
        return None
    share = node.value
    if isinstance(share, str) and (match := _PERCENT.fullmatch(share.strip())):
        share = float(match[1]) / 100
    if isinstance(share, float) and grammar.FINEST <= share <= grammar.COARSEST:
        return share
    least, most = (f"{100 * bound:g}%" for bound in (grammar.FINEST, grammar.COARSEST))
    table.report.add(node, f"found {found(node)}", f'expected a share from "{least}" to "{most}"')
    return None


def _climb(table: Table) -> float | None:
    node = table.get("climb")
    if node is None:
        return None
    factor = node.value
    least, most = grammar.GENTLEST, grammar.STEEPEST
    if isinstance(factor, int | float) and factor is not True and least <= factor <= most:
        return float(factor)
    expected = f"expected a factor from {least:g} to {most:g}"
    table.report.add(node, f"found {found(node)}", expected)
    return None


def _budget(table: Table) -> tuple[float | None, int | None]:
    """Return the seconds and the events that a search may take."""
    node = table.get("budget")
    if node is None:
        return None, None
    seconds: float | None = None
    events: int | None = None
    for entry in node.value if isinstance(node.value, list) else [node]:
        amount = _amount(entry)
        if isinstance(amount, float) and seconds is None:
            seconds = amount
        elif isinstance(amount, int) and events is None:
            events = amount
        elif amount is None:
            table.report.add(entry, f"found {found(entry)}", _BUDGET)
        else:
            table.report.add(entry, "is said twice", _BUDGET)
    return seconds, events


def _amount(node: Node) -> float | int | None:
    """Return seconds as a float, events as an int; None if it is neither."""
    match node.value:
        case bool():
            return None
        case str() as written:
            try:
                return parse_duration(written) or None
            except ValueError:
                return None
        case int() | float() as number if number == int(number) and number > 0:
            return int(number)
        case _:
            return None
