"""The commands as a whole."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from loadcheck import __version__
from loadcheck.cli.app import app, call
from loadcheck.cli.overrides import scenario_keys
from loadcheck.emulator.config.faults import KINDS

COMMANDS = sorted(typer.main.get_group(app).commands)


def test_the_version_is_that_of_the_package() -> None:
    for option in ("--version", "-V"):
        assert CliRunner().invoke(app, [option]).stdout == f"loadcheck {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_says_what_it_is_for(name: str, option: str) -> None:
    done = CliRunner().invoke(app, [name, option])
    assert done.exit_code == 0
    assert f"Usage: loadcheck {name}" in done.stdout.replace("Usage: root", "Usage: loadcheck")


def test_every_option_and_argument_is_explained() -> None:
    for name, command in typer.main.get_group(app).commands.items():
        assert command.help, name
        for each in command.params:
            assert getattr(each, "help", None), f"{name} {each.name}"


def test_help_is_printed_as_it_is_written() -> None:
    """What stands in brackets would be taken for rich's markup, and not be printed."""
    for name, command in typer.main.get_group(app).commands.items():
        texts = [
            command.help or "",
            *(getattr(each, "help", None) or "" for each in command.params),
        ]
        assert [text for text in texts if re.search(r"(?<!\\)\[", text)] == [], name


def test_to_list_the_commands_takes_no_room_of_the_house_but_light_ones() -> None:
    code = "import loadcheck.cli.app, sys; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(ran.stdout.split())
    rooms = {name.split(".")[1] for name in names if name.startswith("loadcheck.")}
    assert rooms == {"cli", "documents", "errors", "result", "secrets"}
    assert not {"anyio", "httpx", "numpy", "orjson", "pydantic", "yaml"} & names


def test_without_a_command_the_help_is_shown() -> None:
    said = CliRunner().invoke(app, [])
    assert "Exit codes" in said.output
    commands = typer.main.get_group(app).commands.values()
    assert all(each.name in said.output for each in commands if not each.hidden and each.name)


def test_the_emulator_names_every_fault_that_it_has() -> None:
    said = typer.main.get_group(app).commands["emulate"].help or ""
    assert [kind for kind in KINDS if not re.search(rf"\b{kind}\b", said)] == []


def test_every_command_has_an_example() -> None:
    for name, command in typer.main.get_group(app).commands.items():
        if not command.hidden:
            assert f"loadcheck {name}" in (command.epilog or ""), name


def test_commands_stand_in_order_of_use() -> None:
    shown = [
        name for name, command in typer.main.get_group(app).commands.items() if not command.hidden
    ]
    assert shown.index("init") < shown.index("check") < shown.index("run") < shown.index("show")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", {"load.", "target.", "thresholds=", "seed="}),
        ("lo", {"load."}),
        ("load.", {"load.rate=", "load.model=", "load.stages="}),
        ("load.stages.0.r", {"load.stages.0.rate=", "load.stages.0.ramp_to="}),
        ("verify.dead", {"verify.deadline="}),
        ("nothing", set()),
    ],
)
def test_keys_of_set_are_completed(typed: str, offered: set[str]) -> None:
    found = scenario_keys(typed)
    assert offered <= set(found)
    assert all(key.startswith(typed) for key in found)
    if not offered:
        assert not found


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runn", "x"], "no such command 'runn'; did you mean 'run' or 'prune'?"),
        (["prune", "--keep", "x"], "invalid value for '--keep': expected a whole number; see"),
        (["list", "--sort", "x"], "invalid value for '--sort': 'x' is not one of 'when', "),
    ],
)
def test_a_mistake_in_an_option_is_told_in_our_words(
    words: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["loadcheck", *words])
    with pytest.raises(SystemExit, match="2"):
        call()
    assert capsys.readouterr().err.startswith(f"error: {says}")
