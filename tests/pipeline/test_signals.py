"""Which signals count."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from signal import Signals

import anyio
import pytest

from loadcheck.pipeline import Distinct, open_signals


async def of(*numbers: Signals) -> AsyncIterator[Signals]:
    for number in numbers:
        yield number


@pytest.mark.anyio
async def test_the_same_signal_within_half_a_second_counts_once() -> None:
    hup, term = signal.SIGHUP, signal.SIGTERM
    received = of(term, term, hup, term, term)
    instants = iter((0.0, 0.4, 0.45, 0.49, 0.5))
    assert [n async for n in Distinct(received, lambda: next(instants))] == [term, hup, term]


@pytest.mark.anyio
async def test_what_was_done_about_a_signal_before_returns() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_signals() as signals:
            signal.raise_signal(signal.SIGTERM)
            with anyio.fail_after(30):
                assert await anext(signals) is signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.anyio
async def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with open_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
