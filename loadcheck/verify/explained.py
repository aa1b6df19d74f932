"""What each check looks at and what its verdicts mean, in a sentence or two for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CHECKS: Final[Mapping[str, str]] = {
    "lost": "Every acknowledged user must be counted by the deadline. Pass: all are. Fail: some "
    "are "
    "provably missing. Unknown: the evidence does not show whether they are lost or late.",
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
    "told of may or may not have been sent.",
    "shards": "Every process that shares the load must finish its part; what a lost one sent since "
    "its last report is indeterminate.",
    "setup": "What is run once before the load must succeed, and its renewals.",
    "teardown": "What is run once when all is over must succeed; otherwise something stays behind.",
    "threshold": "An internal error kept a threshold from being judged.",
    "asking": "An internal error interrupted the queries.",
    "load": "An internal error interrupted the load.",
    "consistency": "An internal error kept the counts from being evaluated.",
    "shortage": "An internal error kept this machine's shortages from being reported.",
    "abort": "An internal error kept the early stop from being reported.",
}
"""By the name of the check, as findings have it."""


def meaning(check: str) -> str:
    """Return what a check looks at."""
    return CHECKS.get(check, "This version of loadcheck does not know this check.")
