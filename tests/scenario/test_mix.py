"""``[[mix]]``: which scenario each flow is, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck import scenario as scenarios
from loadcheck.errors import ScenarioError
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario, Stage

Load = Callable[[str], Scenario]
TOP = 'seed = 7\nthresholds = ["lost == 0"]\n[inputs]\neventType = "probe"\n'
OPEN = '[load]\nmodel = "open"\nrate = 100\nduration = "2s"\nmax_in_flight = 10\n'
CLOSED = '[load]\nmodel = "closed"\nconcurrency = 10\ncopies = 101\n'
BUY = '[[mix]]\nname = "buy"\nworkflow = "amplitude"\n'
LOOK = '[[mix]]\nname = "look"\nworkflow = "amplitude"\n'


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, **options: Any) -> Scenario:
        file = tmp_path / "shop.toml"
        file.write_text(text)
        return scenarios.load(file, **options)

    return loaded


def test_what_stands_in_a_flow_lies_over_what_stands_at_the_top(load: Load) -> None:
    mix = load(
        TOP + OPEN + BUY + "weight = 3\n" + LOOK + 'thresholds = ["uploadEvents.p99 < 1s"]\n'
        'inputs = { eventType = "view" }\nsessions = { returning = 0.5 }\n'
        'load = { think_time = "1s" }\n'
    )
    buy, look = mix.flows
    assert (mix.name, buy.name, look.name) == ("shop", "shop-buy", "shop-look")
    assert [threshold.check for threshold in buy.thresholds] == ["lost == 0"]
    assert [threshold.check for threshold in look.thresholds] == ["uploadEvents.p99 < 1s"]
    assert (buy.inputs["eventType"].value, look.inputs["eventType"].value) == ("probe", "view")
    assert buy.sessions is None
    assert look.sessions is not None
    assert buy.load.think_time is None
    assert look.load.think_time is not None
    assert isinstance(buy.load, OpenLoad)
    assert isinstance(look.load, OpenLoad)
    assert (buy.load.stages[0].rate, look.load.stages[0].rate) == (75.0, 25.0)
    assert buy.load.max_in_flight + look.load.max_in_flight == 10
    assert buy.labels["flow"] == "buy"
    assert buy.part is not None
    assert (buy.part.place, buy.part.flows) == (0, ("buy", "look"))


def test_a_flow_is_read_again_from_its_results(load: Load) -> None:
    for flow in load(TOP + OPEN + BUY + LOOK + "weight = 2.5\n").flows:
        again = scenarios.restore(flow.document, flow.file)
        assert (again.load, again.thresholds, again.name) == (flow.load, flow.thresholds, flow.name)


def test_flows_may_have_rates_of_their_own(load: Load) -> None:
    text = OPEN.replace("rate = 100\n", "") + BUY + "rate = 5\n" + LOOK
    text += 'stages = [{ name = "up", duration = "3s", rate = 1, ramp_to = 9 }]\n'
    buy, look = load(TOP + text).flows
    assert isinstance(buy.load, OpenLoad)
    assert isinstance(look.load, OpenLoad)
    assert (buy.load.stages[0].rate, buy.load.stages[0].duration_s) == (5, 2)
    assert look.load.stages == (Stage(name="up", duration_s=3, rate=1, end_rate=9),)


def test_options_change_the_whole_load(load: Load) -> None:
    made: Any = load
    buy, _ = made(TOP + OPEN + BUY + LOOK, overrides=["load.rate=10", "mix.0.weight=4"]).flows
    assert buy.load.stages[0].rate == 8


@given(weights=st.lists(st.floats(0.5, 9), min_size=1, max_size=9), copies=st.integers(200, 9999))
def test_a_closed_load_is_divided_without_rest(
    tmp_path_factory: pytest.TempPathFactory, weights: list[float], copies: int
) -> None:
    file = tmp_path_factory.mktemp("mix") / "shop.toml"
    flows = "".join(
        f'[[mix]]\nname = "f{at}"\nworkflow = "amplitude"\nweight = {weight}\n'
        for at, weight in enumerate(weights)
    )
    load = f'[load]\nmodel = "closed"\nconcurrency = 200\ncopies = {copies}\n'
    file.write_text(TOP + load + flows)
    loads = [flow.load for flow in scenarios.load(file).flows]
    assert all(isinstance(each, ClosedLoad) for each in loads)
    assert sum(each.copies or 0 for each in loads) == copies
    assert sum(each.concurrency for each in loads if isinstance(each, ClosedLoad)) == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OPEN + BUY + "weight = 0\n", [("13: mix.0.weight: found 0; expected a weight above 0, "
         "such as 3")]),
        (OPEN + BUY + 'weight = "3"\n', [('13: mix.0.weight: found the string "3"; expected a '
         "weight above 0, such as 3")]),
        (OPEN + BUY + "wieght = 1\n", ['13: mix.0.wieght: unknown key; did you mean "weight"?']),
        (OPEN + BUY + BUY, ['14: mix.1.name: another flow is named "buy"; names tell flows apart']),
        (OPEN + BUY.replace("buy", "together"), [('11: mix.0.name: "together" stands for all '
         "flows; choose another name")]),
        (OPEN + BUY + "seed = 3\n", [("13: mix.0.seed: unknown key; it belongs at the top, above "
         "the first [table]")]),
        (OPEN + BUY + "weight = 1\nrate = 1\n",
         ["13: mix.0.weight: contradicts mix.0.rate (line 14); one of them says how much it sends",
          ("7: load.rate: contradicts mix.0 (line 10); flows with rates of their own make up the "
           "load: leave it out")]),
        (OPEN.replace("rate = 100\n", "") + BUY + "rate = 1\n" + LOOK,
         [("13: mix.1: has no rate, and others have; give every flow a weight, or every flow a "
           "rate or stages")]),
        (OPEN.replace("100", "-1") + BUY + LOOK, [("7: load.rate: found -1; expected a number of "
         "copies per second, greater than 0 and at most 1,000,000")]),
        (CLOSED.replace("10\n", "1\n") + BUY + LOOK,
         [("7: load.concurrency: 1 cannot be divided among 2 flows; raise it: a flow's share "
           "would be nothing")]),
        (BUY, ['"load" is missing; expected a table [load] that the flows share']),
        (OPEN + '[[mix]]\nname = "buy"\n', ['"workflow" is missing']),
        (OPEN + BUY + 'inputs.eventTyp = "x"\nload = { rate = "x" }\n', ["14: mix.0.load.rate"]),
    ],
)  # fmt: skip
def test_what_makes_no_mix_is_refused(load: Load, text: str, said: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(TOP + text)
    told = [str(problem) for problem in caught.value.problems]
    for each in said:
        assert any(each in line for line in told), told


def test_thresholds_of_all_flows_are_apart_from_those_of_each(load: Load) -> None:
    mix = load(TOP + OPEN + '[together]\nthresholds = ["p99 < 1s"]\n' + BUY + LOOK)
    assert [limit.check for limit in mix.together] == ["p99 < 1s"]
    assert all([t.check for t in flow.thresholds] == ["lost == 0"] for flow in mix.flows)
    assert all(not flow.together for flow in mix.flows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OPEN + "[together]\nthreshold = []\n" + BUY, "7: together.threshold: unknown key"),
        (OPEN + '[together]\nthresholds = [""]\n' + BUY, "7: together.thresholds.0: "),
        ("together = 3\n" + OPEN + BUY, "1: together: "),
        ('workflow = "amplitude"\n' + OPEN + "[together]\nthresholds = []\n", "no [[mix]]"),
        (OPEN + BUY + "together = {}\n", "mix.0.together: unknown key"),
    ],
)
def test_what_is_wrong_with_them_is_told_with_its_line(load: Load, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(text)
    assert any(told in str(problem) for problem in caught.value.problems), str(caught.value)


def test_rows_that_are_taken_once_are_of_one_flow(load: Load, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("city\nRome\n")
    data = '[data.people]\nfile = "a.csv"\norder = "once"\n'
    city = '[[overlay]]\nstep = "uploadEvents"\nat = "body#/events/0/city"\n'
    city += 'value = "$data.people.city"\n'
    both = TOP + OPEN + data + city + BUY + LOOK
    with pytest.raises(ScenarioError) as caught:
        load(both)
    (problem,) = caught.value.problems
    assert problem.key == "data.people.order"
    assert problem.line == 12
    assert "shop-buy and shop-look would both take every row of a.csv" in problem.message
    load(TOP + OPEN + data + BUY + LOOK)  # that none of them takes
    own = 'data = { people = { file = "b.csv", order = "once" } }\n'
    assert len(load(both + own).flows) == 2
