from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from loadcheck.errors import InputError
from loadcheck.load.limits import raise_open_file_limit


@pytest.fixture
def hard() -> Iterator[int]:
    """Lower the soft limit for a test, and put it back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_limit_that_is_enough_stays(hard: int) -> None:
    assert hard
    raise_open_file_limit(150)
    assert soft() == 200


def test_a_limit_that_is_too_low_is_raised(hard: int) -> None:
    assert hard == resource.RLIM_INFINITY or hard >= 300
    raise_open_file_limit(300)
    assert soft() == 300


def test_more_than_the_system_allows_is_refused_with_a_remedy(
    hard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hard
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 400))
    with pytest.raises(InputError, match="needs 500 open files; this process may have 400"):
        raise_open_file_limit(500)
