"""Reads a source description that is not a file."""

from __future__ import annotations

import httpx

from loadcheck.workflow.document import MAX_BYTES

_TIMEOUT_S = 10.0
_MAX_REDIRECTS = 5


def fetch(url: str) -> bytes:
    """Return what a URL holds, up to a byte more than a document may be long.

    Raises:
        OSError: It cannot be had.
    """
    with httpx.Client(
        timeout=_TIMEOUT_S, follow_redirects=True, max_redirects=_MAX_REDIRECTS
    ) as client:
        try:
            with client.stream("GET", url) as response:
                if not response.is_success:
                    raise OSError(f"the server answered {response.status_code}")
                content = b""
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > MAX_BYTES:
                        break
                return content
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(str(error) or type(error).__name__) from error
