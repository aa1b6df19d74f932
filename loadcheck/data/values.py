"""Values drawn at random for each copy, from the seed and the copy's number alone.

A table with one of these words is drawn from; ``normal`` and ``lognormal`` also take ``min``,
``max`` and ``digits``::

    { choice = ["DE", "FR"], weights = [3, 1] }       one of these; zipf = 1.1: first most often
    { int = [1, 100] }   { float = [0, 1], digits = 2 }
    { normal = { mean = 50, sd = 10 } }   { lognormal = { median = 20, p99 = 300 } }
    { zipf = 1000, exponent = 1.1 }                   1 most often, 1000 least
    { uuid = true }   { hex = 32 }
    { text = 200 }   { text = { median = 200, p99 = 2000 } }      that many bytes of words
    { list = { int = [1, 9] }, length = [0, 5] }      every item drawn separately
    { timestamp = "ms", jitter = "5s", skew = "30s", late = { share = 0.02, by = "10m" } }
    { faker = "country", locale = "de_DE" }           made by the package faker

A literal table that looks like one of these is written ``{ "$json" = { text = 200 } }``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson

from loadcheck.data.order import Bits, blockwise, key_of, mixed
from loadcheck.data.pools import NoFakerError, faker_pool, word_text
from loadcheck.documents import format_instant, parse_duration
from loadcheck.errors import nearest

LITERAL: Final = "$json"
"""Marks literal JSON, in which nothing is drawn."""
UNTOLD: Final = 12 * 3600.0
"""Most seconds by which a timestamp may be off: queries cover the day before the run to the day
after it, and the project's time zone determines the day."""

_SURE: Final = frozenset({"choice", "normal", "lognormal", "zipf", "faker"})
"""Words that plain data does not have: with an unusable value they are reported as mistakes."""
_NUMBERS: Final = frozenset({"min", "max", "digits"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "choice": frozenset({"weights", "zipf"}),
    "int": frozenset(),
    "float": frozenset({"digits"}),
    "normal": _NUMBERS,
    "lognormal": _NUMBERS,
    "zipf": frozenset({"exponent"}),
    "uuid": frozenset(),
    "hex": frozenset(),
    "text": frozenset({"min", "max"}),
    "list": frozenset({"length"}),
    "timestamp": frozenset({"jitter", "skew", "late", "early"}),
    "faker": frozenset({"locale", "pool", "arguments"}),
}
WORDS: Final = tuple(_OPTIONS)
_Z_99: Final = 2.3263478740408408
_MOST_BYTES: Final = 10_000_000
_SHORT_BYTES: Final = 1000
_MOST_ITEMS: Final = 1000
_MOST_CHOICES: Final = 1_000_000
_MOST_POOL: Final = 100_000
_LARGEST: Final = 2**53
_HEX_DIGITS: Final = 16
_SAFE_DIGITS: Final = 32
_UUID_4: Final = (0xFFFFFFFFFFFF0FFF, 0x4000, 0x3FFFFFFFFFFFFFFF, 0x8000000000000000)

Floats = npt.NDArray[np.float64]
Of = Callable[[int], Any]


class SpecError(ValueError):
    """A table cannot be drawn from; ``member`` is the part that is wrong, "" for the whole."""

    def __init__(self, message: str, remedy: str = "", member: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.member = member


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A drawn value, as functions of the copy's number.

    Attributes:
        of: Returns a copy's value; for a timestamp, its deviation in milliseconds.
        json: Returns the value as JSON, where that is faster than encoding the value.
        written: Returns the JSON of many copies at once, given their numbers; None if it must be
            made one by one.
        timed: Formats a time given in milliseconds; None if the value is not a timestamp.
        many: Whether it is a list whose length may vary.
        unique: Whether no two copies ever have the same value.
    """

    of: Of
    json: Callable[[int], bytes] | None = None
    written: Callable[[Bits], Sequence[bytes]] | None = None
    timed: Callable[[int], Any] | None = None
    many: bool = False
    unique: bool = False


def word_of(value: Any) -> str | None:
    """Return the word that says how a JSON value is drawn; None if the value is plain data.

    Raises:
        SpecError: It is a table to draw from, with an unknown option.
    """
    if not isinstance(value, Mapping):
        return None
    words = [word for word in WORDS if word in value]
    if not words:
        return None
    word = "choice" if "choice" in words else words[0]
    listed = word == "list" and "length" in value
    if not (word in _SURE or listed or _fits(word, value[word])):
        return None
    for option in value:
        if option != word and option not in _OPTIONS[word]:
            near = nearest(option, _OPTIONS[word])
            if word not in _SURE and not near:
                return None
            known = ", ".join(sorted(_OPTIONS[word])) or "nothing"
            raise SpecError(f'"{option}" is unknown beside {word}', near or f"expected {known}")
    return word


def _fits(word: str, value: Any) -> bool:
    """Return whether the value at a word that plain data may also have means drawing."""
    if word == "uuid":
        return value is True
    if word == "timestamp":
        return value in _TIMES
    if word == "list":
        return isinstance(value, Mapping)
    if word in {"int", "float"}:
        return isinstance(value, list) and len(value) == len("ab") and all(map(_is_number, value))
    return _is_number(value) or isinstance(value, Mapping | list)


def drawn(value: Mapping[str, Any], word: str, seed: int, key: str) -> Drawn:
    """Return the drawn value that a table describes.

    Args:
        value: The table.
        word: Its word, from :func:`word_of`.
        seed: The run's seed.
        key: The table's key in the scenario: different tables draw independently.

    Raises:
        SpecError: The table cannot be drawn from.
    """
    found = _MAKERS[word](value, key_of(seed, key), seed, key)
    if found.json or found.written or found.timed:
        return found
    return replace(found, json=_as_json(found.of))


def _as_json(of: Of) -> Callable[[int], bytes]:
    return lambda number: orjson.dumps(of(number))


# numbers


def _uniform(bits: Bits) -> Floats:
    """Return numbers strictly between 0 and 1."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _normal(numbers: Bits, key: int) -> Floats:
    """Return standard normal variates (Box-Muller transform)."""
    first, second = _uniform(mixed(numbers, key)), _uniform(mixed(numbers, key + 1))
    found: Floats = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    return found


def _block(make: Callable[[Bits], Sequence[Any]], **more: Any) -> Drawn:
    """Return a value that is drawn and encoded for many copies at once; its JSON has no commas."""
    return Drawn(
        of=blockwise(make),
        written=lambda numbers: orjson.dumps(make(numbers))[1:-1].split(b","),
        **more,
    )


def _int(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    low, high = value["int"]
    if low != int(low) or high != int(high) or abs(low) > _LARGEST or abs(high) > _LARGEST:
        raise SpecError(
            "the ends are not whole numbers below 2^53", "{ float = [0.5, 1.5] }", "int"
        )
    low, span = int(low), int(high) - int(low) + 1
    if span < 1:
        raise SpecError(f"nothing lies from {low} to {high}", "the lower end first", "int")
    return _block(
        lambda numbers: [low + (bits * span >> 64) for bits in mixed(numbers, key).tolist()]
    )


def _float(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    low, high = map(float, value["float"])
    if high < low:
        raise SpecError(f"nothing lies from {low} to {high}", "the lower end first", "float")
    digits = _digits(value, 6)
    return _block(
        lambda numbers: _rounded(low + (high - low) * _uniform(mixed(numbers, key)), digits)
    )


def _normal_of(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    mean, deviation = _pair(value, "normal", "mean", "sd")
    if deviation < 0:
        raise SpecError("the standard deviation is below 0", "", "normal")
    bound, digits = _bounds(value), _digits(value, 6)
    return _block(lambda numbers: _rounded(bound(mean + deviation * _normal(numbers, key)), digits))


def _lognormal_of(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    spread = _lognormal(value["lognormal"], "lognormal")
    bound, digits = _bounds(value), _digits(value, 6)
    return _block(lambda numbers: _rounded(bound(spread(numbers, key)), digits))


def _lognormal(value: Any, member: str) -> Callable[[Bits, int], Floats]:
    median, high = _pair({member: value}, member, "median", "p99")
    if not 0 < median <= high:
        raise SpecError("expected 0 < median ≤ p99", "", member)
    sigma = math.log(high / median) / _Z_99
    return lambda numbers, key: median * np.exp(sigma * _normal(numbers, key))


def _zipf(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    count = _whole(value["zipf"], 1, _MOST_CHOICES, "zipf")
    pick = _picker(_zipf_weights(count, value.get("exponent", 1.0), "exponent"), key)
    return _block(lambda numbers: (pick(numbers) + 1).tolist())


def _zipf_weights(count: int, exponent: Any, member: str) -> Floats:
    if not _is_number(exponent) or not 0 < exponent <= 10:  # noqa: PLR2004
        raise SpecError(f"found {exponent!r}", "expected an exponent above 0, such as 1.1", member)
    return np.arange(1, count + 1, dtype=np.float64) ** -float(exponent)


def _picker(weights: Floats, key: int) -> Callable[[Bits], npt.NDArray[np.int64]]:
    reached = np.cumsum(weights / weights.sum())
    reached[-1] = 1.0
    return lambda numbers: np.searchsorted(reached, _uniform(mixed(numbers, key)), side="right")


def _rounded(found: Floats, digits: int) -> list[Any]:
    rounded: list[Any] = np.round(found, digits).tolist()
    return rounded if digits else [int(number) for number in rounded]


def _bounds(value: Mapping[str, Any]) -> Callable[[Floats], Floats]:
    low, high = value.get("min", -math.inf), value.get("max", math.inf)
    for name in ("min", "max"):
        if name in value and not _is_number(value[name]):
            raise SpecError(f"found {value[name]!r}", "expected a number", name)
    if low > high:
        raise SpecError("min is above max", "", "min")
    return lambda found: np.clip(found, low, high)


def _digits(value: Mapping[str, Any], default: int) -> int:
    return _whole(value.get("digits", default), 0, 15, "digits")


# one of several


def _choice(value: Mapping[str, Any], key: int, seed: int, name: str) -> Drawn:
    items = value["choice"]
    if not isinstance(items, list) or not 0 < len(items) <= _MOST_CHOICES:
        raise SpecError("is not a list with something in it", 'choice = ["DE", "FR"]', "choice")
    if "zipf" in value and "weights" in value:
        raise SpecError("contradicts weights", "give one of the two", "zipf")
    if "zipf" in value:
        weights = _zipf_weights(len(items), value["zipf"], "zipf")
    else:
        weights = _weights(value.get("weights", [1] * len(items)), len(items))
    pick = _picker(weights, key)
    inner = [_inner(item, seed, f"{name}.choice.{place}") for place, item in enumerate(items)]
    if any(callable(each) for each in inner):
        index = blockwise(lambda numbers: pick(numbers).tolist())

        def of(number: int) -> Any:
            found = inner[index(number)]
            return found(number) if callable(found) else found

        return Drawn(of=of)
    written = [orjson.dumps(item) for item in items]
    return Drawn(
        of=blockwise(lambda numbers: [items[place] for place in pick(numbers).tolist()]),
        written=lambda numbers: [written[place] for place in pick(numbers).tolist()],
    )


def _weights(given: Any, count: int) -> Floats:
    if not isinstance(given, list) or len(given) != count:
        raise SpecError(f"are not {count}, one for each choice", "", "weights")
    for weight in given:
        if not _is_number(weight) or weight < 0:
            raise SpecError(f"found {weight!r}", "expected numbers of 0 or more", "weights")
    if not sum(given):
        raise SpecError("are all 0: nothing could be chosen", "one must be above 0", "weights")
    return np.array(given, dtype=np.float64)


def _inner(value: Any, seed: int, key: str) -> Any:
    """Return a value unchanged if nothing in it is drawn, else a function of the copy's number."""
    word = word_of(value)
    if word is not None:
        found = drawn(value, word, seed, key)
        if found.timed is not None:
            raise SpecError("a timestamp cannot be inside a choice or a list")
        return found.of
    if isinstance(value, str) and value.startswith("$"):
        raise SpecError(
            f'"{value}" is not known inside of a choice or a list', "write plain values"
        )
    if isinstance(value, Mapping):
        members = {name: _inner(item, seed, f"{key}.{name}") for name, item in value.items()}
        if not any(map(callable, members.values())):
            return value
        return lambda number: {name: _at(item, number) for name, item in members.items()}
    if isinstance(value, list):
        items = [_inner(item, seed, f"{key}.{place}") for place, item in enumerate(value)]
        if not any(map(callable, items)):
            return value
        return lambda number: [_at(item, number) for item in items]
    return value


def _at(value: Any, number: int) -> Any:
    return value(number) if callable(value) else value


def _list(value: Mapping[str, Any], _key: int, seed: int, name: str) -> Drawn:
    given = value.get("length")
    if isinstance(given, list):
        given = {"int": given}
    word = word_of(given)
    if isinstance(given, Mapping) and word in {"int", "zipf", "normal", "lognormal", "choice"}:
        length = drawn(given, word, seed, f"{name}.length").of
    else:
        fixed = _whole(given, 0, _MOST_ITEMS, "length")
        length = lambda _: fixed  # noqa: E731
    made: list[Any] = [_inner(value["list"], seed, f"{name}.0")]

    def of(number: int) -> list[Any]:
        count = length(number)
        if not _is_number(count):
            count = 0
        count = max(0, min(_MOST_ITEMS, round(count)))
        while len(made) < count:
            made.append(_inner(value["list"], seed, f"{name}.{len(made)}"))
        return [_at(item, number) for item in made[:count]]

    return Drawn(of=of, many=True)


# letters


def _uuid(_value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    keep_high, version, keep_low, variant = _UUID_4

    def make(numbers: Bits) -> list[str]:
        highs, lows = mixed(numbers, key).tolist(), mixed(numbers, key + 1).tolist()
        return [
            str(UUID(int=((high & keep_high | version) << 64) | (low & keep_low | variant)))
            for high, low in zip(highs, lows, strict=True)
        ]

    return _block(make, unique=True)


def _hex(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    length = _whole(value["hex"], 1, 4096, "hex")
    words = -(-length // _HEX_DIGITS)

    def make(numbers: Bits) -> list[str]:
        columns = [mixed(numbers, key + word).tolist() for word in range(words)]
        return [
            "".join([f"{part:016x}" for part in parts])[:length]
            for parts in zip(*columns, strict=True)
        ]

    return _block(make, unique=length >= _SAFE_DIGITS)


def _text(value: Mapping[str, Any], key: int, seed: int, _key: str) -> Drawn:
    given = value["text"]
    if _is_number(given):
        given = [given, given]
    if isinstance(given, list):
        low, high = (_whole(end, 0, _MOST_BYTES, "text") for end in _two(given, "text"))
        span = high - low + 1
        if span < 1:
            raise SpecError(f"nothing lies from {low} to {high}", "the lower end first", "text")

        def sizes(numbers: Bits) -> Floats:
            return low + np.floor(span * _uniform(mixed(numbers, key)))
    else:
        spread = _lognormal(given, "text")
        high = min(float(given["p99"]), value.get("max", math.inf))
        sizes = lambda numbers: spread(numbers, key)  # noqa: E731
    bound = _bounds(value)
    corpus = word_text(seed)
    whole = len(corpus) // 2

    def make(numbers: Bits) -> list[tuple[int, int]]:
        lengths = np.clip(bound(sizes(numbers)), 0, _MOST_BYTES).astype(np.int64).tolist()
        begins = (mixed(numbers, key + 2) % np.uint64(whole)).tolist()
        return list(zip(begins, lengths, strict=True))

    place = blockwise(make)

    def written(number: int) -> bytes:
        begin, length = place(number)
        if length > whole:
            repeated: bytes = (corpus * (length // len(corpus) + 2))[begin : begin + length]
            return repeated
        return corpus[begin : begin + length]

    if high <= _SHORT_BYTES:  # short enough to encode many copies' texts at once
        return Drawn(
            of=lambda number: written(number).decode("ascii"),
            written=lambda numbers: [
                b'"%b"' % corpus[begin : begin + length] for begin, length in make(numbers)
            ],
        )
    return Drawn(
        of=lambda number: written(number).decode("ascii"),
        json=lambda number: b'"%b"' % written(number),
    )


def _faker(value: Mapping[str, Any], key: int, seed: int, name: str) -> Drawn:
    provider, locale = value["faker"], value.get("locale", "en_US")
    if not isinstance(provider, str) or not isinstance(locale, str):
        raise SpecError("is not the name of a provider", 'faker = "country"', "faker")
    size = _whole(value.get("pool", 1000), 1, _MOST_POOL, "pool")
    arguments = value.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise SpecError("is not a table", "arguments = { nb_words = 3 }", "arguments")
    try:
        pool = faker_pool(provider, locale, size, key_of(seed, name), orjson.dumps(arguments))
    except NoFakerError as error:
        raise SpecError(str(error), error.remedy, "faker") from None
    return _choice({"choice": pool}, key, seed, name)


# times


def _iso(time_ms: int) -> str:
    return format_instant(datetime.fromtimestamp(time_ms / 1000, UTC))


_TIMES: Final[Mapping[str, Callable[[int], Any]]] = {
    "s": lambda time_ms: time_ms // 1000,
    "ms": lambda time_ms: time_ms,
    "us": lambda time_ms: time_ms * 1000,
    "ns": lambda time_ms: time_ms * 1_000_000,
    "iso": _iso,
}


def _timestamp(value: Mapping[str, Any], key: int, _seed: int, _key: str) -> Drawn:
    jitter, skew = (_seconds(value.get(name, 0), name) for name in ("jitter", "skew"))
    shifts = [
        (sign, *_shift(value[name], name), key + 4 * turn)
        for turn, (name, sign) in enumerate((("late", -1), ("early", 1)), 1)
        if name in value
    ]
    if sum(share for _, share, _, _ in shifts) > 1:
        raise SpecError("late and early are more than all", "shares of at most 1 together", "late")

    def make(numbers: Bits) -> list[int]:
        off = jitter * (2 * _uniform(mixed(numbers, key)) - 1) + skew * _normal(numbers, key + 1)
        which, before = _uniform(mixed(numbers, key + 3)), 0.0
        for sign, share, by, own in shifts:
            chosen = (which >= before) & (which < before + share)
            off += np.where(chosen, sign * by(numbers, own), 0.0)
            before += share
        found: list[int] = np.rint(np.clip(off, -UNTOLD, UNTOLD) * 1000).astype(np.int64).tolist()
        return found

    return Drawn(of=blockwise(make), timed=_TIMES[value["timestamp"]])


def _shift(value: Any, member: str) -> tuple[float, Callable[[Bits, int], Floats]]:
    """Return the share of the times that is off, and a function giving by how many seconds."""
    if not isinstance(value, Mapping) or value.keys() != {"share", "by"}:
        raise SpecError(
            "expected a share and by how much", f'{member} = {{ share = 0.02, by = "10m" }}', member
        )
    share, by = value["share"], value["by"]
    if not _is_number(share) or not 0 <= share <= 1:
        raise SpecError(f"found the share {share!r}", "expected a number from 0 to 1", member)
    if isinstance(by, Mapping):
        high = {name: _seconds(each, member) for name, each in by.items()}
        return float(share), _lognormal(high, member)
    fixed = _seconds(by, member)
    return float(share), lambda numbers, _: np.full(len(numbers), fixed)


def _seconds(value: Any, member: str) -> float:
    seconds = None
    if isinstance(value, str):
        try:
            seconds = parse_duration(value)
        except ValueError:
            seconds = None
    elif _is_number(value):
        seconds = float(value)
    if seconds is None or not 0 <= seconds <= UNTOLD:
        raise SpecError(
            f"found {value!r}",
            'expected a duration of at most 12h, such as "5s": the queries ask for the day before'
            " to the day after the run",
            member,
        )
    return seconds


# reading


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, least: int, most: int, member: str) -> int:
    if not _is_number(value) or value != int(value) or not least <= value <= most:
        raise SpecError(
            f"found {value!r}", f"expected a whole number from {least:,} to {most:,}", member
        )
    return int(value)


def _two(value: Any, member: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) != len("ab"):
        raise SpecError("expected two numbers", f"{member} = [1, 100]", member)
    return value


def _pair(value: Mapping[str, Any], member: str, first: str, second: str) -> tuple[float, float]:
    given = value[member]
    if not isinstance(given, Mapping) or given.keys() != {first, second}:
        example = f"{member} = {{ {first} = 50, {second} = 100 }}"
        raise SpecError(f"expected {first} and {second}", example, member)
    for name in (first, second):
        if not _is_number(given[name]):
            raise SpecError(f"found {given[name]!r} as {name}", "expected a number", member)
    return float(given[first]), float(given[second])


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any], int, int, str], Drawn]]] = {
    "choice": _choice,
    "int": _int,
    "float": _float,
    "normal": _normal_of,
    "lognormal": _lognormal_of,
    "zipf": _zipf,
    "uuid": _uuid,
    "hex": _hex,
    "text": _text,
    "list": _list,
    "timestamp": _timestamp,
    "faker": _faker,
}
