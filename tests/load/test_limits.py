"""The limit on open files."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from loadcheck.errors import InputError
from loadcheck.load.monitor import raise_open_file_limit


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_is_raised_as_far_as_needed_and_never_lowered() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    raise_open_file_limit(400)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (400, hard)
    raise_open_file_limit(350)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (400, hard)


def test_more_than_the_system_allows_is_told() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit")
    with pytest.raises(InputError) as caught:
        raise_open_file_limit(hard + 1)
    (problem,) = caught.value.problems
    assert f"needs {hard + 1:,} open files; this process may have {hard:,}" in problem.message
    assert "ulimit -n" in problem.remedy
