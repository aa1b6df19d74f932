"""``[target]``: who receives the load."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult

from loadcheck.documents.document import Node
from loadcheck.documents.files import is_file
from loadcheck.documents.notation import split_http_url, with_scheme
from loadcheck.documents.toml import nearest, nearest_file
from loadcheck.errors import did_you_mean
from loadcheck.scenario import grammar
from loadcheck.scenario.model import Target, Tls
from loadcheck.scenario.reader import Report, Table, found, given, json, text

_HTTPX_ONLY = ("proxy", "http2", "redirects")
_SECRETS = "credentials belong to [inputs], from the environment"
_PROXY_SECRETS = "a proxy that asks who you are belongs in the environment: HTTPS_PROXY"
_EXPECTED_URL = "expected an http:// or https:// URL with a host, and no more than a path"


def read_target(top: Table, folder: Path) -> Target:
    """Read ``[target]``; without it the embedded emulator is the target.

    What configures the emulator is handed on as it stands: the emulator knows its own keys.

    Args:
        top: The scenario.
        folder: The scenario's own, which relative paths start from.
    """
    if "target" not in top:
        return Target(kind="emulator")
    table = Table(top["target"], top.report, known=grammar.TARGET, free=True)
    kind = table.choice("kind")
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
    _refuse_misplaced(table, kind)
    servers = table.table("servers", None)
    chosen = {**_of_region(table, kind), **(_servers(servers, table.report) if servers else {})}
    if "region" in table:
        rest["region"] = table["region"]  # the emulator has regions of its own
    return Target(
        kind=kind or "emulator",
        servers=chosen,
        emulator={name: json(node, table.report) for name, node in rest.items()},
        **given(
            transport=table.choice("transport"),
            tls=_tls(table, folder),
            compress=table.choice("compress"),
            proxy=_url(table["proxy"], table.report, _PROXY_SECRETS) if "proxy" in table else None,
            http2=table.flag("http2"),
            redirects=table.flag("redirects"),
            cookies=table.flag("cookies"),
        ),
    )


def _of_region(target: Table, kind: str | None) -> dict[str, str]:
    """Return the servers of the region that is chosen."""
    regions = target.table("regions", None)
    known = {
        name: _servers(Table(node, target.report, known=None), target.report)
        for name, node in ({} if regions is None else regions.entries).items()
    }
    region = target.text("region")
    if region is None or kind != "live":
        return {}
    if region not in known:
        expected = did_you_mean(region, known) or "the service's profile knows no regions"
        target.report.add(target["region"], f"no region {found(target['region'])}", expected)
    return known.get(region, {})


def _refuse_misplaced(table: Table, kind: str | None) -> None:
    """Report what the emulator has no use for, and what the wire transport cannot do."""
    if kind != "live":
        for name in sorted({"tls", *_HTTPX_ONLY} & table.entries.keys()):
            remedy = 'it belongs to kind = "live": the embedded emulator is plain HTTP/1.1'
            if "kind" in table:
                table.report.contradiction(table[name], table["kind"], remedy)
            else:
                table.report.add(table[name], "the target is the emulator", remedy)
        return
    transport = table.get("transport")
    for name in _HTTPX_ONLY:
        if name not in table or table[name].value is False:
            continue
        if transport is None:
            message = "the wire transport cannot do that"
            table.report.add(table[name], message, f'set target.transport = "httpx" for {name}')
        elif transport.value == "wire":
            remedy = f'{name} needs transport = "httpx"'
            table.report.contradiction(table[name], transport, remedy)


def _tls(target: Table, folder: Path) -> Tls | None:
    table = target.table("tls", grammar.TLS)
    if table is None:
        return None
    files = {name: _file(table, name, folder) for name in ("ca", "cert", "key")}
    if "key" in table:
        table.require("cert", "expected the certificate that the key belongs to")
    verify = table.flag("verify")
    if verify is False:
        for name in ("ca", "server_name"):
            if name in table:
                remedy = "nothing is checked with verify = false"
                table.report.contradiction(table[name], table["verify"], remedy)
    return Tls(**given(**files, server_name=table.text("server_name"), verify=verify))


def _file(table: Table, name: str, folder: Path) -> Path | None:
    written = table.text(name)
    if written is None:
        return None
    path = folder / written
    if is_file(path):
        return path
    remedy = nearest_file(path) or "paths are relative to the scenario file"
    table.report.add(table[name], f"no file at {path}", remedy)
    return None


def _servers(table: Table, report: Report) -> dict[str, str]:
    servers = {name: _url(node, report) for name, node in table.entries.items()}
    return {name: url for name, url in servers.items() if url}


def _url(node: Node, report: Report, secrets: str = _SECRETS) -> str | None:
    written = text(node, report)
    if written is None:
        return None
    try:
        url: SplitResult | None = split_http_url(written)
    except ValueError:
        url = None
    credentials = "@" in written if url is None else "@" in url.netloc
    if credentials:  # not shown: it holds a secret
        report.add(node, "a URL with credentials in it", secrets)
        return None
    if url is None or url.query or url.fragment:
        remedy = with_scheme(written)
        report.add(node, f"found {found(node)}", remedy or _EXPECTED_URL)
        return None
    return written
