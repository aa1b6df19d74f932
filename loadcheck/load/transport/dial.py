"""Opens sockets to a host: all of its addresses are used in turn, those that failed come last."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
import time
from collections.abc import Sequence
from typing import Any

import anyio

Address = tuple[socket.AddressFamily, Any]
"""Family, and the address as sockets of that family take it."""

STAGGER_S = 0.25
"""RFC 8305 section 5: how long an address is tried alone before the next is tried in parallel."""
_KNOWN_S = 30.0
"""How long the addresses of a name are cached, in seconds."""
_AVOIDED_S = 10.0
"""How long an address that failed is tried last, in seconds."""


class Dialer:
    """Opens sockets to one host and port, to its addresses in turn.

    Args:
        host: Name or address.
        port: The port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: Sequence[Address] = ()
        self._looked_s = float("-inf")
        self._failed_s: dict[Address, float] = {}
        self._turn = itertools.count()

    async def open(self) -> socket.socket:
        """Open a connection to the first address that accepts it.

        Raises:
            OSError: No address does, or the name has none.
        """
        addresses = self._in_turn(await self._addresses())
        if len(addresses) == 1:
            return await _connected(addresses[0])
        return await self._first(addresses)

    async def _addresses(self) -> Sequence[Address]:
        now_s = time.monotonic()
        if now_s - self._looked_s >= _KNOWN_S or not self._known:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(
                    self._host,
                    self._port,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_NUMERICHOST if _is_address(self._host) else 0,
                )
            except UnicodeError:
                # an empty label or one of more than 63 characters (RFC 1035 section 2.3.4)
                raise OSError(f'"{self._host}" cannot be a host name') from None
            self._known = list(
                dict.fromkeys((family, address) for family, _, _, _, address in found)
            )
            self._looked_s = now_s
        return self._known

    def _in_turn(self, known: Sequence[Address]) -> list[Address]:
        """Return the addresses, beginning with another each time; those that failed come last."""
        if len(known) == 1:
            return list(known)
        start = next(self._turn) % len(known)
        turned = [*known[start:], *known[:start]]
        since_s = time.monotonic() - _AVOIDED_S
        return sorted(turned, key=lambda address: self._failed_s.get(address, since_s) > since_s)

    async def _first(self, addresses: Sequence[Address]) -> socket.socket:
        won: list[socket.socket] = []
        errors: list[OSError] = []
        started: list[Address] = []

        async def attempt(address: Address, failed: anyio.Event) -> None:
            try:
                opened = await _connected(address)
            except OSError as error:
                self._failed_s[address] = time.monotonic()
                errors.append(error)
                failed.set()
                return
            self._failed_s.pop(address, None)
            if not won:
                # addresses that were tried before it and did not respond are not waited for again
                for silent in started[: started.index(address)]:
                    self._failed_s[silent] = time.monotonic()
            won.append(opened)
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                for address in addresses:
                    failed = anyio.Event()
                    started.append(address)
                    tasks.start_soon(attempt, address, failed)
                    with anyio.move_on_after(STAGGER_S):
                        await failed.wait()
        except BaseException:
            for opened in won:
                opened.close()
            raise
        for beaten in won[1:]:
            beaten.close()
        if won:
            return won[0]
        raise errors[-1]


async def _connected(address: Address) -> socket.socket:
    family, where = address
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, where)
    except BaseException:
        opened.close()
        raise
    return opened


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
