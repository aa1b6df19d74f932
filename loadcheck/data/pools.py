"""Pools that drawn values come from: random words, and values made by the package faker."""

from __future__ import annotations

import functools
import importlib
from typing import Any, Final

import numpy as np
import orjson

from loadcheck.errors import did_you_mean

_CORPUS_BYTES: Final = 1 << 17
_SYLLABLES: Final = [consonant + vowel for consonant in "bdfghklmnprstvw" for vowel in "aeiou"]


class NoFakerError(Exception):
    """The package faker is not installed, lacks the locale or provider, or fails."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@functools.lru_cache(maxsize=4)
def word_text(seed: int) -> bytes:
    """Return ASCII words of 2.5 syllables on average; JSON need not escape any of it."""
    random = np.random.default_rng(seed)
    picked = random.integers(0, len(_SYLLABLES), _CORPUS_BYTES // 2).tolist()
    breaks = (random.random(len(picked)) < 0.4).tolist()  # noqa: PLR2004
    parts = [
        _SYLLABLES[place] + (" " if ends else "")
        for place, ends in zip(picked, breaks, strict=True)
    ]
    return "".join(parts).encode("ascii")[:_CORPUS_BYTES]


@functools.lru_cache(maxsize=64)
def faker_pool(provider: str, locale: str, size: int, seed: int, arguments: bytes) -> list[Any]:
    """Return values made by a provider of the package faker, converted to JSON values.

    Args:
        provider: The provider's name, as in ``faker.country()``.
        locale: The locale, such as ``de_DE``.
        size: How many values.
        seed: The same seed makes the same values, with the same version of the package.
        arguments: The provider's keyword arguments, as JSON.

    Raises:
        NoFakerError: The package, the locale or the provider is missing, or the provider fails.
    """
    try:
        module = importlib.import_module("faker")
    except ImportError:
        remedy = "pip install 'loadcheck[faker]'"
        raise NoFakerError("the package faker is not installed", remedy) from None
    try:
        faker = module.Faker(locale)
    except (AttributeError, ImportError, ValueError):
        raise NoFakerError(f'faker has no locale "{locale}"', "such as de_DE") from None
    faker.seed_instance(seed)
    make = None if provider.startswith("_") else getattr(faker, provider, None)
    if not callable(make):
        known = [name for name in dir(faker.factories[0]) if not name.startswith("_")]
        remedy = did_you_mean(provider, known) or "see faker's list of providers"
        raise NoFakerError(f'faker has no provider "{provider}"', remedy)
    try:
        return [_plain(make(**orjson.loads(arguments))) for _ in range(size)]
    except Exception as error:  # noqa: BLE001  # whatever a provider raises
        raise NoFakerError(f"faker.{provider} fails: {error}", "see its arguments") from None


def _plain(value: Any) -> Any:
    """Return a value as JSON: dates and decimals as text."""
    try:
        return orjson.loads(orjson.dumps(value, default=str))
    except TypeError:
        return str(value)
