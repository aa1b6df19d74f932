"""Which names a query finds: a project has room for so many, the rest is stored unseen [D]."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.emulator.config.model import TaxonomyLimits
    from loadcheck.emulator.store.events import EventStore


class Taxonomy:
    """The names of a project in the order in which they came."""

    def __init__(self, limits: TaxonomyLimits, store: EventStore) -> None:
        self._limits = limits
        self._store = store
        self._known_shapes = 0
        self._places: dict[str, int] = {}
        self._counts = {"e:": 0, "u:": 0}

    def queryable_type(self, number: int) -> bool:
        """Return whether the event type of this number can be asked for."""
        most = self._limits.event_types
        return number >= 0 and (most is None or number < most)

    def queryable_property(self, key: str) -> bool:
        """Return whether a property can be asked for."""
        scope = key[:2]
        most = self._limits.event_properties if scope == "e:" else self._limits.user_properties
        if most is None or scope not in self._counts:
            return True
        self._take_stock()
        return self._places.get(key, 0) < most

    def _take_stock(self) -> None:
        for shape in self._store.shapes[self._known_shapes :]:
            for key in shape.keys:
                scope = key[:2]
                if scope in self._counts and key not in self._places:
                    self._places[key] = self._counts[scope]
                    self._counts[scope] += 1
        self._known_shapes = len(self._store.shapes)
