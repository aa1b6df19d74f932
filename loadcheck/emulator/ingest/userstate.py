"""User properties: what is known of a user, changed by the events that carry operations."""

from __future__ import annotations

from typing import Any

_OPERATIONS = frozenset(
    {
        "$set",
        "$setOnce",
        "$add",
        "$append",
        "$prepend",
        "$preInsert",
        "$postInsert",
        "$remove",
        "$unset",
        "$clearAll",
    }
)


class UserStates:
    """The properties of every user that has any.

    Users are numbers; those without a user id are -1 - the number of their device.
    """

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[int, dict[str, Any]] = {}

    def of(self, user: int) -> dict[str, Any]:
        """Return what is known of a user; not to be changed."""
        return self._states.get(user, {})

    def update(self, user: int, changes: dict[str, Any]) -> None:
        """Apply the ``user_properties`` of an event: operations, or plain values to set."""
        state = dict(self.of(user))
        if not changes.keys() & _OPERATIONS:
            changes = {"$set": changes}
        for operation, operands in changes.items():
            if operation == "$clearAll":
                state.clear()
            elif type(operands) is dict:
                for name, operand in operands.items():
                    _apply(state, operation, name, operand)
        self._states[user] = state

    def __contains__(self, user: int) -> bool:
        return user in self._states

    def __bool__(self) -> bool:
        return bool(self._states)


def _apply(state: dict[str, Any], operation: str, name: str, operand: Any) -> None:
    known = state.get(name)
    match operation:
        case "$set":
            state[name] = operand
        case "$setOnce":
            state.setdefault(name, operand)
        case "$unset":
            state.pop(name, None)
        case "$add":
            if isinstance(known, int | float | None) and isinstance(operand, int | float):
                state[name] = (known or 0) + operand
        case _:
            state[name] = _joined(operation, _as_list(known), _as_list(operand))


def _joined(operation: str, known: list[Any], given: list[Any]) -> list[Any]:
    if operation == "$remove":
        return [value for value in known if value not in given]
    if operation in ("$preInsert", "$postInsert"):
        given = [value for value in given if value not in known]
    return given + known if operation in ("$prepend", "$preInsert") else known + given


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if type(value) is list else [value]
