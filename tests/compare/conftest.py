from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadcheck.compare import Stored
from tests.benchmarks import synthetic

Make = Callable[..., Stored]


@pytest.fixture(scope="session")
def steady() -> dict[str, Any]:
    """Return a run of 16 s; who changes it copies it."""
    return synthetic.result(seconds=16, copies=16_000, seed=1, queries_per_s=2)


@pytest.fixture(scope="session")
def slower() -> dict[str, Any]:
    """Return a run whose times are half as long again."""
    service = synthetic.Service(p50_ms=30)
    return synthetic.result(seconds=16, copies=16_000, seed=2, queries_per_s=2, service=service)


@pytest.fixture
def stored() -> Make:
    """Return what makes a document a stored one."""

    def make(document: dict[str, Any], file: str = "run.json", **sections: Any) -> Stored:
        return Stored(file=file, document={**document, **sections})

    return make
