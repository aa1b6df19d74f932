"""Amplitude ids: one number for everybody the project knows, by user id or by device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loadcheck.emulator.store.events import EventStore

_FIRST = 100_000_000_000
_MOST_DIGITS = 19


class People:
    """Finds people by what they are called.

    A person is a user id or, where none was ever seen on it, a device. Their Amplitude id is even
    for users and odd for devices, so that it stays the same as both grow in number.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def of_row(self, row: int) -> int:
        """Return the Amplitude id that an event came with, before any merging."""
        user = self._store.user[row]
        return _FIRST + (2 * user if user >= 0 else 2 * self._store.device[row] + 1)

    def of_user(self, user: int) -> int:
        """Return the Amplitude id of a user's number."""
        return _FIRST + 2 * user

    def of_device(self, device: int) -> int:
        """Return the Amplitude id under which a device's events count."""
        owners = self._store.owners
        owner = owners[device] if device < len(owners) else -1
        return self.of_user(owner) if owner >= 0 else _FIRST + 2 * device + 1

    def user_id(self, amplitude_id: int) -> str | None:
        """Return the user id of a person, None for a device."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        return None if device else self._store.users[number]

    def known(self, amplitude_id: int) -> bool:
        """Return whether there is such a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        names = self._store.devices if device else self._store.users
        if not 0 <= number < len(names):
            return False
        return not device or self.of_device(number) == amplitude_id

    def merged(self, amplitude_id: int) -> list[int]:
        """Return the ids of the devices whose anonymous events count for a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        if device:
            return []
        return [
            _FIRST + 2 * place + 1
            for place, owner in enumerate(self._store.owners)
            if owner == number
        ]

    def rows(self, amplitude_id: int) -> NDArray[np.int64]:
        """Return the events that count for a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        person = number + len(self._store.users) if device else number
        return np.flatnonzero(self._store.identities() == person)

    def numbered(self, text: str) -> int | None:
        """Return the Amplitude id that a text is, or None if nobody has it."""
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            return None
        return int(text) if self.known(int(text)) else None

    def named(self, text: str) -> list[int]:
        """Return who is called so: Amplitude id, user id, or device id."""
        person = self.numbered(text)
        if person is not None:
            return [person]
        user = self._store.users.find(text)
        if user >= 0:
            return [self.of_user(user)]
        device = self._store.devices.find(text)
        return [self.of_device(device)] if device >= 0 else []

    def beginning(self, prefix: str) -> Iterator[int]:
        """Return whose user id begins so."""
        for number, name in enumerate(self._store.users):
            if name.startswith(prefix):
                yield self.of_user(number)
