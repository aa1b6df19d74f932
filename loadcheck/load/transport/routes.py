"""How a request is routed: directly, through a proxy, or not at all.

Nothing goes to another machine unless the user has allowed it, whatever a redirect, a proxy or the
environment says: every request that httpx sends passes :class:`Routes` with the URL that it is
really sent to. Loopback requests never go through a proxy of the environment.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx

from loadcheck.errors import InputError, Problem
from loadcheck.secrets import without_userinfo

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DIRECT: Final = ""
_NAME: Final = re.compile(r"\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Return whether a host is certainly this machine: a loopback address, or "localhost".

    Other names, and other spellings of addresses ("127.1"), may mean anything to their resolver.
    "localhost" is this machine by RFC 6761 section 6.3, unless the system resolves it otherwise.
    """
    if host.lower() == "localhost":
        return _localhost_is_here()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped.is_loopback
    return address.is_loopback


@cache
def _localhost_is_here() -> bool:
    try:
        found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # a name without an address cannot be reached
    return all(is_loopback(str(address[0])) for *_, address in found)


class LeavingError(httpx.TooManyRedirects):
    """A request, or its redirect, would leave this machine without the user's consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that the environment names.

    Attributes:
        variable: The variable, as it is spelt there.
        url: Its URL, credentials included.
    """

    variable: str
    url: str

    def __str__(self) -> str:
        """Return its URL without credentials."""
        return without_userinfo(self.url)


class Proxies:
    """The proxies that an environment names, and the hosts that they are not used for.

    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` in either case; lower case takes
    precedence. ``NO_PROXY`` holds names (with the names below them), addresses, networks
    (``10.0.0.0/8``, ``::1/128``) and ``*``, each with a port or without, separated by commas.

    Attributes:
        problems: Values that cannot be used, in sentences that name the variable.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._proxies: dict[str, Proxy] = {}
        for scheme in ("http", "https", "all"):
            found = _variable(environment, f"{scheme}_proxy")
            if found is None or (found[0] == "HTTP_PROXY" and "REQUEST_METHOD" in environment):
                continue  # in a CGI program that variable comes from a request header: httpoxy
            proxy = self._proxy(*found)
            if proxy is not None:
                self._proxies[scheme] = proxy
        name, text = _variable(environment, "no_proxy") or ("NO_PROXY", "")
        entries = [entry for entry in re.split(r"[,\s]+", text) if entry]
        self._exceptions = [
            rule for entry in entries if (rule := self._exception(name, entry)) is not None
        ]

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy through which requests to an origin go; None if there is none.

        Raises:
            InputError: Its protocol is not supported.
        """
        proxy = self.named(scheme, host, port)
        if proxy is None:
            return None
        if not proxy.url.startswith(("http://", "https://")):
            kind = proxy.url.partition("://")[0]
            message = f"names a proxy for {scheme}://{host} that speaks {kind}"
            remedy = "expected http:// or https://; or name the host in NO_PROXY"
            raise InputError(Problem(key=proxy.variable, message=message, remedy=remedy))
        return proxy

    def named(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy as :meth:`of` does, whether or not its protocol is supported."""
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        if proxy is None or is_loopback(host):
            return None
        name = host.lower().rstrip(".")
        return None if any(rule(name, port) for rule in self._exceptions) else proxy

    def _proxy(self, variable: str, text: str) -> Proxy | None:
        url = text if "://" in text else f"http://{text}"
        scheme, _, rest = url.partition("://")
        url = f"{scheme.lower()}://{rest}"
        try:
            parts = urlsplit(url)
            usable = bool(parts.hostname) and parts.port != 0
            if usable and parts.scheme in _DEFAULT_PORTS:
                httpx.Proxy(url)
        except (ValueError, httpx.InvalidURL):
            usable = False
        if not usable:
            self.problems.append(
                f"{variable} is ignored: not a proxy URL such as http://proxy:3128"
            )
            return None
        return Proxy(variable=variable, url=url)

    def _exception(self, variable: str, entry: str) -> Callable[[str, int], bool] | None:
        text = entry.partition("://")[2] or entry
        if text == "*":
            return lambda _host, _port: True
        host, port = _with_port(text)
        network = _network(host)
        if network is not None and port != 0:
            return lambda other, asked: _is_in(other, network) and port in (None, asked)
        suffix = host.removeprefix("*").strip(".").lower()
        if port == 0 or not _NAME.fullmatch(suffix) or re.search(r"[/\[\]:]", suffix):
            self.problems.append(
                f'{variable}: "{without_userinfo(entry)}" is ignored: not a host name, address or '
                "network such as example.com, 10.0.0.0/8 or [::1]:8080"
            )
            return None
        return lambda other, asked: (
            (other == suffix or other.endswith(f".{suffix}")) and port in (None, asked)
        )


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return how a variable is spelt, and its value; lower case first, empty ones passed over."""
    for spelling in (name, name.upper()):
        value = environment.get(spelling, "").strip()
        if value:
            return spelling, value
    return None


def _with_port(text: str) -> tuple[str, int | None]:
    """Return host and port of an entry; the port is None if absent, and 0 if invalid."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if closed and rest.startswith("/"):
            return f"{host}{rest}", None
        port = rest.removeprefix(":")
        if not closed or (rest and not rest.startswith(":")):
            return text, 0
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        return text, None
    if not port:
        return host, None
    return host, int(port) if port.isascii() and port.isdecimal() and len(port) < len(
        "100000"
    ) else 0


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_in(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address) in network


class Routes:
    """Selects the proxy for each URL, or refuses the URL.

    Args:
        proxy: URL of the proxy through which everything goes, as a scenario names it.
        proxies: The proxies of the environment; None: they are not used.
        consent: Whether requests may leave this machine.
    """

    def __init__(
        self, *, proxy: str | None = None, proxies: Proxies | None = None, consent: bool = False
    ) -> None:
        self._proxy = proxy
        self._proxies = proxies
        self._consent = consent

    def of(self, url: httpx.URL) -> str:
        """Return the URL of the proxy, "" for none.

        Raises:
            LeavingError: The request would leave this machine, and must not.
        """
        if not self._consent and not is_loopback(url.host):
            raise LeavingError(
                f"it leads to {without_userinfo(str(url.copy_with(path='/', query=None)))}, "
                "which is not this machine: add --live to allow it"
            )
        if self._proxy is not None:
            return self._proxy
        if self._proxies is None:
            return _DIRECT
        port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
        proxy = self._proxies.of(url.scheme, url.host, port)
        return _DIRECT if proxy is None else proxy.url


class RoutedTransport(httpx.AsyncBaseTransport):
    """Sends each request by its route, redirected ones included.

    Args:
        routes: Selects the route of each request.
        connect: Returns the transport through a proxy; a direct one for None.
    """

    def __init__(
        self, routes: Routes, connect: Callable[[httpx.Proxy | None], httpx.AsyncBaseTransport]
    ) -> None:
        self._routes = routes
        self._connect = connect
        self._open: dict[str, httpx.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = self._routes.of(request.url)
        transport = self._open.get(proxy)
        if transport is None:
            transport = self._connect(httpx.Proxy(proxy) if proxy else None)
            self._open[proxy] = transport
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._open.values():
            await transport.aclose()


class FetchTransport(httpx.BaseTransport):
    """The synchronous counterpart, for fetching descriptions."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._open: dict[str, httpx.BaseTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = self._routes.of(request.url)
        transport = self._open.get(proxy)
        if transport is None:
            chosen = httpx.Proxy(proxy) if proxy else None
            transport = self._open[proxy] = httpx.HTTPTransport(proxy=chosen, trust_env=False)
        return transport.handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        for transport in self._open.values():
            transport.close()
