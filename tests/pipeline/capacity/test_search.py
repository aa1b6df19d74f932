"""The search, against targets that exist on paper only."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.pipeline.capacity.search import (
    Ending,
    ProbeResult,
    ProbeVerdict,
    Search,
    SearchGoal,
    majority,
    rounded,
)

AIM = SearchGoal(lowest=100, highest=1_000_000, precision=0.04, probes=12)


class Target:
    """Takes ``capacity`` per second.

    Args:
        capacity: What it takes.
        hints: Whether it tells what it carried when it was given more.
        noise: Share by which the border may lie elsewhere in each probe.
        hiccups: Numbers of the probes that break although they should have held.
        severe: Whether those look like a target that is far too slow.
    """

    def __init__(
        self,
        capacity: float,
        *,
        hints: bool,
        noise: float = 0,
        hiccups: tuple[int, ...] = (),
        severe: bool = False,
    ) -> None:
        self.capacity = capacity
        self.hints = hints
        self.noise = noise
        self.hiccups = hiccups
        self.severe = severe
        self.random = random.Random(1)
        self.asked: list[float] = []

    def probe(self, rate: float) -> ProbeResult:
        self.asked.append(rate)
        border = self.capacity * (1 + self.random.uniform(-self.noise, self.noise))
        if rate <= border:
            if len(self.asked) - 1 in self.hiccups:
                if self.severe:
                    return ProbeResult(rate=rate, held=ProbeVerdict.BROKE, carried=0.8 * rate)
                return ProbeResult(rate=rate, held=ProbeVerdict.BROKE, close=True)
            return ProbeResult(rate=rate, held=ProbeVerdict.HELD)
        carried = border if self.hints else None
        return ProbeResult(
            rate=rate, held=ProbeVerdict.BROKE, close=rate < 1.02 * border, carried=carried
        )


def searched(target: Target, aim: SearchGoal = AIM) -> Search:
    search = Search(aim)
    while (rate := search.next()) is not None:
        search.record(target.probe(rate))
    return search


CAPACITIES = st.floats(100, 20_000)


@given(capacity=CAPACITIES, hints=st.booleans())
def test_any_capacity_is_found_within_5_percent_in_12_probes(capacity: float, hints: bool) -> None:
    search = searched(Target(capacity, hints=hints))
    low, high = search.bounds
    assert len(search.seen) <= 12
    assert search.ending is Ending.PRECISE
    assert low is not None
    assert high is not None
    assert low <= capacity < high
    assert low >= 0.95 * capacity


@given(capacity=CAPACITIES, seed=st.integers(0, 1000), hiccup=st.integers(0, 11))
def test_noise_and_a_hiccup_cost_probes_and_not_the_answer(
    capacity: float, seed: int, hiccup: int
) -> None:
    target = Target(capacity * 1.02, hints=True, noise=0.01, hiccups=(hiccup,))
    target.random = random.Random(seed)
    low, high = searched(target).bounds
    assert len(target.asked) <= 12
    assert low is not None
    assert high is not None
    assert 0.92 * target.capacity <= low <= 1.02 * target.capacity


@given(capacity=CAPACITIES, hiccup=st.integers(0, 5))
def test_a_bad_moment_of_the_machine_is_not_taken_for_the_target(
    capacity: float, hiccup: int
) -> None:
    target = Target(capacity, hints=True, hiccups=(hiccup,), severe=True)
    search = searched(target)
    low, high = search.bounds
    assert low is not None
    assert high is not None
    assert low <= capacity < high
    assert len(search.seen) <= 12
    # what is left of twelve probes is not always enough for the last halving
    assert low >= 0.95 * capacity or search.ending is Ending.PROBES


@given(
    capacity=st.floats(1, 1_000_000),
    lowest=st.floats(0.5, 1000).map(rounded),
    precision=st.floats(0.005, 0.5),
    probes=st.integers(1, 30),
    events=st.integers(0, 1_000_000),
    data=st.data(),
)
def test_it_ends_within_its_budget_whatever_the_target_says(
    capacity: float, lowest: float, precision: float, probes: int, events: int, data: st.DataObject
) -> None:
    spent = 0.0
    aim = SearchGoal(lowest=lowest, highest=500_000, precision=precision, probes=probes)
    search = Search(aim, lambda rate: spent + 10 * rate <= events)
    verdicts = st.sampled_from(ProbeVerdict)
    while (rate := search.next()) is not None:
        assert lowest <= rate <= 500_000
        spent += 10 * rate
        assert spent <= events
        carried = data.draw(st.none() | st.floats(0.1, 1e6))
        search.record(
            ProbeResult(
                rate=rate,
                held=data.draw(verdicts),
                close=data.draw(st.booleans()),
                carried=carried,
            )
        )
    assert len(search.seen) <= probes
    assert isinstance(search.ending, Ending)
    low, high = search.bounds
    if search.ending is Ending.LOWEST:
        assert low is None
    if low is not None and high is not None:
        assert low < high


def test_the_climb_is_geometric_and_then_it_bisects() -> None:
    target = Target(2000, hints=False)
    searched(target)
    assert target.asked[:4] == [100, 300, 900, 2700]
    assert target.asked[4] == 1560  # √(900 · 2700), three digits
    assert len(target.asked) == 4 + 5 + 1
    assert target.asked.count(max(target.asked[4:])) == 2


def test_what_was_carried_shortens_the_bisection() -> None:
    target = Target(6000, hints=True)
    search = searched(target)
    assert target.asked == [100, 300, 900, 2700, 8100, 5880, 6120, 6120]
    assert search.bounds == (5880, 6120)


def test_a_hint_that_is_wrong_is_left_in_steps_that_double() -> None:
    class Liar(Target):
        def probe(self, rate: float) -> ProbeResult:
            seen = super().probe(rate)
            return ProbeResult(
                rate=rate, held=seen.held, carried=seen.carried and 0.8 * seen.carried
            )

    target = Liar(6000, hints=True)
    low, _ = searched(target).bounds
    assert low is not None
    assert low >= 0.95 * 6000
    assert len(target.asked) <= 12


def test_it_stops_at_the_highest_rate_it_may_try() -> None:
    search = searched(
        Target(1e9, hints=True), SearchGoal(lowest=100, highest=1000, precision=0.04, probes=12)
    )
    assert [seen.rate for seen in search.seen] == [100, 300, 900, 1000]
    assert search.ending is Ending.HIGHEST
    assert search.bounds == (1000, None)


def test_the_climb_can_be_gentler() -> None:
    aim = SearchGoal(lowest=100, highest=1e6, precision=0.04, probes=12, climb=1.5)
    search = searched(Target(400, hints=False), aim)
    assert [seen.rate for seen in search.seen][:5] == [100, 150, 225, 338, 507]


def test_not_even_the_lowest() -> None:
    search = searched(Target(10, hints=False))
    assert [seen.rate for seen in search.seen] == [100, 100]
    assert (search.ending, search.bounds) == (Ending.LOWEST, (None, 100))


def test_out_of_probes_tells_what_is_known() -> None:
    search = searched(
        Target(2000, hints=False), SearchGoal(lowest=100, highest=1e6, precision=0.04, probes=5)
    )
    assert (search.ending, search.bounds) == (Ending.PROBES, (1560, 2700))


def test_an_interrupt_ends_it() -> None:
    search = Search(AIM)
    assert search.next() == 100
    search.end(Ending.INTERRUPTED)
    assert search.next() is None
    assert search.ending is Ending.INTERRUPTED


def test_what_the_generator_could_not_deliver_bounds_it_from_above() -> None:
    search = Search(AIM)
    while (rate := search.next()) is not None:
        held = ProbeVerdict.HELD if rate <= 1000 else ProbeVerdict.UNPROVEN
        search.record(ProbeResult(rate=rate, held=held, close=held is ProbeVerdict.UNPROVEN))
    low, high = search.bounds
    assert low is not None
    assert high is not None
    assert 950 <= low <= 1000 < high
    assert majority(search.votes(high)) is ProbeVerdict.UNPROVEN


def test_an_answer_that_nearly_broke_is_asked_for_again() -> None:
    search = Search(AIM)
    asked = []
    while (rate := search.next()) is not None:
        asked.append(rate)
        # holds the first time only
        held = ProbeVerdict.HELD if rate < 2500 and asked.count(rate) == 1 else ProbeVerdict.BROKE
        search.record(
            ProbeResult(rate=rate, held=held, close=held is ProbeVerdict.HELD and rate > 2200)
        )
    low, _ = search.bounds
    assert low is not None
    assert len(asked) <= 12
    assert max(asked.count(rate) for rate in asked) > 1


@pytest.mark.parametrize(
    ("said", "settled"),
    [("h", "h"), ("b", "b"), ("u", "u"), ("hb", "h"), ("bh", "h"), ("hbb", "b"), ("bhh", "h")],
)
def test_the_majority_decides_and_that_it_held_weighs_more(said: str, settled: str) -> None:
    words = {"h": ProbeVerdict.HELD, "b": ProbeVerdict.BROKE, "u": ProbeVerdict.UNPROVEN}
    for order in itertools.permutations(said):
        votes = [ProbeResult(rate=1, held=words[letter]) for letter in order]
        assert majority(votes) is words[settled]
    assert majority([ProbeResult(rate=1, held=held) for held in ProbeVerdict]) is ProbeVerdict.HELD


def test_a_spoiled_probe_is_asked_for_again_twice_a_hopeless_one_never() -> None:
    for close, probes in ((True, 3), (False, 1)):
        search = Search(AIM)
        while (rate := search.next()) is not None:
            search.record(ProbeResult(rate=rate, held=ProbeVerdict.UNPROVEN, close=close))
        assert [seen.rate for seen in search.seen] == [100] * probes
        assert search.ending is Ending.LOWEST


def test_one_clear_answer_outweighs_two_spoiled_ones() -> None:
    votes = [
        ProbeResult(rate=1, held=ProbeVerdict.UNPROVEN),
        ProbeResult(rate=1, held=ProbeVerdict.UNPROVEN),
    ]
    assert majority([*votes, ProbeResult(rate=1, held=ProbeVerdict.HELD)]) is ProbeVerdict.HELD
    assert majority([*votes, ProbeResult(rate=1, held=ProbeVerdict.BROKE)]) is ProbeVerdict.BROKE


def test_what_is_lost_once_is_lost() -> None:
    search = Search(AIM)
    while (rate := search.next()) is not None:
        lost = rate == 900 and not search.votes(900)
        held = ProbeVerdict.BROKE if lost else ProbeVerdict.HELD
        search.record(ProbeResult(rate=rate, held=held, final=lost))
    low, high = search.bounds
    assert high == 900
    assert low is not None
    assert low < 900
    assert len(search.votes(900)) == 1
