"""Facts of git and of CI services: taken when there, and never a reason for a run to fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from loadcheck import secrets
from loadcheck.pipeline import labels
from loadcheck.pipeline.labels import ci_facts, git_facts, with_facts
from loadcheck.scenario import label_trouble, load

SCENARIO = 'workflow = "amplitude"\n[load]\nmodel = "open"\nrate = 5\nduration = "1s"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the process stands in; no repository is above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def repository(folder: Path) -> Path:
    git("init", "-q", "-b", "trunk")
    (folder / "a").write_text("1")
    git("add", "a")
    git("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q", "-m", "m")
    return folder


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def test_a_repository_tells_commit_branch_and_whether_files_were_changed(repository: Path) -> None:
    commit = git("rev-parse", "HEAD").strip()
    facts = {"commit": commit, "branch": "trunk", "dirty": "false"}
    assert git_facts(os.environ) == facts
    (repository / "results").mkdir()
    (repository / "results" / "new.json").write_text("{}")
    assert git_facts(os.environ) == facts, "what git does not follow is no change"
    (repository / "a").write_text("2")
    assert git_facts(os.environ)["dirty"] == "true"
    git("checkout", "-q", "--detach")
    assert "branch" not in git_facts(os.environ)


def test_without_repository_commit_or_git_there_is_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_facts(os.environ) == {}
    git("init", "-q")
    assert git_facts(os.environ) == {}
    monkeypatch.setenv("PATH", str(folder))
    assert git_facts(os.environ) == {}


def test_a_git_that_does_not_end_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = folder / "git"
    stub.write_text("#!/bin/sh\nexec sleep 60\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(labels, "_GIT_S", 0.05)
    monkeypatch.setattr(labels, "_COMMIT_S", 0.05)
    assert git_facts(os.environ) == {}


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": "abc",
    "GITHUB_REF_NAME": "12/merge",
    "GITHUB_HEAD_REF": "topic",
    "GITHUB_RUN_ID": "77",
    "GITHUB_JOB": "load",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "o/r",
}


def test_a_ci_service_is_known_by_its_variables() -> None:
    assert ci_facts(GITHUB) == {
        "ci": "github",
        "commit": "abc",
        "branch": "topic",
        "ci_run": "77",
        "ci_job": "load",
        "ci_url": "https://github.com/o/r/actions/runs/77",
    }
    gitlab = {"GITLAB_CI": "true", "CI_COMMIT_SHA": "d", "CI_JOB_NAME": "x\ny", "CI_JOB_URL": ""}
    assert ci_facts(gitlab) == {"ci": "gitlab", "commit": "d"}, "what cannot be a label is left out"
    jenkins = {"JENKINS_URL": "http://j", "GIT_BRANCH": "origin/main", "BUILD_NUMBER": "3"}
    assert ci_facts(jenkins) == {"ci": "jenkins", "branch": "origin/main", "ci_run": "3"}
    assert ci_facts({"TF_BUILD": "True", "BUILD_BUILDID": "5"})["ci"] == "azure"
    assert ci_facts({"GITHUB_ACTIONS": "false", "PATH": "/bin"}) == {}


def test_a_label_is_a_line_of_text() -> None:
    for value in ("a\nb", "a\x00b", "a\udcffb", " ", "", "x" * 513, "a\u2028b", 5):
        assert label_trouble("name", value), repr(value)
    for name in ("", "9a", "a b", "a.b", "ä", "x" * 65):
        assert label_trouble(name, "value"), name
    assert label_trouble("a-b_9", "größer als 9 – ✓") is None


def test_every_service_fills_its_templates() -> None:
    for service, (sign, _) in labels._CI.items():
        facts = ci_facts({sign: "true", **dict.fromkeys(_variables(service), "v")})
        assert facts["ci"] == service
        assert {"commit", "ci_run"} <= facts.keys()


def _variables(service: str) -> set[str]:
    _, templates = labels._CI[service]
    parts = "".join(templates).replace("}", "{").split("{")
    return {part for part in parts if part.isupper()}


def test_what_is_given_goes_first_and_secrets_are_hidden(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://user:password@github.com")
    secrets.keep(["hunter2222"])
    (repository / "s.toml").write_text(SCENARIO + '[labels]\ncommit = "mine"\nold = "hunter2222"\n')
    found = with_facts(load("s.toml", overrides=['labels.env="a hunter2222 b"'])).labels
    assert found["commit"] == "mine"
    assert found["branch"] == "trunk", "git knows better than the CI service"
    assert (found["env"], found["old"]) == ("a *** b", "***")
    assert "password" not in found["ci_url"]
    assert found["ci_url"].endswith("@github.com/o/r/actions/runs/77")
