"""URLs of servers and descriptions, read in the one way in which they are used."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")


_HOST: Final = re.compile(r"(localhost|[0-9.]+|[\w-]+(?:\.[\w-]+)+)(:[0-9]{1,5})?(/[^\s?#@]*)?")


def with_scheme(text: str) -> str:
    """Return a remedy for a URL that lacks its scheme; "" if that is not what is wrong."""
    match = _HOST.fullmatch(text)
    if match is None:
        return ""
    near = match[1] == "localhost" or match[1].startswith("127.")
    return f"the scheme is missing: {'http' if near else 'https'}://{text}"


def split_http_url(url: str) -> SplitResult:
    r"""Return the parts of an http or https URL.

    What readers of URLs disagree about is refused: white space, control characters and
    backslashes, by which ``http://127.0.0.1\@host`` is one host to one and another to the next.

    Raises:
        ValueError: It is none; says why in words, which repeat nothing of it.
    """
    if _UNUSABLE.search(url):
        raise ValueError("has white space, a control character or a backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http or https URL")
    if port == 0:
        raise ValueError("has the port 0")
    return parts
