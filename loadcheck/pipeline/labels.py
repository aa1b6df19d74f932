"""What identifies a run: its id, its days, its labels, and the facts of git and of CI."""

from __future__ import annotations

import os
import secrets
import string
import subprocess  # only to read from git
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from loadcheck.load.pacer import planned_copies
from loadcheck.scenario import label_trouble
from loadcheck.scenario.model import OpenLoad, Scenario
from loadcheck.secrets import cover
from loadcheck.workflow.identity import Run

_ID_ALPHABET = string.ascii_lowercase + string.digits
_ID_LENGTH = 12


def new_id() -> str:
    """Return the id of a new run: 12 random letters and digits."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def new_run(scenario: Scenario, now: datetime, target: Mapping[str, str], *, seed: int) -> Run:
    """Return the identity of a new run.

    The query window begins a day before and ends a day after everything that may happen, since the
    project's time zone, which we cannot know, decides the day.

    Args:
        scenario: The scenario.
        now: The current time.
        target: What the target supplies.
        seed: Seed of the arrivals, which decide how many copies there are.
    """
    end = now + timedelta(seconds=_loading_s(scenario))
    return Run(
        id=new_id(),
        start_day=f"{now.astimezone(UTC) - timedelta(days=1):%Y%m%d}",
        end_day=end_day(scenario, end),
        target=target,
        copies=planned_copies(scenario.load, seed),
    )


def end_day(scenario: Scenario, loaded: datetime) -> str:
    """Return the last day of the query window of a run whose load ends at some instant."""
    after_s = scenario.timeouts.drain_s + scenario.verify.deadline_s
    return f"{loaded.astimezone(UTC) + timedelta(days=1, seconds=after_s):%Y%m%d}"


def _loading_s(scenario: Scenario) -> float:
    """Return how many seconds the load lasts; 0 if only its number of copies is known."""
    load = scenario.load
    if isinstance(load, OpenLoad):
        return sum(stage.duration_s for stage in load.stages)
    return load.duration_s or 0.0


_GIT_S, _COMMIT_S = 2.0, 0.5
"""How long git may look for changes; how long for the commit alone, if that takes too long."""

_NAMES = ("commit", "branch", "ci_run", "ci_job", "ci_url")
_CI: Mapping[str, tuple[str, tuple[str, str, str, str, str]]] = {
    "github": (
        "GITHUB_ACTIONS",
        (
            "{GITHUB_SHA}",
            "{GITHUB_HEAD_REF}|{GITHUB_REF_NAME}",
            "{GITHUB_RUN_ID}",
            "{GITHUB_JOB}",
            "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        ),
    ),
    "gitlab": (
        "GITLAB_CI",
        (
            "{CI_COMMIT_SHA}",
            "{CI_COMMIT_REF_NAME}",
            "{CI_PIPELINE_ID}",
            "{CI_JOB_NAME}",
            "{CI_JOB_URL}",
        ),
    ),
    "jenkins": (
        "JENKINS_URL",
        (
            "{GIT_COMMIT}",
            "{BRANCH_NAME}|{GIT_BRANCH}",
            "{BUILD_NUMBER}",
            "{JOB_NAME}",
            "{BUILD_URL}",
        ),
    ),
    "azure": (
        "TF_BUILD",
        (
            "{BUILD_SOURCEVERSION}",
            "{BUILD_SOURCEBRANCHNAME}",
            "{BUILD_BUILDID}",
            "{SYSTEM_JOBDISPLAYNAME}",
            "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        ),
    ),
    "buildkite": (
        "BUILDKITE",
        (
            "{BUILDKITE_COMMIT}",
            "{BUILDKITE_BRANCH}",
            "{BUILDKITE_BUILD_NUMBER}",
            "{BUILDKITE_LABEL}",
            "{BUILDKITE_BUILD_URL}",
        ),
    ),
    "circleci": (
        "CIRCLECI",
        (
            "{CIRCLE_SHA1}",
            "{CIRCLE_BRANCH}",
            "{CIRCLE_BUILD_NUM}",
            "{CIRCLE_JOB}",
            "{CIRCLE_BUILD_URL}",
        ),
    ),
    "travis": (
        "TRAVIS",
        (
            "{TRAVIS_COMMIT}",
            "{TRAVIS_PULL_REQUEST_BRANCH}|{TRAVIS_BRANCH}",
            "{TRAVIS_BUILD_NUMBER}",
            "{TRAVIS_JOB_NAME}",
            "{TRAVIS_BUILD_WEB_URL}",
        ),
    ),
    "bitbucket": (
        "BITBUCKET_BUILD_NUMBER",
        (
            "{BITBUCKET_COMMIT}",
            "{BITBUCKET_BRANCH}",
            "{BITBUCKET_BUILD_NUMBER}",
            "{BITBUCKET_STEP_UUID}",
            "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
        ),
    ),
    "teamcity": (
        "TEAMCITY_VERSION",
        ("{BUILD_VCS_NUMBER}", "", "{BUILD_NUMBER}", "{TEAMCITY_BUILDCONF_NAME}", "{BUILD_URL}"),
    ),
}
"""CI service → the variable that shows it, and templates of commit, branch, run, job and URL."""


def with_facts(scenario: Scenario) -> Scenario:
    """Return a scenario with the facts of git and of the CI service among its labels.

    Labels given take precedence over git, and git over the CI service's variables. Without git or a
    repository, or if git takes too long, the run goes on without its facts. Secrets that the
    process knows are hidden.
    """
    environment = os.environ
    labels = {**ci_facts(environment), **git_facts(environment), **scenario.labels}
    return replace(scenario, labels={name: cover(value) for name, value in labels.items()})


def ci_facts(environment: Mapping[str, str]) -> dict[str, str]:
    """Return which CI service runs this, and its commit, branch, run, job and address."""
    for service, (sign, templates) in _CI.items():
        if environment.get(sign, "") not in ("", "false"):
            filled = {
                name: next(_filled(template, environment), "")
                for name, template in zip(_NAMES, templates, strict=True)
            }
            return _usable({"ci": service, **filled})
    return {}


def git_facts(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the commit and branch of the repository around us, and "dirty".

    Only changes of tracked files make it dirty. Without a repository nothing is returned.
    """
    # no lock is taken, no program of the repository's configuration is started
    environment = {**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    status = ("status", "--porcelain=v2", "--branch", "--untracked-files=no")
    output = _git(*status, environment=environment, within_s=_GIT_S)
    if output is None:
        commit = _git("rev-parse", "HEAD", environment=environment, within_s=_COMMIT_S)
        return _usable({"commit": (commit or "").strip()})
    lines = output.splitlines()
    facts = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = facts.get("branch.oid", ""), facts.get("branch.head", "")
    if not commit or commit == "(initial)":
        return {}
    dirty = any(not line.startswith("#") for line in lines)
    branch = "" if branch == "(detached)" else branch
    return _usable({"commit": commit, "branch": branch, "dirty": str(dirty).lower()})


def _git(*words: str, environment: Mapping[str, str], within_s: float) -> str | None:
    """Return the output of git; "" if it fails or is not there, None if it takes too long."""
    try:
        done = subprocess.run(  # noqa: S603  # no shell, no word of the user's
            ["git", "-c", "core.fsmonitor=false", *words],  # noqa: S607  # the user's own
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except (OSError, ValueError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _filled(template: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield each of several templates whose variables are all set, filled in."""
    for each in template.split("|"):
        try:
            text = each.format_map({k: v for k, v in environment.items() if v})
        except KeyError:
            continue
        if text:
            yield text


def _usable(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the facts that are valid as labels: odd variables must not fail a run."""
    return {name: value for name, value in facts.items() if label_trouble(name, value) is None}
