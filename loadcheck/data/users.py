"""User ids: templates that give every copy an id of its own, and read the number back from it.

``{number}`` is the copy's number (``{number:07}``: with at least seven digits), ``{uuid}`` and
``{digits}`` encode the run and the number together, ``{run}`` is the run's id.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import orjson

DEFAULT: Final = "lc-{run}-{number:07}"
"""Longer than Amplitude's minimum of 5 characters."""
MOST_LENGTH: Final = 200

_WORD: Final = re.compile(r"\{([^{}]*)\}")
_NUMBER: Final = re.compile(r"number(?::0?([0-9]{1,2}))?")
_PLAIN: Final = re.compile(r"[A-Za-z0-9-]*")
_RUN: Final = re.compile(r"[a-z0-9-]+")
_MOST_WIDTH: Final = 18
_PER_RUN: Final = 10**9
"""Numbers that ``{digits}`` reserves for the copies of one run."""
_RUNS: Final = 9_007_199
_HIGH: Final = 2**60
_LOW: Final = 2**62
_STEP: Final = 0x9E3779B97F4A7C15
_FACTOR: Final = 0xBF58476D1CE4E5B
_INVERSE: Final = pow(_FACTOR, -1, _HIGH)
_SHIFT: Final = 31


class TemplateError(ValueError):
    """A template does not give every copy an id of its own."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def uuid_of(run_id: str, number: int, purpose: str) -> str:
    """Return a UUID of copy ``number``, the same in every retry; see :func:`uuid_number`.

    Args:
        run_id: The run's id.
        number: The copy's number.
        purpose: What the UUID identifies; a copy has a different one for each purpose.
    """
    first, second = _uuid_keys(run_id, purpose)
    # 60 bits are a keyed permutation of the number; 62 prove that the UUID is of this run
    high = (number + first) % _HIGH
    high = (high ^ high >> _SHIFT) * _FACTOR % _HIGH
    high ^= high >> _SHIFT
    low = (number * _STEP ^ second) % _LOW * _STEP
    low = (low ^ low >> _SHIFT) % _LOW
    text = f"{high:015x}{low | 2 << 62:016x}"
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-{text[15:19]}-{text[19:]}"


def uuid_number(run_id: str, text: str, purpose: str) -> int | None:
    """Return the number of the copy that a UUID belongs to; None if it is not of this run."""
    try:
        written = UUID(text).hex
    except ValueError:
        return None
    high = int(written[:12] + written[13:16], 16)
    high ^= high >> _SHIFT
    high = high * _INVERSE % _HIGH
    high ^= high >> _SHIFT
    number = (high - _uuid_keys(run_id, purpose)[0]) % _HIGH
    return number if uuid_of(run_id, number, purpose) == str(UUID(text)) else None


@functools.lru_cache(maxsize=64)
def _uuid_keys(run_id: str, purpose: str) -> tuple[int, int]:
    digest = hashlib.blake2b(f"{run_id}/{purpose}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


@functools.lru_cache(maxsize=64)
def _digits_of(run_id: str) -> int:
    digest = hashlib.blake2b(run_id.encode(), digest_size=8).digest()
    return (1 + int.from_bytes(digest, "big") % _RUNS) * _PER_RUN


class Written(NamedTuple):
    """How an id is formatted from the copy's number alone.

    Attributes:
        text: A printf-style format of the id.
        json: The same for the id as a JSON value.
        plain: Whether ids consist of letters, digits and "-" only, so that none needs escaping.
    """

    text: str
    json: bytes
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIds:
    """The user ids of a scenario.

    Attributes:
        template: Makes an id from the run's id and the copy's number.
        integer: Whether ids are numbers in JSON.
    """

    template: str = DEFAULT
    integer: bool = False

    def of(self, run_id: str, number: int) -> str:
        """Return the id of a copy's user."""
        return _WORD.sub(lambda match: _word(match[1], run_id, number), self.template)

    def number(self, run_id: str, text: str) -> int | None:
        """Return the number of the copy that has a user id; None if no copy of the run has it."""
        pattern = ""
        last = 0
        for match in _WORD.finditer(self.template):
            pattern += re.escape(self.template[last : match.start()])
            pattern += re.escape(run_id) if match[1] == "run" else "(.+)"
            last = match.end()
        found = re.fullmatch(pattern + re.escape(self.template[last:]), text, re.DOTALL)
        if found is None:
            return None
        number: int | None = None
        if "{uuid}" in self.template:
            number = uuid_number(run_id, found[1], "user")
        elif found[1].isascii() and found[1].isdigit():
            number = int(found[1])
            if "{digits}" in self.template:
                number -= _digits_of(run_id)
        fits = number is not None and number >= 0 and self.of(run_id, number) == text
        return number if fits else None

    @property
    def keyed(self) -> bool:
        """Whether ids depend on the run, so that no two runs share a user."""
        return any(word in self.template for word in ("{run}", "{uuid}", "{digits}"))

    def written(self, run_id: str) -> Written | None:
        """Return how to format an id from the copy's number; None if a format is not enough."""
        if "{uuid}" in self.template or "{digits}" in self.template:
            return None
        text, last = "", 0
        for match in _WORD.finditer(self.template):
            text += self.template[last : match.start()].replace("%", "%%")
            width = _NUMBER.fullmatch(match[1])
            text += run_id.replace("%", "%%") if width is None else f"%0{width[1] or 1}d"
            last = match.end()
        text += self.template[last:].replace("%", "%%")
        plain = all(_PLAIN.fullmatch(part) for part in _WORD.split(self.template)[::2])
        json = text.encode() if self.integer else orjson.dumps(text)
        return Written(text, json, plain and _RUN.fullmatch(run_id) is not None)


def _word(word: str, run_id: str, number: int) -> str:
    if word == "run":
        return run_id
    if word == "uuid":
        return uuid_of(run_id, number, "user")
    if word == "digits":
        return str(_digits_of(run_id) + number)
    match = _NUMBER.fullmatch(word)
    assert match is not None, word
    return f"{number:0{int(match[1] or 1)}d}"


def check_template(template: str, *, integer: bool) -> None:
    """Check that a template gives every copy an id of its own, which can be read back.

    Raises:
        TemplateError: It does not.
    """
    words = _WORD.findall(template)
    known = 'expected {number}, {number:07}, {uuid}, {digits} or {run}: "user-{run}-{number}"'
    for word in words:
        width = _NUMBER.fullmatch(word)
        if word not in {"run", "uuid", "digits"} and width is None:
            raise TemplateError(f"{{{word}}} is not a part of an id", known)
        if width is not None and int(width[1] or 1) > _MOST_WIDTH:
            raise TemplateError(f"{{{word}}} has more digits than a number", known)
    rest = _WORD.sub("", template)
    if "{" in rest or "}" in rest or not rest.isprintable() or len(template) > MOST_LENGTH:
        raise TemplateError("is not a text for an id", known)
    own = [word for word in words if word != "run"]
    if not own:
        raise TemplateError("every copy would have the same user: two collide", known)
    if len(own) > 1:
        raise TemplateError("more than one number: it could not be read back", known)
    if integer and template not in {"{number}", "{digits}"}:
        raise TemplateError(
            "is not a whole number", 'expected id = "{digits}" or "{number}", or type = "string"'
        )
