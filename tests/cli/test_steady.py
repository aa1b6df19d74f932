"""Noise of our own machine decides no verdict: the benchmark's runs, fewer of them."""

from __future__ import annotations

import pytest

from tests.benchmarks.steady import busy, verdicts


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_every_core_busy_no_fine_service_is_blamed() -> None:
    with busy(2):
        codes, told = verdicts(20)
    assert codes[0] + codes[3] == 20, told
