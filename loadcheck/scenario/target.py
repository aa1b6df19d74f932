"""``[target]``: who receives the load."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadcheck.scenario import grammar
from loadcheck.scenario.model import Target
from loadcheck.scenario.reader import Report, Table, found, given, json, text
from loadcheck.scenario.source import nearest

if TYPE_CHECKING:
    from loadcheck.scenario.tree import Node

_EXPECTED_URL = "expected an http:// or https:// URL with a host, and no more than a path"


def read_target(top: Table) -> Target:
    """Read ``[target]``; without it the embedded emulator is the target.

    What configures the emulator is handed on as it stands: the emulator knows its own keys.
    """
    table = top.table("target", None)
    if table is None:
        return Target(kind="emulator")
    kind = table.choice("kind", ("emulator", "live"))
    rest = {name: node for name, node in table.entries.items() if name not in grammar.TARGET}
    if kind == "live":
        for name, node in rest.items():
            near = nearest(name, grammar.TARGET)
            if near:
                table.report.add(node, "unknown key", near)
            else:
                remedy = "it configures the embedded emulator"
                table.report.contradiction(node, table["kind"], remedy)
    elif "servers" in table and (kind == "emulator" or "kind" not in table):
        remedy = 'the embedded emulator has its own address; servers belong to kind = "live"'
        if "kind" in table:
            table.report.contradiction(table["servers"], table["kind"], remedy)
        else:
            table.report.add(table["servers"], "the target is the emulator", remedy)
    servers = table.table("servers", None)
    return Target(
        kind=kind or "emulator",
        servers=_servers(servers, table.report) if servers else {},
        emulator={name: json(node, table.report) for name, node in rest.items()},
        **given(transport=table.choice("transport", ("wire", "httpx"))),
    )


def _servers(table: Table, report: Report) -> dict[str, str]:
    servers = {name: _url(node, report) for name, node in table.entries.items()}
    return {name: url for name, url in servers.items() if url}


def _url(node: Node, report: Report) -> str | None:
    written = text(node, report)
    if written is None:
        return None
    try:
        url = urlsplit(written)
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        report.add(node, f"found {found(node)}", _EXPECTED_URL)
        return None
    if url.username is not None or url.password is not None:  # not shown: it holds a secret
        remedy = "credentials belong to [inputs], from the environment"
        report.add(node, "a URL with credentials in it", remedy)
        return None
    if not usable or url.query or url.fragment:
        report.add(node, f"found {found(node)}", _EXPECTED_URL)
        return None
    return written
