"""The README is a promise: what it shows is what there is."""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path

import pytest

from loadcheck.report import terminal
from loadcheck.result.store import read
from tests.pictures import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "results" / "example-burst.json"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


def test_the_scenario_shown_is_part_of_the_scenario_shipped() -> None:
    shipped = (ROOT / "scenarios" / "burst.toml").read_text()
    (shown,) = (text for text in blocks("toml") if "[[load.stages]]" in text)
    assert shown in shipped


def test_the_terminal_pictured_is_that_of_the_example_shipped() -> None:
    assert "![A run in the terminal](.github/pictures/terminal.svg)" in README
    drawn = (ROOT / ".github" / "pictures" / "terminal.svg").read_text()
    pictured = html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawn)))
    printed = terminal.summary(
        read(EXAMPLE), color=False, width=COLUMNS, paths=["results/example-burst.json"]
    )
    assert pictured.split()[-len(printed.split()) :] == printed.split()


def test_the_example_is_a_passed_run_of_the_scenario_shown() -> None:
    example = read(EXAMPLE)
    assert (example["verdict"], example["run"]["phase"]) == ("pass", "complete")
    shipped = tomllib.loads((ROOT / "scenarios" / "burst.toml").read_text())
    assert example["scenario"]["load"] == shipped["load"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "scenarios").glob("*.toml")))
def test_every_scenario_shipped_is_told_of(name: str) -> None:
    assert re.search(rf"^\| [^|]*`{name}`[^|]* \|", README, re.MULTILINE)


def test_both_commands_are_one_line_each_and_do_their_own_set_up() -> None:
    commands = [line for text in blocks("sh") for line in text.splitlines()]
    complete = [line for line in commands if line.startswith("python3 -m venv ")]
    assert len(complete) == 2
    assert complete[0].endswith("loadcheck run scenarios/burst.toml")
    assert "pytest" in complete[1]


def test_it_is_short() -> None:
    """More than this nobody reads; the rest is in the reference."""
    assert len(README.splitlines()) < 450


def test_every_command_shown_exists() -> None:
    from loadcheck.cli.app import app  # noqa: PLC0415

    known = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback is not None
    }
    said = set(re.findall(r"(?:bin/|`|\n)loadcheck (\w+)", README))
    assert said
    assert said <= known
