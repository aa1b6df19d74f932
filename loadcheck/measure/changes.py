"""How records are sent to another process: their state, and what has changed since the last time.

The state of a record is frozen as a tree of tuples, numbers, strings, bytes and sets; the change
between two such trees of one record is what the later one has in addition. The earlier tree and the
change give the later tree, exactly. Sets and counts only grow during a load, so a change is as
large as what was done since, not as the record.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Generator, Iterable
from typing import Any, Final, NamedTuple, TypeVar

import msgpack
import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.measure import Ledger, Recorded, Settled
from loadcheck.measure.grid import Grid, OutcomeCounts
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.intervals import Delays, IntervalHistograms, StepTimes, Tally
from loadcheck.measure.record import Record, StageRecord, StageSpan, StepRecord
from loadcheck.measure.timeline import Pause, Stalls, Timeline

_KINDS: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        Delays,
        Grid,
        Histogram,
        IntervalHistograms,
        Ledger,
        OutcomeCounts,
        Record,
        StageRecord,
        Stalls,
        StepRecord,
        StepTimes,
        Tally,
        Timeline,
    )
}
_COUNTER, _SPAN, _PAUSE = "Counter", "StageSpan", "Pause"
_PAIR: Final = 2  # a sparse array is its places and their values
_MOST_PLACES: Final = 1 << 22  # four times those of 300 intervals
_NODE, _SET, _SPARSE, _PART = 1, 2, 3, 4  # our extension types of MessagePack
_WIDTHS: Final = ("<u1", "<u2", "<u4", "<u8")
_NARROW: Final = struct.Struct("<BBI")


class FrozenState(NamedTuple):
    """The frozen state of a value that is not plain data.

    Attributes:
        kind: The name of its class.
        held: What it holds.
    """

    kind: str
    held: Any


class BrokenChangeError(ValueError):
    """A change does not fit its tree, or a message cannot be decoded."""


_Kind = TypeVar("_Kind", bound=type[Recorded])


def register(kind: _Kind) -> _Kind:
    """Register a class of records that is defined above this room, to be sent: a decorator."""
    _KINDS[kind.__name__] = kind
    return kind


def still(value: Any) -> Any:  # noqa: PLR0911  # a case for each kind
    """Return the current state of a record as a frozen tree."""
    if isinstance(value, Recorded):
        return FrozenState(type(value).__name__, still(value.__getstate__()))
    if isinstance(value, Settled):
        return value
    if isinstance(value, tuple | list):
        return tuple(map(still, value))
    if isinstance(value, BitMap):
        return value.copy()
    if isinstance(value, Counter):
        return FrozenState(_COUNTER, dict(value))
    if isinstance(value, StageSpan):
        held = (value.name, value.begin_s, value.end_s, value.first, value.last)
        return FrozenState(_SPAN, held)
    if isinstance(value, Pause):
        return FrozenState(_PAUSE, (value.at_ns, value.length_ns, value.suspended))
    if isinstance(value, dict):
        return {name: still(each) for name, each in value.items()}
    return value


def moving(tree: Any) -> Any:
    """Return the record that :func:`still` has frozen.

    Raises:
        BrokenChangeError: Its class is not a registered one.
    """
    if isinstance(tree, FrozenState):
        return _made(tree.kind, moving(tree.held))
    if isinstance(tree, tuple):
        return tuple(map(moving, tree))
    if isinstance(tree, BitMap):
        return tree.copy()
    if isinstance(tree, dict):
        return {name: moving(each) for name, each in tree.items()}
    return tree


def _made(kind: str, held: Any) -> Any:
    if kind == _COUNTER:
        return Counter(held)
    if kind == _SPAN:
        name, begin_s, end_s, first, last = held
        return StageSpan(name=name, begin_s=begin_s, end_s=end_s, first=first, last=last)
    if kind == _PAUSE:
        at_ns, length_ns, suspended = held
        return Pause(at_ns=at_ns, length_ns=length_ns, suspended=suspended)
    found = _KINDS.get(kind)
    if found is None:
        raise BrokenChangeError(f'"{kind}" is not a record')
    record: Any = object.__new__(found)
    record.__setstate__(held)
    return record


_REPLACED: Final = ("is", None)


def change(old: Any, new: Any) -> Any:  # noqa: PLR0911  # a case for each kind
    """Return the change from an earlier tree to a later one; None if nothing has changed.

    A change is a pair: how it is applied, and its operand.
    """
    if type(old) is not type(new):
        return "is", new
    if isinstance(new, FrozenState):
        inner = change(old.held, new.held) if old.kind == new.kind else _REPLACED
        return ("is", new) if inner is not None and inner[0] == "is" else inner
    if isinstance(new, BitMap):
        return _of_sets(old, new)
    if isinstance(new, tuple):
        return _of_tuples(old, new)
    if isinstance(new, dict):
        if old.keys() - new.keys():
            return "is", new
        parts = {
            name: change(old[name], each) if name in old else ("is", each)
            for name, each in new.items()
        }
        changed = {name: part for name, part in parts.items() if part is not None}
        return ("in", changed) if changed else None
    if isinstance(new, bytes):
        return _of_bytes(old, new)
    return None if old == new else ("is", new)


def change_by_parts(old: Any, new: Any) -> Generator[None, None, Any]:
    """Return what :func:`change` does, with its parts already encoded.

    Yields between the parts, of some 50 µs each, so that the caller can do other work meanwhile.
    """
    word, pairs = _pairs(old, new)
    if not word:
        found = change(old, new)
        if found is not None and isinstance(new, FrozenState | tuple | BitMap):
            found = msgpack.ExtType(_PART, encode(found))
        yield
        return found
    parts = {}
    for place, before, now in pairs:
        part = yield from change_by_parts(before, now)
        if part is not None:
            parts[place] = part
    return (word, parts) if parts else None


def _pairs(old: Any, new: Any) -> tuple[str, Iterable[tuple[Any, Any, Any]]]:
    """Return how a change of a composite is applied, and its members in pairs; "" for others."""
    if isinstance(old, FrozenState) and isinstance(new, FrozenState) and old.kind == new.kind:
        old, new = old.held, new.held
    if type(old) is tuple and type(new) is tuple:
        if len(old) == len(new) and any(
            isinstance(each, FrozenState | tuple | dict) for each in new
        ):
            return "at", zip(range(len(new)), old, new, strict=True)
    elif type(old) is dict and type(new) is dict and old.keys() == new.keys():
        return "in", ((name, old[name], each) for name, each in new.items())
    return "", ()


def _of_sets(old: BitMap, new: BitMap) -> Any:
    gained = new - old
    if len(old) + len(gained) != len(new):
        return "is", new
    return ("or", gained) if gained else None


def _of_tuples(old: tuple[Any, ...], new: tuple[Any, ...]) -> Any:
    if old == new:
        return None
    if _is_sparse(old) and _is_sparse(new):
        return _of_sparse(old, new)
    if len(old) == len(new):
        parts = map(change, old, new)
        return "at", {place: part for place, part in enumerate(parts) if part is not None}
    if len(old) < len(new) and new[: len(old)] == old:
        return "and", new[len(old) :]
    return "is", new


def _of_bytes(old: bytes, new: bytes) -> Any:
    if old == new:
        return None
    both = min(len(old), len(new))
    one, other = (np.frombuffer(each[:both], dtype=np.uint8) for each in (old, new))
    differing = np.flatnonzero(one != other)
    kept = int(differing[0]) if differing.size else both
    return "end", (kept, new[kept:])


def _is_sparse(value: tuple[Any, ...]) -> bool:
    return len(value) == _PAIR and all(isinstance(part, bytes) for part in value)


Places = npt.NDArray[np.uint32]
Values = npt.NDArray[np.uint64]


def _sparse(value: tuple[bytes, bytes]) -> tuple[Places, Values]:
    return np.frombuffer(value[0], dtype="<u4"), np.frombuffer(value[1], dtype="<u8")


def _of_sparse(old: tuple[bytes, bytes], new: tuple[bytes, bytes]) -> Any:
    before, had = _sparse(old)
    places, values = _sparse(new)
    same = _alike(before, had, places, values)
    before, had, places, values = before[same:], had[same:], places[same:], values[same:]
    if before.size > places.size:
        return "is", new
    at = np.searchsorted(places, before)
    if at.size and (at[-1] == places.size or (places[at] != before).any()):
        return "is", new
    gained = values.copy()
    gained[at] -= had
    kept = np.flatnonzero(gained != 0)
    if (gained[kept] > values[kept]).any():  # less than before: an interval became wider
        return "is", new
    return "add", (places[kept].tobytes(), gained[kept].tobytes())


def _alike(before: Places, had: Values, places: Places, values: Values) -> int:
    """Return how many leading entries two arrays share: those of intervals that are over."""
    both = min(before.size, places.size)
    differ = (before[:both] != places[:both]) | (had[:both] != values[:both])
    first = int(differ.argmax()) if both else 0
    return first if both and differ[first] else both


def changed(old: Any, by: Any) -> Any:
    """Return the later tree: the earlier one with a change applied.

    Raises:
        BrokenChangeError: The change does not fit the tree.
    """
    if by is None:
        return old
    try:
        how, what = by
        if how == "is":
            return what
        if isinstance(old, FrozenState):
            return FrozenState(old.kind, changed(old.held, by))
        return _APPLIED[how](old, what)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise BrokenChangeError(f"a change does not fit: {error}") from error


def _in_tuple(old: tuple[Any, ...], parts: dict[int, Any]) -> tuple[Any, ...]:
    found = list(old)
    for place, part in parts.items():
        found[place] = changed(old[place], part)
    return tuple(found)


def _in_dict(old: dict[Any, Any], parts: dict[Any, Any]) -> dict[Any, Any]:
    return {**old, **{name: changed(old.get(name), part) for name, part in parts.items()}}


def _added(old: tuple[bytes, bytes], gain: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    places, values = _sparse(old)
    more, gained = _sparse(gain)
    if not more.size:
        return old
    begin, last = int(more[0]), int(places[-1]) if places.size else -1
    end = 1 + max(int(more[-1]), last)
    if end > _MOST_PLACES:
        raise ValueError(f"an array of {end:,} places")
    # most gains are of an interval that begins, or of the same few places as before
    if begin > last:
        return old[0] + gain[0], old[1] + gain[1]
    if gain[0] == old[0]:
        return old[0], (values + gained).tobytes()
    # entries before the first gain stay as they are: most of them, as a run grows long
    head = int(places.searchsorted(more[0]))
    sums = np.zeros(end - begin, dtype="<u8")
    sums[places[head:].astype(np.intp) - begin] = values[head:]
    sums[more.astype(np.intp) - begin] += gained
    found = (sums != 0).nonzero()[0]
    wider = (found + begin).astype("<u4")
    return old[0][: 4 * head] + wider.tobytes(), old[1][: 8 * head] + sums[found].tobytes()


_APPLIED: Final = {
    "or": lambda old, gained: old | gained,
    "at": _in_tuple,
    "in": _in_dict,
    "and": lambda old, more: old + tuple(more),
    "end": lambda old, parts: old[: parts[0]] + parts[1],
    "add": _added,
}


def encode(value: Any) -> bytes:
    """Return a tree, a change or a message of plain values as MessagePack."""
    return bytes(msgpack.packb(value, default=_extended, use_bin_type=True, strict_types=True))


def decode(data: bytes) -> Any:
    """Return what :func:`encode` was given.

    Raises:
        BrokenChangeError: The data is not a message of ours.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_read, use_list=False, strict_map_key=False)
    except BrokenChangeError:
        raise  # from nested data: do not wrap it again
    except (ValueError, TypeError, IndexError, struct.error, msgpack.UnpackException) as error:
        why = str(error).rstrip(".")
        raise BrokenChangeError(f"not a message of ours: {why}") from error


def _extended(value: Any) -> Any:
    if isinstance(value, tuple):
        if isinstance(value, FrozenState):
            return msgpack.ExtType(_NODE, encode([value.kind, value.held]))
        narrow = _narrow(value) if _is_sparse(value) else None
        return list(value) if narrow is None else msgpack.ExtType(_SPARSE, narrow)
    if isinstance(value, BitMap):
        packed = value.copy()
        packed.run_optimize()
        return msgpack.ExtType(_SET, packed.serialize())
    raise TypeError(f"{type(value).__name__} does not travel")


def _narrow(value: tuple[bytes, bytes]) -> bytes | None:
    """Return a sparse array by the steps between its places, a quarter as long; None if not one.

    A second's gains are small numbers close to each other, and most of what is sent.
    """
    if not value[0] or len(value[0]) % 4 or len(value[1]) != 2 * len(value[0]):
        return None
    places, values = _sparse(value)
    steps = np.diff(places.astype(np.int64), prepend=0)
    if int(steps.min()) < 0:
        return None
    widths = [_width(int(column.max())) for column in (steps, values)]
    parts = steps.astype(_WIDTHS[widths[0]]), values.astype(_WIDTHS[widths[1]])
    return _NARROW.pack(*widths, places.size) + b"".join(part.tobytes() for part in parts)


def _width(most: int) -> int:
    return next(kind for kind, width in enumerate(_WIDTHS) if most <= np.iinfo(width).max)


def _wide(data: bytes) -> tuple[bytes, bytes]:
    """Return the sparse array that :func:`_narrow` has encoded."""
    steps, values, size = _NARROW.unpack_from(data)
    begin = _NARROW.size
    places = np.frombuffer(data, _WIDTHS[steps], size, begin).cumsum(dtype="<u4")
    gained = np.frombuffer(data, _WIDTHS[values], size, begin + (size << steps))
    return places.tobytes(), gained.astype("<u8").tobytes()


def _read(code: int, data: bytes) -> Any:
    if code == _NODE:
        return FrozenState(*decode(data))
    if code == _SET:
        return BitMap.deserialize(data)
    if code == _SPARSE:
        return _wide(data)
    if code == _PART:
        return decode(data)
    raise ValueError(f"unknown extension {code}")


def digest(tree: Any) -> str:
    """Return a hash that is the same for equal trees, however their sets are stored."""
    return hashlib.sha256(encode(_listed(tree))).hexdigest()


def _listed(tree: Any) -> Any:
    if isinstance(tree, FrozenState):
        return [tree.kind, _listed(tree.held)]
    if isinstance(tree, BitMap):
        return tree.to_array().tobytes()
    if isinstance(tree, tuple):
        return [_listed(each) for each in tree]
    if isinstance(tree, dict):
        return [[name, _listed(tree[name])] for name in sorted(tree, key=str)]
    return tree
