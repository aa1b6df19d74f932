"""Findings, verdicts, and what each check means in words for a reader.

Also the figures they rest on: how much was sent, and what the counts prove of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from loadcheck.scenario.model import Verify

CHECKS: Final[Mapping[str, str]] = {
    "lost": "Every acknowledged user must be counted by the deadline. Pass: all are. Fail: some "
    "are provably missing. Unknown: the evidence does not show whether they are lost or late.",
    "unexpected": "The service must not count users that this run did not send, or that it "
    "rejected.",
    "duplicated": "Each event must be counted once. More events than were sent for the users "
    "counted are duplicates.",
    "missing_events": "Each counted user must have all of its events, not only one of them.",
    "disappeared": "A user that was counted once must stay counted.",
    "controls": "Control users test the service itself: fresh ones show that it still counts, a "
    "second event of a missing user shows that its partition is not delayed, and a run id that "
    "was never sent shows that the filter works.",
    "unverified": "No query after the load returned a count that can be trusted, so nothing is "
    "known about loss or duplication.",
    "acknowledged": "At least one copy must be acknowledged; otherwise there is nothing to verify.",
    "isolation": "Without a filter for the run, other traffic counts as this run's.",
    "target": "The target must be reachable before the load starts.",
    "aborted": "A threshold with abort = true, or a rule of [guard], stopped the load early.",
    "generator": "The load generator must keep up and add no delay of its own that matters; "
    "otherwise the load was not what the scenario asks for.",
    "shard": "A worker that shares the load must live to its end; what one that was lost had not "
    "reported may or may not have been sent.",
    "setup": "An internal error interrupted the set-up, or its renewal.",
    "teardown": "An internal error interrupted the tear-down; something may have stayed behind.",
    "transport": "An internal error closed the connections of the run.",
    "threshold": "An internal error kept a threshold from being judged.",
    "asking": "An internal error interrupted the queries.",
    "load": "An internal error interrupted the load.",
    "consistency": "An internal error kept the counts from being evaluated.",
    "shortage": "An internal error kept this machine's shortages from being reported.",
}
"""Meanings of the checks, by the name that findings use."""

_OF_COUNTS = frozenset(
    {
        "lost",
        "unexpected",
        "duplicated",
        "missing_events",
        "disappeared",
        "controls",
        "unverified",
        "acknowledged",
        "isolation",
        "asking",
        "consistency",
    }
)
OWN_CHECKS = frozenset(CHECKS) - _OF_COUNTS
"""Checks of the run itself: no later answer of the service changes what they found."""


def meaning(check: str) -> str:
    """Return the meaning of a check, by its name."""
    return CHECKS.get(check, "This version of loadcheck does not know this check.")


class Verdict(enum.Enum):
    """Three-valued: what is not proven is unknown, never a pass."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNKNOWN = "unknown"


_RANK = {Verdict.PASS: 0, Verdict.UNKNOWN: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts; unknown if there are none."""
    return max(verdicts, key=_RANK.__getitem__, default=Verdict.UNKNOWN)


def overall(consistent: Verdict | None, others: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a run.

    A failed consistency comes first, then anything unknown, then broken thresholds: these are
    reported only for a run whose users are known to have arrived.

    Args:
        consistent: The verdict on the counts; None if they were not to be checked.
        others: The verdicts of thresholds and further checks.
    """
    found = {Verdict.PASS if consistent is None else consistent, *others}
    if consistent is Verdict.FAIL or Verdict.UNKNOWN not in found:
        return worst(found)
    return Verdict.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check, in a sentence that a tired engineer understands.

    Attributes:
        check: Short name of the check, e.g. "lost".
        verdict: The verdict of the check.
        summary: One sentence with the numbers and, where there is one, the next step.
        evidence: The numbers by name.
    """

    check: str
    verdict: Verdict
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as the results file holds it."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBounds:
    """Numbers of events by outcome, for runs whose users send different numbers of them."""

    acknowledged: int
    indeterminate: int
    rejected: int

    @property
    def possible(self) -> int:
        """All events that can have arrived."""
        return self.acknowledged + self.indeterminate


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCounts:
    """Numbers of users by outcome, from the run's ledger; one user per copy unless users return.

    Attributes:
        events: How many events they sent; None if each sent ``events_per_copy``.
    """

    started: int
    acknowledged: int
    indeterminate: int
    rejected: int
    events_per_copy: int = 1
    sent_again: int = 0
    events: EventBounds | None = None

    @property
    def possible(self) -> int:
        """All users that can have arrived."""
        return self.acknowledged + self.indeterminate

    @property
    def acknowledged_events(self) -> int:
        """Events of acknowledged copies."""
        if self.events is not None:
            return self.events.acknowledged
        return self.events_per_copy * self.acknowledged


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What the counts prove. None means unknown.

    Attributes:
        uniques: Users of this run that the service counted.
        totals: Events of this run that it counted.
        lower, upper: The bounds that ``uniques`` must keep.
        lost_at_least: Acknowledged users that are certainly missing.
        lost_at_most: Acknowledged users that can be missing.
        recovered_at_most: Indeterminate copies that may have arrived: the rest of the band.
        unexpected: Users that were certainly counted although they were refused or never sent.
        duplicated: Events counted beyond those that were sent.
        missing_events: Events that are certainly missing, of acknowledged users who are counted
            by other events.
        missing_events_at_most: Events that can be missing: copies without a clear answer may have
            arrived with fewer events than they sent.
        settled: Whether the count had settled.
        overtaken: Whether the service shows users who were sent after the missing ones; None if
            that was not checked.
        waited_s: Seconds from the last acknowledgement to the state that the count shows.
        baseline: What the same query counted before the run.
        isolation: How this run's users are distinguished from others': by a filter in the query,
            or by subtracting the baseline, which other senders of the same event distort.
        lost: Lost users, if it is known whether there are any.
        disappeared: Users that had been counted but, at the end, no longer were.
        approximate: The error that the counts are declared to have, as a share; 0 if none.
    """

    uniques: int | None = None
    totals: int | None = None
    lower: int
    upper: int
    lost_at_least: int | None = None
    lost_at_most: int | None = None
    recovered_at_most: int | None = None
    unexpected: int | None = None
    duplicated: int | None = None
    missing_events: int | None = None
    missing_events_at_most: int | None = None
    settled: bool = False
    overtaken: bool | None = None
    waited_s: float | None = None
    baseline: int | None = None
    isolation: Literal["filter", "baseline"] = "filter"
    lost: int | None = None
    disappeared: int | None = None
    approximate: float = 0.0

    @classmethod
    def unasked(cls, sent: SentCounts) -> Consistency:
        """Return the bounds alone: all that is known if no query was sent after the load."""
        return cls(lower=sent.acknowledged, upper=sent.possible)

    def figure(self, name: str) -> int | None:
        """Return the value of a metric of the counts, by its name; None if it is unknown."""
        found: int | None = getattr(self, "recovered_at_most" if name == "recovered" else name)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the results file holds them."""
        return {name: getattr(self, name) for name in self.__slots__}


_AGAIN = "loadcheck reconcile"
_EXPLAIN = "loadcheck explain"


def lasts(target_kind: str) -> bool:
    """Return whether a service can be queried after the run: an embedded emulator cannot."""
    return target_kind != "emulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The next steps that a scenario allows, as sentences for findings.

    Attributes:
        lasting: Whether the service can be queried after the run.
        exports: Whether the profile says where events are exported.
        splits: Whether the profile says how events are marked with buckets and counted by them.
        localizes: Whether this run did so.
        approximate: Whether counts are estimates.
    """

    lasting: bool = True
    exports: bool = True
    splits: bool = True
    localizes: bool = True
    approximate: bool = False

    @classmethod
    def of(cls, verify: Verify, *, lasting: bool) -> Advice:
        """Return the advice for a scenario.

        Args:
            verify: How the service is queried.
            lasting: Whether the service can be queried after the run.
        """
        return cls(
            lasting=lasting,
            exports=verify.export is not None,
            splits=verify.split is not None,
            localizes=verify.localizes,
            approximate=verify.approximate is not None,
        )

    def later(self) -> str:
        """Return how to query the service again later."""
        if self.lasting:
            return f"Run {_AGAIN} later."
        return (
            "Raise verify.deadline: the embedded emulator ended with the run and cannot be asked "
            "later."
        )

    def longer(self) -> str:
        """Return how to wait longer."""
        rest = f", or run {_AGAIN} later" if self.lasting else ""
        return f"Raise verify.deadline{rest}."

    def delayed(self) -> str:
        """Return how to distinguish missing users from late ones; "" if there is no way."""
        return (
            f"Run {_AGAIN} later: users counted by then were merely delayed."
            if self.lasting
            else ""
        )

    def list_events(self) -> str:
        """Return how to list single events, or what that would take; "" if there is no way."""
        if not self.lasting:
            return ""
        if self.exports:
            return f"{_AGAIN} --export lists them."
        return (
            "They cannot be listed: the scenario does not say where events are exported "
            f"({_EXPLAIN} verify.export)."
        )

    def name_users(self) -> str:
        """Return why users have no names, or how to name them; "" if nothing is to be said."""
        if self.approximate:
            return "Estimates cannot be compared by bucket, so no user is named."
        if not self.splits and not self.name_by_export():
            return (
                "No user can be named: the scenario does not say how events are marked with "
                f"buckets and counted by them ({_EXPLAIN} verify.split)."
            )
        return "Set verify.localize = true to name them." if self.splits > self.localizes else ""

    def name_by_export(self) -> str:
        """Return how to name the remaining users by an export; "" if there is no export."""
        return f"{_AGAIN} --export names them." if self.lasting and self.exports else ""

    def tell_apart(self, trouble: str | None) -> str:
        """Return how to find out which users' events a total counts.

        Args:
            trouble: Why the counts by bucket do not show it, "" if the reason is unknown; None if
                there are no such counts.
        """
        ways, why = [], ""
        if trouble is not None:
            why = trouble or "counts by bucket are inconclusive"
        elif self.approximate:
            why = "estimates cannot be split by bucket"
        elif self.splits and self.localizes:
            why = "there are no counts by bucket"
        elif self.splits:
            ways.append("set verify.localize = true")
        else:
            ways.append(f"describe counts by bucket in [verify.split] ({_EXPLAIN} verify.split)")
        if self.lasting and self.exports:
            ways.append(f"run {_AGAIN} --export")
        elif why and self.lasting:
            ways.append(
                f"say in [verify.export] where events are exported ({_EXPLAIN} verify.export)"
            )
        text = ": ".join(part for part in (why, ", or ".join(ways)) if part)
        return f"{text[0].upper()}{text[1:]}."


def sentences(*parts: str) -> str:
    """Join sentences by spaces, leaving out empty ones."""
    return " ".join(part for part in parts if part)
