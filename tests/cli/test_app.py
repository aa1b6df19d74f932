"""The commands as a whole."""

from __future__ import annotations

import pytest
import typer.main
from typer.testing import CliRunner

from loadcheck import __version__
from loadcheck.cli.app import app

COMMANDS = sorted(typer.main.get_group(app).commands)


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"loadcheck {__version__}\n"


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


def test_without_a_command_the_help_is_shown() -> None:
    said = CliRunner().invoke(app, [])
    assert "Exit codes" in said.output
    assert all(name in said.output for name in COMMANDS)
