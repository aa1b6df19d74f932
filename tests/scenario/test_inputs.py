from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario.model import Input, Scenario

Loads = Callable[..., Scenario]
Problems = Callable[..., list[str]]


BASE = 'workflow = "w.yml"\n[load]\nmodel = "open"\nrate = 1\nduration = 1\n[inputs]\n'
SECRETS = {"KEY": "s3cret-key", "PASS": "s3cret-pass"}
BASIC = 'basic = { username = { env = "KEY" }, password = { env = "PASS" } }'


def test_any_json_value(loads: Loads) -> None:
    text = "a = 1\nb = 1.5\nc = true\nd = ['x', { y = 1 }]\n[inputs.e]\nf.g = '$copy.userId'\n"
    inputs = loads(BASE + text).inputs
    assert {name: entry.value for name, entry in inputs.items()} == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": ["x", {"y": 1}],
        "e": {"f": {"g": "$copy.userId"}},
    }
    assert not any(entry.secret or entry.hidden for entry in inputs.values())


def test_from_the_environment(loads: Loads) -> None:
    entry = loads(BASE + 'a = { env = "KEY" }', env=SECRETS).inputs["a"]
    assert entry == Input(value="s3cret-key", secret=True, hidden=frozenset({"s3cret-key"}))


@pytest.mark.parametrize("env", [{}, {"KEY": ""}])
@pytest.mark.parametrize(
    ("default", "value"), [("'x'", "x"), ("5", 5), ("{ y = [1] }", {"y": [1]}), ("false", False)]
)
def test_a_default(default: str, value: Any, env: dict[str, str], loads: Loads) -> None:
    entry = loads(f'{BASE}a = {{ env = "KEY", default = {default} }}', env=env).inputs["a"]
    assert entry == Input(value=value)


def test_the_environment_goes_before_the_default(loads: Loads) -> None:
    entry = loads(BASE + 'a = { env = "KEY", default = "x" }', env=SECRETS).inputs["a"]
    assert (entry.value, entry.secret) == ("s3cret-key", True)


def test_basic_credentials(loads: Loads) -> None:
    entry = loads(f"{BASE}a = {{ {BASIC} }}", env=SECRETS).inputs["a"]
    encoded = base64.b64encode(b"s3cret-key:s3cret-pass").decode()
    assert (entry.value, entry.secret) == (encoded, True)
    assert entry.hidden == {encoded, "s3cret-key", "s3cret-pass"}


def test_basic_credentials_that_are_no_secret(loads: Loads) -> None:
    entry = loads(BASE + 'a.basic = { username = "me", password = "é" }').inputs["a"]
    assert base64.b64decode(entry.value).decode() == "me:é"
    assert (entry.secret, entry.hidden) == (False, frozenset())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a = { env = "NO" }', ["7: inputs.a.env: the environment variable NO is not set; NO=…"]),
        (
            'a = { env = "EMPTY" }',
            ["7: inputs.a.env: the environment variable EMPTY is empty; EMPTY=…"],
        ),
        ("a = { env = 5 }", ["7: inputs.a.env: found 5; expected a string that is not empty"]),
        (
            'a = { env = "NO", defalt = 1 }',
            [
                '7: inputs.a.defalt: unknown key; did you mean "default"?',
                "7: inputs.a.env: the environment variable NO is not set; NO=…",
            ],
        ),
        (
            'a.env = "sk-1234 5678"',
            [
                (
                    "7: inputs.a.env: not a name; expected the name of an environment variable: "
                    "letters, digits and _"
                ),
            ],
        ),
        (
            'a = { env = "KEY", default = nan }',
            ["7: inputs.a.default: found nan; expected a number that JSON can carry"],
        ),
        ("a.basic = 5", ["7: inputs.a.basic: found 5; expected a table"]),
        (
            "a = { basic = {}, basics = 1 }",
            [
                '7: inputs.a.basics: unknown key; did you mean "basic"?',
                '7: inputs.a.basic: "username" is missing; expected a string or { env = "NAME" }',
                '7: inputs.a.basic: "password" is missing; expected a string or { env = "NAME" }',
            ],
        ),
        (
            'a.basic.username = 5\na.basic.password = { env = "NO" }\na.basic.realm = "x"',
            [
                "7: inputs.a.basic.username: found 5; expected a string that is not empty",
                "8: inputs.a.basic.password.env: the environment variable NO is not set; NO=…",
                "9: inputs.a.basic.realm: unknown key; expected one of password, username",
            ],
        ),
        (
            'a = { env = "NO" }\nb = { env = "NEITHER" }\n[target]\nkind = "liv"',
            [
                "7: inputs.a.env: the environment variable NO is not set; NO=…",
                "8: inputs.b.env: the environment variable NEITHER is not set; NEITHER=…",
                '10: target.kind: found the string "liv"; did you mean "live"?',
            ],
        ),
    ],
)
def test_problems(text: str, expected: list[str], problems: Problems) -> None:
    found = problems(BASE + text, env={"KEY": "a key", "EMPTY": ""})
    assert [line.replace("export ", "") for line in found] == [f"s.toml:{e}" for e in expected]


def test_a_secret_is_in_no_text(loads: Loads) -> None:
    text = f'{BASE}a = {{ env = "KEY" }}\nb = {{ {BASIC} }}\nc = "open"\n'
    scenario = loads(text, "inputs.d={ env = 'PASS' }", env=SECRETS)
    encoded = scenario.inputs["b"].value
    assert scenario.secrets == {*SECRETS.values(), encoded}
    document = orjson.dumps(scenario.document).decode()
    for shown in (repr(scenario), str(scenario), f"{scenario.inputs}", document):
        assert not any(secret in shown for secret in scenario.secrets)
    assert scenario.document["inputs"] == {
        "a": {"env": "KEY"},
        "b": {"basic": {"username": {"env": "KEY"}, "password": {"env": "PASS"}}},
        "c": "open",
        "d": {"env": "PASS"},
    }
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_a_secret_is_in_no_error(loads: Loads) -> None:
    text = f'{BASE}a = {{ env = "KEY", x = 1 }}\nb = {{ {BASIC}, x = 1 }}\nc = {{ env = "NO" }}'
    with pytest.raises(ScenarioError) as caught:
        loads(text, env=SECRETS)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in SECRETS.values())


def test_an_override_takes_the_place_of_a_whole_input(loads: Loads) -> None:
    scenario = loads(BASE + 'a = { env = "NO", default = "x" }', "inputs.a=5")
    assert scenario.inputs["a"] == Input(value=5)


def test_a_default_is_a_secret_if_that_is_said(loads: Loads) -> None:
    plain = loads(BASE + 'a = { env = "KEY", default = "plain-text" }', env={})
    assert plain.inputs["a"].hidden == frozenset()
    said = loads(BASE + 'a = { env = "KEY", default = "plain-text", secret = true }', env={})
    assert (said.inputs["a"].value, said.inputs["a"].secret) == ("plain-text", True)
    assert said.secrets == {"plain-text"}
    stored = f'{BASE}a = {{ env = "KEY", default = "***", secret = true }}'  # a results file has it
    with pytest.raises(ScenarioError, match="KEY is not set"):
        loads(stored, env={})
