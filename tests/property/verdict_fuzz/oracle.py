"""Judges a trial by the service's own record: what was true, and what of it was said wrongly.

A user is *lost* if it was acknowledged and no query, however late, will ever count it. It is *late*
if queries will count it after the deadline. Late by itself (an event that the service forgot for an
hour) it may be called missing: no evidence short of waiting tells it from a lost one, and that is
what the deadline is for. Late because its shard is, or because the pipeline has stopped, it may
not: others of its kind tell. Whoever is not counted any more at the end of a run, steadily, has
disappeared, even should it come back an hour later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from loadcheck.verify import Verdict
from tests.property.verdict_fuzz.play import Trial, copy_of

_ROUNDING_S = 0.06
_VANISHING_S = 3.0
"""Before the end of a run: what is deleted then may be counted by one answer and not by another."""
_MOST_UNCLEAR = 0.25
"""Of the copies: of more than so many without an answer counts by bucket do not tell all apart."""
_MOST_LOST = 0.3


@dataclass
class Truth:
    """What really became of a run's copies.

    Attributes:
        each: Events that a copy sent.
        acknowledged, indeterminate, rejected: Copies by outcome, as the run's ledger has them.
        stored: Events of each copy that are stored, and not deleted.
        lost: Acknowledged copies that will never be counted.
        late: Acknowledged copies that are counted after the run's end only → why.
        late_events: Events that are late by themselves, of acknowledged copies.
        vanishing: Acknowledged copies that are deleted about when the run ends, or later, or that
            a dip keeps from being counted at its end.
        phantoms: Users with the run's id that nobody sent.
    """

    each: int
    acknowledged: set[int]
    indeterminate: set[int]
    rejected: set[int]
    stored: Counter[int] = field(default_factory=Counter)
    lost: set[int] = field(default_factory=set)
    late: dict[int, str] = field(default_factory=dict)
    late_events: int = 0
    vanishing: set[int] = field(default_factory=set)
    phantoms: int = 0

    @property
    def guilty(self) -> set[int]:
        """Those that may be called missing."""
        late = {copy for copy, why in self.late.items() if why in ("event", "")}
        return self.lost | late | self.vanishing

    @property
    def unexpected(self) -> set[int]:
        """Copies that were refused and are stored."""
        return self.rejected & set(self.stored)

    @property
    def duplicated(self) -> dict[int, int]:
        """Copies with more events than they sent → how many more."""
        return {
            copy: number - self.each for copy, number in self.stored.items() if number > self.each
        }

    @property
    def short(self) -> dict[int, int]:
        """Acknowledged copies of which some events are stored and some not → how many are not."""
        return {
            copy: self.each - self.stored[copy]
            for copy in self.acknowledged
            if 0 < self.stored[copy] < self.each
        }

    @property
    def faults(self) -> list[str]:
        """What is not consistent, in words."""
        told = {
            "lost": self.lost,
            "late": self.late,
            "unexpected": self.unexpected or self.phantoms,
            "duplicated": self.duplicated,
            "missing_events": self.short,
        }
        return [name for name, copies in told.items() if copies]


def truth_of(trial: Trial) -> Truth:
    """Return the truth about a trial that has a document."""
    ledger, service = trial.ledger, trial.service
    each = int(trial.mix.load.get("events_per_copy", 1))
    truth = Truth(
        each=each,
        acknowledged=set(ledger.acknowledged),
        indeterminate=set(ledger.indeterminate),
        rejected=set(ledger.rejected),
    )
    phantoms = set()
    visible_s: dict[int, float] = {}
    why: dict[int, str] = {}
    vanish_s = service.last_upload_s + trial.mix.behaviour.vanish_at_s
    frozen_s = trial.mix.behaviour.frozen_s
    frozen_s = float("inf") if frozen_s is None else service.began_s + frozen_s
    for event in service.events:
        if event.run != service.main_run:
            continue
        gone = event.vanishes and vanish_s < trial.over_s - _VANISHING_S
        if gone and vanish_s < frozen_s:  # what happens to frozen counts later, no count shows
            continue
        if not event.key:
            if event.visible_s < frozen_s:
                phantoms.add(event.user)
            continue
        copy = copy_of(event.key)
        truth.stored[copy] += 1
        late = event.visible_s > trial.over_s and event.late_by in ("event", "")
        truth.late_events += late and copy in truth.acknowledged
        if event.vanishes or service.hides(event.user, trial.over_s):
            truth.vanishing.add(copy)
        if event.visible_s < visible_s.get(copy, float("inf")):
            visible_s[copy], why[copy] = event.visible_s, event.late_by
    truth.phantoms = len(phantoms)
    truth.lost = truth.acknowledged - set(truth.stored)
    truth.late = {
        copy: why[copy]
        for copy in truth.acknowledged & set(truth.stored)
        if visible_s[copy] > trial.over_s
    }
    return truth


def contradictions(trial: Trial) -> Iterator[str]:
    """Say what a trial claims that is not so, by kind."""
    if trial.crash:
        errors = re.findall(r"^[ |]*([\w.]+(?:Error|Exception)\b.*)$", trial.crash, re.MULTILINE)
        yield f"crash: {errors[-1] if errors else trial.crash}"
        return
    truth = truth_of(trial)
    yield from _overrun(trial)
    if trial.consistent is Verdict.PASS:
        yield from _false_pass(trial, truth)
    elif trial.consistent is Verdict.FAIL:
        yield from _false_fail(trial, truth)
    yield from _misnamed(trial, truth)
    yield from _bounds(trial, truth)
    yield from _lags(trial, truth)
    if trial.code == 5 and trial.consistent is not Verdict.PASS:
        yield f"exit: 5 though consistency is {trial.consistent.value}"
    if trial.code == 0 and trial.consistent is not Verdict.PASS:
        yield f"exit: 0 though consistency is {trial.consistent.value}"


def undecided(trial: Trial) -> bool:
    """Tell whether a trial leaves open what evidence decides."""
    decidable = not trial.crash and decides(trial)
    return decidable and trial.consistent is Verdict.UNKNOWN


def decides(trial: Trial) -> bool:
    """Tell whether evidence decides a trial.

    It does unless the mix says why not, nothing was acknowledged, nobody could be named (the
    counts by bucket are off), a fault hit what was sent to test the service, somebody is late, or
    so much is lost or unclear that too little is left to tell it by.
    """
    if trial.crash:
        return True
    truth = truth_of(trial)
    copies = len(truth.acknowledged | truth.indeterminate | truth.rejected)
    return bool(
        not trial.mix.undecidable
        and truth.acknowledged
        and trial.mix.filtered
        and trial.mix.asking.get("localize")
        and not trial.service.disturbed
        and not truth.late
        and not truth.vanishing
        and len(truth.indeterminate) <= _MOST_UNCLEAR * copies
        and len(truth.lost) <= _MOST_LOST * copies
    )


def _overrun(trial: Trial) -> Iterator[str]:
    asking = trial.mix.asking
    most_s = _seconds(asking["deadline"]) + max(5.0, 2 * _seconds(asking["timeout"]))
    took_s = trial.over_s - trial.load_over_s
    if took_s > most_s + _ROUNDING_S:
        yield f"overrun: {took_s:.1f} s after the load, {most_s:.1f} s are allowed"


def _false_pass(trial: Trial, truth: Truth) -> Iterator[str]:
    if not truth.acknowledged:
        yield "false pass: nobody was acknowledged"
    for name in truth.faults:
        if not _tolerated(trial, truth):
            yield f"false pass: {name}: {_told(truth)}"


_CHANCE = 0.05


def _risked(trial: Trial) -> bool:
    """Tell whether chance alone, less than 5 % of it, kept all controls out of a late part.

    Without counts by bucket no missing user has a name, so none can be sent a second event: fresh
    users exclude a late part only as far as chance does (rule 6).
    """
    wrong = trial.mix.behaviour
    told = (
        found
        for entry in trial.document["findings"]
        if entry["check"] == "controls"
        for found in re.findall(r"p = (\S+[0-9])", entry["summary"])
    )
    unnamed = wrong.late_shard is not None and not trial.mix.asking.get("localize")
    return unnamed and any(float(chance) <= _CHANCE for chance in told)


def _tolerated(trial: Trial, truth: Truth) -> bool:
    """Tell whether the error that the user has declared can hide everything that is wrong."""
    declared = str(trial.mix.verify.get("approximate", "0%"))
    error = float(declared.removesuffix("%")) / 100
    sent = truth.each * len(truth.acknowledged | truth.indeterminate)
    users = len(truth.lost) + len(truth.late) + len(truth.unexpected) + truth.phantoms
    wrong = users * truth.each + sum(truth.duplicated.values()) + sum(truth.short.values())
    return wrong <= 2 * error * sent + truth.each if error else False


def _told(truth: Truth) -> str:
    return (
        f"truth: {len(truth.lost)} lost, {len(truth.late)} late, {len(truth.unexpected)} refused "
        f"and stored, {truth.phantoms} phantoms, {sum(truth.duplicated.values())} duplicated, "
        f"{sum(truth.short.values())} events missing, of {len(truth.acknowledged)} acknowledged, "
        f"{len(truth.indeterminate)} indeterminate, {len(truth.rejected)} rejected"
    )


def _false_fail(trial: Trial, truth: Truth) -> Iterator[str]:
    failed = [entry for entry in trial.document["findings"] if entry["verdict"] == "fail"]
    real = {
        "lost": bool(truth.guilty) or _risked(trial),
        "disappeared": bool(truth.guilty),
        "unexpected": bool(truth.unexpected or truth.phantoms),
        "duplicated": bool(truth.duplicated),
        "missing_events": bool(truth.short or truth.late_events),
    }
    anything = any(real.values())
    for entry in failed:
        if not real.get(entry["check"], anything):
            kind = "false finding" if anything else "false fail"
            yield f"{kind}: {entry['check']}: {entry['summary']} {_told(truth)}"
    if not failed:
        yield "false fail: no finding says why"


def _misnamed(trial: Trial, truth: Truth) -> Iterator[str]:
    localized = trial.seen["localized"] or {}
    for kind, guilty in (
        ("lost", truth.guilty),
        ("unexpected", truth.unexpected),
        ("duplicated", set(truth.duplicated)),
    ):
        told = localized.get(kind, ())
        named = {user["copy"] for user in told}
        strangers = {user["user_id"] for user in told} - trial.service.sent
        if strangers:
            yield f"wrong name: nobody sent {sorted(strangers)[:3]}"
        if named - guilty:
            yield f"innocent: {sorted(named - guilty)[:5]} of {len(named)} named as {kind}"
    for window in localized.get("windows", ()):
        span = range(window["first_copy"], window["last_copy"] + 1)
        inside = sum(copy in span for copy in truth.guilty)
        if window["lost"] > inside:
            yield f"window: {window['lost']} lost from {span}, truth {inside}"


def _bounds(trial: Trial, truth: Truth) -> Iterator[str]:
    seen = trial.seen
    surplus, short = sum(truth.duplicated.values()), sum(truth.short.values())
    recovered = len(truth.indeterminate & set(truth.stored))
    strangers = len(truth.unexpected) + truth.phantoms
    # missing are events of users that are counted: of those who are away, or came after the
    # counts froze, none is
    away = truth.late or truth.vanishing or trial.mix.behaviour.frozen_s is not None
    least = {
        "lost_at_least": len(truth.guilty | (set(truth.late) if _risked(trial) else set())),
        "unexpected": strangers,
        "duplicated": surplus,
        "missing_events": short + truth.late_events,
    }
    most = {
        "lost_at_most": len(truth.lost),
        "recovered_at_most": recovered if not truth.late else 0,
        "missing_events_at_most": 0 if away else short,
    }
    for name, true in least.items():
        if seen.get(name) is not None and seen[name] > true:
            yield f"bound: {name} {seen[name]}, truth {true}; {_told(truth)}"
    for name, true in most.items():
        if seen.get(name) is not None and seen[name] < true and not _tolerated(trial, truth):
            yield f"bound: {name} {seen[name]}, truth {true}; {_told(truth)}"
    if (
        trial.mix.later_s is None
        and seen.get("waited_s") is not None
        and seen.get("uniques") is not None
    ):
        began_s = trial.service.began_s
        last_s = max(trial.acked_s.values(), default=began_s)
        ages = [
            entry["as_of_s"]
            for entry in seen["observations"]
            if entry["uniques"] is not None and entry["as_of_s"] is not None
        ]
        age_s = max(ages, default=0.0) + began_s - last_s
        if seen["waited_s"] > max(age_s, 0.0) + _ROUNDING_S:
            yield f"bound: waited_s {seen['waited_s']:.2f}, the count was {age_s:.2f} s old"


def _lags(trial: Trial, truth: Truth) -> Iterator[str]:
    """Check the percentiles of the lag, where the counts were true throughout."""
    wrong = trial.mix.behaviour
    stated: Any = trial.seen.get("visibility")
    lies = (
        wrong.dips
        or wrong.replicas > 1
        or wrong.bias
        or wrong.noise
        or wrong.absurd
        or wrong.frozen_s is not None
        or (wrong.cache_s and not wrong.cache_tells)
        or wrong.phantoms
        or wrong.foreign_rate
        or wrong.vanish
        or wrong.leaks
        or truth.unexpected
        or truth.indeterminate
        or truth.late
    )
    for name in ("p50_s", "p95_s", "p99_s", "max_s") if stated is not None else ():
        low, high = stated["lower"][name], stated[name]
        if high is not None and (low is None or low > high):
            yield f"lag: {name} is said to be between {low} and {high} s"
    if trial.mix.later_s is not None:
        if stated is not None and trial.consistent is Verdict.PASS and stated["never"]:
            yield f"lag: {stated['never']} never visible, though all are counted"
        return
    if stated is None or lies or not truth.acknowledged:
        return
    seen_s: dict[int, float] = {}
    for event in trial.service.events:
        if event.key and event.run == trial.service.main_run:
            copy = copy_of(event.key)
            seen_s[copy] = min(seen_s.get(copy, float("inf")), event.visible_s)
    lags = sorted(
        max(0.0, seen_s[copy] - trial.acked_s[copy]) if copy in seen_s else float("inf")
        for copy in truth.acknowledged
    )
    for name, share in (("p50_s", 50), ("p95_s", 95), ("p99_s", 99), ("max_s", 100)):
        rank = max(1, -(-share * len(lags) // 100))
        true = lags[rank - 1]
        low, high = stated["lower"][name], stated[name]
        low = float("inf") if low is None else low
        high = float("inf") if high is None else high
        if not low - _ROUNDING_S <= true <= high + _ROUNDING_S:
            yield f"lag: {name} is {true:.3f} s, stated {low:.3f} to {high:.3f} s"


def _seconds(text: str) -> float:
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)
