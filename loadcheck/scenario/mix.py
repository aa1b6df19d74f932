"""``[[mix]]``: several workflows in one run, each with its share of the load.

Top-level keys apply to every flow; keys in a flow's table override them. So each flow is a scenario
like any other, and reports, comparisons and ``reconcile`` need not know about mixes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from loadcheck.documents.document import Node, merge_tree
from loadcheck.scenario import grammar
from loadcheck.scenario.layers import as_table
from loadcheck.scenario.model import OpenLoad
from loadcheck.scenario.reader import ProblemReport, TableReader

_NAME: Final = re.compile(grammar.STAGE_NAME)
_BY_RATE: Final = ("rate", "stages")
_DIVIDED: Final = ("concurrency", "copies", "max_in_flight", "preconnect")
"""Keys of the whole load with integer values, which are divided among the flows."""
_ENTRY: Final = 'tables, one for each flow: [[mix]] with workflow = "amplitude" and weight = 3'
_WEIGHT: Final = "expected a weight above 0, such as 3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow of a mix.

    Attributes:
        name: Its name.
        document: Its scenario, not yet merged with the profile of its workflow's service.
    """

    name: str
    document: Node


def is_mix(document: Node) -> bool:
    """Return whether a scenario has several flows."""
    return isinstance(document.value, dict) and "mix" in document.value


def flows_of(document: Node, name: str, report: ProblemReport) -> list[Flow]:
    """Return the flows of a scenario; none if there is a problem with the mix itself.

    Args:
        document: The scenario.
        name: Its name.
        report: Receives problems with the mix; those within a flow are found when it is read.
    """
    top = TableReader(document, report, known=None)
    entries = top.array("mix", _ENTRY)
    before = len(report.problems) - (entries is None)
    if entries is not None and not 1 <= len(entries) <= grammar.MAX_FLOWS:
        expected = f"expected from 1 to {grammar.MAX_FLOWS:,} flows"
        report.add(top["mix"], f"found {len(entries):,} flows", expected)
    tables = [TableReader(entry, report, known=grammar.FLOW) for entry in entries or ()]
    base = {
        key: node for key, node in top.entries.items() if key not in ("mix", "name", "together")
    }
    names = _names(tables, report)
    loads = _loads(top, tables) if tables else []
    if len(report.problems) > before:
        return []
    made = []
    for table, flow, load in zip(tables, names, loads, strict=True):
        own = {key: node for key, node in table.entries.items() if key not in grammar.FLOW_ONLY}
        if "workflow" in own:
            own["workflow"] = as_table(own["workflow"])
        place = table.node.place
        whole = merge_tree(Node({**base, "load": load}, document.place), Node(own, place))
        assert isinstance(whole.value, dict)
        short = f"{name[: grammar.MAX_NAME_LENGTH - len(flow) - 1]}-{flow}"
        labels = {"flow": Node(flow, place), **_entries(whole.value.get("labels"))}
        replaced = {"name": Node(short, place), "labels": Node(labels, place)}
        made.append(Flow(name=flow, document=Node({**whole.value, **replaced}, place)))
    return made


def _names(tables: Sequence[TableReader], report: ProblemReport) -> list[str]:
    """Return the names of the flows, by default those of their workflows."""
    names: list[str] = []
    for place, table in enumerate(tables):
        node = table.get("name")
        given = table.text("name") if node is not None else None
        name = given or _workflow_name(table.get("workflow")) or f"flow-{place + 1}"
        if node is None and name in names:
            name = f"{name}-{place + 1}"
        where = node or table.node
        if not _NAME.fullmatch(name) or len(name) > grammar.MAX_FLOW_NAME:
            most = grammar.MAX_FLOW_NAME
            report.add(
                where, f'"{name}" is not a name', f"expected at most {most} of A-Z, 0-9, - _"
            )
        if name == "together":
            report.add(where, f'"{name}" stands for all flows', "choose another name")
        if name in names:
            report.add(where, f'another flow is named "{name}"', "names tell flows apart")
        names.append(name)
    return names


def _workflow_name(node: Node | None) -> str:
    entries = _entries(None if node is None else as_table(node))
    for key in ("id", "document"):
        value = entries[key].value if key in entries else None
        if isinstance(value, str):
            stem = PurePath(value).name.partition(".")[0]
            return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[: grammar.MAX_FLOW_NAME].strip("-")
    return ""


def _entries(node: Node | None) -> dict[str, Node]:
    return dict(node.value) if node is not None and isinstance(node.value, dict) else {}


def _loads(top: TableReader, tables: Sequence[TableReader]) -> list[Node]:
    """Return the flows' loads: shares of the whole by weight, or each with a rate of its own."""
    report = top.report
    if not top.require("load", "expected a table [load] that the flows share"):
        return []
    load = top["load"]
    entries = _entries(load)
    own = [table for table in tables if any(key in table for key in _BY_RATE)]
    for table in own:
        if "weight" in table:
            key = next(key for key in _BY_RATE if key in table)
            report.contradiction(table["weight"], table[key], "one of them says how much it sends")
    weights = [_weight(table) for table in tables]
    if not own:
        if any(weight is None for weight in weights):
            return []
        total = math.fsum(weight or 0.0 for weight in weights)
        return _shares(load, [(weight or 0.0) / total for weight in weights], report)
    for table in tables:
        if table not in own:
            remedy = "give every flow a weight, or every flow a rate or stages"
            report.add(table.node, "has no rate, and others have", remedy)
    for key in ("rate", "stages", "concurrency"):
        if key in entries:
            remedy = "flows with rates of their own make up the load: leave it out"
            report.contradiction(entries[key], own[0].node, remedy)
    even = _shares(load, [1 / len(tables)] * len(tables), report)
    return [
        Node(_with_rate(_entries(shared), table), load.place)
        for shared, table in zip(even, tables, strict=False)
    ]


def _with_rate(load: dict[str, Node], table: TableReader) -> dict[str, Node]:
    """Return a load with a flow's own rate, or its own stages, which need no duration."""
    load |= {key: table[key] for key in _BY_RATE if key in table}
    if "stages" in table and "rate" not in table:
        load.pop("duration", None)
    return load


def _weight(table: TableReader) -> float | None:
    node = table.get("weight")
    if node is None:
        return 1.0
    value = node.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and isinstance(value, int | float) and 0 < value <= grammar.MAX_WEIGHT:
        return float(value)
    table.report.found(node, _WEIGHT)
    return None


def _shares(load: Node, shares: Sequence[float], report: ProblemReport) -> list[Node]:
    """Split a load by the share of each flow."""
    entries = _entries(load)
    if isinstance(load.value, dict) and entries.get("model", load).value == "open":
        most = Node(OpenLoad(stages=()).max_in_flight, load.place)
        entries.setdefault("max_in_flight", most)
    divided = {
        key: _divide(entries[key], shares, report, key)
        for key in _DIVIDED
        if key in entries and _is_whole(entries[key].value)
    }
    return [
        Node({**_scaled(entries, share), **{key: parts[i] for key, parts in divided.items()}}, at)
        if isinstance(load.value, dict)
        else load
        for i, (share, at) in enumerate((share, load.place) for share in shares)
    ]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _divide(node: Node, shares: Sequence[float], report: ProblemReport, key: str) -> list[Node]:
    """Divide a number among the flows by largest remainder; report it if a flow would get none."""
    total = node.value
    assert isinstance(total, int)
    parts = [int(total * share) for share in shares]
    order = sorted(range(len(parts)), key=lambda i: parts[i] - total * shares[i])
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    if min(parts) < 1 and key != "preconnect":
        message = f"{total:,} cannot be divided among {len(shares):,} flows"
        report.add(node, message, "raise it: a flow's share would be nothing")
    return [Node(part, node.place) for part in parts]


def _scaled(entries: Mapping[str, Node], share: float) -> dict[str, Node]:
    made = dict(entries)
    if "rate" in made:
        made["rate"] = _times(made["rate"], share)
    stages = made.get("stages")
    if stages is not None and isinstance(stages.value, list):
        made["stages"] = Node(list(_stages(stages.value, share)), stages.place)
    return made


def _stages(stages: Iterable[Node], share: float) -> Iterable[Node]:
    for stage in stages:
        entries = _entries(stage)
        for key in {"rate", "ramp_to"} & entries.keys():
            entries[key] = _times(entries[key], share)
        yield Node(entries, stage.place) if entries else stage


def _times(node: Node, share: float) -> Node:
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return Node(float(f"{value * share:.9g}"), node.place)
    return node
