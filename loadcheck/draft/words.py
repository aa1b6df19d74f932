"""What the names in APIs that take events and count users usually mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from loadcheck.draft.fields import Field
from loadcheck.draft.operations import Candidate, words_of

USERS: Final = {
    **dict.fromkeys(("userid", "distinctid"), 10),
    **dict.fromkeys(("uid", "userpseudoid", "enduserid", "externaluserid"), 9),
    **dict.fromkeys(("anonymousid", "customerid", "visitorid", "memberid", "subscriberid"), 8),
    **dict.fromkeys(("playerid", "personid", "contactid"), 8),
    **dict.fromkeys(("user", "userkey", "profileid", "actorid", "subjectid"), 7),
    **dict.fromkeys(("customer", "visitor", "actor", "username", "deviceid", "clientid"), 6),
    **dict.fromkeys(("subject", "who", "email", "device", "person", "member"), 4),
    "sessionid": 3,
}
"""Names of fields that identify a user → how certain that is."""
KEYS: Final = frozenset(
    {"insertid", "eventid", "messageid", "msgid", "idempotencykey", "xidempotencykey", "dedupid"}
    | {"dedupkey", "deduplicationid", "deduplicationkey", "requestid", "xrequestid", "nonce"}
    | {"uuid", "pointid", "recordid", "transactionid", "orderid"}
)
"""Names of the keys by which a service recognises a repeated event."""
TIMES: Final = frozenset(
    {"time", "timestamp", "ts", "eventtime", "occurredat", "createdat", "sentat", "clienttime"}
    | {"eventtimestamp", "originaltimestamp", "date", "datetime", "at"}
)
RUNS: Final = {
    **dict.fromkeys(("run", "testrun", "loadtest"), 10),
    **dict.fromkeys(("tag", "label", "test"), 8),
    **dict.fromkeys(("campaign", "batch", "experiment"), 7),
    **dict.fromkeys(("event", "action", "measurement", "metric"), 6),
    **dict.fromkeys(("source", "category", "topic", "channel", "type", "name", "kind"), 4),
    **dict.fromkeys(("stream", "key", "series"), 3),
}
"""Names of fields that may identify a run's events → how well they do."""
SAME: Final = {
    **dict.fromkeys(("runid", "testrunid", "loadcheckrun"), "run"),
    **dict.fromkeys(("eventtype", "eventname", "events", "e"), "event"),
    **dict.fromkeys(("campaignid", "campaignname"), "campaign"),
    **dict.fromkeys(("tagname",), "tag"),
    **dict.fromkeys(("batchid",), "batch"),
}
"""Synonyms → the name that stands for all of them."""
EVENT_NAMES: Final = ("name", "type", "action")
"""Names, in a request that sends an event, of the field that a query calls "event"."""
SETTINGS: Final = frozenset(
    {"project", "tenant", "org", "organization", "organisation", "workspace", "app", "application"}
    | {"environment", "env", "dataset", "database", "db", "bucket", "account", "site", "property"}
    | {"collection", "index", "version", "region", "writekey", "apikey", "token", "team", "store"}
    | {"shop", "customer", "namespace", "stage", "cluster", "service"}
)
"""Names of things that must exist before anything is sent to them."""
BEGINS: Final = frozenset(
    {"start", "from", "since", "begin", "startdate", "starttime", "fromdate", "after", "startday"}
    | {"startat", "datefro", "datefrom", "timefrom", "fromtime", "starttimestamp"}
)
ENDS: Final = frozenset(
    {"end", "to", "until", "enddate", "endtime", "todate", "before", "endday", "endat", "dateto"}
    | {"timeto", "totime", "endtimestamp", "till"}
)

_INGEST: Final = {
    **dict.fromkeys(("event", "track", "ingest", "ingestion"), 8),
    **dict.fromkeys(("collect", "capture"), 7),
    **dict.fromkeys(("write", "upload", "record", "send", "push", "publish", "log"), 5),
    **dict.fromkeys(("message", "point", "metric", "activity", "hit", "view", "click"), 3),
    **dict.fromkeys(("batch", "bulk", "many", "multi", "import"), -4),
    **dict.fromkeys(("identify", "alia", "group", "login", "auth", "token", "webhook"), -6),
    **dict.fromkeys(("register", "delete", "session", "search", "query", "count", "stat"), -8),
    **dict.fromkeys(("segment", "report", "analytic", "export", "validate", "debug"), -6),
}
_COUNT: Final = {
    **dict.fromkeys(("count", "unique", "distinct"), 8),
    **dict.fromkeys(("stat", "statistic", "segment", "segmentation"), 6),
    **dict.fromkeys(("analytic", "aggregate", "aggregation"), 5),
    **dict.fromkeys(("query", "report", "metric", "summary", "user", "dau", "mau"), 4),
    **dict.fromkeys(("total", "dashboard", "insight", "cardinality"), 3),
    **dict.fromkeys(("revenue", "price", "funnel", "retention"), -4),
    **dict.fromkeys(("health", "status", "version", "ping", "ready", "live"), -20),
}
_ANSWER: Final = {
    **dict.fromkeys(("unique", "distinct"), 12),
    **dict.fromkeys(("dau", "mau", "wau"), 10),
    **dict.fromkeys(("user", "visitor", "customer", "member", "people", "person"), 8),
    **dict.fromkeys(("actor", "subject", "player", "subscriber"), 8),
    **dict.fromkeys(("count", "counted", "total", "number", "num", "n", "cardinality"), 5),
    **dict.fromkeys(("value", "result", "sum", "sery", "serie", "y"), 3),
    **dict.fromkeys(("event", "hit", "occurrence"), 1),
    **dict.fromkeys(("page", "limit", "offset", "size", "took", "ms", "duration"), -30),
    **dict.fromkeys(("time", "timestamp", "status", "code", "version", "id", "per", "next"), -30),
    **dict.fromkeys(("min", "max", "avg", "mean", "rate", "percent", "ratio", "date"), -30),
    **dict.fromkeys(("revenue", "amount", "price", "new", "returning", "lost", "failed"), -12),
    **dict.fromkeys(("rejected", "error", "duplicate", "day", "interval", "start", "end"), -12),
}
_EVENTS: Final = frozenset({"event", "hit", "occurrence"})
_PEOPLE: Final = frozenset(word for word, score in _ANSWER.items() if score >= 8)  # noqa: PLR2004
_SURE: Final = 5


def plain(name: str) -> str:
    """Return a name in lower case, letters and digits only: "userid" for "user_id" or "userId"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def meaning(field: Field) -> str:
    """Return the plain name of a field, the same for all synonyms."""
    name = plain(field.name)
    return SAME.get(name, name)


def user_score(field: Field) -> int:
    """Return how certain it is that a field identifies the user; 0: it does not."""
    if not field.kind.may_be("string", "integer") or field.kind.choices:
        return 0
    names = [token for token in field.tokens if not token.isdigit()]
    return max(USERS.get(plain(name), 0) for name in ("".join(names[-2:]), field.name))


def is_setting(field: Field) -> bool:
    """Return whether a field names something that must exist beforehand; see :data:`SETTINGS`."""
    name = plain(field.name)
    return any(name in {known, f"{known}id", f"{known}name", f"{known}key"} for known in SETTINGS)


def run_score(field: Field) -> int:
    """Return how well a field identifies a run's events; 0: not at all."""
    kind = field.kind
    if not kind.may_be("string") or kind.choices or kind.format or is_setting(field):
        return 0
    name = plain(field.name)
    if name in TIMES | BEGINS | ENDS | KEYS or user_score(field):
        return 0
    return RUNS.get(meaning(field), 0)


def answer_score(field: Field) -> int:
    """Return how certain it is that a field of an answer is the number of users; 0 or less: no."""
    kind = field.kind
    names = [token for token in field.tokens if not token.isdigit()]
    last = _scored(words_of(names[-1]), _ANSWER) if names else _SURE
    score = last + sum(max(0, _scored(words_of(name), _ANSWER)) for name in names[:-1])
    if kind.types & {"integer", "number"}:
        return score
    anything = not names and not kind.types  # an answer that is not described at all
    if anything or kind.choices or kind.format or kind.pattern or not kind.may_be("string"):
        return 0
    text = isinstance(kind.sample, str) and not kind.sample.isdigit()
    return score - 1 if score >= _SURE and not text else 0


def counts_events(field: Field) -> bool:
    """Return whether a field of an answer is certainly a number of events, not of users."""
    words = set(words_of(field.name))
    return bool(words & _EVENTS) and not words & _PEOPLE and answer_score(field) > 0


def counts_people(field: Field) -> bool:
    """Return whether a field of an answer is certainly a number of users, not of events."""
    return any(_PEOPLE.intersection(words_of(token)) for token in field.tokens)


def ingest_score(candidate: Candidate) -> int:
    """Return how certain it is that an operation takes the data."""
    method = candidate.operation.method
    if method in {"DELETE", "OPTIONS", "HEAD", "TRACE"}:
        return -100
    score = _scored(candidate.words, _INGEST)
    score += {"POST": 4, "PUT": 2, "PATCH": -2}.get(method, -8)
    present = set(words_of(candidate.text))
    score += sum(1 for word in present if _INGEST.get(word, 0) >= _SURE)
    return score + max((user_score(field) for field in candidate.fields), default=0)


def count_score(candidate: Candidate, ingest: Candidate, *, blind: bool = False) -> int:
    """Return how certain it is that an operation counts users; -100 if it cannot.

    Args:
        candidate: The operation.
        ingest: The operation that takes the data.
        blind: Accept an operation whose answer is not described.
    """
    method = candidate.operation.method
    if method not in {"GET", "POST", "QUERY"}:
        return -100
    best = max((answer_score(field) for field in candidate.answer), default=0)
    if best <= 0 and not (blind and _is_open(candidate.answer)):
        return -100
    score = max(0, best) + _scored(candidate.words, _COUNT) + (2 if method == "GET" else 0)
    present = set(words_of(candidate.text))
    score += sum(1 for word in present if _COUNT.get(word, 0) >= _SURE)
    if any(user_score(field) and field.required for field in candidate.fields):
        score -= 30  # it answers for one user
    if run_fields(ingest, candidate):
        score += 8
    return score


def _is_open(answer: Sequence[Field]) -> bool:
    """Return whether no part of an answer is described."""
    return all(not field.tokens and not field.kind.types - {"object"} for field in answer)


def run_fields(ingest: Candidate, count: Candidate) -> list[tuple[int, Field, Field]]:
    """Return the fields by which both operations can identify a run, best first.

    Each is a score, the field of ``ingest`` and the field of ``count``.
    """
    found = []
    for asked in count.fields:
        score = run_score(asked)
        if not score:
            continue
        sent = [each for each in ingest.fields if meaning(each) == meaning(asked)]
        if not sent and meaning(asked) == "event":
            sent = [each for each in ingest.fields if plain(each.name) in EVENT_NAMES]
        sent = [each for each in sent if run_score(each)]
        if sent:
            shallow = min(sent, key=lambda each: len(each.tokens))
            found.append((score, shallow, asked))
    return sorted(found, key=lambda each: -each[0])


def _scored(words: Iterable[str], scores: dict[str, int]) -> int:
    return sum(scores.get(word, 0) for word in set(words))
