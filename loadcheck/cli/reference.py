"""The reference: every key, metric, check, exit code and term, from where each is defined."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadcheck.cli.exits import MEANINGS as EXITS
from loadcheck.documents.toml import as_toml
from loadcheck.emulator.config import KEYS
from loadcheck.scenario.schema import SAMPLES, SERVICE, Sample, keys
from loadcheck.scenario.shapes import Shape
from loadcheck.verify import CHECKS
from loadcheck.verify.metrics import MEANINGS as METRICS
from loadcheck.verify.metrics import described

_SINCE: Final = "0.1"

TERMS: Final[Mapping[str, str]] = {
    "copy": "One execution of the workflow's per-copy steps, with a user id of its own.",
    "step": "One request of the workflow, as in Arazzo.",
    "observer": "A step that needs only what is the same in all copies: one query answers for all.",
    "due": "When a copy is to start, by the load's schedule.",
    "response time": "From when a copy was due to when its answer was complete, retries included.",
    "service time": "From when the request was sent to when its answer was complete.",
    "lateness": "From when a copy was due to when its request was sent.",
    "dispatch lag": "From when a copy was due to when it was started: loadcheck's own delay.",
    "in flight": "Started and not finished.",
    "outcome": "Acknowledged, rejected or indeterminate.",
    "acknowledged": "The service accepted the copy, so its user must be counted.",
    "rejected": "Certainly without effect: refused by the service, or never sent.",
    "indeterminate": "May or may not have taken effect: a timeout, a lost connection, a 500.",
    "skipped": "Fell due and was not sent: too many in flight, or the generator paused.",
    "ledger": "Which copies have which outcome.",
    "observation": "One answer of the observer, with the instant whose state it shows.",
    "bounds": "acknowledged ≤ unique users ≤ acknowledged + indeterminate.",
    "settled": "The count has reached the upper bound, or has not moved for verify.quiet.",
    "visible": "Counted by the service.",
    "lost": "Acknowledged and missing at the deadline, with proof that it is not merely late.",
    "late": "Counted after the deadline.",
    "duplicated": "Counted beyond what was sent.",
    "recovered": "Counted without an acknowledgement.",
    "control": "A user sent to test the service itself: fresh, paired or never sent.",
    "bucket": "A mark on each event, a hash of its user, by which the missing can be named.",
    "profile": "Of a service: the TOML file beneath a scenario that says how it is queried. Of a "
    "scenario: what one environment has otherwise, chosen with --profile.",
    "finding": "What a check says.",
    "verdict": "The worst finding: fail before unknown before a broken threshold before pass.",
    "pass": "Proven: every acknowledged user was counted, and every threshold held.",
    "fail": "Proven: the service is not consistent, or a threshold was broken.",
    "unknown": "No proof either way. No evidence is never a pass.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEntry:
    """One thing that can be explained.

    Attributes:
        kind: "key", "metric", "check", "exit code" or "term".
        name: What it is called.
        says: Its meaning.
        rows: Further facts: label and text.
        sample: A working table; None if there is none.
    """

    kind: str
    name: str
    says: str
    rows: Sequence[tuple[str, str]] = ()
    sample: Sample | None = None


def entries() -> Iterator[ReferenceEntry]:
    """Yield the whole reference, in the order in which it is printed."""
    for path, shape in keys(KEYS).items():
        yield ReferenceEntry(
            kind="key",
            name=path,
            says=shape["description"],
            rows=[*_key(path, shape)],
            sample=SAMPLES.get(path),
        )
    for name, kind, known in described():
        rows = [("value", kind.value), ("known", known.value)]
        yield ReferenceEntry(kind="metric", name=name, says=METRICS[name], rows=rows)
    for name, says in CHECKS.items():
        yield ReferenceEntry(kind="check", name=name, says=says)
    for code, says in EXITS.items():
        yield ReferenceEntry(kind="exit code", name=str(int(code)), says=says)
    for name, says in TERMS.items():
        yield ReferenceEntry(kind="term", name=name, says=says)


def _key(path: str, shape: Shape) -> Iterator[tuple[str, str]]:
    yield "type", kind_of(shape)
    if "default" in shape:
        yield "default", _toml(shape["default"])
    for example in _examples(shape)[:1]:
        table, _, name = path.rpartition(".")
        if table.endswith("[]") or "<" in table:
            header = f"[[{table[:-2]}]]" if table.endswith("[]") else f"[{_named(table)}]"
            yield "example", f"{_named(name)} = {_toml(example)}  # in {header.replace('[].', '.')}"
        else:
            yield "example", f"{_named(path)} = {_toml(example)}"
    yield "since", shape.get("x-since", _SINCE)


def _examples(shape: Shape) -> list[Any]:
    """Return the examples of a key, or values that can serve as examples."""
    own = [*shape.get("examples", ()), *([shape["default"]] if "default" in shape else ())]
    if own or shape.get("type") == "object":
        return own
    flag = [True] if shape.get("type") == "boolean" else []
    return [*shape.get("enum", ()), *flag, *([shape["minimum"]] if "minimum" in shape else ())]


def _toml(value: Any) -> str:
    return re.sub(r'"([A-Za-z0-9_-]+)" = ', r"\1 = ", as_toml(value))


def _named(path: str) -> str:
    return re.sub(r"<(\w+)>", lambda name: name[1].lower(), path)


def kind_of(shape: Shape) -> str:
    """Return the type of a key's value, in words."""
    kind = shape.get("type")
    if "title" in shape and kind != "object":
        return str(shape["title"])
    if "enum" in shape:
        return " or ".join(as_toml(word) for word in shape["enum"])
    if kind == "integer":
        least, most = shape["minimum"], shape.get("maximum", 2**53)
        upper = "or more" if most >= 2**53 else f"to {most:,}"
        return f"whole number, {least:,} {upper}"
    words: Mapping[Any, str] = {
        "string": "text",
        "boolean": "true or false",
        "number": "number",
        "object": "table",
        "array": "array",
    }
    if kind == "array" and kind_of(shape["items"]) == "table":
        return "array of tables"
    if "anyOf" in shape:
        return ", or ".join(dict.fromkeys(map(kind_of, shape["anyOf"])))
    return words.get(kind, "any value")


def find(asked: str) -> list[ReferenceEntry]:
    """Return the entries that ``asked`` names, in full or by the last part of a key.

    A threshold stands for its metric, whatever its stage, step and limit.
    """
    wanted = _plain(asked)
    every = list(entries())
    found = [entry for entry in every if wanted in (_plain(entry.name), _plain(_indexed(entry)))]
    # a metric of steps may be named without a step
    of_step = f"step.{wanted}"
    found += [each for each in every if each.kind == "metric" and each.name.lower() == of_step]
    found.sort(key=lambda entry: entry.name == wanted and entry.says.startswith("Only in"))
    if not found:
        found = [each for each in every if each.kind == "key" and _last(each) == wanted]
    if not found and (metric := _metric(asked)):
        found = [each for each in every if each.kind == "metric" and each.name == metric]
    return found


def _plain(name: str) -> str:
    name = re.sub(r"\[\[?([\w.-]+)\]?\]", r"\1", name.strip())
    return re.sub(r"\[\]|<|>|\.\d+(?=\.|$)", "", name.removeprefix("exit ")).lower().strip(". []")


def _indexed(entry: ReferenceEntry) -> str:
    """Return the name of a key as ``--set`` has it, without the names that the user gives."""
    return re.sub(r"\.<\w+>", "", entry.name)


def _last(entry: ReferenceEntry) -> str:
    return entry.name.rpartition(".")[2].lower()


def _metric(asked: str) -> str:
    """Return the metric of a threshold; "" if it is not a threshold."""
    name = re.split(r"[<>=!]", asked.rpartition(":")[2])[0].strip()
    name = re.sub(r"\.(p\d+(\.\d+)?|max)$", ".p99", name)
    if name in METRICS:
        return name
    for own in METRICS:
        rest = own.removeprefix("STEP")
        if rest != own and name.endswith(rest) and name != rest:
            longest = re.search(r"\.(response_time|service_time|failed|throttled)\.p99$", name)
            if longest is None or longest[0] == rest:
                return own
    return ""


def words() -> list[str]:
    """Return every name that can be explained."""
    names = [entry.name for entry in entries()]
    return list(dict.fromkeys([*names, *(name.rpartition(".")[2] for name in names)]))


_THRESHOLDS: Final = (
    "`[STAGE:] METRIC OPERATOR VALUE`, for example `burst: uploadEvents.p99 < 250ms`. `STEP` is a "
    "stepId; `p99` stands for every percentile and for `max`."
)
_HEADINGS: Final = {
    "key": "Keys of a scenario",
    "metric": "Metrics of thresholds",
    "check": "Checks",
    "exit code": "Exit codes",
    "term": "Terms",
}


def markdown() -> str:
    """Return the reference in Markdown."""
    lines = [
        "# Reference",
        "",
        "Every key of a scenario, every metric of a threshold, every check, exit code and term.",
        "`loadcheck explain NAME` shows one of them; this file is `loadcheck explain --markdown`.",
    ]
    section = top = ""
    for entry in entries():
        if entry.kind != section:
            if section == "key":
                lines += _samples()
            section = entry.kind
            lines += ["", f"## {_HEADINGS[section]}", ""]
            if section == "metric":
                lines += [
                    _THRESHOLDS,
                    "",
                ]
            if section != "key":
                lines += [f"| {section} | meaning |", "|---|---|"]
        if entry.kind == "key":
            table = entry.name.partition(".")[0].removesuffix("[]")
            if table != top:
                top = table
                lines += ["", f"### {table}", "", "| key | meaning | type | default | example |"]
                lines.append("|---|---|---|---|---|")
            rows = dict(entry.rows)
            default = _code(rows["default"]) if "default" in rows else ""
            example = _code(rows["example"]) if "example" in rows and not default else ""
            cells = (_code(entry.name), entry.says, rows["type"], default, example)
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        else:
            rows = dict(entry.rows)
            more = f" {rows['value'].capitalize()}; known {rows['known']}." if rows else ""
            lines.append(f"| `{entry.name}` | {entry.says}{more} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _samples() -> list[str]:
    """Return the section that shows how a service of one's own is described."""
    lines = ["", "## A service of your own", "", SERVICE]
    for path, sample in SAMPLES.items():
        lines += ["", f"### [{path}]", "", sample.says, "", "```toml", sample.toml.rstrip(), "```"]
    return lines


def _code(text: str) -> str:
    return f"`{text}`"


def text(entry: ReferenceEntry, *, color: bool, width: int) -> str:
    """Return one entry as text for a terminal."""
    name = f"\x1b[1m{entry.name}\x1b[0m" if color else entry.name
    lines = [f"{name}  ({entry.kind})", *_wrapped(entry.says, "  ", width)]
    for label, says in entry.rows:
        head = f"  {label:<9} "
        lines += textwrap.wrap(
            says, width, initial_indent=head, subsequent_indent=" " * len(head)
        ) or [head]
    if entry.kind == "key":
        within = (f"{entry.name}.", f"{entry.name}[")
        inner = [path.removeprefix(entry.name) for path in keys(KEYS) if path.startswith(within)]
        own = [
            each
            for each in (path.lstrip("[].") for path in inner)
            if "." not in each.replace(">.", ">")
        ]
        if own:
            lines += _wrapped(f"its keys: {', '.join(dict.fromkeys(own))}", "  ", width)
    if entry.sample is not None:
        lines += ["", *_wrapped(entry.sample.says, "  ", width), ""]
        lines += [f"    {line}".rstrip() for line in entry.sample.toml.splitlines()]
        lines += ["", *_wrapped(SERVICE, "  ", width)]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def names(width: int) -> str:
    """Return all names: the keys by table, the rest by kind."""
    groups: dict[str, list[str]] = {}
    for entry in entries():
        table, dot, rest = entry.name.partition(".")
        plural = {"key": "keys at the top", "check": "checks", "term": "terms"}
        group = plural.get(entry.kind, f"{entry.kind}s")
        if entry.kind == "key" and table == "target" and "." in rest:
            continue  # the emulator's limits and faults: explain target.faults
        if entry.kind == "key" and dot:
            group, name = f"[{table.removesuffix('[]')}]", rest
        else:
            name = entry.name
        groups.setdefault(group, []).append(name)
    lines = []
    for group, members in groups.items():
        lines += [group, *_wrapped(", ".join(members), "  ", width)]
    return "\n".join(lines) + "\n"
