"""No verdict contradicts the truth, whatever is wrong with the service, and few are left open."""

from __future__ import annotations

import pytest

from tests.property.verdict_fuzz.court import Tally, sit, told
from tests.property.verdict_fuzz.mixes import mix

MOST_OPEN = 0.03
"""The share of the decidable mixes that may be left unknown."""
CHUNK = 25
_WRONG_ONCE = [20684, 21154, 21175, 21300, 21641, 21933, 21956, 22323]
_WRONG_ONCE += [30745, 31786, 32174, 32294, 40856, 42263]


def judge(seeds: range) -> Tally:
    """Play the mixes of some seeds, and say of each that went wrong how to see it again."""
    tally, wrong = Tally(), []
    for trial in sit(seeds):
        found = tally.add(trial)
        if found:
            again = f"python -m tests.benchmarks.verdict_fuzz --first {trial.mix.seed} --mixes 1"
            wrong.append(f"{told(trial, found)}\n  {again}")
    assert not wrong, "\n\n".join([*wrong, tally.table()])
    assert tally.trials == len(seeds)
    return tally


@pytest.mark.parametrize("first", range(0, 25, CHUNK))
def test_some_mixes(first: int) -> None:
    judge(range(first, first + CHUNK))


@pytest.mark.long
@pytest.mark.parametrize(
    "seed",
    _WRONG_ONCE,
)
def test_a_mix_that_was_judged_wrongly_once(seed: int) -> None:
    judge(range(seed, seed + 1))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_thousand_mixes() -> None:
    tally = judge(range(10_000, 12_000))
    assert tally.share_open <= MOST_OPEN, tally.table()


def test_a_mix_is_its_seed() -> None:
    assert mix(7) == mix(7) != mix(8)
