from __future__ import annotations

import pytest

from loadcheck.compare.bootstrap import two_sided

# from the usual tables
TABLE = [
    (0.95, 1, 12.7062),
    (0.95, 2, 4.30265),
    (0.95, 3, 3.18245),
    (0.95, 4, 2.77645),
    (0.95, 5, 2.57058),
    (0.95, 10, 2.22814),
    (0.95, 30, 2.04227),
    (0.95, 120, 1.97993),
    (0.99, 3, 5.84091),
    (0.99, 10, 3.16927),
    (0.5, 7, 0.71114),
]


@pytest.mark.parametrize(("confidence", "freedom", "expected"), TABLE)
def test_the_tables_are_met(confidence: float, freedom: float, expected: float) -> None:
    assert two_sided(confidence, freedom) == pytest.approx(expected, rel=2e-5)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution() -> None:
    assert two_sided(0.95, 1e6) == pytest.approx(1.959964, rel=1e-5)


def test_less_freedom_is_a_wider_interval_also_between_whole_numbers() -> None:
    reaches = [two_sided(0.95, freedom) for freedom in (1, 1.5, 2, 2.5, 3, 3.7, 6, 50)]
    assert reaches == sorted(reaches, reverse=True)
