"""Options that stand for ``--set``."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario
from loadcheck.cli.overrides import ChangeOptions, Sharing, named_sources, placed, resolve_output
from loadcheck.cli.terminal import read
from loadcheck.errors import ScenarioError
from tests.cli.conftest import Loadcheck

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "a-key", "AMPLITUDE_SECRET_KEY": "a-secret"}


def servers(*options: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the servers of the live scenario with these ``--server`` options."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    changes = ChangeOptions(servers=list(options)).overrides()
    return dict(scenario.load(SCENARIOS / "live.toml", overrides=changes).target.servers)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["http://127.0.0.1:1"], {"*": "http://127.0.0.1:1"}),
        (["HTTPS://host"], {"*": "HTTPS://host"}),
        (["a.b=http://h/"], {"a.b": "http://h/"}),
        (["a=http://h", "b=http://i"], {"a": "http://h", "b": "http://i"}),
        (["a=http://h", "http://i"], {"a": "http://h", "*": "http://i"}),
    ],
)
def test_a_server_for_all_or_for_one_source(
    options: list[str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert servers(*options, monkeypatch=monkeypatch) == expected


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(ScenarioError) as raised:
        ChangeOptions(servers=["a", "=http://h", "b="]).overrides()
    assert [str(problem) for problem in raised.value.problems] == [
        f"--server {given}; expected URL or NAME=URL" for given in ("a", "=http://h", "b=")
    ]


def test_sources_are_found_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_sources(["a=x.yml", "b=/y.yml", "c=http://h/z.yml"]) == {
        "a": str(tmp_path / "x.yml"),
        "b": "/y.yml",
        "c": "http://h/z.yml",
    }


def test_the_users_own_changes_come_last() -> None:
    changes = ChangeOptions(sets=["workflow.strict=false"], strict=True).overrides()
    assert changes == ["workflow.strict=true", "workflow.strict=false"]


def test_a_table_that_is_set_whole_drops_no_option() -> None:
    closed = 'load={model = "closed", concurrency = 6, copies = 60}'
    sharing = Sharing(workers="3").overrides()
    loaded = read(SCENARIOS / "smoke.toml", ChangeOptions(sets=["seed=7", closed]), *sharing)
    assert (loaded.load.workers, loaded.load.copies) == (3, 60)
    # what is set by its own name is last all the same
    sets = [closed, "load.workers=2"]
    assert read(SCENARIOS / "smoke.toml", ChangeOptions(sets=sets), *sharing).load.workers == 2
    assert placed(["load.a=1", "loading=2"], ["load=x", "load.a=3"]) == [
        *("loading=2", "load=x", "load.a=1", "load.a=3"),
    ]
    assert placed(["a.b.c=1"], ["a=x", "a.b=y", "d=z"]) == ["a=x", "a.b=y", "a.b.c=1", "d=z"]


def test_a_slash_at_its_end_makes_the_output_a_directory(tmp_path: Path) -> None:
    assert resolve_output(f"{tmp_path}/new/") == (tmp_path / "new", None)
    assert resolve_output(str(tmp_path)) == (tmp_path, None)
    assert resolve_output(f"{tmp_path}/new") == (Path("results"), tmp_path / "new")
    assert resolve_output(None) == (Path("results"), None)


def test_a_run_creates_the_directory_that_its_output_names(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    ended = loadcheck("run", SCENARIOS / "smoke.toml", "--output", "new/here/")
    assert ended.code == 0
    assert [path.suffix for path in (tmp_path / "new" / "here").iterdir()] == [".json"]
