"""What a scenario extends, the profiles of environments, and variables from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario import environment, load
from loadcheck.scenario.model import OpenLoad, Scenario

BASE = """
name = "base"
workflow = "w.yml"
thresholds = ["lost == 0"]
[target]
kind = "emulator"
visibility_delay = "1s"
[load]
model = "open"
stages = [{ duration = "2s", rate = 5 }]
[[overlay]]
step = "s"
at = "query.a"
value = 1
[profiles.staging.target]
kind = "live"
servers = { "*" = "http://127.0.0.1:9" }
[profiles.staging.inputs]
key = { env = "STAGING_KEY" }
[profiles.staging.load]
rate = 3
duration = "4s"
[profiles.closed.load]
model = "closed"
concurrency = 2
copies = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yml").touch()
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "sub").mkdir()
    return tmp_path


def child(folder: Path, text: str, **more: str) -> Scenario:
    (folder / "sub" / "c.toml").write_text(f'extends = "../base.toml"\n{text}')
    return load("sub/c.toml", env={"STAGING_KEY": "s3cret-key"}, **more)


def told(folder: Path, text: str, **more: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        child(folder, text, **more)
    return [str(problem) for problem in caught.value.problems]


def test_tables_merge_and_other_values_replace(folder: Path) -> None:
    scenario = child(
        folder, 'thresholds = []\noverlay = [{ step = "t", at = "query.b", value = 2 }]\n'
        "[load]\nmax_in_flight = 7",
    )  # fmt: skip
    assert scenario.name == "c"
    assert scenario.thresholds == ()
    assert [edit.step for edit in scenario.overlay] == ["s", "t"]
    assert isinstance(scenario.load, OpenLoad)
    assert scenario.load.max_in_flight == 7
    assert scenario.load.stages[0].rate == 5
    assert not {"extends", "profiles", "name"} & scenario.document.keys()


def test_paths_stay_relative_to_the_file_that_says_them(folder: Path) -> None:
    assert child(folder, "").workflow.document.resolve() == folder / "w.yml"
    (folder / "sub" / "w.yml").touch()
    own = child(folder, 'workflow = "w.yml"').workflow.document
    assert own.resolve() == folder / "sub" / "w.yml"


def test_a_profile_has_servers_secrets_and_rates(folder: Path) -> None:
    scenario = child(folder, "", profile="staging")
    assert scenario.profile == "staging"
    assert scenario.target.servers == {"*": "http://127.0.0.1:9"}
    assert scenario.target.emulator == {}
    assert scenario.inputs["key"].secret
    assert isinstance(scenario.load, OpenLoad)
    assert [(stage.rate, stage.duration_s) for stage in scenario.load.stages] == [(3, 4)]
    assert scenario.problem("load.rate", "x").line == 21
    assert scenario.problem("load.rate", "x").file == "base.toml"


def test_a_profile_may_have_a_load_of_the_other_model(folder: Path) -> None:
    assert child(folder, "", profile="closed").document["load"] == {
        "model": "closed",
        "concurrency": 2,
        "copies": 3,
    }


def test_profiles_of_both_files_merge_and_overrides_win(folder: Path) -> None:
    (folder / "sub" / "c.toml").write_text(
        'extends = "../base.toml"\n[profiles.staging.load]\nrate = 4'
    )
    scenario = load(
        "sub/c.toml",
        profile="staging",
        overrides=["load.duration=9s"],
        env={"STAGING_KEY": "s3cret-key"},
    )
    assert isinstance(scenario.load, OpenLoad)
    assert [(stage.rate, stage.duration_s) for stage in scenario.load.stages] == [(4, 9)]


def test_problems_are_told_where_they_were_written(folder: Path) -> None:
    assert told(folder, "", profile="stagin") == [
        'sub/c.toml: --profile: no profile "stagin"; did you mean "staging"?'
    ]
    (folder / "base.toml").write_text(BASE.replace("rate = 3", 'rate = "3"'))
    assert told(folder, "[load]\nmax_in_flight = 0", profile="staging") == [
        "sub/c.toml:3: load.max_in_flight: found 0; expected a whole number from 1 to 1,000,000",
        (
            'base.toml:21: profiles.staging.load.rate: found the string "3"; expected a number of '
            "copies per second, greater than 0 and at most 1,000,000"
        ),
    ]
    assert told(folder, "[profiles.staging]\nlaod = {}")[0].startswith(
        'sub/c.toml:3: profiles.staging.laod: unknown key; did you mean "load"?'
    )


def test_what_cannot_be_extended(folder: Path) -> None:
    (folder / "base.toml").write_text(f'extends = "sub/c.toml"\n{BASE}')
    assert told(folder, "") == [
        (
            "base.toml:1: extends: the files extend each other: "
            "sub/c.toml → base.toml → sub/c.toml; leave one of them out"
        )
    ]
    (folder / "sub" / "c.toml").write_text('extends = "bas.toml"\nworkflow = "../w.yml"')
    with pytest.raises(ScenarioError, match=r"c.toml:1: extends: no scenario at sub/bas.toml;"):
        load("sub/c.toml")
    (folder / "sub" / "c.toml").write_text("extends = 5")
    with pytest.raises(ScenarioError, match=r"c.toml:1: extends: found 5; expected a string"):
        load("sub/c.toml")


def test_variables_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text(
        '# keys\n\nexport A=one   # said\nB="t\\"wo # 2"\nC=\'3 \\n\'\nD=\nE=a#b c\nPATHLIKE=x\n'
    )
    monkeypatch.setenv("PATHLIKE", "environment")
    read = environment(".env")
    assert [read[name] for name in "ABCDE"] == ["one", 't"wo # 2', "3 \\n", "", "a#b c"]
    assert read["PATHLIKE"] == "environment"


def test_a_line_that_is_no_variable_is_not_repeated(folder: Path) -> None:
    (folder / ".env").write_text('A=1\nsk-live-1234\nB="open\n')
    with pytest.raises(ScenarioError) as caught:
        environment(".env")
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    assert "1234" not in str(caught.value)
    with pytest.raises(ScenarioError, match=r'\.nv: .*did you mean "\.env"'):
        environment(".nv")
