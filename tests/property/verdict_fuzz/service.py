"""An analytics service in memory that can be wrong in every way that a service is wrong.

It shares nothing with the emulator: neither code nor idea. It speaks the two calls of the
``amplitude`` profile, keeps an exact record of what it was sent and of what it did with it, and
answers what its :class:`Behaviour` makes of that record.
"""

from __future__ import annotations

import functools
import hashlib
import math
import random
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

NEVER = math.inf
HOUR_S = 3600.0
SHARDS = 8


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Whom a fault of ingest hits: a share of the users, or those sent in a window.

    Attributes:
        rate: The share.
        window: Seconds since the first upload, from and to.
        first: The first so many users.
        attempts: Only the first so many attempts of each.
        controls: Whether what comes from other runs than the first is hit as well.
    """

    rate: float = 0.0
    window: tuple[float, float] | None = None
    first: int = 0
    attempts: int = 1_000
    controls: bool = False


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Which answers to queries a fault hits.

    Attributes:
        rate: The share.
        window: Seconds since the last upload of the run, from and to; None: always.
        kinds: Of "uniques", "totals", "split" and, for runs other than the first, "control".
        first: Only the first so many.
    """

    rate: float = 1.0
    window: tuple[float, float] | None = None
    kinds: tuple[str, ...] = ("uniques", "totals", "split", "control")
    first: int | None = None


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What is wrong with a service. The default is a fine one.

    Attributes:
        lose: Acknowledged, and not stored.
        lose_event: Of several events of an upload one is not stored.
        duplicate: An event is stored twice, whatever its key.
        refuse: Refused with ``refuse_status``, not stored.
        refuse_stored: Refused with ``refuse_status``, and stored.
        refuse_status: 400, 429, 503 and the like.
        unclear: No clear answer, of the kind ``unclear_how``.
        unclear_how: "500", "502", "lost", "timeout" or "unreadable".
        unclear_landed: The share of those that is stored.
        slow_ack: Acknowledged after ``slow_ack_s``.
        slow_ack_s: That.
        phantoms: Users of nobody, with this run's id.
        phantoms_at_s: When they come, in seconds since the first upload.
        foreign_rate: Users a second of other senders, without a run id.
        earlier: Users counted before the run, without a run id.
        lag: "none", "fixed", "uniform" or "lognormal".
        lag_s: Its length, its most, or its median.
        lag_p99_s: Of the lognormal one.
        late_shard: Users of this shard are visible an hour later.
        late_shards: How many shards from it on.
        late_event: Single events that are visible an hour later.
        stopped_s: What comes later than so many seconds after the first upload is visible an hour
            later.
        vanish: Users that are deleted for good.
        vanish_at_s: When, in seconds since the last upload.
        dips: Windows since the last upload, and the share of users that is not counted in it.
        replicas: How many there are.
        replica_lag_s: By how much the others are behind.
        replica_hides: The share of users that the others never show.
        routing: "random", "alternate", or "sticky".
        split_replica: Groups always come from the last replica.
        bias: Relative error of counts of users, always the same.
        noise: Relative error of counts of users, another in each answer.
        approximate_rows: Whether rows have the error, too.
        rows_lose: Rows that an answer leaves out.
        rows_gain: Users that are added to its first row.
        frozen_s: From so many seconds after the first upload on the counts stand still.
        cache_s: Answers are kept for so long.
        cache_tells: Whether they say so.
        fail: Queries that fail.
        fail_how: "500", "503", "429", "400", "timeout", "lost" or "text".
        slow: Queries that take ``slow_s``.
        slow_s: That.
        absurd: Answers with ``absurd_value`` as the count.
        absurd_value: Anything.
        empty: Answers without the value.
        empty_how: "series" or "400".
        texts: Counts are decimal strings.
        no_zeros: A count of nobody is an answer without the value.
        leaks: Users that every query counts, whatever its filter.
        sampled: The share of users that queries look at, and extrapolate from; 0: all.
        capped: The most that a count can be; 0: anything.
        rounded: Counts are rounded to multiples of it.
        bots: Users of any run but the first are taken for robots, and never counted.
        swaps: Every so many answers one is that to the question before; 0: none.
        other_row: Rows of a group-by that are put together as "(other)".
    """

    lose: Pick | None = None
    lose_event: Pick | None = None
    duplicate: Pick | None = None
    refuse: Pick | None = None
    refuse_stored: Pick | None = None
    refuse_status: int = 400
    unclear: Pick | None = None
    unclear_how: str = "500"
    unclear_landed: float = 0.5
    slow_ack: Pick | None = None
    slow_ack_s: float = 0.5
    phantoms: int = 0
    phantoms_at_s: float = 0.1
    foreign_rate: float = 0.0
    earlier: int = 0
    lag: str = "none"
    lag_s: float = 0.0
    lag_p99_s: float = 0.0
    late_shard: int | None = None
    late_shards: int = 1
    late_event: Pick | None = None
    stopped_s: float | None = None
    vanish: Pick | None = None
    vanish_at_s: float = 1.0
    dips: tuple[tuple[float, float, float], ...] = ()
    replicas: int = 1
    replica_lag_s: float = 0.0
    replica_hides: float = 0.0
    routing: str = "random"
    split_replica: bool = False
    bias: float = 0.0
    noise: float = 0.0
    approximate_rows: bool = False
    rows_lose: int = 0
    rows_gain: int = 0
    frozen_s: float | None = None
    cache_s: float = 0.0
    cache_tells: bool = True
    fail: Answers | None = None
    fail_how: str = "500"
    slow: Answers | None = None
    slow_s: float = 1.0
    absurd: Answers | None = None
    absurd_value: Any = -1
    empty: Answers | None = None
    empty_how: str = "series"
    texts: bool = False
    no_zeros: bool = False
    leaks: int = 0
    sampled: float = 0.0
    capped: int = 0
    rounded: int = 0
    bots: bool = False
    swaps: int = 0
    other_row: int = 0


@dataclass(slots=True)
class Event:
    """One event as it is stored.

    Attributes:
        key: Its insert id; "" if it has none.
        user: Whose.
        run: Its run id; "" if it has none.
        labels: Bucket by partition.
        visible_s: When the first replica shows it.
        late_by: Which: "shard", "event" or "stopped"; "" if none.
        vanishes: Whether it is deleted later.
    """

    user: str
    run: str
    labels: dict[str, str]
    visible_s: float
    key: str = ""
    late_by: str = ""
    vanishes: bool = False


@dataclass
class Reply:
    """What a service does with a request.

    Attributes:
        delay_s: How long it takes.
        status: Of the answer; 0: there is none.
        body: Of the answer, made when it is due.
        failure: "timeout" or "lost".
        when: Share of the delay after which the state is read.
    """

    delay_s: float
    status: int = 200
    body: bytes | Callable[[], tuple[int, bytes]] = b"{}"
    failure: str = ""
    when: float = 0.5


class Service:
    """The service.

    Args:
        behaviour: What is wrong with it.
        seed: Of everything random.
        now_s: Its clock.

    Attributes:
        events: Everything that is stored.
        sent: The user ids that came in.
        main_run: The run id of the first upload; None before it.
        began_s: When that came.
        last_upload_s: When the last one of that run came.
        disturbed: How often a fault hit what came from another run: from controls.
    """

    def __init__(self, behaviour: Behaviour, seed: int, now_s: Callable[[], float]) -> None:
        self.behaviour = behaviour
        self.events: list[Event] = []
        self.sent: set[str] = set()
        self.main_run: str | None = None
        self.began_s = NEVER
        self.last_upload_s = 0.0
        self.disturbed = 0
        self._chance = random.Random(seed)
        self._seed = seed
        self._now_s = now_s
        self._keys: set[tuple[str, str]] = set()
        self._hit: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._cache: dict[str, tuple[float, bytes]] = {}
        self._turn = 0
        self._order: dict[str, int] = {}
        self._attempts: Counter[str] = Counter()
        self._haunted = False
        self._foreign = 0
        self._answered = 0
        self._before = b""
        self._earlier = [
            Event(user=f"earlier-{number}", run="", labels={}, visible_s=0.0)
            for number in range(behaviour.earlier)
        ]

    # requests

    def handle(self, method: str, target: str, body: bytes) -> Reply:
        """Take a request; the answer is made of the state at the time at which it is due."""
        if method == "POST":
            return self._upload(orjson.loads(body))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)
        return self._query(target, {name: values[0] for name, values in query.items()})

    def _upload(self, payload: dict[str, Any]) -> Reply:
        """Take an upload, of one user or of several; the first one's fate is the request's."""
        now_s = self._now_s()
        events: dict[str, list[dict[str, Any]]] = {}
        for event in payload["events"]:
            events.setdefault(event["user_id"], []).append(event)
        first = next(iter(events))
        run = (payload["events"][0].get("event_properties") or {}).get("loadcheck_run", "")
        if self.main_run is None:
            self.main_run, self.began_s = run, now_s
        main = run == self.main_run
        if main:
            self.last_upload_s = now_s
        for user in events:
            self.sent.add(user)
            self._attempts[user] += 1
            if main:
                self._order.setdefault(user, len(self._order))

        def hit(user: str, pick: Pick | None, salt: str) -> bool:
            found = pick is not None and self._hits(pick, user, run, salt)
            if found and not main:
                self.disturbed += 1
            return found

        took_s = self._chance.lognormvariate(math.log(0.008), 0.5)
        count = len(payload["events"])
        fine = Reply(took_s, 200, orjson.dumps({"code": 200, "events_ingested": count}))
        reply, taken = self._received(first, fine, functools.partial(hit, first))
        for user, own in events.items():
            if taken and not (reply is fine and hit(user, self.behaviour.lose, "lose")):
                self._store(own, user, run, now_s, functools.partial(hit, user))
        return reply

    def _received(
        self, user: str, fine: Reply, hit: Callable[[Pick | None, str], bool]
    ) -> tuple[Reply, bool]:
        """Return the answer to an upload, and whether it is taken."""
        wrong, took_s = self.behaviour, fine.delay_s
        if hit(wrong.refuse_stored, "refuse_stored"):
            return _refusal(took_s, wrong.refuse_status), True
        if hit(wrong.refuse, "refuse"):
            return _refusal(took_s, wrong.refuse_status), False
        if hit(wrong.unclear, "unclear"):
            landed = self._share(user, "landed") < wrong.unclear_landed
            return _unclear(took_s, wrong.unclear_how), landed
        if hit(wrong.slow_ack, "slow_ack"):
            fine.delay_s = wrong.slow_ack_s
        return fine, True

    def _store(
        self,
        events: list[dict[str, Any]],
        user: str,
        run: str,
        now_s: float,
        hit: Callable[[Pick | None, str], bool],
    ) -> None:
        wrong = self.behaviour
        short = len(events) > 1 and hit(wrong.lose_event, "lose_event")
        double = hit(wrong.duplicate, "duplicate")
        vanishes = hit(wrong.vanish, "vanish")
        for place, event in enumerate(events):
            key = (user, event["insert_id"])
            if key in self._keys:
                continue
            self._keys.add(key)
            if short and place == 0:
                continue
            properties = event.get("event_properties") or {}
            labels = {name: str(text) for name, text in properties.items()}
            late_by, late_s = "", 0.0
            shard = self._bits(user, "shard") % SHARDS
            if wrong.late_shard is not None:
                shards = {(wrong.late_shard + i) % SHARDS for i in range(wrong.late_shards)}
                if shard in shards:
                    late_by, late_s = "shard", HOUR_S
            if hit(wrong.late_event, f"late_event/{event['insert_id']}"):
                late_by, late_s = "event", HOUR_S
            if wrong.stopped_s is not None and now_s - self.began_s > wrong.stopped_s:
                late_by, late_s = "stopped", HOUR_S
                if run != self.main_run:
                    self.disturbed += 1
            visible_s = now_s + self._lag_s(user) + late_s
            for _ in range(2 if double and place == 0 else 1):
                self.events.append(Event(user, run, labels, visible_s, key[1], late_by, vanishes))

    def _lag_s(self, user: str) -> float:
        wrong = self.behaviour
        if wrong.lag == "fixed":
            return wrong.lag_s
        if wrong.lag == "uniform":
            return self._chance.uniform(0.0, wrong.lag_s)
        if wrong.lag == "lognormal":
            sigma = math.log(wrong.lag_p99_s / wrong.lag_s) / 2.3263
            return self._chance.lognormvariate(math.log(wrong.lag_s), sigma)
        return 0.0

    def _hits(self, pick: Pick, user: str, run: str, salt: str) -> bool:
        if run != self.main_run and not pick.controls:
            return False
        if self._attempts[user] > pick.attempts:
            return False
        if pick.first and self._order.get(user, 1 << 60) < pick.first:
            return True
        if pick.window is not None:
            age_s = self._now_s() - self.began_s
            return pick.window[0] <= age_s < pick.window[1]
        # what is sent of a user a second time, for another run, is hit or not by itself
        own = "" if run == self.main_run else "/control"
        return self._share(user, f"{salt}{own}") < pick.rate

    def _bits(self, text: str, salt: str) -> int:
        told = f"{self._seed}/{salt}/{text.rpartition('-')[2]}/{len(text)}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=6).digest(), "big")

    def _share(self, text: str, salt: str) -> float:
        return self._bits(text, salt) / 2**48

    # queries

    def _query(self, target: str, query: dict[str, str]) -> Reply:
        wrong, chance = self.behaviour, self._chance
        asked = orjson.loads(query["e"])
        wanted = [
            value
            for entry in asked.get("filters", ())
            if entry["subprop_key"] == "loadcheck_run" and entry["subprop_op"] == "is"
            for value in entry["subprop_value"]
        ]
        run = wanted[0] if wanted else None
        by = [entry["value"] for entry in asked.get("group_by", ())]
        metric = query.get("m", "uniques")
        foreign = self.main_run is not None and run is not None and run != self.main_run
        kind = "control" if foreign else "split" if by else metric
        self._asked[kind] += 1
        took_s = chance.lognormvariate(math.log(0.03), 0.6)
        if self._strikes(wrong.slow, kind, "slow"):
            took_s = wrong.slow_s
        if self._strikes(wrong.fail, kind, "fail"):
            if foreign:
                self.disturbed += 1
            return _failed(took_s, wrong.fail_how)
        absurd = self._strikes(wrong.absurd, kind, "absurd")
        empty = self._strikes(wrong.empty, kind, "empty")
        if foreign and (absurd or empty):
            self.disturbed += 1

        def answer() -> tuple[int, bytes]:
            if empty and wrong.empty_how == "400":
                return 400, b'{"error": {"message": "unknown property: loadcheck_run"}}'
            if empty:
                return 200, orjson.dumps(_shaped([], [], by))
            if absurd:
                labels = ["s0"] if by else []
                return 200, _absurd(wrong.absurd_value, labels, by)
            return 200, self._answer(target, run, by, metric)

        return Reply(took_s, 200, answer, when=chance.random())

    def _strikes(self, answers: Answers | None, kind: str, salt: str) -> bool:
        if answers is None or kind not in answers.kinds:
            return False
        if answers.first is not None:
            self._hit[salt] += 1
            return self._hit[salt] <= answers.first
        if answers.window is not None:
            age_s = self._now_s() - self.last_upload_s
            if not answers.window[0] <= age_s < answers.window[1] or self.main_run is None:
                return False
        return self._chance.random() < answers.rate

    def _answer(self, target: str, run: str | None, by: list[str], metric: str) -> bytes:
        wrong, now_s = self.behaviour, self._now_s()
        told: dict[str, Any] = {}
        if wrong.cache_s:
            found = self._cache.get(target)
            if found is not None and now_s - found[0] < wrong.cache_s:
                if not wrong.cache_tells:
                    return found[1]
                age = {"wasCached": True, "millisSinceComputed": int(1000 * (now_s - found[0]))}
                return orjson.dumps(orjson.loads(found[1]) | age)
        at_s = now_s
        if wrong.frozen_s is not None:
            at_s = min(now_s, self.began_s + wrong.frozen_s)
        seen = self._seen(at_s, self._replica(bool(by)), run)
        counts = self._counted(seen, by, metric)
        if wrong.no_zeros:
            counts = {label: count for label, count in counts.items() if count}
        body = orjson.dumps(_shaped(list(counts), list(counts.values()), by) | told)
        if wrong.texts:
            shaped = _shaped(list(counts), [str(value) for value in counts.values()], by)
            body = orjson.dumps(shaped)
        if wrong.cache_s:
            self._cache[target] = now_s, body
        self._answered += 1
        before, self._before = self._before, body
        return before if wrong.swaps and before and not self._answered % wrong.swaps else body

    def _replica(self, split: bool) -> int:
        wrong = self.behaviour
        if wrong.replicas == 1:
            return 0
        if split and wrong.split_replica:
            return wrong.replicas - 1
        if wrong.routing == "alternate":
            self._turn += 1
            return self._turn % wrong.replicas
        if wrong.routing == "sticky":
            return int(self._now_s() / 7) % wrong.replicas
        return self._chance.randrange(wrong.replicas)

    def _seen(self, at_s: float, replica: int, run: str | None) -> Iterator[Event]:
        """Yield the events that a replica shows."""
        wrong = self.behaviour
        behind_s = wrong.replica_lag_s * replica
        hides = wrong.replica_hides if replica else 0.0
        dip = self._dip(at_s)
        vanished = at_s - self.last_upload_s >= wrong.vanish_at_s
        for event in self._all(at_s):
            if run is not None and event.run != run:
                continue
            if event.visible_s + behind_s > at_s or (vanished and event.vanishes):
                continue
            if hides and self._share(event.user, "replica") < hides:
                continue
            if wrong.bots and event.run != self.main_run:
                continue
            if wrong.sampled and self._share(event.user, "sample") >= wrong.sampled:
                continue
            if dip and self._share(event.user, "dip") < dip:
                continue
            yield event

    def hides(self, user: str, at_s: float) -> bool:
        """Tell whether a dip keeps a user from being counted at a moment."""
        return self._share(user, "dip") < self._dip(at_s)

    def _dip(self, at_s: float) -> float:
        """Return the share of users that is not counted at a moment."""
        age_s = at_s - self.last_upload_s
        dips = self.behaviour.dips
        return max((share for begin, end, share in dips if begin <= age_s < end), default=0.0)

    def _all(self, at_s: float) -> Iterator[Event]:
        wrong = self.behaviour
        if wrong.phantoms and not self._haunted and at_s >= self.began_s + wrong.phantoms_at_s:
            self._haunt()
        yield from self._earlier
        if wrong.foreign_rate and self.began_s < NEVER:
            due = int((at_s - self.began_s) * wrong.foreign_rate)
            for number in range(due):
                yield Event(f"other-{number}", "", {}, 0.0)
        yield from self.events

    def _haunt(self) -> None:
        """Let users appear that nobody sent, with the marks of some that were."""
        self._haunted = True
        main = [event for event in self.events if event.run == self.main_run] or self.events
        for number in range(self.behaviour.phantoms):
            if not main:
                return
            like = self._chance.choice(main)
            self.events.append(Event(f"phantom-{number:05d}", like.run, like.labels, self._now_s()))

    def _counted(self, seen: Iterator[Event], by: list[str], metric: str) -> dict[str, int]:
        wrong, chance = self.behaviour, self._chance
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for event in seen:
            groups[event.labels.get(by[0], "(none)") if by else ""].append(event.user)
        if not by:
            groups.setdefault("", [])
        counts: dict[str, int] = {}
        error = wrong.bias + (chance.gauss(0.0, wrong.noise) if wrong.noise else 0.0)
        for label, users in sorted(groups.items()):
            number = len(users) if metric == "totals" else len(set(users))
            if metric == "uniques":
                number += wrong.leaks
                if error and (not by or wrong.approximate_rows):
                    number = max(0, number + math.trunc(number * error))
            counts[label] = self._reported(number)
        if by and wrong.other_row and len(counts) > wrong.other_row:
            others = sorted(counts, key=lambda label: counts[label])[: wrong.other_row]
            counts["(other)"] = sum(counts.pop(label) for label in others)
        if by:
            for label in sorted(counts, key=lambda label: counts[label])[: wrong.rows_lose]:
                del counts[label]
            for label in list(counts)[:1]:
                counts[label] += wrong.rows_gain
        return counts

    def _reported(self, number: int) -> int:
        """Return what a service that estimates, rounds or caps makes of a count."""
        wrong = self.behaviour
        if wrong.sampled:
            number = round(number / wrong.sampled)
        if wrong.rounded:
            number = wrong.rounded * round(number / wrong.rounded)
        return min(number, wrong.capped or number)


def _shaped(labels: list[str], values: list[Any], by: list[str]) -> dict[str, Any]:
    collapsed = [[{"setId": "", "value": value}] for value in values]
    data = {"series": [[value] for value in values], "seriesCollapsed": collapsed}
    return {"data": data | {"seriesLabels": [[0, label] for label in labels] if by else [0]}}


def _absurd(value: Any, labels: list[str], by: list[str]) -> bytes:
    raw = value.encode() if isinstance(value, str) and value.startswith("raw:") else None
    shaped = orjson.dumps(_shaped(labels, ["@" if raw else value], by))
    return shaped if raw is None else shaped.replace(b'"@"', raw[4:])


def _refusal(took_s: float, status: int) -> Reply:
    return Reply(took_s, status, orjson.dumps({"code": status, "error": "refused"}))


def _unclear(took_s: float, how: str) -> Reply:
    if how in ("lost", "timeout"):
        return Reply(took_s, 0, b"", failure=how)
    if how == "unreadable":
        return Reply(took_s, 200, b"<html>")
    return Reply(took_s, int(how), b"{}")


def _failed(took_s: float, how: str) -> Reply:
    if how in ("lost", "timeout"):
        return Reply(took_s, 0, b"", failure=how)
    if how == "text":
        return Reply(took_s, 200, b"<html>busy</html>")
    return Reply(took_s, int(how), b'{"error": "busy"}')
