"""Puts a later answer into a stored result: findings, thresholds and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadcheck.pipeline.verification import Verified
from loadcheck.verify.consistency import Consistency, Sent
from loadcheck.verify.export import Compared
from loadcheck.verify.metrics import Metric
from loadcheck.verify.thresholds import Threshold
from loadcheck.verify.verdict import Finding, Verdict, worst

_COUNTED = ("uniques", "lost", "recovered", "unexpected", "duplicated", "missing_events")
_OWN_CHECKS = frozenset({"target", "generator", "aborted"})
"""Findings of the run itself, which no later answer changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A later answer.

    Attributes:
        sent: The ledger's numbers.
        verified: What the counts prove now.
        compared: What the export proves; None if it was not asked for.
    """

    sent: Sent
    verified: Verified
    compared: Compared | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """A stored result with a later answer in it."""

    document: dict[str, Any]
    consistent: Verdict
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Counts:
    """Implements :class:`~loadcheck.verify.thresholds.Figures` for what is counted."""

    seen: Consistency
    compared: Compared | None

    def measure(self, metric: Metric, /) -> float | None:
        """Return the figure; None if there is none."""
        seen, exact = self.seen, self.compared
        figures: dict[str, float | None] = {
            "uniques": seen.uniques,
            "lost": seen.lost if exact is None else _lost(exact, seen),
            "recovered": seen.recovered_at_most if exact is None else exact.recovered,
            "unexpected": seen.unexpected if exact is None else exact.unexpected_count,
            "duplicated": seen.duplicated if exact is None else exact.duplicated.total(),
            "missing_events": seen.missing_events,
        }
        return figures[metric.name]


def rejudge(
    document: Mapping[str, Any],
    settled: Settled,
    thresholds: Sequence[Threshold],
    *,
    now: str,
    unsaved: int,
    told: dict[str, Any] | None,
) -> Rejudged:
    """Return the result with what was said last, and its verdict.

    Args:
        document: The stored result.
        settled: What the service says now.
        thresholds: The scenario's.
        now: The present, as the results file has it.
        unsaved: Copies that a killed run may have sent after its last save.
        told: The comparison event by event, as the results file has it.
    """
    verified = settled.verified
    seen = verified.consistency
    findings = verified.findings
    if settled.compared is not None:
        findings = exact_findings(settled.compared, settled.sent, seen)
    consistent = worst(finding.verdict for finding in findings)
    kept = [f for f in document.get("findings", ()) if f["check"] in _OWN_CHECKS]
    judged = _thresholds(document, thresholds, _Counts(seen, settled.compared))
    verdict = worst(
        [
            consistent,
            *(Verdict(entry["verdict"]) for entry in (*kept, *judged)),
        ]
    )
    before = document.get("consistency", {})
    lag = before.get("visibility")
    if lag is not None and seen.uniques is not None:
        lag = lag | {"never": max(0, seen.lower - seen.uniques)}
    changed = dict(document) | {
        "verdict": verdict.value,
        "consistency": before
        | seen.to_json()
        | {
            "visibility": lag,
            "localized": verified.localized or before.get("localized"),
            "controls": {
                name: getattr(verified.controlled, name)
                for name in ("acknowledged", "visible", "unsent")
            },
        },
        "thresholds": judged,
        "findings": [*(finding.to_json() for finding in findings), *kept],
        "reconciliations": [
            *document.get("reconciliations", ()),
            {
                "at": now,
                "verdict": verdict.value,
                "uniques": seen.uniques,
                "totals": seen.totals,
                "lost_at_least": seen.lost_at_least,
                "unsaved": unsaved,
                "export": told,
            },
        ],
    }
    return Rejudged(document=changed, consistent=consistent, verdict=verdict)


def _thresholds(
    document: Mapping[str, Any], thresholds: Sequence[Threshold], counts: _Counts
) -> list[dict[str, Any]]:
    """Judge the limits of what is counted again; a killed run has no figures for the others."""
    stored = {entry["expression"]: entry for entry in document.get("thresholds", ())}
    judged = []
    for threshold in thresholds:
        if threshold.metric.name in _COUNTED:
            judged.append(threshold.judge(counts).to_json())
        elif threshold.expression in stored:
            judged.append(stored[threshold.expression])
        else:
            judged.append(
                {
                    "expression": threshold.expression,
                    "measured": None,
                    "unit": threshold.unit,
                    "verdict": Verdict.UNKNOWN.value,
                    "own_delay_ms": None,
                }
            )
    return judged


def _lost(found: Compared, seen: Consistency) -> int | None:
    """Return how many the export proves lost; None if it has not all that queries count.

    Hours become ready to be exported one by one, later than they can be queried: an export that
    lacks more users than the count does is not complete, and proves no loss.
    """
    lost = len(found.lost)
    if (
        seen.lost_at_most is not None
        and lost > seen.lost_at_most
        and not seen.missing_events_at_most
    ):
        return None
    return lost


def exact_findings(found: Compared, sent: Sent, seen: Consistency) -> list[Finding]:
    """Return what the comparison event by event says: exact, without ambiguity.

    Args:
        found: The comparison.
        sent: The ledger's numbers.
        seen: What the counts prove, asked for just before.
    """
    lost = len(found.lost)
    events = found.duplicated.total()
    if _lost(found, seen) is None:
        first = Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"{lost:,} of {sent.acknowledged:,} acknowledged users are not in the export, "
            f"but no more than {seen.lost_at_most:,} are missing from the service's count: the "
            "export is not complete yet. Ask again in an hour.",
            evidence={"lost": lost, "lost_at_most": seen.lost_at_most},
        )
    else:
        first = _exact(
            "lost",
            lost,
            f"{lost:,} of {sent.acknowledged:,} acknowledged users are missing from the export, or "
            "some of their events are; all are named in the results file.",
            f"All {sent.acknowledged:,} acknowledged users are in the export with all events.",
        )
    findings = [
        first,
        _exact(
            "duplicated",
            events,
            f"{events:,} events are in the export beyond those sent, of "
            f"{len(found.duplicated):,} users.",
            "No event is in the export twice.",
        ),
        _exact(
            "altered",
            found.altered_count,
            f"{found.altered_count:,} fields came out other than they went in"
            + (f", the first {found.altered[0].field}" if found.altered else "")
            + ": the results file has what was sent and what was found.",
            "Every field came out as it went in.",
        ),
        _exact(
            "unexpected",
            found.unexpected_count,
            f"{found.unexpected_count:,} events are in the export that were refused or never sent.",
            "No event is in the export that was not sent.",
        ),
    ]
    if sent.acknowledged == 0:
        findings.append(
            Finding(
                check="acknowledged",
                verdict=Verdict.UNKNOWN,
                summary="No copy was acknowledged, so there is nothing that could have been lost.",
                evidence={"started": sent.started},
            )
        )
    return findings


def _exact(check: str, number: int, bad: str, good: str) -> Finding:
    return Finding(
        check=check,
        verdict=Verdict.FAIL if number else Verdict.PASS,
        summary=bad if number else good,
        evidence={check: number},
    )
