"""loadcheck from Python."""

from __future__ import annotations

import ast
import asyncio
import copy
import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from types import FunctionType
from typing import Any

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import loadcheck
import loadcheck.load.runner as by_its_module
from loadcheck import api, errors
from loadcheck.documents.toml import as_toml

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "scenarios" / "smoke.toml"
EXAMPLE = ROOT / "results" / "example-burst.json"
PUBLIC: list[str] = vars(loadcheck)["__all__"]
QUICK = {"load.rate": 100, "load.duration": "1s"}


def test_every_public_name_is_there_typed_and_explained() -> None:
    stub = ast.parse((ROOT / "loadcheck" / "__init__.pyi").read_text())
    declared = {
        name.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.name == name.asname
    }
    assert sorted(declared) == PUBLIC
    assert set(PUBLIC) <= set(dir(loadcheck))
    for name, module in declared.items():
        assert module is not None
        found = getattr(importlib.import_module(module), name)
        assert inspect.getdoc(found), name
        assert getattr(loadcheck, name) is found or isinstance(found, FunctionType), name
        assert callable(getattr(loadcheck, name)), name
    assert (ROOT / "loadcheck" / "py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = loadcheck.nothing  # type: ignore[attr-defined]


def test_no_public_name_is_forgotten() -> None:
    own = {
        name
        for name, found in vars(api).items()
        if isinstance(found, type | FunctionType)
        and not name.startswith("_")
        and found.__module__ == api.__name__
    }
    raised = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.LoadcheckError)
    }
    assert own <= set(PUBLIC)
    assert set(PUBLIC) - own <= raised


def test_the_rooms_of_the_same_names_are_still_there() -> None:
    from loadcheck.compare import Stored  # noqa: PLC0415

    assert by_its_module.__name__ == "loadcheck.load.runner"
    assert Stored.__module__ == "loadcheck.compare"
    assert loadcheck.load(EXAMPLE).verdict == "pass"


def test_importing_it_is_quick() -> None:
    code = "import loadcheck, sys; print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = told.stdout.split()
    assert [name for name in names if name.startswith("loadcheck")] == ["loadcheck"]
    assert not {"anyio", "httpx", "numpy", "typer"}.intersection(names)


def test_a_run_on_a_loop_of_ones_own_and_what_it_says(tmp_path: Path) -> None:
    async def program() -> loadcheck.Result:
        beside = asyncio.create_task(asyncio.sleep(0.1, "still running"))
        result = await loadcheck.run(SMOKE, set=QUICK, results=tmp_path, seed=7)
        assert await beside == "still running"
        return result

    result = asyncio.run(program())
    assert (result.verdict, result.passed) == ("pass", True)
    assert (result.acknowledged, result.rejected, result.skipped) == (100, 0, 0)
    assert (result.lost, result.duplicated, result.late, result.unexpected) == (0, 0, 0, 0)
    assert result.error_rate == 0
    assert result.document["run"]["seed"] == 7
    assert "100 acknowledged users" in result.headline
    step = result.steps["uploadEvents"]
    assert step.response_time is not None
    assert step.response_time.count == 100
    assert step.response_time.p99_ms is not None
    assert 0 < step.response_time.p99_ms <= (step.response_time.max_ms or 0)
    assert result.steps["segmentEvent"].response_time is None
    assert result.visible is not None
    assert result.visible.never == 0
    assert {finding.check for finding in result.findings} >= {"lost", "duplicated"}
    assert all(threshold.verdict == "pass" for threshold in result.thresholds)
    assert result.path is not None
    stored = loadcheck.load(result.path)
    assert stored.document == result.document
    assert repr(stored) == f"<Result {result.headline}>"
    comparison = loadcheck.compare(result, [result.path], tolerance=0.5)
    assert comparison.figures["lost"].word == "same"
    assert not comparison.worse


def test_what_is_wrong_is_raised_by_kind_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(loadcheck.ScenarioError, match="no such file") as caught:
        loadcheck.run_sync(tmp_path / "none.toml", results=tmp_path)
    assert isinstance(caught.value, loadcheck.InputError)
    with pytest.raises(loadcheck.ScenarioError, match="load.rte") as caught:
        loadcheck.run_sync(SMOKE, set={"load.rte": 1}, results=tmp_path)
    assert caught.value.problems[0].key == "load.rte"
    with pytest.raises(loadcheck.ScenarioError, match="TOML has no NoneType"):
        loadcheck.run_sync(SMOKE, set={"load.rate": None}, results=tmp_path)
    away = {"target": {"kind": "live"}, "inputs.apiKey": "k", "inputs.basicAuth": "b"}
    with pytest.raises(loadcheck.ConsentError, match="api2.amplitude.com"):
        loadcheck.run_sync(SMOKE, set=away, results=tmp_path)
    with pytest.raises(loadcheck.InputError, match="worker 1 cannot be started"):
        loadcheck.run_sync(SMOKE, set={"load.prefixes": ["/nowhere/ssh"]}, results=tmp_path)
    with pytest.raises(loadcheck.ResultFileError):
        loadcheck.load(SMOKE)
    with pytest.raises(loadcheck.ResultFileError):
        loadcheck.compare(EXAMPLE, tmp_path / "none.json")
    assert list(tmp_path.iterdir()) == []


def test_trio_is_refused_by_name() -> None:
    async def program() -> None:
        await loadcheck.run(SMOKE)

    with pytest.raises(loadcheck.LoadcheckError, match=r"asyncio; elsewhere call loadcheck\.run_"):
        trio.run(program)


def test_what_is_not_known_is_none() -> None:
    document = orjson.loads(EXAMPLE.read_bytes())
    killed = {name: document[name] for name in ("run", "copies", "scenario", "warnings")}
    result = loadcheck.Result(document=killed | {"verdict": "unknown"}, path=None)
    assert not result.passed
    known = (result.lost, result.late, result.duplicated, result.visible, result.reached_rate)
    assert known == (None, None, None, None, None)
    assert (result.steps, result.findings, result.thresholds) == ({}, (), ())


@pytest.mark.parametrize(("counted", "late"), [(95, 5), (100, 0)])
def test_who_is_counted_when_asked_again_was_late(counted: int, late: int) -> None:
    document = copy.deepcopy(orjson.loads(EXAMPLE.read_bytes()))
    document["reconciliations"] = [{"at": "", "verdict": "pass", "uniques": 100}]
    seen = document["consistency"]["observations"][-1]
    document["consistency"] |= {
        "lost": 0,
        "uniques": 100,
        "observations": [
            seen | {"asked_s": 3.0, "uniques": counted},
            seen | {"asked_s": 5000.0, "uniques": 100},
        ],
    }
    assert loadcheck.Result(document=document, path=None).late == late


_SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(_VALUES)
def test_values_survive_toml(value: Any) -> None:
    assert tomllib.loads(f"value = {as_toml(value)}")["value"] == value
