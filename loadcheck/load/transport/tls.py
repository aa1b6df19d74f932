"""TLS contexts, the same for both transports."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import certifi

from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.errors import InputError, Problem
from loadcheck.scenario.model import Tls

_MOST_BYTES = 10_000_000


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return a context of its own for each caller: transports set their protocols on it.

    Without a CA file the system's certificates are trusted; where none are found,
    certifi's.

    Raises:
        InputError: A file cannot be used (its contents are never quoted); or the server
            name cannot be one.
    """
    if tls.server_name is not None:
        try:
            tls.server_name.encode("idna")
        except UnicodeError:
            message = f'"{tls.server_name}" cannot be a host name'
            remedy = "expected the name that the server's certificate bears"
            raise InputError(
                Problem(key="target.tls.server_name", message=message, remedy=remedy)
            ) from None
    for name in ("ca", "cert", "key"):
        _look_at(name, getattr(tls, name))
    context = ssl.create_default_context()
    if tls.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("ca", "certificates in PEM form", error) from None
    elif not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    if tls.cert is not None:
        try:
            # without a password a prompt on the terminal would hold up the run
            context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            name = "cert" if tls.key is None else "key"
            remedy = "a certificate and its private key in PEM form, the key without a password"
            raise _unusable(name, remedy, error) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _look_at(name: str, path: str | Path | None) -> None:
    """See that a file can be read: OpenSSL would wait for a pipe, and read a device for ever."""
    if path is None:
        return
    try:
        read_file(Path(path), _MOST_BYTES)
    except UnreadableError as error:
        remedy = error.remedy or "name a file that is there"
        problem = Problem(key=f"target.tls.{name}", message=error.message, remedy=remedy)
        raise InputError(problem) from None


def _unusable(key: str, expected: str, error: OSError) -> InputError:
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    message = f"cannot be used: {str(why).lower().replace('_', ' ')}"
    return InputError(
        Problem(key=f"target.tls.{key}", message=message, remedy=f"expected {expected}")
    )


CUT_OFF = "the TLS connection was cut off: no close_notify came before its end"


def cut_off(tls: Any) -> bool:
    """Tell whether a TLS connection that has ended was ended by somebody else than the server.

    Who can close the connection beneath can cut an answer short that ends with it (RFC 8446
    section 6.1, RFC 9112 section 9.8).
    """
    if not isinstance(tls, ssl.SSLObject):
        return False
    try:
        return tls.read(1) != b""
    except ssl.SSLZeroReturnError:
        return False
    except (OSError, ValueError):
        return True
