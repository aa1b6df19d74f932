"""Cookies of one copy: what its answers set is sent with its later requests (RFC 6265).

Copies share none. Attributes that decide where a cookie goes are kept to: domain, path, secure,
and an age or a date that removes it.
"""

from __future__ import annotations

import email.utils
import time
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from loadcheck.workflow.exchange import Exchange, Request


class Cookie(NamedTuple):
    """One cookie: its value and whether it goes over https alone."""

    value: str
    secure: bool
    host_only: bool


Jar: TypeAlias = dict[tuple[str, str, str], Cookie]
"""Domain, path and name → the cookie."""


def store_cookies(jar: Jar, exchange: Exchange) -> None:
    """Put the cookies of an answer into a jar, or remove those that it ends."""
    host = exchange.request.origin.host.lower()
    for field in exchange.header_values("set-cookie"):
        pair, _, rest = field.partition(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            continue
        attributes = {
            key.strip().lower(): text.strip()
            for key, _, text in (part.partition("=") for part in rest.split(";"))
        }
        domain = attributes.get("domain", "").lstrip(".").lower()
        if domain and domain != host and not host.endswith(f".{domain}"):
            continue  # set for somebody else's domain
        path = attributes.get("path", "")
        if not path.startswith("/"):
            path = urlsplit(exchange.request.target).path.rpartition("/")[0] or "/"
        key = (domain or host, path, name)
        if _is_over(attributes):
            jar.pop(key, None)
        else:
            jar[key] = Cookie(value.strip(), "secure" in attributes, not domain)


def _is_over(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age", "")
    if age.lstrip("-").isdecimal():
        return int(age) <= 0
    try:
        expires = email.utils.parsedate_to_datetime(attributes["expires"])
        return expires.timestamp() <= time.time()
    except (KeyError, ValueError, OverflowError):
        return False


def with_cookies(jar: Jar, request: Request) -> Request:
    """Return a request with the cookies of a jar that belong to it, behind those that it has."""
    host, secure = request.origin.host.lower(), request.origin.scheme == "https"
    path = urlsplit(request.target).path or "/"
    chosen = [
        f"{name}={cookie.value}"
        for (domain, prefix, name), cookie in jar.items()
        if (host == domain or (not cookie.host_only and host.endswith(f".{domain}")))
        and (secure or not cookie.secure)
        and (path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/"))
    ]
    if not chosen:
        return request
    lines = request.head.split(b"\r\n")
    written = "; ".join(chosen).encode()
    for place, line in enumerate(lines):
        if line[:7].lower() == b"cookie:":
            lines[place] = line + b"; " + written
            return request._replace(head=b"\r\n".join(lines))
    return request._replace(head=request.head + b"Cookie: " + written + b"\r\n")
