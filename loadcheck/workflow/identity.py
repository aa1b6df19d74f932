"""Who a copy is: pure functions of the run and the copy's number, so nothing is stored.

A scenario refers to these by expressions of their own, next to Arazzo's: ``$copy.userId``,
``$copy.insertId``, ``$copy.number``, ``$copy.time`` and the buckets of
:mod:`loadcheck.workflow.buckets` differ per copy; ``$run.id``,
``$run.startDay`` and ``$run.endDay`` are the same for a whole run; ``$query.number`` differs per
query of the observer. ``$target.<name>`` is what the target itself supplies (the embedded
emulator: ``apiKey`` and ``secretKey``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is the same for every copy of one run.

    Attributes:
        id: 12 characters of a-z and 0-9, unique to the run.
        start_day: First day of the query window, YYYYMMDD.
        end_day: Last day of the query window, YYYYMMDD.
        target: What the target supplies, by name. Its values are secrets.
        copies: How many copies there will be; None if that is not known beforehand.
    """

    id: str
    start_day: str
    end_day: str
    target: Mapping[str, str] = field(default_factory=dict)
    copies: int | None = None


def user_id(run_id: str, number: int) -> str:
    """Return the user id of copy ``number``: longer than Amplitude's minimum of 5 characters."""
    return f"lc-{run_id}-{number:07d}"


def insert_id(run_id: str, number: int) -> str:
    """Return the deduplication key of copy ``number``, the same in every retry."""
    return f"{run_id}-{number}"


def formats(run_id: str) -> dict[str, str]:
    """Return printf-style formats that make the ids of a copy from its number.

    They give what :func:`user_id` and :func:`insert_id` give, faster where bytes are rendered.
    """
    run = run_id.replace("%", "%%")
    return {"userId": f"lc-{run}-%07d", "insertId": f"{run}-%d"}
