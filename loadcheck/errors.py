"""The exceptions that callers may meet, and the problems they carry.

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

Any other exception that escapes is a bug in loadcheck and exits 70.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Unicode categories Cc, Cf, Zl, Zp, Cs and what XML does not allow; a test checks them
_UNPRINTABLE: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f"
)
_ANY: Final = re.compile(f"[{_UNPRINTABLE}]")
_BUT_LINES: Final = re.compile(f"(?!\n)[{_UNPRINTABLE}]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_BREAKS: Final = re.compile(r"\r\n|[\n\r\t]")
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r|%]")
_NUMBER: Final = re.compile(r"[+\-]?[0-9.,]+(?:[eE][+\-]?[0-9]+)?")


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with invisible and control characters escaped.

    Args:
        text: Any text.
        lines: Leave line breaks as they are.
    """
    return (_BUT_LINES if lines else _ANY).sub(_spelt, text)


def printable_document(value: Any) -> Any:
    """Return a JSON value with all its texts, keys included, made printable and single-line."""
    if isinstance(value, str):
        return printable(_BREAKS.sub(" ", value))
    if isinstance(value, Mapping):
        return {
            printable_document(key) if isinstance(key, str) else key: printable_document(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [printable_document(item) for item in value]
    return value


def printable_json(value: Any, option: int = 0) -> bytes:
    """Return a value as JSON text in UTF-8, with invisible characters escaped.

    Surrogates, such as those for an undecodable byte of a file's name, are spelt out.

    Args:
        value: Anything that JSON can hold.
        option: Options of orjson.
    """
    import orjson  # noqa: PLC0415 - slow to import

    try:
        data = orjson.dumps(value, option=option)
    except TypeError:
        data = orjson.dumps(_without_surrogates(value), option=option)
    if data.isascii() and b"\x7f" not in data:
        return data  # JSON has no control characters but line breaks between its tokens
    return _BUT_LINES.sub(_as_json, data.decode()).encode()


def cell(value: object) -> object:
    """Return a value for a spreadsheet's cell, so that no text in it is taken as a formula."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else shown


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub(_spelt, value)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(each) for each in value]
    return value


def _spelt(found: re.Match[str]) -> str:
    character = found[0]
    short = _SHORT.get(character)
    if short is not None:
        return short
    point = ord(character)
    if point <= ord("\xff"):
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= ord("\uffff") else f"\\U{point:08x}"


def _as_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_SINGULAR: Final = {"were": "was", "are": "is", "have": "has"}


def innermost(error: BaseException) -> BaseException:
    """Return the first exception that task groups have wrapped; an interrupt only if alone."""
    found = _flat(error)
    return next((each for each in found if not isinstance(each, KeyboardInterrupt)), found[0])


def _flat(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for part in error.exceptions for inner in _flat(part)]
    return [error]


def many(number: float | str | None, words: str) -> str:
    """Return a number and what it counts: ``1 copy was``, ``2,000 copies were``.

    Args:
        number: The number, or how it is shown; None if it is not known, shown as a dash.
        words: What it counts, in the plural, and the verb if one follows.
    """
    if number is None:
        return f"– {words}"
    shown = number if isinstance(number, str) else f"{number:,.0f}"
    return f"{shown} {words if shown != '1' else ' '.join(map(_singular, words.split()))}"


def all_of(number: float | str | None, words: str, *, start: bool = False) -> str:
    """Return a phrase for all of a number: ``all 20 users were``, ``the only user was``.

    Args:
        number: The number; None if it is not known.
        words: What it counts, as for :func:`many`.
        start: Whether a sentence begins with it.
    """
    text = many(number, words)
    text = f"the only{text[1:]}" if text.startswith("1 ") else f"all {text}"
    return text[0].upper() + text[1:] if start else text


def _singular(word: str) -> str:
    if word in _SINGULAR:
        return _SINGULAR[word]
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "sses", "xes")):
        return word[:-2]
    return word.removesuffix("s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a value was written.

    Attributes:
        file: The scenario or profile as the user named it, or the override: ``--set seed=7``.
        line: The line in that file, counted from 1; None for an override.
        key: The dotted key in that file; list entries are numbered from 0.
    """

    file: str
    line: int | None
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input, worded so that the user can fix it.

    Attributes:
        message: What is wrong, in a few words, without a full stop.
        file: The file as the user named it, or a description of the source; "" if there is none.
        line: The line in that file, counted from 1; None if unknown.
        key: Where in the document: a dotted TOML key or a JSON Pointer; "" for the whole.
        remedy: What was expected, or the nearest valid name; "" if the message says it all.
        section: The section of the specification with the rule; "" if the rule is our own.
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
    """Base class of everything that this package raises on purpose."""


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
    """The description of an API does not say how data is sent and how it is counted."""


class ConsentError(InputError):
    """The run would leave this machine, and the user has not consented."""


class TargetError(LoadcheckError):
    """The target cannot be used: the emulator did not start, the set-up failed."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a remedy that names the valid word nearest to ``name``; "" if none is near."""
    known = sorted(valid)
    near = [word for word in known if word.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return a remedy that names the valid word nearest to ``name``, or lists all of them."""
    known = sorted(valid)
    listed = "expected one of " + ", ".join(known) if known else ""
    return nearest(name, known) or listed
