"""The rules of evidence: what all answers together prove, whichever query they answer.

Pure: in go the answers, the ledger's numbers and what groups and controls show; out come bounds
and, for each check, a claim with its reason. Nothing here sends, waits or reads a clock. The rules
are numbered as in README.md beside this file:

1. A loss rests on an answer whose state is as of the deadline.
2. Answers that contradict each other prove nothing, unless the end is steady. Steady and lower:
   users were visible and disappeared.
3. Sums hide: what refused copies, copies without a clear answer, or other users could hide widens
   the band, and counts by bucket narrow it.
4. Answers that do not add up are not evidence.
5. Silence is not zero: a failed answer is not an observation.
6. Missing users are lost only if users sent later are counted.
7. Only proven losses are named (:mod:`loadcheck.verify.session`).
9. Without a filter for the run, more than was sent proves nothing.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from loadcheck.verify import Advice, EventBounds, SentCounts, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer to the observer step.

    Attributes:
        asked_ns: Monotonic instant before the query was sent.
        answered_ns: Monotonic instant at which the answer was complete.
        as_of_ns: The answer reflects the service's state at or after this instant. Absence counts
            only for what was acknowledged before it. Earlier than ``asked_ns`` if the answer came
            from a cache.
        uniques: Users counted; None if the answer is not evidence.
        totals: Events counted; None if not queried, or no evidence.
        error: Why the answer is not evidence; "" if it is.
    """

    asked_ns: int
    answered_ns: int
    as_of_ns: int
    uniques: int | None = None
    totals: int | None = None
    error: str = ""

    @property
    def is_evidence(self) -> bool:
        """Whether the service gave a count."""
        return self.uniques is not None


_ROUNDING = 1e-9
"""Tolerance of float division: 201 reported users can be 200, at an error of 0.5 %."""


def least_behind(count: int, error: float) -> int:
    """Return the smallest true number behind a count, whose error is at most this share."""
    return math.ceil(count / (1 + error) - _ROUNDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the answers are judged against.

    Attributes:
        sent: The ledger's numbers.
        since_ns: Instant of the last acknowledgement.
        deadline_ns: A user that is counted by this instant is not lost.
        quiet_ns: The count stands still if it has not moved for this long.
        baseline: What was counted before the run; None if that is unknown.
        isolation: How this run's users are distinguished from others'.
        approximate: The error that the service's counts are declared to have, as a share.
        splits: Whether the profile can count by bucket; if so, sums alone prove nothing about
            members.
        counts_events: Whether the service counts events as well.
        advice: The next steps that the scenario allows.
    """

    sent: SentCounts
    since_ns: int
    deadline_ns: int
    quiet_ns: int
    baseline: int | None = 0
    isolation: Literal["filter", "baseline"] = "filter"
    approximate: float = 0.0
    splits: bool = False
    counts_events: bool = True
    advice: Advice = field(default_factory=Advice)

    @property
    def before(self) -> int:
        """Users that were counted before the run."""
        return self.baseline or 0

    @property
    def lower(self) -> int:
        """The fewest users of the run that can have arrived, if nothing went wrong."""
        return self.sent.acknowledged

    @property
    def upper(self) -> int:
        """The most users of the run that can have arrived."""
        return self.sent.possible

    def least(self, count: int) -> int:
        """Return the smallest true number that a count allows."""
        return least_behind(count, self.approximate)

    def most(self, count: int) -> int:
        """Return the largest true number that a count allows."""
        return math.floor(count / (1 - self.approximate) + _ROUNDING)


CERTAINTY = 0.95
"""Required probability that control users would be late too, if the missing were merely late."""
_STEADY = 5
"""Equal answers that prove that users disappeared: fewer may come from a single replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of the count according to the answers so far.

    Attributes:
        final: The answer with the latest state after the last acknowledgement; None if there is
            none.
        highest: The most users that the final answer, or one before it, counted.
        lowest: The fewest users that an answer after the last acknowledgement counted.
        resting: Whether the count has stood still for the quiet period.
        reached: Whether all users that can have arrived are counted.
        short: Whether acknowledged users, or events of theirs, are missing.
        timely: Whether the final answer shows a state as of the deadline.
        dipped: Whether an answer counted fewer users than one that shows an earlier state.
        doubted: Whether a single answer counted more users than were ever sent.
        gone: Users that were visible but, steadily at the deadline, no longer are.
        totals: Events, if two answers in a row agreed on them and on the users.
        most_events: The most events that any answer after the last acknowledgement counted.
        totals_unstable: Whether events were queried, and the last two answers did not agree.
    """

    final: Observation | None = None
    highest: int = 0
    lowest: int = 0
    resting: bool = False
    reached: bool = False
    short: bool = False
    timely: bool = False
    dipped: bool = False
    doubted: bool = False
    gone: int = 0
    totals: int | None = None
    most_events: int = 0
    totals_unstable: bool = False

    @property
    def conflict(self) -> bool:
        """Whether the answers contradict each other (rule 2)."""
        if self.final is None or not self.dipped:
            return False
        assert self.final.uniques is not None
        recovered = self.resting and self.final.uniques >= self.highest
        return not recovered and not self.gone

    @property
    def settled(self) -> bool:
        """Whether the count stands still, or has reached the upper bound."""
        return self.resting or self.reached

    @property
    def enough(self) -> bool:
        """Whether no later answer before the deadline is needed."""
        return self.settled and not self.short and not self.dipped and not self.doubted


def standing(terms: Terms, observations: Sequence[Observation]) -> Standing:
    """Return the state of the count (rules 1, 2 and 5)."""
    answered = [seen for seen in observations if seen.uniques is not None]
    good = _possible(terms, answered)
    if len(good) < len(answered) - 1:
        good = answered  # a single one is a slip; several mean that the service alternates
    timely = sorted(
        (seen for seen in good if seen.as_of_ns >= terms.since_ns), key=lambda seen: seen.as_of_ns
    )
    if not timely:
        return Standing()
    final = timely[-1]
    assert final.uniques is not None
    highest = max(
        (_uniques(seen) for seen in good if seen.answered_ns <= final.as_of_ns),
        default=final.uniques,
    )
    lowest = min(_uniques(seen) for seen in timely)
    still = list(
        itertools.takewhile(
            lambda seen: _alike(terms, _uniques(seen), _uniques(final)), reversed(timely)
        )
    )
    resting = final.as_of_ns - still[-1].as_of_ns >= terms.quiet_ns
    counted = final.uniques - terms.before
    most = terms.most(final.uniques) - terms.before
    in_time = final.as_of_ns >= terms.deadline_ns
    gone = 0
    fell = terms.least(highest) > terms.most(final.uniques)
    if fell and resting and in_time and len(still) >= _STEADY and not _rises(terms, timely):
        # beyond the upper bound no user of the run can have disappeared
        gone = max(0, min(highest - terms.before, terms.upper) - counted)
    totals, totals_unstable = _totals(timely, final)
    dipped = _dips(terms, good)
    # without a filter, others' users may make up the number: only standing still counts
    reached = most >= terms.upper and not dipped and terms.isolation == "filter"
    if terms.sent.events is None:
        events = terms.sent.events_per_copy * (terms.least(final.uniques) - terms.before)
    else:
        events = terms.sent.events.acknowledged
    fewer = totals is not None and not terms.before and terms.most(totals) < events
    return Standing(
        final=final,
        highest=max(highest, final.uniques),
        lowest=lowest,
        resting=resting,
        reached=reached,
        short=most < terms.lower or fewer,
        timely=in_time,
        dipped=dipped,
        doubted=len(good) < len(answered),
        gone=gone,
        totals=totals,
        most_events=max((seen.totals or 0 for seen in timely), default=0),
        totals_unstable=totals_unstable,
    )


def _totals(timely: Sequence[Observation], final: Observation) -> tuple[int | None, bool]:
    """Return the events that the last two answers agree on, and whether they do not agree."""
    pairs = [seen for seen in timely if seen.totals is not None]
    if not pairs:
        return None, False
    last = pairs[-1]
    agreed = (
        len(pairs) > 1
        and (last.uniques, last.totals) == (pairs[-2].uniques, pairs[-2].totals)
        and last.uniques == final.uniques
    )
    return (last.totals if agreed else None), not agreed


def _possible(terms: Terms, good: Sequence[Observation]) -> list[Observation]:
    """Leave out single answers that count more users than were ever sent (rule 4)."""
    sent = terms.sent
    most = terms.before + sent.possible + sent.rejected
    if terms.isolation == "baseline":
        return list(good)
    high = [terms.least(_uniques(seen)) > most for seen in good]
    return [
        seen
        for place, seen in enumerate(good)
        if not high[place]
        or place == len(good) - 1
        or high[place + 1]
        or (place and high[place - 1])
    ]


def _rises(terms: Terms, timely: Sequence[Observation]) -> bool:
    """Return whether the count rose again after it fell, so that answers alternate."""
    fallen = False
    for before, seen in itertools.pairwise(timely):
        if terms.most(_uniques(seen)) < terms.least(_uniques(before)):
            fallen = True
        elif fallen and terms.least(_uniques(seen)) > terms.most(_uniques(before)):
            return True
    return False


def _uniques(seen: Observation) -> int:
    assert seen.uniques is not None
    return seen.uniques


def _alike(terms: Terms, one: int, other: int) -> bool:
    """Return whether two counts can stand for the same number."""
    return terms.least(one) <= terms.most(other) and terms.least(other) <= terms.most(one)


def _dips(terms: Terms, good: Sequence[Observation]) -> bool:
    """Return whether an answer counted fewer users than one completed before the state it shows."""
    by_answer = sorted(good, key=lambda seen: seen.answered_ns)
    best, place = 0, 0
    for seen in sorted(good, key=lambda seen: seen.as_of_ns):
        while place < len(by_answer) and by_answer[place].answered_ns <= seen.as_of_ns:
            best = max(best, _uniques(by_answer[place]))
            place += 1
        if terms.least(best) > terms.most(_uniques(seen)):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """What the counts by bucket show.

    Attributes:
        uniques: The ungrouped count that the rows added up to; None if they did not.
        totals: The ungrouped count of events that went with it; None if not queried.
        as_of_ns: All counts show the service's state at or after this instant.
        lost_at_least, lost_at_most: Bounds of the acknowledged users that are missing.
        exact: Whether every acknowledged copy is known to be counted or known to be missing.
        unexpected: Users counted that were refused, or never sent.
        duplicated: Events counted beyond those sent, bucket by bucket.
        missing_events: Events of counted users that are missing, bucket by bucket.
        hidden_events: Acknowledged events that others in their buckets can hide, where users send
            different numbers of them.
        complete: Whether every bucket that lacks users has all events that were acknowledged; None
            if that is unknown.
        balanced: Whether events were counted by bucket too.
        contradiction: Why rows and ungrouped count cannot both be true; "" if they can.
        trouble: Why there is not evidence by bucket; "" if there is.
    """

    uniques: int | None = None
    totals: int | None = None
    as_of_ns: int = 0
    lost_at_least: int = 0
    lost_at_most: int | None = None
    exact: bool = False
    unexpected: int = 0
    duplicated: int = 0
    missing_events: int = 0
    hidden_events: int = 0
    complete: bool | None = None
    balanced: bool = False
    contradiction: str = ""
    trouble: str = ""


class Reason(enum.Enum):
    """Why a claim is what it is."""

    PROVEN = "the counts prove it"
    NO_ANSWER = "no response shows the state after the last acknowledgement"
    NO_BASELINE = "there is neither a baseline count nor a filter for the run"
    BROKEN_FILTER = "users of the run were counted before it began"
    LEAKING = (
        "users of a run id that was never sent are counted, or may be: the query did not show it"
    )
    INFLATED = "more control users are counted than were sent"
    ABSURD = "users and events cannot both be true"
    CONFLICT = "responses contradict each other"
    ROWS = "the counts by bucket do not add up to the ungrouped count"
    APPROXIMATE = "all events are counted, but not all users: the count may be an estimate"
    OLD = "the last response shows a state before the deadline"
    MOVING = "the count was still moving"
    CONTROLS = "users sent later are not counted either"
    PART = "the missing users may be in a delayed part of the service"
    UNCONTROLLED = "without a filter for the run, no control users could be checked"
    UNSUPPORTED = "only the count of users suggests that any are missing"
    HIDDEN = "other users that were counted can hide missing ones"
    UNSPLIT = "there is no count by bucket"
    FOREIGN = "without a filter for the run, other traffic cannot be excluded"
    ADRIFT = "no two responses agreed on users and events"
    UNCOUNTED = "events are not counted"
    NOBODY = "nobody was acknowledged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the answers prove about one kind of fault.

    Attributes:
        verdict: Whether it is proven absent, proven, or neither.
        at_least: The fewest users or events affected, in every truth that fits the answers.
        at_most: The most affected in any such truth; None if there is no bound.
        reason: Why the verdict is what it is.
    """

    verdict: Verdict
    at_least: int = 0
    at_most: int | None = 0
    reason: Reason = Reason.PROVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What all answers prove.

    Attributes:
        standing: How the count stands.
        nothing: Why there is not evidence at all; None if there is.
        uniques: Users of the run that are counted.
        totals: Events of the run that are counted.
        lost, disappeared, unexpected, duplicated, missing_events: The claim on each kind of fault.
        recovered_at_most: Copies without a clear answer that may have arrived.
    """

    standing: Standing = field(default_factory=Standing)
    nothing: Reason | None = None
    uniques: int | None = None
    totals: int | None = None
    lost: Claim
    disappeared: Claim
    unexpected: Claim
    duplicated: Claim
    missing_events: Claim
    recovered_at_most: int | None = None

    @property
    def contradicted(self) -> bool:
        """Whether the answers contradict each other, so that they show no visibility lag."""
        return self.lost.reason in (Reason.CONFLICT, Reason.ROWS, Reason.APPROXIMATE)


_UNKNOWN = Claim(verdict=Verdict.UNKNOWN, at_most=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlEvidence:
    """What the control users show about the service.

    Attributes:
        counted: Whether all control users sent after the missing ones are counted; None if none
            were sent.
        proven: Users that are lost whatever else is late: a later event of theirs is counted.
        alone: Fresh users that are counted, if no missing user got a second event: only chance
            keeps them out of a late part of the service. None if one did, or none were sent.
        leaking: Whether users are counted for a run id that was never sent; None if unknown.
        inflated: Whether more control users are counted than were sent.
    """

    counted: bool | None = None
    proven: int = 0
    alone: int | None = None
    leaking: bool | None = False
    inflated: bool = False


_NO_CONTROLS = ControlEvidence()


def prove(
    terms: Terms,
    observations: Sequence[Observation],
    groups: Groups | None = None,
    controls: ControlEvidence = _NO_CONTROLS,
) -> Proof:
    """Return what the answers prove.

    Args:
        terms: What they are judged against.
        observations: All answers, in order.
        groups: What the counts by bucket show; None if they were not queried.
        controls: What the control users show.
    """
    stands = standing(terms, observations)
    nothing = _nothing(terms, stands, controls)
    if nothing is not None:
        return Proof(
            standing=stands,
            nothing=nothing,
            lost=_UNKNOWN,
            disappeared=_UNKNOWN,
            unexpected=_UNKNOWN,
            duplicated=_UNKNOWN,
            missing_events=_UNKNOWN,
        )
    return _Claims(terms, stands, groups or Groups(), controls).proof()


def _nothing(terms: Terms, stands: Standing, controls: ControlEvidence) -> Reason | None:
    """Return why there is not evidence at all (rules 4 and 5)."""
    final, filtered = stands.final, terms.isolation == "filter"
    if final is None:
        return Reason.NO_ANSWER
    for holds, reason in (
        (controls.leaking, Reason.LEAKING),
        (controls.inflated, Reason.INFLATED),
        (terms.baseline is None and not filtered, Reason.NO_BASELINE),
        (terms.baseline and filtered, Reason.BROKEN_FILTER),
    ):
        if holds:
            return reason
    if stands.totals is not None:
        # each user has an event, and there is none without a user
        users, events = _uniques(final), stands.totals
        if terms.most(events) < terms.least(users) or (events and not users):
            return Reason.ABSURD
    return None


def _claim(doubt: Reason | None, at_least: int, at_most: int | None = None) -> Claim:
    """Return the claim on a fault: unknown if there is a doubt, else whether it occurred."""
    if doubt is not None:
        return Claim(verdict=Verdict.UNKNOWN, at_most=at_most, reason=doubt)
    if at_least:
        return Claim(verdict=Verdict.FAIL, at_least=at_least, at_most=at_most)
    return Claim(verdict=Verdict.PASS)


class _Claims:
    """Derives the claims from one set of answers."""

    def __init__(
        self, terms: Terms, stands: Standing, groups: Groups, controls: ControlEvidence
    ) -> None:
        assert stands.final is not None
        self._terms = terms
        self._stands = stands
        self._controls = controls
        count = _uniques(stands.final)
        # rows are valid only for the count that they added up to
        fits = groups.uniques is not None and groups.uniques == count
        self._groups = groups if fits else Groups(contradiction=groups.contradiction)
        self._grouped = fits
        self._uniques = max(0, count - terms.before)
        self._least = max(0, terms.least(count) - terms.before)
        self._most = max(0, terms.most(count) - terms.before)
        # the count before the run has no event total
        self._totals = stands.totals if not terms.before else None
        self._contradicted: Reason | None = None
        if stands.conflict:
            self._contradicted = Reason.CONFLICT
        elif groups.contradiction:
            self._contradicted = Reason.ROWS

    def proof(self) -> Proof:
        lost = self._lost()
        duplicated, missing_events = self._events()
        return Proof(
            standing=self._stands,
            uniques=self._uniques,
            totals=self._totals,
            lost=lost,
            disappeared=self._disappeared(),
            unexpected=self._unexpected(),
            duplicated=duplicated,
            missing_events=missing_events,
            recovered_at_most=self._recovered_at_most(lost),
        )

    def _hidden_at_most(self) -> int:
        """Return how many users can be lost, hidden by others that were counted (rule 3)."""
        terms, sent, groups = self._terms, self._terms.sent, self._groups
        if groups.lost_at_most is not None:
            return groups.lost_at_most
        strangers = self._least > terms.upper or groups.unexpected
        strangers = strangers or (terms.splits and not self._grouped)
        if strangers or terms.isolation == "baseline":
            return sent.acknowledged  # an unknown number of others may be counted
        return max(0, min(sent.acknowledged, terms.upper + sent.rejected - self._least))

    def _lost(self) -> Claim:
        terms, groups = self._terms, self._groups
        if self._contradicted is not None:
            # answers that contradict each other bound nothing
            return Claim(verdict=Verdict.UNKNOWN, at_most=terms.lower, reason=self._contradicted)
        at_least = max(0, terms.lower - self._most, groups.lost_at_least)
        at_most = max(at_least, self._hidden_at_most())
        if at_least:
            timely = self._stands.timely
            if terms.lower <= self._most:
                timely = groups.as_of_ns >= terms.deadline_ns
            doubt = self._doubt_of_loss(timely=timely)
            if doubt is None and self._escaped(at_least):
                doubt = Reason.PART
            if doubt is Reason.CONTROLS and self._controls.proven:
                at_least = min(self._controls.proven, at_least)
                return Claim(verdict=Verdict.FAIL, at_least=at_least, at_most=at_most, reason=doubt)
            if doubt is not None:
                # an answer without any control user may show an earlier state, whatever it claims
                most = terms.lower if doubt is Reason.CONTROLS else at_most
                return Claim(verdict=Verdict.UNKNOWN, at_most=most, reason=doubt)
            return Claim(verdict=Verdict.FAIL, at_least=at_least, at_most=at_most)
        doubt = self._doubt_of_arrival(at_most)
        if doubt in (Reason.UNSPLIT, Reason.FOREIGN):
            at_most = terms.lower
        if doubt is not None:
            return Claim(verdict=Verdict.UNKNOWN, at_most=at_most, reason=doubt)
        return Claim(verdict=Verdict.PASS, at_most=at_most)

    def _escaped(self, missing: int) -> bool:
        """Return whether all fresh users may have missed a late part that has all missing users."""
        alone = self._controls.alone
        return alone is not None and (1 - missing / self._terms.lower) ** alone > 1 - CERTAINTY

    def _doubt_of_loss(self, *, timely: bool) -> Reason | None:
        """Return why missing users may not be lost; None if they are (rules 1, 4 and 6)."""
        if self._looks_approximate():
            return Reason.APPROXIMATE
        if not timely:
            return Reason.OLD
        if not self._stands.resting:
            return Reason.MOVING
        if self._terms.isolation == "baseline":
            return Reason.UNCONTROLLED
        if self._controls.counted is False:
            return Reason.CONTROLS
        alone = self._totals is None and not self._grouped
        return Reason.UNSUPPORTED if alone and self._terms.splits else None

    def _looks_approximate(self) -> bool:
        """Return whether all events are counted although some users are not (rule 4).

        Lost users and as many duplicated events look the same, but are in different buckets.
        """
        terms = self._terms
        if terms.approximate or self._most >= terms.lower or self._totals is None:
            return False
        enough = self._totals >= terms.sent.acknowledged_events
        return enough and self._groups.complete is not False

    def _doubt_of_arrival(self, at_most: int) -> Reason | None:
        """Return why users may be missing although enough are counted; None if none can be."""
        terms, sent = self._terms, self._terms.sent
        if not sent.acknowledged:
            return Reason.NOBODY
        if not self._stands.settled:
            return Reason.MOVING
        if terms.isolation == "baseline":
            return Reason.FOREIGN
        if terms.approximate:
            # what the declared error can hide is accepted; what others can hide beyond it is not
            declared = terms.upper - terms.least(terms.upper)
            others = sent.indeterminate or sent.rejected
            return Reason.HIDDEN if others and at_most > declared else None
        if terms.splits and not self._grouped:
            return Reason.UNSPLIT
        return Reason.HIDDEN if at_most else None

    def _disappeared(self) -> Claim:
        gone = 0 if self._contradicted is not None else self._stands.gone
        return _claim(None, gone, gone)

    def _unexpected(self) -> Claim:
        terms, sent = self._terms, self._terms.sent
        at_least = max(0, self._least - terms.upper, self._groups.unexpected)
        highest = terms.least(self._stands.highest) - terms.before
        doubt = None
        if self._contradicted is not None and max(at_least, highest - terms.upper) > 0:
            doubt = self._contradicted
        elif terms.isolation == "baseline":
            doubt = Reason.FOREIGN
        elif at_least and self._controls.leaking is None:
            doubt = Reason.LEAKING
        elif at_least and not self._supported():
            doubt = Reason.UNSPLIT if terms.splits else Reason.ADRIFT
        elif not at_least and self._uniques and not self._grouped:
            doubt = Reason.HIDDEN if sent.rejected else Reason.UNSPLIT if terms.splits else None
        return _claim(doubt, at_least)

    def _supported(self) -> bool:
        """Return whether a count other than that of users confirms that there are more of them."""
        if self._grouped or self._terms.approximate or not self._terms.counts_events:
            return True
        return self._totals is not None and self._totals >= self._uniques

    def _events(self) -> tuple[Claim, Claim]:
        """Return the claims on duplicated and on missing events."""
        terms, each, totals = self._terms, self._terms.sent.events_per_copy, self._totals
        doubt = self._contradicted
        if not terms.counts_events or terms.before:
            doubt = Reason.UNCOUNTED
        elif totals is None and doubt is None:
            doubt = Reason.ADRIFT
        if doubt is not None or totals is None:
            unknown = _claim(doubt or Reason.ADRIFT, 0)
            return unknown, unknown
        events = terms.sent.events
        if events is not None:
            return self._beyond(totals, events), self._short_of(totals, events)
        return self._duplicated(totals, each), self._missing_events(totals, each)

    def _beyond(self, totals: int, events: EventBounds) -> Claim:
        """Return the claim on duplicated events of users who send different numbers of them."""
        least, groups = self._terms.least(totals), self._groups
        doubled = max(0, least - events.possible - events.rejected, groups.duplicated)
        doubt = self._doubt_of_duplicates(doubled)
        if not doubled and totals and (self._hides_events(2) or least > events.possible):
            doubt = Reason.HIDDEN
        return _claim(doubt, doubled)

    def _doubt_of_duplicates(self, doubled: int) -> Reason | None:
        """Return why events beyond those sent may not be duplicates; None if they are."""
        if doubled and self._looks_approximate():
            return Reason.APPROXIMATE
        return Reason.FOREIGN if doubled and self._terms.isolation == "baseline" else None

    def _short_of(self, totals: int, events: EventBounds) -> Claim:
        """Return the claim on missing events of counted users who send different numbers."""
        terms, groups = self._terms, self._groups
        missing = groups.missing_events
        if not max(0, terms.lower - self._most, self._hidden_at_most()):
            # if no user is lost, all missing events are those of counted users
            missing = max(missing, events.acknowledged - terms.most(totals))
        at_most = groups.hidden_events + missing if groups.balanced else events.acknowledged
        if missing and groups.duplicated:
            at_most = events.acknowledged  # in one bucket, missing and duplicated events cancel out
        if missing:
            # another answer may have counted them all
            counted = self._stands.most_events >= events.acknowledged > terms.most(totals)
            return _claim(self._doubt_of_missing_events(counted=counted), missing, at_most)
        hidden = totals and at_most and not terms.approximate
        return _claim(Reason.HIDDEN if hidden else None, 0, at_most)

    def _doubt_of_missing_events(self, *, counted: bool) -> Reason | None:
        """Return why events that are not counted may not be missing; None if they are.

        Args:
            counted: Whether another answer counted them all.
        """
        if self._terms.splits and not self._grouped:
            return Reason.UNSPLIT  # users that were never sent would bring fewer events
        if self._terms.approximate:
            return Reason.HIDDEN
        return Reason.CONFLICT if counted else self._doubt_of_loss(timely=self._stands.timely)

    def _hides_events(self, each: int) -> bool:
        """Return whether lost and duplicated events can make up for each other (rule 3)."""
        return each > 1 and not self._groups.balanced

    def _duplicated(self, totals: int, each: int) -> Claim:
        terms, users = self._terms, self._most
        doubled = max(0, terms.least(totals) - each * users, self._groups.duplicated)
        unsplit = doubled > 0 and terms.splits and not self._grouped
        if unsplit:
            # the surplus may be the events of users that the count leaves out
            users = max(users, terms.upper + terms.sent.rejected)
            doubled = max(0, terms.least(totals) - each * users)
        doubt = self._doubt_of_duplicates(doubled)
        if unsplit and not doubled:
            doubt = Reason.UNSPLIT
        elif not doubled and totals and self._hides_events(each):
            doubt = Reason.HIDDEN
        return _claim(doubt, doubled)

    def _missing_events(self, totals: int, each: int) -> Claim:
        terms, sent, groups = self._terms, self._terms.sent, self._groups
        # an unacknowledged user may have arrived with one event of several: none was promised
        free = min(self._most, sent.indeterminate + sent.rejected)
        if self._least > terms.upper or groups.unexpected:
            free = self._most
        elif groups.exact:
            free = max(0, self._most - terms.lower + groups.lost_at_least)
        deficit = max(0, each * self._least - terms.most(totals))
        missing = max(0, deficit - free * (each - 1))
        if not groups.unexpected:
            missing = max(missing, groups.missing_events)
        at_most = max(missing, (each - 1) * self._most)  # each counted user has one event
        if missing:
            counted = deficit > 0 and self._stands.most_events >= each * self._uniques
            return _claim(self._doubt_of_missing_events(counted=counted), missing, at_most)
        aside = groups.missing_events > 0  # they may belong to unacknowledged users
        hidden = (deficit or aside or (totals and self._hides_events(each))) and at_most
        return _claim(Reason.HIDDEN if hidden else None, 0, at_most)

    def _recovered_at_most(self, lost: Claim) -> int:
        unclear = self._terms.sent.indeterminate
        if lost.at_most is None or lost.verdict is Verdict.UNKNOWN:
            return unclear
        return max(0, min(unclear, self._most - self._terms.lower + lost.at_most))
