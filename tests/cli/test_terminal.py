"""What commands print, and where."""

from __future__ import annotations

import io

import pytest

from loadcheck.cli import terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("environment", "tty", "pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),  # no-color.org: only when it is not empty
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_a_terminal_is_coloured_unless_told_otherwise(
    environment: dict[str, str], tty: bool, pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_color(Tty()) is tty
    assert terminal.has_color(io.StringIO()) is pipe


@pytest.mark.parametrize(
    ("columns", "width"), [("1", 60), ("60", 60), ("101", 101), ("140", 140), ("400", 140)]
)
def test_lines_are_neither_too_short_nor_too_long_to_read(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width() == width


@pytest.mark.parametrize(("term", "drawable"), [("xterm", True), ("dumb", False), ("", True)])
def test_a_dumb_terminal_gets_plain_lines(
    term: str, drawable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert terminal.is_drawable(Tty()) is drawable
    assert not terminal.is_drawable(io.StringIO())


def test_what_is_no_terminal_has_a_size_all_the_same() -> None:
    assert terminal.size(io.StringIO()) == (80, 24)
