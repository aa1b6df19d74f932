"""The identity of a copy: pure functions of the run and the copy's number, so nothing is stored.

A scenario refers to it by expressions beyond Arazzo's: ``$copy.userId``, ``$copy.insertId``,
``$copy.number``, ``$copy.time`` and the labels of :class:`Buckets` differ per copy
(``$copy.userUuid``, ``$copy.insertUuid`` and ``$copy.isoTime`` are the same for services that
require UUIDs and RFC 3339); ``$run.id``, ``$run.startDay`` and ``$run.endDay`` (YYYYMMDD;
``$run.startDate`` and ``$run.endDate``: YYYY-MM-DD) are the same for a whole run; ``$query.number``
differs per query of the observer. ``$target.<name>`` is supplied by the target itself (the embedded
emulator: ``apiKey`` and ``secretKey``).

Buckets show which copies are missing, by counting per bucket. Every copy is in one bucket of each
*partition*: one partition is by send order, the others by independent keyed hashes of the number. A
scenario refers to the labels as ``$copy.sequence`` and ``$copy.bucket1`` … ``$copy.bucket15``.

There are fewer buckets than the 1,000 rows to which services limit a group-by, so that a full
answer proves that no group was left out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadcheck import secrets
from loadcheck.data import Variety, Visits
from loadcheck.data.users import UserIds, uuid_number
from loadcheck.documents.document import MISSING


class SharedOutputs:
    """Outputs of the workflow of ``[setup]``, for all copies and queries: ``$setup.outputs.NAME``.

    The values are replaced as a whole, so that old and new ones are never mixed.

    Args:
        workflow: The workflow; "" if there is none.
        names: The names of its outputs.
        public: The names of those that are not secret.

    Attributes:
        values: The outputs by name; empty before the workflow has run.
        hidden: All secret texts among them, including those that were replaced.
    """

    def __init__(
        self, workflow: str = "", names: Collection[str] = (), public: Collection[str] = ()
    ) -> None:
        self.workflow = workflow
        self.names = tuple(names)
        self._public = frozenset(public)
        self.values: Mapping[str, Any] = {}
        self.hidden: frozenset[str] = frozenset()

    def reader(self, name: str) -> Callable[[Any], Any]:
        """Return a function that returns an output, ignoring the frame it is given."""
        return lambda _: self.values.get(name, MISSING)

    def take(self, values: Mapping[str, Any], passed: Iterable[Any] = ()) -> None:
        """Replace the values.

        Args:
            values: The outputs by name.
            passed: Further secret values: those that its steps passed to each other.
        """
        self.hide(values, passed)
        self.values = dict(values)

    def hide(self, values: Mapping[str, Any], passed: Iterable[Any] = ()) -> None:
        """Register values as secrets, except those of public outputs."""
        shown = {word for name in self._public for word in texts_in(values.get(name))}
        secret = [values[name] for name in values if name not in self._public]
        self.hidden |= {word for value in (*secret, *passed) for word in texts_in(value)} - shown
        secrets.keep(self.hidden)

    @contextlib.contextmanager
    def assumed(self) -> Iterator[None]:
        """Replace every output by its expression within a ``with`` block, to show a request."""
        before = self.values
        self.values = {name: f"$setup.outputs.{name}" for name in self.names}
        try:
            yield
        finally:
            self.values = before


_LONG_NUMBER: Final = 10**7


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value that are long enough to redact, long numbers included."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str) and len(value.strip()) >= secrets.SHORTEST:
        yield value
    elif isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        yield str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that is the same for all copies of one run.

    Attributes:
        id: 12 characters of a-z and 0-9, unique to the run.
        start_day: First day of the query window, YYYYMMDD.
        end_day: Last day of the query window, YYYYMMDD.
        target: Values that the target supplies, by name. They are secrets.
        copies: How many copies there will be; None if that is not known beforehand.
        users: Id of the run whose users ``$copy.userId`` gives; None: this run.
        variety: Data files and drawn values.
        user_ids: How users are named.
        visits: Uploads and their users; None: each copy makes one upload for a user of its own.
        shared: Outputs of ``[setup]``.
    """

    id: str
    start_day: str
    end_day: str
    target: Mapping[str, str] = field(default_factory=dict)
    copies: int | None = None
    users: str | None = None
    variety: Variety = field(default_factory=Variety)
    user_ids: UserIds = field(default_factory=UserIds)
    visits: Visits | None = None
    shared: SharedOutputs = field(default_factory=SharedOutputs, compare=False)

    @property
    def most_uploads(self) -> int | None:
        """The size of the range of upload numbers; None if it is not known beforehand."""
        each = 1 if self.visits is None else self.visits.most
        return self.copies and self.copies * each

    def user_id(self, number: int) -> str:
        """Return the id of the user of copy ``number``, as ``$copy.userId`` gives it."""
        return self.user_ids.of(self.users or self.id, number)

    def user_number(self, text: str) -> int | None:
        """Return the number of the copy that has a user id or UUID; None if no copy has it."""
        run_id = self.users or self.id
        number = self.user_ids.number(run_id, text)
        for purpose in ("user", "insert") if number is None else ():
            number = uuid_number(run_id if purpose == "user" else self.id, text, purpose)
            if number is not None:
                break
        return number


def insert_id(run_id: str, number: int) -> str:
    """Return the deduplication key of copy ``number``, the same in every retry."""
    return f"{run_id}-{number}"


BUCKETS: Final = 990
"""Buckets of a hashed partition."""
SEQUENCES: Final = 900
"""Most buckets in send order."""
MOST_PARTITIONS: Final = 15
SEQUENCE: Final = "sequence"
NAMES: Final = (SEQUENCE, *(f"bucket{index}" for index in range(1, MOST_PARTITIONS + 1)))

_DIGITS: Final = 5
"""Base-990 digits taken from one 64-bit hash: a sixth would be noticeably uneven."""
_MASK: Final = 2**64 - 1
_STEP: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_STEPS_PER_OCTAVE: Final = 32

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The partitions of one run.

    Attributes:
        run_id: The run's id, the key of the hashes.
        copies: How many copies there will be; None if that is not known beforehand: then buckets
            in send order grow, each to about 1/32 of the copies before it.
    """

    run_id: str
    copies: int | None = None

    @property
    def width(self) -> int | None:
        """Copies in a bucket in send order; None if buckets grow."""
        return None if self.copies is None else max(1, -(-self.copies // SEQUENCES))

    def sequence(self, number: int) -> int:
        """Return the bucket of a copy in send order."""
        width = self.width
        if width is not None:
            return min(number // width, SEQUENCES - 1)
        if number < 2 * _STEPS_PER_OCTAVE:
            return number
        octave = number.bit_length() - 6
        return min(octave * _STEPS_PER_OCTAVE + (number >> octave), SEQUENCES - 1)

    def hashed(self, number: int, word: int) -> list[int]:
        """Return the buckets of a copy in the five partitions of hash number ``word``, from 0."""
        mixed = (number * _STEP + _key(self.run_id, word)) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * _MIX_1) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * _MIX_2) & _MASK
        mixed ^= mixed >> 31
        found = []
        for _ in range(_DIGITS):
            mixed, digit = divmod(mixed, BUCKETS)
            found.append(digit)
        return found

    def bucket(self, number: int, name: str) -> int:
        """Return the bucket of a copy in one partition, by the partition's name."""
        if name == SEQUENCE:
            return self.sequence(number)
        word, digit = place(name)
        return self.hashed(number, word)[digit]

    def column(self, numbers: Numbers, name: str) -> Numbers:
        """Return the buckets of many copies in one partition."""
        if name == SEQUENCE:
            return self._sequences(numbers)
        word, digit = place(name)
        mixed = numbers.astype(np.uint64) * np.uint64(_STEP)
        mixed += np.uint64(_key(self.run_id, word))
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(_MIX_1)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(_MIX_2)
        mixed ^= mixed >> np.uint64(31)
        mixed //= np.uint64(BUCKETS**digit)
        found: Numbers = (mixed % np.uint64(BUCKETS)).astype(np.int64)
        return found

    def _sequences(self, numbers: Numbers) -> Numbers:
        width = self.width
        if width is not None:
            return np.minimum(numbers // width, SEQUENCES - 1)
        # frexp's exponent is the bit length; exact below 2**53
        lengths = np.frexp(numbers.astype(np.float64))[1].astype(np.int64)
        octaves = np.maximum(lengths - 6, 0)
        found: Numbers = octaves * _STEPS_PER_OCTAVE + (numbers >> octaves)
        return np.minimum(found, SEQUENCES - 1)

    def first(self, sequence: int) -> int:
        """Return the first copy of a bucket in send order: the end of the bucket before it."""
        width = self.width
        if width is not None:
            return sequence * width
        octave = max(0, sequence // _STEPS_PER_OCTAVE - 1)
        return (sequence - octave * _STEPS_PER_OCTAVE) << octave


def bucket_writer(
    buckets: Buckets, names: Collection[str], number: int, start: int
) -> Callable[[list[Any]], None]:
    """Return a function that puts a copy's buckets into a frame, in the order of :data:`NAMES`.

    Args:
        buckets: The run's partitions.
        names: The partitions that are needed.
        number: Index of the copy's number in the frame.
        start: Index of the first bucket.
    """
    ordered = SEQUENCE in names
    words = sorted({place(name)[0] for name in names if name != SEQUENCE})
    slots = [
        (word, slice(start + 1 + word * _DIGITS, start + 1 + (word + 1) * _DIGITS))
        for word in words
    ]

    def fill(frame: list[Any]) -> None:
        copy = frame[number]
        if ordered:
            frame[start] = buckets.sequence(copy)
        for word, slot in slots:
            frame[slot] = buckets.hashed(copy, word)

    return fill


def place(name: str) -> tuple[int, int]:
    """Return the number of the hash that a partition belongs to, and of its digit, from 0."""
    return divmod(int(name.removeprefix("bucket")) - 1, _DIGITS)


def label(name: str, bucket: int) -> str:
    """Return the label of a bucket; its first letter keeps services from taking it for a number."""
    return prefix(name) + str(bucket)


def prefix(name: str) -> str:
    """Return the letter that the labels of a partition begin with."""
    return name[0]


def read_label(name: str, text: str) -> int | None:
    """Return the bucket of a label; None if it is not a label of this partition."""
    digits = text[1:]
    if text[:1] != prefix(name) or not (digits.isascii() and digits.isdigit()):
        return None
    bucket = int(digits)
    known = bucket < size(name) and str(bucket) == digits
    return bucket if known else None


def size(name: str) -> int:
    """Return the most buckets that a partition may have."""
    return SEQUENCES if name == SEQUENCE else BUCKETS


def partitions(count: int) -> tuple[str, ...]:
    """Return the names of the partition in send order and of ``count`` hashed ones."""
    return NAMES[: count + 1]


@functools.lru_cache(maxsize=64)
def _key(run_id: str, word: int) -> int:
    digest = hashlib.blake2b(f"{run_id}/{word}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
