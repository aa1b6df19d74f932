"""What is said to a query that is not answered."""

from __future__ import annotations

from loadcheck.emulator.http.message import Answer, json_answer

TOO_MANY = 429


class QueryError(Exception):
    """The query cannot be answered.

    Attributes:
        status: 400 malformed, 401 unknown credentials, 404 nothing there, 429 over a limit.
    """

    def __init__(self, details: str, status: int = 400) -> None:
        super().__init__(details)
        self.status = status


def error_answer(status: int, details: str) -> Answer:
    """Return the error envelope that clients see [U-obs]."""
    answer = json_answer(
        status,
        {
            "error": {
                "http_code": status,
                "type": "unspecified",
                "message": "Unspecified Error",
                "metadata": {"details": details},
            }
        },
    )
    if status == 401:  # noqa: PLR2004
        answer.headers = ((b"www-authenticate", b'Basic realm="emulator"'),)
    return answer
