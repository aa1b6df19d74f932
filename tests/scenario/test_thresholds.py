from __future__ import annotations

from collections.abc import Callable

import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario.model import Scenario, Threshold

Loads = Callable[..., Scenario]


REST = 'workflow = "w.yml"\nload = { model = "open", rate = 1, duration = "1s" }\n'


def test_texts_and_tables_may_stand_side_by_side(loads: Loads) -> None:
    scenario = loads(f"""{REST}
thresholds = [
    "lost == 0",
    {{ check = "a.p99 < 1s", abort = true, grace = "10s" }},
    {{ check = "b.p99 < 1s", abort = true }},
    {{ check = "rate > 1" }},
]
""")
    assert scenario.thresholds == (
        Threshold(check="lost == 0", abort=False),
        Threshold(check="a.p99 < 1s", abort=True, grace_s=10),
        Threshold(check="b.p99 < 1s", abort=True, grace_s=5),
        Threshold(check="rate > 1"),
    )
    assert scenario.document["thresholds"][2] == {"check": "b.p99 < 1s", "abort": True}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{ abort = true }", 'thresholds.0: "check" is missing; expected what must hold'),
        ('{ check = "a", grace = "1s" }', "thresholds.0.grace: has no effect without abort = true"),
        ('{ check = "a", abort = 1 }', "thresholds.0.abort: found 1; expected true or false"),
        ('{ check = "a", abort = true, grace = "-1s" }', "thresholds.0.grace: found the string"),
        ('{ chek = "a" }', 'thresholds.0.chek: unknown key; did you mean "check"?'),
        ("{ check = 5 }", "thresholds.0.check: found 5; expected a string"),
        ("[]", "thresholds.0: found an array; expected a string"),
    ],
)
def test_what_is_wrong(loads: Loads, written: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"{REST}thresholds = [{written}]\n")
    assert f"s.toml:3: {said}" in str(caught.value)
