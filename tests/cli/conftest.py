"""The real command in a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadcheck.cli.exits import Exit
from tests.cli.forked import Forks

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    results: list[Path]

    @property
    def result(self) -> dict[str, Any]:
        """The only results file that was written."""
        assert len(self.results) == 1, (self.results, self.stderr)
        document: dict[str, Any] = orjson.loads(self.results[0].read_bytes())
        return document


class Loadcheck:
    """Runs ``loadcheck`` in a folder; results go to ``results/`` there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self._codes: list[int] = []

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command: warnings are errors there too."""
        return {**os.environ, "PYTHONWARNINGS": "error", "COLUMNS": "120", **(extra or {})}

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 90
    ) -> Ended:
        """Run a command to its end."""
        words, environment = [*map(str, arguments)], self.environment(env)
        if Forks.can(environment):
            done = Forks.shared().run(words, self.folder, environment, timeout_s)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "loadcheck", *words],
                cwd=self.folder,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        self._codes.append(done.returncode)
        return Ended(done.returncode, done.stdout, done.stderr, self.results())

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        environment = self.environment(env)
        if "preexec_fn" in options:
            # where files may not grow, a compiled module would be cut short, for all that follow
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        process = subprocess.Popen(
            [sys.executable, "-m", "loadcheck", *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            text=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )
        self._started.append(process)
        return process

    @property
    def crashed(self) -> bool:
        """Whether a command has ended with an error of its own."""
        codes = [*self._codes, *(process.returncode for process in self._started)]
        return Exit.BUG in codes

    def close(self) -> None:
        """End what a test that failed has left running."""
        for process in self._started:
            process.kill()
            process.communicate()

    def results(self) -> list[Path]:
        """Return the results files, oldest first."""
        return sorted(
            (self.folder / "results").glob("[!.]*"), key=lambda path: path.stat().st_mtime
        )


@pytest.fixture
def loadcheck(tmp_path: Path) -> Iterator[Loadcheck]:
    command = Loadcheck(tmp_path)
    yield command
    command.close()


@pytest.fixture
def smoke() -> Path:
    """Return a scenario of 200 users in two seconds."""
    return SCENARIOS / "smoke.toml"


KEYS = {"AMPLITUDE_API_KEY": "key-of-a-test", "AMPLITUDE_SECRET_KEY": "secret-of-a-test"}


@dataclass(frozen=True)
class Service:
    """An emulator that outlives the runs against it."""

    url: str
    control: str

    def options(self, **values: object) -> list[str]:
        """Return the options that send a scenario to it, and further values."""
        url = f'"{self.url}"'
        values = {
            "target": f'{{kind="live", servers={{httpV2Api={url}, dashboardRestApi={url}}}}}',
            "inputs.apiKey": '{env="AMPLITUDE_API_KEY"}',
            "inputs.basicAuth": '{basic={username={env="AMPLITUDE_API_KEY"}, '
            'password={env="AMPLITUDE_SECRET_KEY"}}}',
            "verify.localize": "true",
            "verify.deadline": "2s",
            "thresholds": '["lost == 0"]',
            **values,
        }
        return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]

    def call(self, method: str, path: str, **body: object) -> Any:
        request = urllib.request.Request(
            f"{self.control}/{path}", method=method, data=json.dumps(body).encode() or None
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return orjson.loads(answer.read())

    def later(self, time_: str) -> None:
        """Move its clock ahead."""
        self.call("POST", "clock", advance=time_)


@contextmanager
def serving(**changes: Any) -> Iterator[Service]:
    """Run an emulator for the length of a block."""
    config = {
        "visibility_delay": "100ms",
        "api_key": KEYS["AMPLITUDE_API_KEY"],
        "secret_key": KEYS["AMPLITUDE_SECRET_KEY"],
        **changes,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "loadcheck.emulator", "--embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps(config) + b"\n")
    process.stdin.flush()
    ready = orjson.loads(process.stdout.readline())
    yield Service(ready["url"], ready["control"])
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    process.stdout.close()


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with serving(**getattr(request, "param", {})) as made:
        yield made
