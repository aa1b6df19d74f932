from __future__ import annotations

from collections.abc import Callable

import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario.model import Capacity, Scenario

Loads = Callable[..., Scenario]


REST = 'workflow = "w.yml"\nload = { model = "open", rate = 1, duration = "1s" }\n'


def test_every_key(loads: Loads) -> None:
    scenario = loads(f"""{REST}
[capacity]
from = 50
to = 5_000
precision = "2%"
climb = 2
probe = "20s"
warmup = "5s"
recovery = "3s"
samples = 400
probes = 20
budget = ["10m", 2e6]
""")
    assert scenario.capacity == Capacity(
        lowest=50,
        highest=5000,
        precision=0.02,
        climb=2,
        probe_s=20,
        warmup_s=5,
        recovery_s=3,
        samples=400,
        probes=20,
        budget_s=600,
        budget_events=2_000_000,
    )


def test_nothing_has_to_be_said(loads: Loads) -> None:
    assert loads(REST).capacity == Capacity()


@pytest.mark.parametrize(
    ("written", "budget"),
    [('"5m"', (300, None)), ("1_000", (None, 1000)), ('[5000, "1h"]', (3600, 5000))],
)
def test_a_budget_is_time_or_events_or_both(
    loads: Loads, written: str, budget: tuple[float | None, int | None]
) -> None:
    capacity = loads(f"{REST}[capacity]\nbudget = {written}\n").capacity
    assert (capacity.budget_s, capacity.budget_events) == budget


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("form = 1", 'capacity.form: unknown key; did you mean "from"?'),
        ("from = 0", "capacity.from: found 0; expected a number of copies per second"),
        ("from = 9\nto = 9", "capacity.to: contradicts capacity.from (line 4); the search goes up"),
        ('precision = "0%"', 'precision: found the string "0%"; expected a share from "0.5%"'),
        ("precision = 5", 'precision: found 5; expected a share from "0.5%" to "50%"'),
        ("precision = 0.7", "precision: found 0.7; expected a share"),
        ("climb = 1", "climb: found 1; expected a factor from 1.1 to 10"),
        ('climb = "2"', 'climb: found the string "2"; expected a factor'),
        ("climb = true", "climb: found the boolean true; expected a factor"),
        ("probes = 0", "probes: found 0; expected a whole number from 1"),
        ('probe = "0s"', 'probe: found the string "0s"; expected a duration'),
        ('budget = "5"', 'budget: found the string "5"; expected a length of time ("5m")'),
        ("budget = 1.5", "budget: found 1.5; expected a length of time"),
        ("budget = true", "budget: found the boolean true; expected"),
        ('budget = ["1m", "2m"]', "capacity.budget.1: is said twice; expected a length of time"),
        ("budget = -5", "budget: found -5; expected"),
        ('budget = "0s"', "budget: found the string"),
    ],
)
def test_what_is_wrong(loads: Loads, written: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"{REST}[capacity]\n{written}\n")
    assert said in str(caught.value)
