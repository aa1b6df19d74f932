"""``[verify]`` and ``[[overlay]]``: how the service is asked, and what requests carry besides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import Count, Edit, Verify
from loadcheck.scenario.reader import Table, found, given, json, text

if TYPE_CHECKING:
    from loadcheck.scenario.reader import Report
    from loadcheck.scenario.tree import Node

_POINTER = r"(?:/(?:[^~/]|~[01])*)*"  # RFC 6901 section 3
_AT = re.compile(rf"body#{_POINTER}|query\.[^#]+(?:#{_POINTER})?|(?:header|path|cookie)\.[^#]+")
_EXPECTED_AT = (
    'expected "body#/json/pointer", "query.NAME", "query.NAME#/json/pointer", "header.NAME", '
    '"path.NAME" or "cookie.NAME"'
)


def read_overlay(top: Table) -> tuple[Edit, ...]:
    """Read ``[[overlay]]``."""
    entries = top.tables("overlay", grammar.EDIT) or []
    for entry in entries:
        entry.require("step", "expected the stepId of the request it changes")
    return tuple(_edit(entry, entry.text("step") or "") for entry in entries)


def read_verify(top: Table) -> Verify:
    """Read ``[verify]``."""
    table = top.table("verify", grammar.VERIFY)
    if table is None:
        return Verify()
    step = table.text("step")
    quiet_s, deadline_s = table.duration("quiet"), table.duration("deadline")
    if quiet_s is not None and deadline_s is not None and quiet_s > deadline_s:
        remedy = "the count could never be quiet for so long before the deadline"
        table.report.contradiction(table["quiet"], table["deadline"], remedy)
    if deadline_s is not None and quiet_s is None:
        quiet_s = min(Verify().quiet_s, deadline_s)
    if quiet_s is not None and deadline_s is None:
        deadline_s = max(Verify().deadline_s, quiet_s)
    return Verify(
        **given(
            enabled=table.flag("enabled"),
            ingest=table.text("ingest"),
            step=step,
            acknowledged=table.text("acknowledged"),
            uniques=_count(table, "uniques", step or ""),
            totals=_count(table, "totals", step or ""),
            bypass=_observer_edits(table, "bypass", step or ""),
            cache=table.choice("cache", ("bypass", "respect")),
            every_s=table.duration("every"),
            quiet_s=quiet_s,
            deadline_s=deadline_s,
            timeout_s=table.duration("timeout"),
        )
    )


def _count(verify: Table, name: str, step: str) -> Count | None:
    """Read an expression, or a table of an expression and the edits that it needs."""
    node = verify.get(name)
    if node is None:
        return None
    if isinstance(node.value, str):
        value = text(node, verify.report)
        return None if value is None else Count(value=value)
    if not isinstance(node.value, dict):
        expected = "expected a runtime expression, or a table of value and overlay"
        verify.report.add(node, f"found {found(node)}", expected)
        return None
    table = Table(node, verify.report, known=grammar.COUNT)
    table.require("value", "expected a runtime expression")
    return Count(
        value=table.text("value") or "", overlay=_observer_edits(table, "overlay", step) or ()
    )


def _observer_edits(table: Table, name: str, step: str) -> tuple[Edit, ...] | None:
    entries = table.tables(name, grammar.OBSERVER_EDIT)
    return None if entries is None else tuple(_edit(entry, step) for entry in entries)


def _edit(table: Table, step: str) -> Edit:
    table.require("at", _EXPECTED_AT)
    table.require("value", "expected what to put there")
    at = table.text("at")
    if at is not None and not _AT.fullmatch(at):
        table.report.add(table["at"], f"found {found(table['at'])}", _EXPECTED_AT)
    value = table.get("value")
    return Edit(step=step, at=at or "", value=_value(value, table.report))


def _value(node: Node | None, report: Report) -> object:
    return None if node is None else json(node, report)
