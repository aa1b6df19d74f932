"""What a run would send, for a terminal; and problems of documents in other tools' formats.

The formats are JSON, SARIF, and annotations of GitHub.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from loadcheck import __version__
from loadcheck.errors import Problem, many, printable
from loadcheck.report import words
from loadcheck.secrets import cover

_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_OWN_RULE: Final = "loadcheck"
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = {**_DATA, ":": "%3A", ",": "%2C"}


def as_text(problems: Sequence[Problem]) -> str:
    """Return a line for each problem."""
    return "".join(
        printable(cover(f"{problem.severity}: {problem}")) + "\n" for problem in problems
    )


def as_json(problems: Sequence[Problem]) -> str:
    """Return the problems as JSON, with the number of errors."""
    errors = sum(problem.severity == "error" for problem in problems)
    document = {"errors": errors, "problems": [asdict(problem) for problem in problems]}
    return cover(json.dumps(document, ensure_ascii=False, indent=2)) + "\n"


def as_sarif(problems: Sequence[Problem]) -> str:
    """Return the problems as SARIF 2.1.0, which code scanning and editors read.

    A rule is a section of the specification.
    """
    rules = list(dict.fromkeys(_rule(problem) for problem in problems))
    driver = {
        "name": "loadcheck",
        "version": __version__,
        "informationUri": "https://spec.openapis.org/arazzo/latest.html",
        "rules": [{"id": rule, "shortDescription": {"text": rule}} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, rules) for problem in problems],
    }
    document = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    return cover(json.dumps(document, ensure_ascii=False, indent=2)) + "\n"


def as_github(problems: Sequence[Problem]) -> str:
    """Return the problems as workflow commands of GitHub Actions, which annotate the lines."""
    return "".join(cover(_command(problem)) + "\n" for problem in problems)


FORMATS: Final[dict[str, Callable[[Sequence[Problem]], str]]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}


def _rule(problem: Problem) -> str:
    return problem.section or _OWN_RULE


def _said(problem: Problem) -> str:
    key = f"{problem.key}: " if problem.key else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return printable(f"{key}{problem.message}{remedy}")


def _result(problem: Problem, rules: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": _rule(problem),
        "ruleIndex": rules.index(_rule(problem)),
        "level": problem.severity,
        "message": {"text": _said(problem)},
    }
    if problem.file:
        place: dict[str, Any] = {
            "artifactLocation": {"uri": quote(PurePath(problem.file).as_posix())}
        }
        if problem.line:
            place["region"] = {"startLine": problem.line}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _command(problem: Problem) -> str:
    fields = {"file": problem.file, "line": str(problem.line or ""), "title": _rule(problem)}
    given = ",".join(
        f"{name}={_escaped(printable(value), _PROPERTY)}" for name, value in fields.items() if value
    )
    return f"::{problem.severity} {given}::{_escaped(_said(problem), _DATA)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in text)


Preview = Mapping[str, Any]
_CELL: Final = 20
_STAGES: Final = 8
"""Maximum number of stages listed."""


def text(preview: Preview, *, width: int = 100) -> str:
    """Return a preview as lines of plain text; requests are not wrapped."""
    lines = [f"{preview['scenario']}: {preview['description']}".rstrip(": "), ""]
    lines += _rows(
        *([("profile", preview["profile"])] if preview["profile"] else []),
        ("workflow", preview["workflow"]),
        *(
            (
                "" if index else "steps",
                f"{step['step']}  {step['request']}  ({_role(preview, step)})",
            )
            for index, step in enumerate(preview["steps"])
        ),
        *(
            ("" if index else "overlay", _edit(edit))
            for index, edit in enumerate(preview["overlay"])
        ),
        ("target", _target(preview)),
        ("sends", _sends(preview["load"])),
        *_thinks(preview["load"]),
        ("size", _size(preview["sizes"])),
        ("connects", _connects(preview)),
        *(("" if index else "stages", line) for index, line in enumerate(_stages(preview["load"]))),
        ("verifies", _verifies(preview)),
        *_names(preview),
        *(
            ("" if index else "thresholds", threshold)
            for index, threshold in enumerate(_thresholds(preview))
        ),
        width=width,
    )
    lines += ["", "first request", *_request(preview["first_request"])]
    lines += _samples(preview)
    if preview["first_query"] is not None:
        lines += ["", "first query", *_request(preview["first_query"])]
    if preview["warnings"]:
        lines += ["", *(f"warning: {warning}" for warning in preview["warnings"])]
    return "".join(f"{printable(line)}\n" for line in lines)


def together(limits: Sequence[str], *, width: int = 100) -> str:
    """Return the thresholds of all flows of a mix together; "" if there are none."""
    rows = [("" if index else "together", limit) for index, limit in enumerate(limits)]
    return "".join(f"{line}\n" for line in ["", *_rows(*rows, width=width)]) if rows else ""


def _rows(*rows: tuple[str, str], width: int) -> list[str]:
    return [line for name, value in rows for line in wrapped(name, value, 11, width)]


def wrapped(name: str, value: str, column: int, width: int) -> list[str]:
    """Return a name in its column and its value beside it, as lines that fit a width."""
    return textwrap.wrap(
        value,
        width,
        initial_indent=f"  {name:<{column}} ",
        subsequent_indent=" " * (column + 3),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _role(preview: Preview, step: Mapping[str, Any]) -> str:
    if step["role"] == "per-copy":
        ingest = "; decides its outcome" if step["step"] == preview["ingest"] else ""
        return f"runs in every copy{ingest}"
    if step["role"] == "renewal":
        return f"shared: renews, every {words.clock(step['every_s'])}"
    if step["role"] in {"setup", "teardown"}:
        again = step.get("every_s")
        often = "" if again is None else f", and every {words.clock(again)}"
        when = "before the load" if step["role"] == "setup" else "when all is over"
        return f"shared: runs once, {when}{often}"
    return "one query covers all copies"


def _edit(edit: Mapping[str, Any]) -> str:
    """Return a change that the scenario makes to a request of the document."""
    value = edit["value"]
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{edit['step']} {edit['at']} = {shown}"


def _target(preview: Preview) -> str:
    if preview["target"] == "emulator" and not preview["leaves_this_machine"]:
        return "the embedded emulator, started and stopped by the run"
    if preview["leaves_this_machine"]:
        away = [each for each in preview["destinations"] if each["away"]]
        named = ", ".join(f"{each['origin']} ({each['what']})" for each in away)
        return f"leaves this machine: run it with --live. {named}"
    return "servers on this machine"


def _sends(load: Mapping[str, Any]) -> str:
    copies = "copies" if load["copies"] is None else many(load["copies"], "copies")
    known = load["copies"] is not None and load["users"] is not None
    users = f" ({_users(load)})" if known else ""
    together = load["copies_per_request"]
    if together > 1:
        users += f" in requests of {words.count(together)}"
    length = "" if load["duration_s"] is None else f" in {words.clock(load['duration_s'])}"
    if load["model"] == "closed":
        return f"{copies}{users}{length}, {load['concurrency']:,} in flight"
    events = load["events_per_copy"]
    peak = words.rate(load["peak_rate"])
    peak += f" of users, {words.rate(load['peak_rate'] * events)} of events" if events > 1 else ""
    arrivals = "recorded" if load["trace"] else load["arrivals"]
    return (
        f"{copies}{users}{length}, peak {peak}, {arrivals}"
        f" arrivals, at most {load['max_in_flight']:,} in flight"
    )


def _users(load: Mapping[str, Any]) -> str:
    users, events = load["users"], load["events"]
    if users == events:
        return many(users, "users and events")
    return f"{many(users, 'users')}, {many(events, 'events')}"


def _thinks(load: Mapping[str, Any]) -> list[tuple[str, str]]:
    wait, sessions = load["think_time"], load["sessions"]
    rows = [] if wait is None else [("thinks", f"{_wait(wait)} between steps")]
    if sessions is None:
        return rows
    parts = []
    if sessions["uploads_most"] > 1:
        mean, most = sessions["uploads"], sessions["uploads_most"]
        uploads = f"{mean:g} uploads in the mean, {most:,} at most,"
        uploads = many(most, "uploads") if mean == most else uploads
        parts.append(f"{uploads} by each copy, {_wait(sessions['gap'])} apart")
    if sessions["returning"]:
        parts.append(f"{sessions['returning']:.0%} of the copies by returning users")
    return [*rows, ("sessions", "; ".join(parts))]


def _wait(wait: Mapping[str, Any]) -> str:
    """Return a wait in words: its mean and, unless fixed, its 99th percentile."""
    mean, most = words.clock(wait["mean_s"]), words.clock(wait["p99_s"])
    if wait["kind"] == "fixed":
        return mean
    return f"{mean} in the mean, {most} at the 99th percentile ({wait['kind']})"


def _size(sizes: Mapping[str, Any]) -> str:
    usual, most, peak = sizes["p50_bytes"], sizes["p99_bytes"], sizes["peak_bytes_per_s"]
    spread = f"requests of {usual:,} bytes"
    if most > usual:
        spread += f" (p50), {most:,} (p99)"
    return spread if peak is None else f"{spread}, {peak:,} bytes/s at the peak"


def _samples(preview: Preview) -> list[str]:
    """Return what differs between the first copies, except the buckets that loadcheck adds."""
    copies = [dict(_leaves(sample["body"])) for sample in preview["samples"]]
    places = [] if preview["buckets"] is None else preview["buckets"]["places"]
    ours = tuple("/" + each.rpartition("/")[2] for each in places)
    rows = [
        (place, [words.shortened(copy[place], _CELL) if place in copy else "" for copy in copies])
        for place in dict.fromkeys(place for copy in copies for place in copy)
        if len({copy.get(place) for copy in copies}) > 1 and not place.endswith(ours)
    ]
    if not rows:
        return []
    names = max(len(place) for place, _ in rows)
    widths = [max(len(cells[index]) for _, cells in rows) for index in range(len(copies))]
    return [
        "",
        f"what differs between the first {len(copies)} copies",
        *(
            f"  {place:<{names}}  "
            + "  ".join(
                f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)
            ).rstrip()
            for place, cells in rows
        ),
    ]


def _leaves(body: str) -> Iterator[tuple[str, str]]:
    """Yield place and JSON of each value in a body; the whole body if it is not JSON."""
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(body))]
    except ValueError:
        yield "the body", body
        return
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{place}/{name}", each) for name, each in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(f"{place}/{index}", value[index]) for index in reversed(range(len(value)))]
        else:
            yield place, json.dumps(value, ensure_ascii=False)


def _connects(preview: Preview) -> str:
    connection = preview["connection"]
    if preview["transport"] == "httpx":
        parts = ["through httpx"]
    else:
        ahead = [str(each["connections"]) for each in connection["opened_ahead"]]
        parts = [f"{many(', then '.join(ahead), 'connections')} opened ahead"]
    parts.append(f"at most {words.count(connection['at_most'])}")
    proxy, tls = connection["proxy"], connection["tls"]
    named = {
        f"by the proxy {proxy}": proxy,
        "HTTP/2": connection["http2"],
        "redirects followed": connection["redirects"],
        "cookies kept by each copy": connection["cookies"],
        "bodies gzipped": connection["compress"] == "gzip",
        f"trusting {tls['ca']}": tls["ca"],
        f"as {tls['cert']}": tls["cert"],
        f"expecting {tls['server_name']}": tls["server_name"],
        "certificates NOT verified": not tls["verify"],
    }
    return ", ".join([*parts, *(words for words, wanted in named.items() if wanted)])


def _stages(load: Mapping[str, Any]) -> list[str]:
    """Return the stages of a load, and a sparkline of it."""
    shape, trace = load["shape"], load.get("trace")
    drawn = [] if shape is None else [words.sparkline(shape)]
    if trace is not None:
        length = words.clock(load["duration_s"])
        return [f"{trace['file']}: {words.count(trace['rows'])} arrivals in {length}", *drawn]
    stages = load.get("stages", ())
    lines = [_stage(stage) for stage in stages[:_STAGES]]
    if len(stages) > _STAGES:
        lines.append(f"… and {len(stages) - _STAGES:,} more")
    lines += [
        f"to {many(stretch['concurrency'], 'users')} in {words.clock(stretch['duration_s'])}"
        for stretch in load.get("ramp", ())[:_STAGES]
    ]
    return [*lines, *drawn]


def _stage(stage: Mapping[str, Any]) -> str:
    begin, end = words.rate(stage["rate"]), words.rate(stage["end_rate"])
    speed = begin if begin == end else f"{begin} → {end}"
    return f"{stage['name']}: {words.clock(stage['duration_s'])} at {speed}"


def _verifies(preview: Preview) -> str:
    if preview["observer"] is None:
        return "verification: disabled"
    settles = preview["settles"]
    how = (
        "counts this run's users only"
        if preview["isolation"] == "filter"
        else "is compared against a baseline taken before the run; other traffic disturbs it"
    )
    return (
        f"{preview['observer']} {how}; settled when stable for {words.clock(settles['quiet_s'])},"
        f" at most {words.clock(settles['deadline_s'])} after the last acknowledgement"
    )


def _thresholds(preview: Preview) -> list[str]:
    return [
        threshold
        if grace_s is None
        else f"{threshold}   aborts the load, after {words.clock(grace_s)} at the earliest"
        for threshold, grace_s in zip(preview["thresholds"], preview["stops_after_s"], strict=True)
    ]


def _some(places: Sequence[str]) -> str:
    """Return the first two places and the last; of up to three, all."""
    if len(places) <= 3:  # noqa: PLR2004
        return ", ".join(places)
    return f"{places[0]}, {places[1]} … {places[-1]}"


def _names(preview: Preview) -> list[tuple[str, str]]:
    """Return what is added to every request so that missing users can be named."""
    buckets = preview["buckets"]
    if buckets is None and preview.get("approximate"):
        return [("names", "none: approximate counts cannot be compared by bucket")]
    if buckets is None:
        return []
    places = [place.rpartition("/")[2] for place in buckets["places"]]
    number = buckets["partitions"]
    queries = "1 group-by query" if buckets["queries"] == 1 else f"{buckets['queries']} group-bys"
    return [
        ("names", f"the missing, by {number} buckets: +{buckets['added_bytes']} bytes a copy"),
        ("", f"{_some(places)}; off with verify.localize = false"),
        ("", f"at least {queries}, at a cost of {buckets['cost']:,} each"),
    ]


def _request(request: Mapping[str, Any]) -> list[str]:
    url, _, query = request["url"].partition("?")
    lines = [f"  {request['method']} {url}"]
    # one parameter a line, decoded: what it means, not how it is spelled on the wire
    for index, parameter in enumerate(query.split("&") if query else ()):
        lines.append(f"    {'&' if index else '?'} {unquote_plus(parameter)}")
    lines += [f"  {name}: {value}" for name, value in request["headers"]]
    if request["body"]:
        lines += ["", *(f"  {line}" for line in _body(request["body"]))]
    return lines


def _body(body: str) -> list[str]:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return body.splitlines()
