"""The exceptions a caller may meet, and the problem they carry.

::

    LoadcheckError              anything this package raises on purpose
    ├── InputError              the user's input cannot be used: exit 2, nothing sent
    │   ├── ScenarioError       a scenario file, or an override of one
    │   ├── WorkflowError       an Arazzo or OpenAPI document
    │   ├── ResultFileError     a results file
    │   │   └── SaveError       one that could not be written after all: exit 74
    │   ├── DraftError          an API that no scenario can be drafted from
    │   └── ConsentError        a target that is not this machine, without the user's consent
    └── TargetError             the embedded emulator did not start, or ended early

Whatever else escapes is a bug of ours and exits 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from loadcheck.escaping import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written.

    Attributes:
        file: The scenario or profile as the user named it, or the override: ``--set seed=7``.
        line: The line in that file, counted from 1; None for an override.
        key: The dotted key as it counts in that file: list entries are numbered from 0.
    """

    file: str
    line: int | None
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input, told so that the user can mend it.

    Attributes:
        message: What is wrong, in a few words, without a full stop.
        file: The file as the user named it, or a description of the source; "" if there is none.
        line: The line in that file, counted from 1; None if unknown.
        key: Where in the document: a dotted TOML key or a JSON Pointer; "" for the whole.
        remedy: What was expected, or the nearest valid name; "" if the message says it all.
        section: The section of the specification that rules it; "" if it is our own rule.
        severity: An error stops the run, a warning is shown and recorded.
    """

    message: str
    file: str = ""
    line: int | None = None
    key: str = ""
    remedy: str = ""
    section: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        if self.remedy:
            text += f"; {self.remedy}"
        return printable(f"{text} [{self.section}]" if self.section else text)


class LoadcheckError(Exception):
    """The root of everything this package raises on purpose."""


class InputError(LoadcheckError):
    """The user's input cannot be used; every problem found is in :attr:`problems`."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__("\n".join(map(str, self.problems)))


class ScenarioError(InputError):
    """A scenario file, or a value that overrides one, is not usable."""


class WorkflowError(InputError):
    """An Arazzo document, or a description it refers to, is not usable."""


class ResultFileError(InputError):
    """A results file cannot be read or written."""


class SaveError(ResultFileError):
    """A file that could be written when it was claimed could not be written in the end."""


class DraftError(InputError):
    """What there is of an API does not tell how data goes in and how it is counted."""


class ConsentError(InputError):
    """The run would leave this machine and the user has not said that it may."""


class TargetError(LoadcheckError):
    """The target cannot be used: the emulator did not start, the set-up failed."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return a remedy that names the valid word nearest to ``name``, or lists all of them."""
    known = sorted(valid)
    near = [word for word in known if word.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "expected one of " + ", ".join(known) if known else ""
