from __future__ import annotations

import pytest

from loadcheck.cli.exits import Exit, acknowledged, run_command
from loadcheck.errors import InputError, Problem, SaveError, TargetError
from loadcheck.secrets import keep


def raising(error: BaseException) -> int:
    def command() -> None:
        raise error

    return run_command(command)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError(Problem(message="bad")), Exit.USAGE),
        (ExceptionGroup("tasks", [InputError(Problem(message="bad"))]), Exit.USAGE),
        (TargetError("it did not start"), Exit.UNKNOWN),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), Exit.INTERRUPTED),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt(), ValueError("x")]), Exit.BUG),
        (ZeroDivisionError(), Exit.BUG),
        (SystemExit(3), Exit.UNKNOWN),
        (SystemExit(), Exit.PASS),
    ],
)
def test_what_ends_a_command_has_an_exit_code(error: BaseException, code: Exit) -> None:
    assert raising(error) == code


def test_every_problem_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    raising(InputError([Problem(message="one", file="a", line=3), Problem(message="two")]))
    assert capsys.readouterr().err == "error: a:3: one\nerror: two\n"


def test_a_traceback_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    keep({"hunter2-hunter2"})
    assert raising(RuntimeError("the key hunter2-hunter2 broke it")) == Exit.BUG
    said = capsys.readouterr().err
    assert "hunter2" not in said
    assert "the key *** broke it" in said
    assert "bug in loadcheck" in said


def test_of_a_secret_that_begins_with_another_nothing_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep([f"begins{end}" for end in ("", "-a", "-a-b", "-a-b-c", "-a-b-c-d")])
    raising(RuntimeError("begins-a-b-c-d, begins-a"))
    assert "RuntimeError: ***, ***\n" in capsys.readouterr().err


def test_a_secret_is_covered_as_python_quotes_it(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "back\\slash\nline"
    keep([secret])
    raising(KeyError(secret))
    assert "KeyError: '***'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [InputError(Problem(message="no key-of-12-34 here")), TargetError("key-of-12-34")]
)
def test_no_message_shows_a_secret(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    keep(["key-of-12-34"])
    raising(error)
    said = capsys.readouterr().err
    assert "key-of-12-34" not in said
    assert "***" in said


def test_an_interruption_is_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise KeyboardInterrupt

    assert run_command(acknowledged(command)) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted.\n"


def test_what_could_not_be_saved_is_no_bad_input() -> None:
    assert raising(SaveError(Problem(message="full"))) == Exit.UNSAVED
