from __future__ import annotations

from email.utils import formatdate

import pytest

from loadcheck.workflow.exchange import Exchange, Origin, Request, retry_after_s

REQUEST = Request(0, Origin("http", "a.test", 80), b"GET / HTTP/1.1\r\n", b"")


def answer(**fields: str) -> Exchange:
    headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in fields.items()]
    return Exchange(REQUEST).answered(429, headers)


@pytest.mark.parametrize(
    ("asked", "seconds"), [("0", 0), ("7", 7), (" 7 ", 7), ("86400", 300), ("9" * 400, 300)]
)
def test_seconds_are_kept_to_five_minutes(asked: str, seconds: float) -> None:
    assert retry_after_s(answer(retry_after=asked)) == seconds


@pytest.mark.parametrize(("ahead_s", "seconds"), [(20, 20), (-20, 0), (86_400, 300)])
def test_a_date_counts_from_the_answers_own(ahead_s: int, seconds: float) -> None:
    then = formatdate(1_000_000_000 + ahead_s, usegmt=True)
    now = formatdate(1_000_000_000, usegmt=True)
    assert retry_after_s(answer(retry_after=then, date=now)) == seconds


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1.5", "1e3"])
def test_anything_else_is_no_wait(asked: str) -> None:
    assert retry_after_s(answer(retry_after=asked)) is None


def test_no_field_is_no_wait() -> None:
    assert retry_after_s(answer(date="x")) is None
