"""Users who come again: what was true of them by the service's own record, and what was said.

    pytest tests/property/verdict_fuzz/test_coming_again.py -m long

plays 150 random mixes of sessions and returning users; LOADCHECK_MIXES=5000 plays more.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from loadcheck.verify import Verdict
from tests.property.verdict_fuzz.play import Mix, Trial, play
from tests.property.verdict_fuzz.service import Behaviour, Pick

_MANY = int(os.environ.get("LOADCHECK_MIXES", "150"))
_FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"lag": "lognormal", "lag_s": 0.5, "lag_p99_s": 3.0},
    {"lose": Pick(rate=0.05)},
    {"lose": Pick(rate=0.2, attempts=1)},
    {"lose_event": Pick(rate=0.2)},
    {"duplicate": Pick(rate=0.05)},
    {"refuse": Pick(rate=0.2, attempts=1), "refuse_status": 503},
    {"refuse": Pick(rate=0.1), "refuse_status": 400},
    {"unclear": Pick(rate=0.2, attempts=1), "unclear_how": "timeout"},
    {"unclear": Pick(rate=0.05), "unclear_how": "lost"},
    {"lose": Pick(rate=0.1, attempts=1), "duplicate": Pick(rate=0.1)},
)


def coming_again(seed: int) -> Mix:
    """Return a mix whose users come again."""
    chance = random.Random(f"again {seed}")
    sessions: dict[str, Any] = {}
    kind = chance.randrange(4)
    if kind != 1:
        sessions["returning"] = chance.choice([0.1, 0.3, 0.6, 0.9])
    if kind != 0:
        sessions["uploads"] = chance.choice(
            [2, 3, {"uniform": [1, 4]}, {"lognormal": {"median": 2, "p99": 9}}]
        )
        sessions["gap"] = chance.choice(["50ms", {"uniform": ["0s", "2s"]}])
    load: dict[str, Any] = {"model": "closed", "concurrency": chance.choice([1, 8, 40])}
    load["copies"] = chance.choice([20, 100, 300])
    if chance.random() < 0.3:
        load = {"model": "open", "rate": 100, "duration": "1s", "arrivals": "poisson"}
    if chance.random() < 0.25:
        load["events_per_copy"] = 2
    return Mix(
        name="coming again",
        behaviour=Behaviour(**chance.choice(_FAULTS)),
        load=load,
        sessions=sessions,
        retry={"attempts": chance.choice([1, 3])},
        later_s=chance.choice([None, None, 30.0]),
        seed=seed,
    )


def wrong(trial: Trial) -> Iterator[str]:  # noqa: C901  # a rule after the other
    """Yield what was said and is not so."""
    if trial.crash:
        yield f"crash: {trial.crash[-800:]}"
        return
    service, said = trial.service, trial.consistent
    events = [event for event in service.events if event.run == service.main_run]
    stored = Counter(event.key for event in events)
    users = {event.user for event in events}
    lost = trial.acked - set(stored)
    doubled = sum(number - 1 for number in stored.values())
    faults = [name for name, found in (("lost", lost), ("duplicated", doubled)) if found]
    if said is Verdict.FAIL and not faults:
        yield f"called inconsistent: {trial.findings()}"
    if said is Verdict.PASS and faults:
        yield f"called consistent, although {faults}"
    seen = trial.seen
    if seen["uniques"] is not None and said is not Verdict.UNKNOWN:
        if seen["uniques"] != len(users):
            yield f"{seen['uniques']} users counted, {len(users)} stored"
        if seen["lower"] > seen["upper"]:
            yield "bounds the wrong way round"
        if not faults and not seen["lower"] <= len(users) <= seen["upper"]:
            yield f"{len(users)} users out of [{seen['lower']}, {seen['upper']}]"
    claimed = next(entry for entry in trial.document["findings"] if entry["check"] == "duplicated")
    if claimed["verdict"] == "fail" and (seen["duplicated"] or 0) > doubled:
        yield f"{seen['duplicated']} duplicates claimed, {doubled} there"
    for entry in (seen["localized"] or {}).get("lost", ()):
        if entry["user_id"] in users:
            yield f"{entry['user_id']} is called lost and is stored"


def judged(seeds: Iterator[int] | range) -> tuple[list[str], Counter[str]]:
    """Return what was wrong, and how often what was said of which truth."""
    said: Counter[str] = Counter()
    found = []
    for seed in seeds:
        trial = play(coming_again(seed))
        found += [f"{trial.mix.told()}\n  {trial.mix.sessions}\n  {text}" for text in wrong(trial)]
        fine = "fine" if trial.mix.behaviour == Behaviour() else "faulty"
        said[f"{fine}: {trial.consistent.value}"] += 1
    return found, said


def test_users_who_come_again_are_counted_once_and_their_events_each() -> None:
    found, _ = judged(range(8))
    assert not found, "\n".join(found)


@pytest.mark.long
def test_nothing_is_said_of_users_who_come_again_that_is_not_so() -> None:
    found, said = judged(range(100, 100 + _MANY))
    assert not found, "\n".join(found[:5])
    assert said["fine: fail"] == said["fine: unknown"] == 0, said
    assert said["faulty: fail"] > _MANY // 10, said
