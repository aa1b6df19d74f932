"""Derives the verdict of a run and its cause, in one line: no other module does.

The cause needs no knowledge of the checks: what was rejected and with which response, how many
users are missing, which threshold is broken. The terminal, Markdown, HTML, JUnit and the list of
results all show this line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from loadcheck.errors import all_of, many, printable_document
from loadcheck.report import words
from loadcheck.result import Document

NOT_CHECKED = "verification: disabled"
"""Shown for a run with verify.enabled = false."""


_MOST_CAUSES = 3
_LONGEST_REASON = 100
_LONGEST_SENTENCE = 120
_STATUS = re.compile(r"(\d{3})\b")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SAYING = (
    *("message", "error", "detail", "details", "error_description", "description"),
    *("reason", "title", "errors", "msg", "code"),
)
"""JSON keys under which services explain a refusal, the most informative first."""
_COUNTS = {
    "lost": "lost_at_least",
    "duplicated": "duplicated",
    "unexpected": "unexpected",
}
_ABOUT_ACKNOWLEDGED = frozenset({"lost", "unexpected", "duplicated", "controls"})
_ORDER = {"fail": 0, "unknown": 1, "pass": 2}
_MISSING = frozenset({"moving", "old", "controls", "uncontrolled", "unsupported", "approximate"})
"""Reasons for which it is not known whether missing users are lost or late."""


def line(document: Document) -> str:
    """Return the verdict, the scenario and the cause in one line, without colour."""
    document = printable_document(document)
    name = document["scenario"].get("name", "")
    ending = ended(document)
    parts = [badge(document).upper(), f" {name}", f" {cause(document)}", ending and f" ({ending})"]
    return " ".join(part for part in parts if part.strip()).strip()


def together(documents: Sequence[Document], verdict: str) -> str:
    """Return the result of all flows of a mix together, in one line."""
    name, parts = documents[0]["mix"]["name"], of_all(documents)
    return f"{verdict.upper()}  {name} together  {'   '.join(parts)}"


def of_all(documents: Sequence[Document]) -> list[str]:
    """Return the result of all flows of a mix together, in parts of a sentence."""
    whole = documents[0]["mix"]["together"]
    copies, seen = whole["copies"], whole["consistency"]
    flows = words.count(len(documents))
    of = f"{words.count(copies['acknowledged'])} of {many(copies['started'], 'copies')}"
    parts = [f"{flows} flows", f"{of} acknowledged"]
    if seen["uniques"] is not None:
        parts.append(f"{many(seen['uniques'], 'unique users')}, {many(seen['totals'], 'events')}")
    elif seen["totals"] is not None:
        parts.append(many(seen["totals"], "events"))
    times = whole.get("response_time")  # files of earlier versions have none
    if times and times["count"]:
        p50, p99 = (words.duration(times[name]) for name in ("p50_ms", "p99_ms"))
        parts.append(f"{words.rate(whole['load']['reached_rate'])}")
        parts.append(f"response time p50 {p50}, p99 {p99}")
    bad = [each["mix"]["flow"] for each in documents if each["verdict"] != "pass"]
    if bad:
        parts.append(f"not passed: {', '.join(bad)}")
    return [*parts, *_of_mix(documents[0])]


def thresholds(document: Document) -> list[Mapping[str, Any]]:
    """Return the judged thresholds: the run's own, and those of all flows of its mix together."""
    return [
        *document.get("thresholds", ()),
        *named_together(together_thresholds(document)),
    ]


def named_together(thresholds: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return thresholds of all flows of a mix, marked as such among those of one flow."""
    return [{**each, "expression": f"together: {each['expression']}"} for each in thresholds]


def together_thresholds(document: Document) -> Sequence[Mapping[str, Any]]:
    """Return the thresholds of all flows together; files of earlier versions have none."""
    limits: Sequence[Mapping[str, Any]] = (
        (document.get("mix") or {}).get("together", {}).get("thresholds", ())
    )
    return limits


def _of_mix(document: Document) -> Iterator[str]:
    """Yield the thresholds of all flows together that do not hold, in words."""
    joint = {"thresholds": together_thresholds(document)}
    yield from _thresholds(joint, "fail", "threshold broken", "{} thresholds broken")
    several = "no evidence for {} thresholds"
    yield from _thresholds(joint, "unknown", "no evidence for the threshold", several)


def badge(document: Document) -> str:
    """Return the verdict, or "in progress", or "interrupted" in place of "pass".

    Neither an interrupted nor an unfinished run has passed.
    """
    run = document["run"]
    if run.get("in_progress"):
        return "in progress"
    if run["interrupted"] and document["verdict"] == "pass":
        return "interrupted"
    return str(document["verdict"])


def ended(document: Document) -> str:
    """Return how the run ended; "" if it ended by itself, or if the badge says so."""
    ending = words.ending(document["run"])
    return "" if ending == badge(document) else ending


def cause(document: Document) -> str:
    """Return why the verdict is what it is, as a sentence without its full stop."""
    parts = list(causes(document))
    rest = len(parts) - _MOST_CAUSES
    shown = parts[:_MOST_CAUSES] + ([f"and {rest} more"] if rest > 0 else [])
    if shown and not is_checked(document):
        shown.append(NOT_CHECKED)
    text = "; ".join(shown)
    return f"{text[:1].upper()}{text[1:]}"


def causes(document: Document) -> Iterator[str]:
    """Yield the reasons for the verdict, the most important first, and those of the whole mix.

    The latter are not reasons for the verdict of one flow, but for that of its mix run.
    """
    yield from _of_run(document)
    yield from (f"all flows together: {said}" for said in _of_mix(document))


def _of_run(document: Document) -> Iterator[str]:
    verdict = document["verdict"]
    if "findings" not in document and "thresholds" not in document:
        yield _so_far(document)
        return
    if verdict == "pass":
        yield _passed(document)
        yield from _refused(document)
        return
    unreached = _unreached(document)
    if unreached:
        yield unreached
    unacknowledged = _unacknowledged(document)
    if unacknowledged:
        yield unacknowledged
    yield from _counted(document)
    explained = {
        "lost",
        "unexpected",
        "duplicated",
        "missing_events",
        "disappeared",
        "acknowledged",
    }
    if unreached or unacknowledged:
        # obviously nothing is known about users that were never sent, or all refused
        explained |= {"target", "unverified"}
    for finding in findings(document):
        if finding["verdict"] == "fail" and finding["check"] not in explained:
            yield _brief(finding["summary"])
    yield from _thresholds(document, "fail", "threshold broken", "{} thresholds broken")
    unknown = [
        finding
        for finding in findings(document)
        if finding["verdict"] == "unknown" and finding["check"] not in explained - {"lost"}
    ]
    yield from (_unknown(finding) for finding in unknown)
    if verdict == "unknown" and not (unreached or unacknowledged or unknown):
        several = "no evidence for {} thresholds"
        yield from _thresholds(document, "unknown", "no evidence for the threshold", several)
    if not unacknowledged:
        yield from _refused(document)


def findings(document: Document) -> list[Mapping[str, Any]]:
    """Return the findings to show, failures first, without those that would mislead.

    Without acknowledged users none can be lost: "none lost" would read as good news.
    """
    copies = document["copies"]
    none_acknowledged = not copies["acknowledged"]
    kept = [
        finding
        for finding in document.get("findings", ())
        if not (
            none_acknowledged
            and finding["verdict"] == "pass"
            and finding["check"] in _ABOUT_ACKNOWLEDGED
        )
    ]
    return sorted(kept, key=lambda finding: _ORDER[finding["verdict"]])


def is_checked(document: Document) -> bool:
    """Return whether the run was to verify that users arrived."""
    return bool(document.get("consistency", {}).get("checked", True))


def measured(threshold: Mapping[str, Any]) -> str:
    """Return the value that was measured for a threshold, in words."""
    value, unit = threshold["measured"], threshold["unit"]
    if value is None and threshold.get("low") is None:
        # an unbounded lag is null in JSON
        return "unbounded" if threshold["verdict"] == "fail" else "no data"
    said = f"measured {'unbounded' if value is None else words.in_unit(value, unit)}"
    if threshold["verdict"] != "unknown":
        return said
    low, high = threshold.get("low"), threshold.get("high")
    own_ms = threshold.get("own_delay_ms")
    if own_ms is not None:
        said += f", of which up to {words.duration(own_ms)} may be the generator's own delay"
    if low is None:
        return said
    least = words.in_unit(low, unit)
    most = "unbounded" if high is None else words.in_unit(high, unit)
    # copies of a lost worker were not measured, so they give no interval
    return said if least == most else f"{said}: between {least} and {most}"


def main_reason(step: Mapping[str, Any]) -> tuple[str, int, int]:
    """Return the main reason for failed attempts of a step, its count, and that of all reasons.

    For a response with a status it is the message in the first such body, if there is one.
    """
    reasons: Mapping[str, int] = step["reasons"]
    if not reasons:
        return "", 0, 0
    reason, number = max(reasons.items(), key=lambda item: item[1])
    return reason_in_words(reason, step["examples"]), number, sum(reasons.values())


def reason_in_words(reason: str, examples: Mapping[str, str]) -> str:
    """Return a reason in the words of the service, if it gave any."""
    status = _STATUS.match(reason)
    if status is None:
        return words.shortened(reason, _LONGEST_REASON)
    phrase = reason.partition(": ")[0]
    if status[1].startswith("2"):
        # the failed criterion is the reason, whatever the body says
        return words.shortened(f"{phrase}, but {reason.partition(': ')[2]}", _LONGEST_REASON)
    said = _said(examples.get(status[1], ""))
    return words.shortened(f"{status[1]} {said}", _LONGEST_REASON) if said else phrase


def _said(body: str) -> str:
    """Return the human-readable message of an error's body; "" if it has none."""
    try:
        return " ".join(_message(json.loads(body)).split())
    except ValueError:
        title = _TITLE.search(body)
        text = title[1] if title else ("" if body.lstrip()[:1] in "<{[" else body)
        return " ".join(re.sub(r"^\s*\d{3}\b", "", text).split())


def _message(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in _SAYING:
            if found := _message(value.get(key)):
                return found
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return _message(value[0])
    return ""


def _so_far(document: Document) -> str:
    copies, planned = document["copies"], document["copies"]["planned"]
    of = f" of {words.count(planned)}" if planned else ""
    return (
        f"no verdict: {words.count(copies['started'])}{of} copies started, "
        f"{words.count(copies['acknowledged'])} acknowledged so far"
    )


def _acknowledged_users(document: Document) -> int | None:
    """Return how many users must be counted: fewer than copies if some return."""
    lower: int | None = document.get("consistency", {}).get("lower")
    copies: int | None = document["copies"]["acknowledged"]
    return lower if lower is not None and "sessions" in document.get("scenario", {}) else copies


def _passed(document: Document) -> str:
    if is_checked(document):
        error = document.get("consistency", {}).get("approximate")
        within = f", within a declared error of {words.share(error)}" if error else ""
        users = all_of(_acknowledged_users(document), "acknowledged users were")
        return f"{users} counted{within}"
    number = len(document.get("thresholds", ()))
    if not number:
        return "no thresholds"
    return "the threshold holds" if number == 1 else f"all {number} thresholds hold"


def _unreached(document: Document) -> str:
    """Return why no request reached the target; "" if one did."""
    error = document["run"].get("error")
    return str(error).rstrip(".") if error else ""


def _unacknowledged(document: Document) -> str:
    """Return why no copy was acknowledged; "" if one was, or nothing was sent."""
    copies = document["copies"]
    started = copies["started"]
    if copies["acknowledged"] or not started:
        return ""
    what = "no copy was acknowledged"
    if copies["rejected"] == started:
        what = "every request was rejected"
    elif copies["indeterminate"] == started_at_most(copies):
        what = "no request got a conclusive response"
    why = _why(document)
    return f"{what}: {why}" if why else what


def started_at_most(copies: Mapping[str, int]) -> int:
    """Return how many copies can have been started, those of lost workers included."""
    ended = copies["acknowledged"] + copies["rejected"] + copies["indeterminate"]
    return max(copies["started"], ended)


def _refused(document: Document) -> Iterator[str]:
    """Yield how many copies were not acknowledged, with the main reason."""
    copies = document["copies"]
    amounts = [
        f"{words.count(copies[name])} {name}"
        for name in ("rejected", "indeterminate")
        if copies[name]
    ]
    if amounts:
        why = _why(document)
        tail = f": {why}" if why else ""
        yield f"{' and '.join(amounts)} of {many(started_at_most(copies), 'copies')}{tail}"
    if copies["skipped"]:
        yield f"{many(copies['skipped'], 'copies')} skipped"


def _why(document: Document) -> str:
    """Return the main reason of failed attempts, of the ingest step if it has one."""
    steps = document.get("steps", {})
    copied = [step for step in steps.values() if step["role"] != "observer" and step["reasons"]]
    ingest = steps.get(document["workflow"].get("ingest"))
    if ingest is not None and ingest["reasons"]:
        copied.insert(0, ingest)
    if not copied:
        return ""
    reason, number, total = main_reason(copied[0])
    of = f"{words.count(number)} of {words.count(total)} times"
    return f"{reason} ({times(number) if number == total else of})"


def times(number: int) -> str:
    """Return a number of times: "once", "2 times"."""
    return "once" if number == 1 else f"{words.count(number)} times"


def _counted(document: Document) -> Iterator[str]:
    """Yield the problems that the counts prove."""
    seen, failed = document.get("consistency", {}), {}
    for finding in document.get("findings", ()):
        if finding["verdict"] == "fail":
            failed[finding["check"]] = finding
    lost = seen.get("lost_at_least")
    if lost:
        least = "at least " if "lost" in failed and seen.get("lost_at_most") != lost else ""
        of = many(_acknowledged_users(document), "acknowledged users")
        yield f"{least}{words.count(lost)} of {of} {'is' if lost == 1 else 'are'} missing"
    elif "lost" in failed:
        yield _brief(failed["lost"]["summary"])
    if "disappeared" in failed:
        yield _brief(failed["disappeared"]["summary"])
    amounts = (
        ("unexpected", "{} unexpected user{s} counted"),
        ("duplicated", "{} event{s} counted twice"),
        ("missing_events", "{} event{s} of counted users missing"),
    )
    for name, sentence in amounts:
        number = seen.get(name)
        if number and (name != "missing_events" or name in failed):
            yield sentence.format(words.count(number), s="" if number == 1 else "s")
        elif name in failed:
            yield _brief(failed[name]["summary"])


def _thresholds(document: Document, verdict: str, one: str, several: str) -> Iterator[str]:
    seen = document.get("consistency", {})
    found = [
        threshold
        for threshold in document.get("thresholds", ())
        if threshold["verdict"] == verdict
        # losses are already reported in words
        and not (verdict == "fail" and seen.get(_COUNTS.get(_metric(threshold), "")))
    ]
    if not found:
        return
    first = found[0]["expression"]
    if verdict == "fail":
        first += f" ({measured(found[0])})"
    if len(found) == 1:
        yield f"{one}: {first}"
    else:
        of = f"{len(found)} of {len(document['thresholds'])}"
        yield f"{several.format(of)}: {first} and {len(found) - 1} more"


def _metric(threshold: Mapping[str, Any]) -> str:
    return re.split(r"[\s<>=!]", str(threshold["expression"]), maxsplit=1)[0]


def _unknown(finding: Mapping[str, Any]) -> str:
    """Return what an inconclusive finding leaves open."""
    evidence, summary = finding.get("evidence") or {}, finding["summary"]
    reason = evidence.get("reason")
    if finding["check"] == "lost" and evidence.get("uniques") is not None:
        short = (evidence.get("acknowledged") or 0) - evidence["uniques"]
        of = many(evidence.get("acknowledged"), "acknowledged users")
        if reason in _MISSING and short > 0:
            return f"{words.count(short)} of {of} missing: lost or late?"
        if reason == "hidden" and evidence.get("lost_at_most"):
            most = words.count(evidence["lost_at_most"])
            return f"up to {most} of {of} could be missing unnoticed"
        if reason in ("conflict", "rows"):
            return "the service contradicts itself about how many users it counted"
    if finding["check"] == "unverified":
        return _brief(summary.partition(" is unknown: ")[2] or summary)
    return _brief(summary)


def _brief(summary: str) -> str:
    """Return the beginning of a finding's summary that stands on its own."""
    sentence = summary.split(". ", maxsplit=1)[0].rstrip(".")
    if len(sentence) > _LONGEST_SENTENCE:
        sentence = re.split(r"[;:] ", sentence)[0]
    if not sentence[1:2].isupper():
        sentence = f"{sentence[:1].lower()}{sentence[1:]}"
    return words.shortened(sentence, _LONGEST_SENTENCE)
