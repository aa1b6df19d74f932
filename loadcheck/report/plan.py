"""What a run will cost, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadcheck.errors import many, printable
from loadcheck.report import words
from loadcheck.report.preview import wrapped

_NAME: Final = 13


def text(plan: Mapping[str, Any], *, width: int = 100) -> str:
    """Return a plan as lines of plain text; the plan of a mix flow by flow."""
    if "flows" in plan:
        flows = "".join(f"{text(flow, width=width)}\n" for flow in plan["flows"])
        return f"{flows}{printable(_digest(plan))}\n"
    lines = [f"Plan of {plan['scenario']}", ""]
    for name, value in _rows(plan):
        lines += wrapped(name, value, _NAME, width)
    lines += [f"warning: {warning}" for warning in plan["warnings"]]
    return "".join(f"{printable(line)}\n" for line in lines)


def _rows(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(plan["destinations"]):
        region = f", region {each['region']}" if each["region"] else ""
        here = "" if each["away"] else ", on this machine"
        yield "" if index else "goes to", f"{each['origin']}  ({each['what']}{region}{here})"
    if not plan["destinations"]:
        yield "goes to", "the embedded emulator, started and stopped by the run"
    yield "users", _between(plan["users"])
    billed = plan["new_users"]["billed"]
    if billed:
        yield "", f"each new to the service: a {billed}"
    yield "events", _between(plan["events"])
    yield "requests", f"{_between(plan['requests'])}; retries come on top"
    yield "bytes", _between(plan["bytes"], _size)
    peak = plan["peak"]
    if peak["events_per_s"] is None:
        yield "peak", "as fast as the answers come: a closed load has no rate of its own"
    else:
        rates = [f"{words.rate(peak['events_per_s'])} events"]
        if peak["requests_per_s"] is not None:
            rates.append(f"{words.rate(peak['requests_per_s'])} requests")
        yield "peak", ", ".join(rates)
    yield "takes", _takes(plan["duration_s"])
    yield from _asks(plan)
    yield from _limits(plan)
    for index, each in enumerate(plan["stays"]):
        yield "" if index else "stays", each
    if "digest" in plan:
        yield "digest", _digest(plan)


def _digest(plan: Mapping[str, Any]) -> str:
    return f"{plan['digest']}  (loadcheck run --plan DIGEST runs this and nothing else)"


def _between(bounds: Mapping[str, Any], shown: Any = words.count) -> str:
    least, most = bounds["least"], bounds["most"]
    if most is None and bounds.get("usual") is not None:
        return f"{shown(least)} or more, about {shown(bounds['usual'])} if answers are as usual"
    if most is None:
        return f"{shown(least)} or more" if least else "as many as time allows"
    return str(shown(most)) if least == most else f"{shown(least)} to {shown(most)}"


def _size(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def _takes(bounds: Mapping[str, Any]) -> str:
    if bounds["most"] is None:
        return "unknown: it depends on the number of copies"
    return f"{words.clock(bounds['least'])} of load, {words.clock(bounds['most'])} at the longest"


def _asks(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    queries = plan["queries"]
    if queries is None:
        yield "queries", "none: verify.enabled = false"
        return
    asked, cost = queries["asked"], queries["cost"]
    line = f"at least {asked['least']}"
    if asked["usual"] is not None:
        line += f", about {asked['usual']} if all goes well"
    yield "queries", f"{line}, one each {words.clock(queries['every_s'])}"
    if queries["by_copies"]:
        yield "", f"and {words.count(queries['by_copies'])} by copies"
    most = "nothing bounds it" if cost["most"] is None else f"{words.count(cost['most'])} at most"
    usual = "" if cost["usual"] is None else f", about {words.count(cost['usual'])}"
    budget = queries["budget"]
    share = ""
    if budget is not None:
        share = f"; {words.count(budget['cost'])} are allowed in {words.clock(budget['window_s'])}"
    yield "query cost", f"at least {words.count(cost['least'])}{usual}, {most}{share}"
    exports = {None: "", "one": "; --export sends one request", "pages": "; --export one a page"}
    again = words.count(queries["reconcile"])
    yield "", f"to reconcile again costs {again} or more{exports[queries['export']]}"
    if plan["enforced"] and queries["preflight"]:
        yield "preflight", "one more user and two events, to see that keys and servers are right"
    if queries["controls"]:
        users, events = queries["control_users"], queries["controls"]
        line = f"if somebody is missing: up to {many(users, 'more users')}"
        line += f" and {many(events, 'more events')}"
        yield "controls", line


def _limits(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    over = "OVER" if plan["enforced"] else "over"
    for index, each in enumerate(plan["limits"]):
        allowed = words.count(each["allowed"]) + (" advised" if each["advice"] else "")
        says, planned = each["says"], each["planned"]
        word = "over" if each["advice"] else over
        if each["holds"] is None:
            line = f"? {says}: {allowed}; not known beforehand; {each['remedy']}"
        elif each["holds"]:
            line = f"ok {says}: {words.count(planned)} of {allowed}"
        else:
            line = f"{word} {says}: {words.count(planned)} of {allowed}; {each['remedy']} would fit"
        yield "" if index else "limits", line
    broken = any(each["holds"] is False and not each["advice"] for each in plan["limits"])
    if broken and not plan["enforced"]:
        yield "", "this machine takes more: the service itself would not"
