"""Generates the man page and the shell completions from the commands.

They are stored in ``loadcheck/share`` as the wheel installs them; a test keeps them equal to what
this module returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadcheck import __version__
from loadcheck.cli.exits import MEANINGS as EXITS
from loadcheck.emulator.process import KEY_VARIABLES

_KEY, _SECRET = KEY_VARIABLES
_ENVIRONMENT: Final[Mapping[str, str]] = {
    _KEY: "The key of the project that reconcile asks.",
    _SECRET: "The secret that belongs to it.",
    "NO_COLOR": "If set, nothing is colored.",
    "FORCE_COLOR": "If set, what goes into a file or a pipe is colored, too.",
}
_FILES: Final[Mapping[str, str]] = {
    "scenarios/*.toml": "What is to be sent, and what must hold. loadcheck explain lists its keys.",
    "results/*.json": "Results: all that show, report, compare, export and reconcile read.",
}
_COMPLETIONS: Final = {
    "bash": "bash-completion/completions/loadcheck",
    "zsh": "zsh/site-functions/_loadcheck",
    "fish": "fish/vendor_completions.d/loadcheck.fish",
}


def files() -> dict[str, str]:
    """Return the files that a package installs below ``share``: text by path."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415

    found = {"man/man1/loadcheck.1": man_page()}
    for shell, path in _COMPLETIONS.items():
        script = get_completion_script(
            prog_name="loadcheck", complete_var="_LOADCHECK_COMPLETE", shell=shell
        )
        found[path] = f"{script.strip()}\n"
    return found


def man_page() -> str:
    """Return the man page of all commands, in the format of man(7)."""
    from typer.main import get_command  # noqa: PLC0415

    from loadcheck.cli.app import app  # noqa: PLC0415  # it imports all commands

    group: Any = get_command(app)
    lines = [
        f'.TH LOADCHECK 1 "" "loadcheck {__version__}" "loadcheck"',
        ".nh",
        ".ad l",
        ".SH NAME",
        r"loadcheck \- a load generator that proves its load arrived",
        ".SH SYNOPSIS",
        r".B loadcheck",
        r".I COMMAND",
        r"[\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        _plain(
            "loadcheck sends many concurrent copies of an API workflow, each with a user id of its "
            "own, and then asks the service which users it has counted: which are lost, which are "
            "counted twice, and how late each became visible."
        ),
        ".SH COMMANDS",
    ]
    for name, command in group.commands.items():
        if not command.hidden:
            lines += _command(name, command)
    lines += [".SH EXIT STATUS", *_listed({str(int(code)): says for code, says in EXITS.items()})]
    lines += [".SH ENVIRONMENT", *_listed(_ENVIRONMENT), ".SH FILES", *_listed(_FILES)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = " ".join(_argument(each) for each in arguments)
    yield f".SS loadcheck {name} {_plain(words)}".rstrip()
    for number, paragraph in enumerate(_paragraphs(command.help)):
        yield from (".PP",) if number else ()
        yield _plain(paragraph)
    for each in [*arguments, *options]:
        if each.param_type_name == "option":
            label = ", ".join([*each.opts, *each.secondary_opts])
            label = rf"\fB{_plain(label)}\fR"
        else:
            label = rf"\fI{_plain(_argument(each))}\fR"
        if each.help:
            yield from (".TP", label, _plain(" ".join(each.help.split())))
    examples = _paragraphs(command.epilog)[1:]
    if examples:
        yield from (".PP", "Examples:", ".PP", ".nf", *map(_plain, examples), ".fi")


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    more = "..." if parameter.nargs == -1 and not name.endswith(("...", "…", "…]")) else ""
    return f"{name}{more}"


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(each.split()) for each in re.split(r"\n\s*\n|\f", text or "") if each.strip()]


def _listed(entries: Mapping[str, str]) -> Iterator[str]:
    for name, says in entries.items():
        yield from (".TP", rf"\fB{_plain(name)}\fR", _plain(says))


def _plain(text: str) -> str:
    """Return text escaped for man(7); its brackets may be escaped for rich."""
    escaped = text.replace("\\[", "[").replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
