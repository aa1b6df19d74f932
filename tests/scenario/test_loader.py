from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadcheck.documents import format_duration
from loadcheck.errors import ScenarioError
from loadcheck.scenario import load
from loadcheck.scenario.model import (
    ClosedLoad,
    CountExpression,
    Edit,
    OpenLoad,
    Retry,
    Scenario,
    Stage,
    Target,
    Timeouts,
    Verify,
)

Loads = Callable[..., Scenario]


WORKFLOW = 'workflow = "w.yml"\n'
LOAD = '[load]\nmodel = "open"\nrate = 1\nduration = "1s"\n'
UNIQUES = "$response.body#/uniques"


def checks(scenario: Scenario) -> tuple[str, ...]:
    return tuple(threshold.check for threshold in scenario.thresholds)


def line(scenario: Scenario, key: str) -> int | None:
    return scenario.problem(key, "").line


def test_the_least_that_is_a_scenario(loads: Loads) -> None:
    scenario = loads(WORKFLOW + LOAD)
    stage = Stage(name="steady", duration_s=1.0, rate=1.0, end_rate=1.0)
    assert scenario.name == "s"
    assert scenario.description == ""
    assert scenario.file == "s.toml"
    assert scenario.seed is None
    assert (scenario.workflow.name, scenario.workflow.document) == ("w.yml", Path("w.yml"))
    assert scenario.target == Target(kind="emulator")
    assert scenario.load == OpenLoad(stages=(stage,))
    assert scenario.retry == Retry()
    assert scenario.timeouts == Timeouts()
    assert scenario.verify == Verify()
    assert (scenario.inputs, scenario.overlay, checks(scenario)) == ({}, (), ())
    assert scenario.document == {
        "workflow": {"document": "w.yml"},
        "load": {"model": "open", "rate": 1, "duration": "1s"},
    }


def test_everything_that_can_be_said(loads: Loads, folder: Path) -> None:
    (folder / "api.yml").touch()
    scenario = loads(
        """\
name = "all_of-it"
description = '''
Two
  lines'''
seed = 9223372036854775807
thresholds = ["lost == 0", "error_rate < 1%"]

[workflow]
document = "w.yml"
id = "main"
sources = { one = "api.yml", two = "https://example.com/api.yml" }
strict = true

[target]
kind = "live"
transport = "httpx"
servers = { one = "http://[::1]:8080/base", "*" = "https://example.com" }

[load]
model = "closed"
concurrency = 10
copies = 1e3
duration = 90

[retry]
attempts = 1
backoff = 0
max_backoff = "30s"
on = ["503", "4xx", "timeout", "503"]

[timeouts]
connect = 0.5
request = "1m"
drain = 0

[verify]
enabled = false
ingest = "send"
step = "count"
acknowledged = "$statusCode == 202"
uniques = "$response.body#/uniques"
totals = { value = "$response.body#/totals", overlay = [{ at = "query.m", value = 1 }] }
bypass = [{ at = "header.X-Query", value = "{$query.number}" }]
cache = "respect"
every = "250ms"
quiet = "1s"
deadline = "10s"
timeout = "5s"

[[overlay]]
step = "send"
at = "body#/a~1b/-"
value = { run = ["$run.id"] }
"""
    )
    assert scenario.name == "all_of-it"
    assert scenario.description == "Two lines"
    assert scenario.seed == 2**63 - 1
    assert checks(scenario) == ("lost == 0", "error_rate < 1%")
    workflow = scenario.workflow
    assert (workflow.id, workflow.strict) == ("main", True)
    assert workflow.sources == {"one": "api.yml", "two": "https://example.com/api.yml"}
    servers = {"one": "http://[::1]:8080/base", "*": "https://example.com"}
    assert scenario.target == Target(kind="live", servers=servers, transport="httpx")
    assert scenario.load == ClosedLoad(concurrency=10, copies=1000, duration_s=90.0)
    on = ("503", "4xx", "timeout")
    assert scenario.retry == Retry(attempts=1, backoff_s=0, max_backoff_s=30, on=on)
    assert scenario.timeouts == Timeouts(connect_s=0.5, request_s=60, drain_s=0)
    by_totals = Edit(step="count", at="query.m", value=1)
    assert scenario.verify == Verify(
        enabled=False,
        ingest="send",
        step="count",
        acknowledged="$statusCode == 202",
        uniques=CountExpression(value=UNIQUES),
        totals=CountExpression(value="$response.body#/totals", overlay=(by_totals,)),
        bypass=(Edit(step="count", at="header.X-Query", value="{$query.number}"),),
        cache="respect",
        every_s=0.25,
        quiet_s=1,
        deadline_s=10,
        timeout_s=5,
    )
    assert scenario.overlay == (Edit(step="send", at="body#/a~1b/-", value={"run": ["$run.id"]}),)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (
            '{ name = "a", duration = 1, rate = 5 }, { duration = "2s", rate = 7 }',
            [("a", 1, 5, 5), ("stage-2", 2, 7, 7)],
        ),
        (
            "{ duration = 1, rate = 5, ramp_to = 9 }, { duration = 1, ramp_to = 0 }",
            [("stage-1", 1, 5, 9), ("stage-2", 1, 9, 0)],
        ),
        (
            "{ duration = 1, ramp_to = 9 }, { duration = 1, rate = 0 }, { duration = 1, rate = 1 }",
            [("stage-1", 1, 0, 9), ("stage-2", 1, 0, 0), ("stage-3", 1, 1, 1)],
        ),
    ],
)
def test_stages(stages: str, expected: list[tuple[Any, ...]], loads: Loads) -> None:
    load = loads(f'{WORKFLOW}[load]\nmodel = "open"\nstages = [{stages}]\n').load
    assert isinstance(load, OpenLoad)
    assert [(s.name, s.duration_s, s.rate, s.end_rate) for s in load.stages] == expected


@pytest.mark.parametrize(
    ("verify", "quiet_s", "deadline_s"),
    [("", 10, 60), ("quiet = 90", 90, 90), ("deadline = 3", 3, 3), ("deadline = 30", 10, 30)],
)
def test_settling_defaults_fit_each_other(
    verify: str, quiet_s: float, deadline_s: float, loads: Loads
) -> None:
    found = loads(f"{WORKFLOW}{LOAD}[verify]\n{verify}\n").verify
    assert (found.quiet_s, found.deadline_s) == (quiet_s, deadline_s)


@pytest.mark.parametrize(
    ("retry", "backoff_s", "max_backoff_s"),
    [("backoff = 9", 9, 9), ("max_backoff = 0", 0, 0), ("max_backoff = 1", 0.1, 1)],
)
def test_backoff_defaults_fit_each_other(
    retry: str, backoff_s: float, max_backoff_s: float, loads: Loads
) -> None:
    found = loads(f"{WORKFLOW}{LOAD}[retry]\n{retry}\n").retry
    assert (found.backoff_s, found.max_backoff_s) == (backoff_s, max_backoff_s)


def test_sending_again_needs_leave_and_idle_connections_a_bound(loads: Loads) -> None:
    plain = loads(WORKFLOW + LOAD)
    assert (plain.retry.stale, plain.timeouts.max_idle_s) == (False, 10)
    more = '[retry]\nstale = true\n[timeouts]\nmax_idle = "55s"\n'
    told = loads(WORKFLOW + LOAD + more)
    assert (told.retry.stale, told.timeouts.max_idle_s) == (True, 55)


def test_the_target_keeps_what_configures_the_emulator(loads: Loads) -> None:
    text = WORKFLOW + LOAD + '[target]\nvisibility_delay = "1s"\n[target.faults]\ndrop.count = 3\n'
    scenario = loads(text)
    assert scenario.target.emulator == {"visibility_delay": "1s", "faults": {"drop": {"count": 3}}}
    assert line(scenario, "target.visibility_delay") == 7
    assert line(scenario, "target.faults.drop.count") == 9
    problem = scenario.problem("target.faults.drop.rate", "unknown key", "expected count")
    assert str(problem) == "s.toml:9: target.faults.drop.rate: unknown key; expected count"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("my load (2).toml", "my-load-2"), ("ünïcode.toml", "n-code"), ("(x).toml", "x")],
)
def test_a_name_made_of_the_file(name: str, expected: str, folder: Path) -> None:
    (folder / name).write_text(WORKFLOW + LOAD)
    assert load(name, env={}).name == expected


def test_paths_are_relative_to_the_scenario(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "p.toml").write_text('[verify]\nstep = "count"\n')
    (folder / "deep" / "s.toml").write_text(
        '[workflow]\ndocument = "../w.yml"\nprofile = "p.toml"\nsources.a = "../w.yml"\n' + LOAD
    )
    for path in ("deep/s.toml", Path("deep/s.toml"), folder / "deep" / "s.toml"):
        scenario = load(path, env={})
        assert scenario.file == str(path)
        assert scenario.workflow.document.samefile(folder / "w.yml")
        assert Path(scenario.workflow.sources["a"]).samefile(folder / "w.yml")
        assert scenario.verify.step == "count"


def test_a_profile_lies_beneath(loads: Loads, folder: Path) -> None:
    (folder / "p.toml").write_text(
        """\
thresholds = ["from the profile"]
[inputs]
a = { env = "NOT_SET" }
b = 1
[verify]
step = "count"
quiet = "5s"
uniques = { value = "$response.body#/uniques", overlay = [] }
[[overlay]]
step = "send"
at = "query.a"
value = 1
"""
    )
    scenario = loads(
        """\
[workflow]
document = "w.yml"
profile = "p.toml"
[load]
model = "open"
rate = 1
duration = 1
[inputs]
a = { env = "SET" }
[verify]
quiet = "2s"
[[overlay]]
step = "send"
at = "query.b"
value = 2
""",
        env={"SET": "value"},
    )
    assert checks(scenario) == ("from the profile",)
    assert {name: entry.value for name, entry in scenario.inputs.items()} == {
        "a": "value",
        "b": 1,
    }
    assert (scenario.verify.step, scenario.verify.quiet_s) == ("count", 2)
    assert scenario.verify.uniques == CountExpression(value=UNIQUES)
    assert [edit.at for edit in scenario.overlay] == ["query.a", "query.b"]
    assert line(scenario, "overlay.1.at") == 14
    assert str(scenario.problem("overlay.1.at", "x")) == "s.toml:14: overlay.0.at: x"
    assert str(scenario.problem("overlay.0.at", "x")) == "p.toml:11: overlay.0.at: x"
    assert str(scenario.problem("thresholds.0", "x")) == "p.toml:1: thresholds.0: x"
    assert str(scenario.problem("retry.on", "x")) == "s.toml: retry.on: x"


def test_overrides(loads: Loads, folder: Path) -> None:
    (folder / "p.toml").write_text('[verify]\nstep = "count"\n')
    scenario = loads(
        f'{WORKFLOW}thresholds = ["a",\n"b"]\n{LOAD}',
        "load.rate=500",
        "thresholds.1=lost == 0",
        "retry.attempts=1",
        "workflow.profile=p.toml",
        "workflow.id=main",
        "target.faults.drop={ count = 1 }",
    )
    assert isinstance(scenario.load, OpenLoad)
    assert scenario.load.stages[0].rate == 500
    assert checks(scenario) == ("a", "lost == 0")
    assert scenario.retry.attempts == 1
    assert (scenario.workflow.name, scenario.workflow.id) == ("w.yml", "main")
    assert scenario.verify.step == "count"
    assert scenario.target.emulator == {"faults": {"drop": {"count": 1}}}
    assert scenario.document["load"]["rate"] == 500
    assert line(scenario, "thresholds.0") == 2
    assert str(scenario.problem("thresholds.1", "x")) == (
        "--set thresholds.1=lost == 0: thresholds.1: x"
    )


def test_another_workflow_brings_another_profile(loads: Loads) -> None:
    assert loads(WORKFLOW + LOAD).verify.step is None
    scenario = loads(WORKFLOW + LOAD, "workflow=amplitude")
    assert (scenario.workflow.name, scenario.verify.step) == ("amplitude", "segmentEvent")
    borrowed = loads(WORKFLOW + LOAD, "workflow.profile=amplitude")
    assert (borrowed.workflow.name, borrowed.verify.step) == ("w.yml", "segmentEvent")


def test_the_line_of_each_threshold(loads: Loads) -> None:
    text = f'{WORKFLOW}thresholds = [\n  "a", "b",  # both\n  # none\n  "c",\n]\n{LOAD}'
    scenario = loads(text)
    assert [line(scenario, f"thresholds.{index}") for index in range(3)] == [3, 3, 5]
    assert line(scenario, "thresholds.7") == 2
    assert line(scenario, "nothing") is None


NAMES = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=20)
MILLISECONDS = st.integers(1, 3_600_000)
WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
RATES = st.integers(1, 1000) | st.floats(0.001, 1000)


def durations() -> st.SearchStrategy[Any]:
    return MILLISECONDS.map(lambda ms: format_duration(ms / 1000)) | st.floats(0.001, 3600)


def tables(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


STAGES = st.lists(
    st.fixed_dictionaries({"duration": durations(), "rate": RATES}, optional={"ramp_to": RATES}),
    min_size=1,
    max_size=4,
)
LOADS = (
    st.fixed_dictionaries({"model": st.just("open"), "stages": STAGES})
    | st.fixed_dictionaries({"model": st.just("open"), "rate": RATES, "duration": durations()})
    | st.fixed_dictionaries(
        {"model": st.just("closed"), "concurrency": st.integers(1, 10**6)}
        | {"copies": st.integers(1, 10**9)},
        optional={"duration": durations()},
    )
)
DOCUMENTS = st.fixed_dictionaries(
    {"workflow": st.just("w.yml"), "load": LOADS},
    optional={
        "name": NAMES,
        "description": WORDS,
        "seed": st.integers(0, 2**63 - 1),
        "thresholds": st.lists(WORDS, max_size=3),
        "inputs": st.dictionaries(
            WORDS,
            st.integers(-(2**63), 2**63 - 1) | WORDS | st.lists(WORDS, max_size=2),
            max_size=3,
        ),
        "timeouts": tables(connect=durations(), request=durations(), drain=durations()),
        "verify": tables(enabled=st.booleans(), step=WORDS, every=durations(), uniques=WORDS),
        "target": tables(
            visibility_delay=durations(), faults=st.dictionaries(WORDS, st.booleans(), max_size=2)
        ),
    },
)


def toml(value: Any) -> str:
    """Write a value as inline TOML: JSON but for the tables."""
    match value:
        case dict():
            return (
                "{"
                + ", ".join(f"{quoted(key)} = {toml(each)}" for key, each in value.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return quoted(value)
        case _:
            return repr(value).lower()


def quoted(text: str) -> str:
    return orjson.dumps(text).decode().replace("\x7f", "\\u007f")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=DOCUMENTS)
def test_every_valid_scenario_loads_and_keeps_what_it_says(
    document: dict[str, Any], loads: Loads
) -> None:
    text = "".join(f"{key} = {toml(value)}\n" for key, value in document.items())
    scenario = loads(text)
    assert orjson.loads(orjson.dumps(scenario.document)) == {
        **document,
        "workflow": {"document": "w.yml"},
    }
    assert scenario.seed == document.get("seed")
    assert checks(scenario) == tuple(document.get("thresholds", ()))
    inputs = {name: entry.value for name, entry in scenario.inputs.items()}
    assert inputs == document.get("inputs", {})
    assert scenario.target.emulator == document.get("target", {})
    assert line(scenario, "load") == list(document).index("load") + 1
    load = document["load"]
    if load["model"] == "closed":
        assert isinstance(scenario.load, ClosedLoad)
        assert scenario.load.copies == load["copies"]
    else:
        assert isinstance(scenario.load, OpenLoad)
        stages = load.get("stages", [load])
        assert [stage.rate for stage in scenario.load.stages] == [each["rate"] for each in stages]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=DOCUMENTS, data=st.data())
def test_a_spoilt_key_is_reported_in_its_line(
    document: dict[str, Any], data: st.DataObject, loads: Loads
) -> None:
    entries: list[tuple[tuple[str, ...], Any]] = []
    for key, value in document.items():
        if isinstance(value, dict) and key not in ("inputs", "target"):
            entries += [((key, inner), each) for inner, each in value.items()]
        else:
            entries.append(((key,), value))
    index = data.draw(st.integers(0, len(entries) - 1))
    path, value = entries[index]
    entries[index] = ((*path[:-1], f"{path[-1]}X"), value)
    with pytest.raises(ScenarioError) as caught:
        loads("".join(f"{'.'.join(path)} = {toml(value)}\n" for path, value in entries))
    (found,) = (each for each in caught.value.problems if each.message == "unknown key")
    assert (found.file, found.line, found.key) == ("s.toml", index + 1, f"{'.'.join(path)}X")
    assert found.remedy == f'did you mean "{path[-1]}"?'
