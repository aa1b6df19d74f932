from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario import load
from loadcheck.scenario.model import Scenario

Loads = Callable[..., Scenario]
Problems = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a workflow document, so that messages hold no other path."""
    (tmp_path / "w.yml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loads(folder: Path) -> Loads:
    """Load a scenario from its text, as the file s.toml."""

    def loads(text: str, *overrides: str, env: Mapping[str, str] | None = None) -> Scenario:
        (folder / "s.toml").write_text(text, encoding="utf-8")
        return load("s.toml", overrides=overrides, env=env or {})

    return loads


@pytest.fixture
def problems(loads: Loads) -> Problems:
    """Load what cannot be loaded; the problems in words."""

    def problems(text: str, *overrides: str, env: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ScenarioError) as caught:
            loads(text, *overrides, env=env)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return [str(problem) for problem in caught.value.problems]

    return problems
