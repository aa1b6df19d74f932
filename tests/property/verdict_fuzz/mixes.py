"""Draws mixes of faults at random; a mix is its seed.

What no evidence decides, a mix says itself (:attr:`Mix.undecidable`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.property.verdict_fuzz.play import Mix
from tests.property.verdict_fuzz.service import SHARDS, Answers, Behaviour, Pick

ABSURD: tuple[Any, ...] = (
    1e300,
    10**19,
    2**63,
    -1,
    -0.5,
    12.5,
    None,
    True,
    "lots",
    "",
    [],
    {"count": 3},
    "raw:NaN",
    "raw:1e400",
    "raw:" + "9" * 400,
    "raw:-Infinity",
)
"""What stands where a count should; "raw:" goes into the JSON as it is."""
LIES = (0, 1, 1_000_000)
"""Counts that could be ones."""

_PACES = (
    ("1s", "10s", "60s", "5s"),
    ("500ms", "4s", "20s", "2s"),
    ("250ms", "2s", "10s", "3s"),
    ("200ms", "1500ms", "6s", "1s"),
)
_DEADLINES_S = (60.0, 20.0, 10.0, 6.0)


class Draw:
    """What is drawn so far of a mix."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"verdict {seed}")
        place = self.chance.randrange(len(_PACES))
        every, quiet, deadline, timeout = _PACES[place]
        self.deadline_s = _DEADLINES_S[place]
        self.timeout_s = float(timeout[:-1])
        self.verify: dict[str, Any] = {
            "every": every,
            "quiet": quiet,
            "deadline": deadline,
            "timeout": timeout,
            "localize": self.chance.random() < 0.85,
            "cache": self.chance.choice(["bypass", "bypass", "respect"]),
        }
        self.each = self.chance.choice([1, 1, 1, 2, 3])
        self.wrong: dict[str, Any] = {}
        self.undecidable = ""
        self.filtered = True
        self.load: dict[str, Any] = {}
        self.interrupts: tuple[float, ...] = ()
        self.later_s: float | None = None

    def rate(self) -> float:
        """Draw how many are hit."""
        return self.chance.choice([0.01, 0.03, 0.1, 0.2])

    def pick(self) -> Pick:
        """Draw whom a fault hits."""
        chance = self.chance
        controls = chance.random() < 0.4
        kind = chance.random()
        if kind < 0.6:
            return Pick(rate=self.rate(), controls=controls)
        if kind < 0.8:
            return Pick(first=chance.randint(1, 12))
        begin_s = chance.uniform(0.0, 0.3)
        return Pick(window=(begin_s, begin_s + chance.uniform(0.01, 0.2)))

    def opened(self, why: str) -> None:
        """Note that evidence cannot decide."""
        self.undecidable = self.undecidable or why


def _lose(draw: Draw) -> None:
    draw.wrong["lose"] = draw.pick()


def _lose_event(draw: Draw) -> None:
    draw.each = max(draw.each, 2)
    draw.wrong["lose_event"] = draw.pick()


def _duplicate(draw: Draw) -> None:
    draw.wrong["duplicate"] = draw.pick()


def _compensated_events(draw: Draw) -> None:
    draw.each = 3
    first = draw.chance.randint(1, 5)
    draw.wrong["lose_event"] = Pick(first=first)
    draw.wrong["duplicate"] = Pick(rate=0.03)


def _compensated_users(draw: Draw) -> None:
    number = draw.chance.randint(1, 6)
    draw.wrong |= {"lose": Pick(first=number), "phantoms": number}
    draw.wrong["phantoms_at_s"] = draw.chance.choice([0.05, 0.3])


def _phantoms(draw: Draw) -> None:
    draw.wrong["phantoms"] = draw.chance.randint(1, 6)
    draw.wrong["phantoms_at_s"] = draw.chance.choice([0.05, 0.3, 3.0])


def _refuse(draw: Draw) -> None:
    once = draw.chance.random() < 0.5
    pick = draw.pick()
    draw.wrong["refuse"] = replace(pick, attempts=1) if once else pick
    draw.wrong["refuse_status"] = draw.chance.choice([400, 429, 503])


def _refuse_stored(draw: Draw) -> None:
    draw.wrong["refuse_stored"] = draw.pick()
    draw.wrong["refuse_status"] = draw.chance.choice([400, 429, 503])
    if draw.chance.random() < 0.5:
        draw.wrong["lose"] = Pick(first=draw.chance.randint(1, 5))


def _unclear(draw: Draw) -> None:
    once = draw.chance.random() < 0.4
    pick = draw.pick()
    draw.wrong["unclear"] = replace(pick, attempts=1) if once else pick
    draw.wrong["unclear_how"] = draw.chance.choice(["500", "502", "lost", "timeout", "unreadable"])
    draw.wrong["unclear_landed"] = draw.chance.choice([0.0, 0.5, 0.5, 1.0])


def _slow_ack(draw: Draw) -> None:
    draw.wrong |= {"slow_ack": draw.pick(), "slow_ack_s": draw.chance.choice([0.2, 1.0, 1.9])}


def _vanish(draw: Draw) -> None:
    draw.wrong["vanish"] = draw.pick()
    draw.wrong["vanish_at_s"] = draw.chance.uniform(0.0, draw.deadline_s / 3)


INGEST: tuple[Callable[[Draw], None], ...] = (
    _lose,
    _lose,
    _lose_event,
    _duplicate,
    _compensated_events,
    _compensated_users,
    _phantoms,
    _refuse,
    _refuse_stored,
    _unclear,
    _unclear,
    _slow_ack,
    _vanish,
)


def _lag(draw: Draw) -> None:
    chance = draw.chance
    kind = chance.choice(["fixed", "uniform", "lognormal"])
    draw.wrong["lag"] = kind
    draw.wrong["lag_s"] = chance.uniform(0.05, draw.deadline_s / 5)
    if kind == "lognormal":
        draw.wrong["lag_s"] = draw.deadline_s / 60
        draw.wrong["lag_p99_s"] = draw.deadline_s / chance.choice([3, 6, 10])


def _late_shard(draw: Draw) -> None:
    draw.wrong["late_shard"] = draw.chance.randrange(SHARDS)
    draw.wrong["late_shards"] = draw.chance.choice([1, 1, 2, 4])
    draw.opened("late partition")


def _late_event(draw: Draw) -> None:
    draw.wrong["late_event"] = draw.pick()
    draw.opened("single events late")


def _stopped(draw: Draw) -> None:
    draw.wrong["stopped_s"] = draw.chance.uniform(0.0, 0.5)
    draw.opened("all that is sent later is late")


def _dips(draw: Draw) -> None:
    chance = draw.chance
    dips = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        begin_s = chance.uniform(0.0, draw.deadline_s * 0.4)
        end_s = begin_s + chance.uniform(0.02, 0.2) * draw.deadline_s
        if chance.random() < 0.2:
            end_s = 1e6
            draw.opened("users that stay away to the end")
        dips.append((begin_s, end_s, chance.choice([0.02, 0.1, 0.5, 1.0])))
    draw.wrong["dips"] = tuple(dips)


def _replicas(draw: Draw) -> None:
    chance = draw.chance
    draw.wrong["replicas"] = chance.choice([2, 2, 3])
    draw.wrong["routing"] = chance.choice(["random", "alternate"])
    draw.wrong["split_replica"] = chance.random() < 0.3
    if chance.random() < 0.5:
        draw.wrong["replica_hides"] = chance.choice([0.02, 0.1, 0.5])
        draw.opened("replicas that never agree")
    else:
        draw.wrong["replica_lag_s"] = chance.uniform(0.05, draw.deadline_s / 8)


def _approximate(draw: Draw) -> None:
    chance = draw.chance
    kind = chance.choice(["bias", "noise"])
    draw.wrong[kind] = chance.choice([0.01, 0.02, 0.05]) * (
        1 if kind == "noise" else chance.choice([-1, 1])
    )
    draw.wrong["approximate_rows"] = chance.random() < 0.3
    draw.verify["localize"] = True  # without rows nothing contradicts the count
    draw.opened("approximate counts that nobody declared")


def _rows(draw: Draw) -> None:
    chance = draw.chance
    draw.wrong[chance.choice(["rows_lose", "rows_gain"])] = chance.randint(1, 4)
    draw.opened("groups that do not add up")


def _frozen(draw: Draw) -> None:
    draw.wrong["frozen_s"] = draw.chance.uniform(0.0, 1.0)
    draw.opened("frozen counts")


def _cached(draw: Draw) -> None:
    draw.wrong["cache_s"] = draw.chance.choice([0.3, 2.0, 30.0])
    draw.wrong["cache_tells"] = draw.chance.random() < 0.6
    if draw.verify["cache"] == "respect":
        draw.opened("cached answers")


def _answers(draw: Draw, *, rare: float) -> Answers:
    """Draw which answers are hit; note if they are too many to decide by the rest."""
    chance = draw.chance
    every = ("uniques", "totals", "split", "control")
    kinds = chance.choice([every, every, ("uniques",), ("totals",), ("split",), ("control",)])
    kind = chance.random()
    if kind < 0.45:
        rate = chance.choice([0.05, rare, 0.5, 1.0])
        if rate > rare:
            draw.opened("queries that mostly fail")
        return Answers(rate=rate, kinds=kinds)
    if kind < 0.6:
        return Answers(first=chance.randint(1, 6), kinds=kinds)
    begin_s = chance.uniform(0.0, draw.deadline_s / 2)
    end_s = begin_s + chance.uniform(0.05, 0.3) * draw.deadline_s
    if chance.random() < 0.3:
        begin_s, end_s = chance.uniform(0.0, draw.deadline_s), 1e9
        draw.opened("queries that fail to the end")
    return Answers(window=(begin_s, end_s), kinds=kinds)


def _fail(draw: Draw) -> None:
    draw.wrong["fail"] = _answers(draw, rare=0.15)
    draw.wrong["fail_how"] = draw.chance.choice(["500", "503", "429", "lost", "text", "timeout"])
    if draw.wrong["fail_how"] == "timeout" and draw.deadline_s < 15 * draw.timeout_s:
        draw.opened("queries that time out for most of the deadline")


def _slow(draw: Draw) -> None:
    draw.wrong["slow"] = answers = _answers(draw, rare=0.15)
    slow_s = draw.chance.choice([0.2, 1.0, 3.0, 10.0])
    draw.wrong["slow_s"] = slow_s
    if slow_s * (answers.rate if answers.window is None else 1.0) * 25 > draw.deadline_s:
        draw.opened("queries that take most of the deadline")


def _absurd(draw: Draw) -> None:
    draw.wrong["absurd"] = _answers(draw, rare=0.1)
    draw.wrong["absurd_value"] = draw.chance.choice(ABSURD)


def _lies(draw: Draw) -> None:
    draw.wrong["absurd"] = Answers(rate=draw.chance.choice([0.03, 0.1]))
    draw.wrong["absurd_value"] = draw.chance.choice(LIES)
    draw.opened("answers that lie")


def _empty(draw: Draw) -> None:
    draw.wrong["empty"] = _answers(draw, rare=0.15)
    draw.wrong["empty_how"] = draw.chance.choice(["series", "400"])


def _texts(draw: Draw) -> None:
    draw.wrong["texts"] = True


def _leaks(draw: Draw) -> None:
    draw.wrong["leaks"] = draw.chance.randint(1, 50)
    draw.opened("a filter that does not work")


COUNTING: tuple[Callable[[Draw], None], ...] = (
    _lag,
    _lag,
    _lag,
    _late_shard,
    _late_event,
    _stopped,
    _dips,
    _dips,
    _replicas,
    _replicas,
    _approximate,
    _rows,
    _frozen,
    _cached,
    _fail,
    _fail,
    _slow,
    _absurd,
    _lies,
    _empty,
    _texts,
    _leaks,
)


def _declared(draw: Draw) -> None:
    for name in ("localize", "cache"):
        draw.verify.pop(name, None)
    error = draw.chance.choice([0.01, 0.03])
    draw.verify["approximate"] = f"{100 * error:g}%"
    draw.wrong |= {"bias": draw.chance.uniform(-error, error), "noise": 0.0}
    draw.wrong.pop("phantoms", None)  # without buckets no count tells them from ours
    draw.opened("approximate counts, declared")


def _absent(draw: Draw) -> None:
    draw.wrong["no_zeros"] = True
    if draw.chance.random() < 0.5 and "empty" not in draw.wrong:
        draw.verify["absent"] = 0


def mix(seed: int) -> Mix:
    """Return the mix of a seed."""
    draw = Draw(seed)
    chance = draw.chance
    names = []
    for faults, numbers in ((INGEST, (0, 0, 1, 1, 1, 2)), (COUNTING, (0, 1, 1, 1, 2))):
        for fault in chance.sample(range(len(faults)), chance.choice(numbers)):
            faults[fault](draw)
            names.append(faults[fault].__name__.strip("_"))
    if chance.random() < 0.04:
        draw.filtered = False
        draw.each = 1
        for name in ("lose_event", "bias", "noise"):
            draw.wrong.pop(name, None)
        draw.wrong["earlier"] = chance.choice([0, 40])
        draw.wrong["foreign_rate"] = chance.choice([0.0, 0.5, 20.0])
        for name in ("localize", "cache"):
            del draw.verify[name]
        names.append("baseline")
    draw.load = _load(chance, draw.each)
    names += _beside(draw, random.Random(f"more {seed}").random())
    return Mix(
        name="+".join(names) or "fine",
        behaviour=Behaviour(**draw.wrong),
        load=draw.load,
        verify=draw.verify,
        retry={
            "attempts": chance.choice([1, 1, 2, 3]),
            "backoff": "50ms",
            "max_backoff": "200ms",
        },
        thresholds=chance.choice(
            [(), (), ("lost == 0",), ("uploadEvents.p99 < 1us",), ("uploadEvents.p99 < 9s",)]
        ),
        filtered=draw.filtered,
        interrupts=draw.interrupts,
        later_s=draw.later_s,
        undecidable=draw.undecidable,
        seed=seed,
    )


def _beside(draw: Draw, more: float) -> list[str]:
    """Draw what is seldom: settings of the scenario, a signal, a second question later."""
    chance = draw.chance
    if more < 0.04 and draw.filtered:
        _declared(draw)
        return ["declared"]
    if more < 0.08:
        _absent(draw)
        return ["absent"]
    if more < 0.14 and draw.filtered:
        draw.load["copies_per_request"] = 5
        if "concurrency" in draw.load:
            draw.load["concurrency"] = max(5, draw.load["concurrency"])
        return ["batches"]
    if more < 0.2:
        first_s = chance.choice([chance.uniform(0.0, 1.5), chance.uniform(0.0, draw.deadline_s)])
        interrupts = (first_s, first_s + chance.uniform(0.0, draw.deadline_s / 2))
        draw.interrupts = interrupts[: chance.choice([1, 2])]
        draw.opened("interrupted")
        return ["interrupted"]
    if more > 0.9:
        draw.later_s = chance.choice([5.0, 60.0, 7200.0])
        return ["later"]
    return []


def _load(chance: random.Random, each: int) -> dict[str, Any]:
    if chance.random() < 0.5:
        load = {
            "model": "closed",
            "concurrency": chance.randint(1, 16),
            "copies": chance.randint(20, 160),
        }
    else:
        load = {
            "model": "open",
            "rate": chance.randint(40, 150),
            "duration": f"{chance.randint(3, 14)}00ms",
            "arrivals": chance.choice(["constant", "poisson"]),
        }
    return load | ({"events_per_copy": each} if each > 1 else {})
