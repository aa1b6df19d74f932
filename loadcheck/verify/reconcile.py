"""Puts what the service counted against what was sent: bounds, not equality.

With an answer asked after the last acknowledgement, ``acknowledged ≤ uniques ≤ acknowledged +
indeterminate`` must hold. Below: users were lost. Above: users were counted that nobody sent, or
that were refused. Between: copies without a clear answer arrived all the same, and may hide others
that are missing; counts by bucket tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from loadcheck.verify.controls import ControlResult, judge_controls
from loadcheck.verify.findings import adrift, proven, unverified
from loadcheck.verify.localize import Localized
from loadcheck.verify.observe import SettleResult
from loadcheck.verify.verdict import Consistency, Finding, SentCounts

_UNHURT = ControlResult()


def reconcile(
    sent: SentCounts,
    settlement: SettleResult | None,
    *,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
    controlled: ControlResult = _UNHURT,
    localized: Localized | None = None,
    told: Mapping[str, Any] | None = None,
) -> tuple[Consistency, list[Finding]]:
    """Return what the counts prove, and the findings that follow.

    Args:
        sent: The ledger's numbers.
        settlement: How the wait for the count ended; None if the service was not asked.
        baseline: The count before the run; None if it could not be had.
        isolation: How this run's users are told from others'.
        controlled: What the control users showed.
        localized: What the counts by bucket tell; None if nothing was asked.
        told: The same in names and times, as :func:`loadcheck.verify.naming.tell` gives it.
    """
    lower, upper = sent.acknowledged, sent.acknowledged + sent.indeterminate
    no_proof = unverified(sent, settlement, baseline, isolation)
    controls = judge_controls(controlled)
    if no_proof is not None or controlled.leaking:
        nothing = Consistency(
            uniques=None,
            totals=None,
            lower=lower,
            upper=upper,
            lost_at_least=None,
            lost_at_most=None,
            recovered_at_most=None,
            unexpected=None,
            duplicated=None,
            missing_events=None,
            missing_events_at_most=None,
            settled=False,
            overtaken=None,
            waited_s=settlement.waited_s if settlement else None,
            baseline=baseline,
            isolation=isolation,
        )
        return nothing, [finding for finding in (no_proof, controls) if finding is not None]
    assert settlement is not None
    seen = _consistency(sent, settlement, localized or Localized(), baseline, isolation)
    if controlled.acknowledged is not None:
        seen = replace(seen, overtaken=not controlled.silent)
    elif settlement.blank and sent.acknowledged:
        seen = replace(seen, overtaken=False)
    findings = proven(seen, sent, localized, told)
    if settlement.adrift:
        findings.append(adrift(seen))
    if controls is not None:
        findings.append(controls)
    return seen, findings


def _consistency(
    sent: SentCounts,
    settlement: SettleResult,
    found: Localized,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
) -> Consistency:
    last = settlement.last
    assert last is not None
    assert last.uniques is not None
    before = baseline or 0
    uniques = last.uniques - before
    # the baseline has no event total, so totals are unknown unless it is zero
    totals = last.totals if before == 0 else None
    lower, upper = sent.acknowledged, sent.acknowledged + sent.indeterminate
    lost = max(0, lower - uniques, found.lost_at_least)
    surplus = None if totals is None else totals - sent.events_per_copy * uniques
    # a copy without a clear answer may have arrived with one event of several: none was promised
    unanswered = found.recovered if found.exact else min(uniques, sent.indeterminate)
    owed_nothing = unanswered * (sent.events_per_copy - 1)
    return Consistency(
        uniques=uniques,
        totals=totals,
        lower=lower,
        upper=upper,
        lost_at_least=lost,
        lost_at_most=lost if found.exact else min(lower, max(lost, upper - uniques)),
        recovered_at_most=found.recovered
        if found.exact
        else min(max(0, uniques - lower + lost), sent.indeterminate),
        unexpected=max(0, uniques - upper, found.unexpected_at_least),
        duplicated=None if surplus is None else max(0, surplus, found.duplicated_at_least),
        missing_events=None if surplus is None else max(0, -surplus - owed_nothing),
        missing_events_at_most=None if surplus is None else max(0, -surplus),
        settled=settlement.settled,
        overtaken=None,
        waited_s=settlement.waited_s,
        baseline=baseline,
        isolation=isolation,
    )
