from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadcheck.errors import Problem, ScenarioError
from loadcheck.scenario import load
from loadcheck.scenario.model import ClosedLoad, Edit, OpenLoad, Scenario
from tests.pipeline.services import KEYS

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "scenarios").glob("*.toml"))
ENVIRONMENT = {"AMPLITUDE_API_KEY": "the-api-key", "AMPLITUDE_SECRET_KEY": "the-secret-key"}


def shipped(name: str) -> Scenario:
    return load(ROOT / "scenarios" / f"{name}.toml", env=ENVIRONMENT)


def stages(name: str) -> Iterator[tuple[str, float, float, float]]:
    found = shipped(name).load
    assert isinstance(found, OpenLoad)
    for stage in found.stages:
        yield stage.name, stage.duration_s, stage.rate, stage.end_rate


def test_all_are_there() -> None:
    names = {"smoke", "burst", "ramp", "closed", "soak", "faulty", "live"}
    assert {path.stem for path in FILES} >= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_explains_itself(path: Path) -> None:
    scenario = load(path, env=ENVIRONMENT | KEYS)
    text = path.read_text()
    assert scenario.name == path.stem
    assert scenario.description
    assert scenario.thresholds
    assert f"loadcheck run scenarios/{path.name}" in text
    assert text.startswith("# ")
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_burst() -> None:
    (_, before, low, _), (_, high_s, high, _), (_, after, lowered, _) = stages("burst")
    assert high >= 10 * low
    assert lowered == low
    assert before * low + high_s * high + after * lowered >= 20_000
    verify = shipped("burst").verify
    assert before + high_s + after + verify.deadline_s < 30


def test_the_planted_losses_are_among_the_copies_sent() -> None:
    scenario = shipped("faulty")
    drop = scenario.target.emulator["faults"]["drop"]
    ((_, duration_s, rate, _),) = stages("faulty")
    assert drop == {"count": 37, "among": 20_000}
    assert duration_s * rate >= drop["among"]


def test_the_others() -> None:
    closed = shipped("closed").load
    assert isinstance(closed, ClosedLoad)
    assert closed.copies == 10_000
    assert any(rate != end for _, _, rate, end in stages("ramp"))
    assert sum(duration_s for _, duration_s, _, _ in stages("soak")) >= 600
    assert sum(duration_s * rate for _, duration_s, rate, _ in stages("smoke")) <= 1000


def test_live_takes_its_keys_from_the_environment_and_stays_small() -> None:
    scenario = shipped("live")
    assert scenario.target.kind == "live"
    assert scenario.secrets >= set(ENVIRONMENT.values())
    assert sum(duration_s * rate for _, duration_s, rate, _ in stages("live")) <= 100
    with pytest.raises(ScenarioError) as caught:
        load(ROOT / "scenarios" / "live.toml", env={})
    messages = {problem.message for problem in caught.value.problems}
    assert messages == {f"the environment variable {name} is not set" for name in ENVIRONMENT}


def test_the_profile_of_amplitude() -> None:
    scenario = shipped("burst")
    run_filter = {"subprop_type": "event", "subprop_key": "loadcheck_run"}
    assert scenario.overlay == (
        Edit(step="uploadEvents", at="body#/events/0/insert_id", value="$copy.insertId"),
        Edit(step="uploadEvents", at="body#/events/0/time", value="$copy.time"),
        Edit(
            step="uploadEvents",
            at="body#/events/0/event_properties/loadcheck_run",
            value="$run.id",
        ),
        Edit(
            step="segmentEvent",
            at="query.e#/filters/-",
            value={**run_filter, "subprop_op": "is", "subprop_value": ["$run.id"]},
        ),
        Edit(step="segmentEvent", at="query.i", value="-3600000"),
    )
    verify = scenario.verify
    assert (verify.ingest, verify.step) == ("uploadEvents", "segmentEvent")
    assert verify.uniques
    assert verify.totals
    assert verify.uniques.value == verify.totals.value
    assert [edit.step for edit in verify.totals.overlay] == ["segmentEvent"]
    assert [edit.at for edit in verify.bypass] == ["query.e#/filters/-"]
    assert scenario.inputs["userId"].value == "$copy.userId"


KEY_LINE = re.compile(r"^(\w+)( *= )", re.MULTILINE)
TABLE_LINE = re.compile(r"^\[+([\w.]+)\]+", re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_misspelt_key_is_found(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    for match in KEY_LINE.finditer(text):
        headers = TABLE_LINE.findall(text[: match.start()])
        if headers and headers[-1].partition(".")[0] in ("inputs", "target"):
            continue
        spoilt = text[: match.start()] + "zz" + text[match.start() :]
        (tmp_path / path.name).write_text(spoilt)
        with pytest.raises(ScenarioError) as caught:
            load(tmp_path / path.name, env=ENVIRONMENT)
        unknown = [each for each in caught.value.problems if each.message == "unknown key"]
        assert [(each.line, each.key.rpartition(".")[2]) for each in unknown] == [
            (text.count("\n", 0, match.start()) + 1, "zz" + match[1])
        ]


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mutilated_file_gives_a_scenario_or_its_problems(
    data: st.DataObject, tmp_path: Path
) -> None:
    text = data.draw(st.sampled_from(FILES)).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 40))
    pasted = data.draw(st.sampled_from(["", "[", "]", '"', "=", "\n", "{", "#", "nan", "-1"]))
    (tmp_path / "s.toml").write_text(text[:start] + pasted + text[end:])
    found: Sequence[Problem] = ()
    try:
        load(tmp_path / "s.toml", env=ENVIRONMENT)
    except ScenarioError as error:
        found = error.problems or pytest.fail("an error without a problem")
    assert all(problem.message and problem.file for problem in found)
