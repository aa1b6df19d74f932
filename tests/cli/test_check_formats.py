"""Problems of documents as editors and pull requests read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadcheck.cli import check
from loadcheck.errors import InputError
from tests.cli.conftest import Loadcheck

API = """openapi: 3.1.1
info: {title: t, version: '1'}
servers: [{url: 'http://things.test'}]
paths: {/a: {get: {operationId: a, responses: {}}}}
"""
GOOD = """arazzo: 1.0.1
info: {title: t, version: '1'}
sourceDescriptions: [{name: api, url: api.yaml, type: openapi}]
workflows: [{workflowId: w, steps: [{stepId: s, operationId: a}]}]
"""


def documents(folder: Path) -> Path:
    (folder / "below").mkdir()
    (folder / "api.yaml").write_text(API)
    (folder / "good.yaml").write_text(GOOD)
    (folder / "below" / "bad.yaml").write_text(GOOD.replace("operationId: a", "operationId: 'b,c'"))
    (folder / "below" / "api.yaml").write_text(API)
    return folder


def test_a_folder_is_linted_document_by_document(loadcheck: Loadcheck, tmp_path: Path) -> None:
    folder = documents(tmp_path)
    done = loadcheck("check", str(folder))
    assert done.code == 2
    assert "good.yaml: 0 errors, 0 warnings" in done.stdout
    assert "2 documents: 1 error, 0 warnings" in done.stdout


def test_sarif_names_rule_file_and_line(loadcheck: Loadcheck, tmp_path: Path) -> None:
    done = loadcheck("check", str(documents(tmp_path)), "--format", "sarif")
    document = json.loads(done.stdout)
    (result,) = document["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert document["version"] == "2.1.0"
    assert (result["level"], place["region"]["startLine"]) == ("error", 4)
    assert place["artifactLocation"]["uri"].endswith("below/bad.yaml")
    assert document["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]


def test_github_annotates_the_line(loadcheck: Loadcheck, tmp_path: Path) -> None:
    done = loadcheck("check", str(documents(tmp_path) / "below" / "bad.yaml"), "--format", "github")
    assert done.code == 2
    assert done.stdout.startswith("::error file=")
    assert "bad.yaml,line=4,title=Step Object::" in done.stdout


def test_a_scenario_that_is_wrong_is_annotated_too(loadcheck: Loadcheck, tmp_path: Path) -> None:
    scenario = tmp_path / "s.toml"
    scenario.write_text('workflow = "amplitude"\nsede = 1\n')
    done = loadcheck("check", str(scenario), "--format", "github")
    assert done.code == 2
    assert "s.toml,line=2" in done.stdout


def test_a_folder_without_any_is_told(loadcheck: Loadcheck, tmp_path: Path) -> None:
    done = loadcheck("check", str(tmp_path))
    assert done.code == 2
    assert "no Arazzo document in the folder" in done.stderr


def test_hidden_folders_and_installed_packages_are_left_out(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    for name in (".git", "node_modules"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bad.yaml").write_text("arazzo: 0.0.1\n")
    done = loadcheck("check", str(tmp_path))
    assert "no Arazzo document in the folder" in done.stderr


def test_a_folder_of_too_many_files_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").touch()
    monkeypatch.setattr(check, "_MOST_FILES", 2)
    with pytest.raises(InputError, match="more than 2 files; name the folder that holds"):
        check._documents(tmp_path)


def test_a_name_that_no_file_can_have_is_told(loadcheck: Loadcheck) -> None:
    done = loadcheck("check", "9" * 5000)
    assert done.code == 2
    assert "cannot be read" in done.stderr
