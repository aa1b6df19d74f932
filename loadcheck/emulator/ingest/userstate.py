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
    if operation == "$set":
        state[name] = operand
    elif operation == "$setOnce":
        state.setdefault(name, operand)
    elif operation == "$unset":
        state.pop(name, None)
    elif operation == "$add":
        known = state.get(name, 0)
        if isinstance(known, int | float) and isinstance(operand, int | float):
            state[name] = known + operand
    else:
        listed, given = _as_list(state.get(name, [])), _as_list(operand)
        if operation == "$append":
            state[name] = listed + given
        elif operation == "$prepend":
            state[name] = given + listed
        elif operation == "$postInsert":
            state[name] = listed + [value for value in given if value not in listed]
        elif operation == "$preInsert":
            state[name] = [value for value in given if value not in listed] + listed
        elif operation == "$remove":
            state[name] = [value for value in listed if value not in given]


def _as_list(value: Any) -> list[Any]:
    return list(value) if type(value) is list else [value]
