"""The real command in a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

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

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command: warnings are errors there too."""
        return {**os.environ, "PYTHONWARNINGS": "error", "COLUMNS": "120", **(extra or {})}

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 90
    ) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "loadcheck", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(env),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return Ended(done.returncode, done.stdout, done.stderr, self.results())

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            [sys.executable, "-m", "loadcheck", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(env),
            text=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )
        self._started.append(process)
        return process

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
