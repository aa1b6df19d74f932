"""Who comes how often follows from the number and the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.data import Sessions, Visits
from loadcheck.data.order import Spread

SPREADS = st.sampled_from(
    [
        Spread(first=1.0),
        Spread(first=4.0),
        Spread(kind="uniform", first=1.0, second=5.0),
        Spread(kind="lognormal", first=2.0, second=9.0, bounds=(1.0, 12.0)),
    ]
)


@given(spread=SPREADS, returning=st.sampled_from([0.0, 0.3, 0.9]), seed=st.integers(0, 2**63))
def test_one_by_one_and_all_at_once_are_the_same(
    spread: Spread, returning: float, seed: int
) -> None:
    visits = Visits(Sessions(uploads=spread, returning=returning), seed)
    copies = np.arange(300, dtype=np.int64)
    uploads = visits.of_copies(copies)
    assert uploads.tolist() == [
        copy * visits.most + place for copy in range(300) for place in range(visits.uploads(copy))
    ]
    users = visits.users(uploads)
    assert users.tolist() == [visits.user(upload) for upload in uploads.tolist()]
    # a user has the number of an upload of its own, and of none that comes later
    assert (users <= uploads).all()
    assert visits.users(users).tolist() == users.tolist()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_as_many_come_back_as_are_to(share: float) -> None:
    users = Visits(Sessions(returning=share), 3).users(np.arange(100_000, dtype=np.int64))
    assert np.unique(users).size == pytest.approx(100_000 * (1 - share), rel=0.02)
