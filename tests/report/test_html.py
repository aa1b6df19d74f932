"""The page as text: what it holds, and what it never does."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from loadcheck.report.html import page

Document = dict[str, Any]

EVIL = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\u2028"


class Structure(HTMLParser):
    """What a page consists of."""

    _VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def structure(document: Document) -> Structure:
    return Structure(page(document).decode())


def charts(document: Document) -> dict[str, Any]:
    """Return the charts' data by name."""
    text = page(document).decode()
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    return {chart["name"]: chart for chart in json.loads(match[1])["charts"]}


def series(chart: dict[str, Any]) -> dict[str, Any]:
    return {
        one["label"]: dict(zip(chart["xs"][one["x"]], one["y"], strict=True))
        for one in chart["series"]
    }


def test_the_verdict_comes_first(failed: Document) -> None:
    headings = structure(failed).texts
    assert headings["h1"][-1].strip() == "burst"
    assert headings["h2"] == [
        "Verdict",
        "Errors",
        "Latency",
        "Over time",
        "Did it arrive?",
        "Affected users",
        "Steps",
        "Scenario and environment",
    ]


def test_every_chart_has_its_data_in_a_table_too(failed: Document) -> None:
    found = structure(failed)
    figures = [figure["data-chart"] for figure in found.all("figure")]
    assert figures == list(charts(failed))
    assert figures == [
        *(
            "histogram",
            "percentiles",
            "rate",
            "latency",
            "outcomes",
            "others",
            "flight",
            "lateness",
        ),
        *("arrival", "lag"),
    ]
    assert len(found.all("figcaption")) == len(figures)
    assert len(found.all("table")) >= len(figures)


def test_ids_are_unique(failed: Document) -> None:
    ids = [attributes["id"] for _, attributes in structure(failed).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_fetches_nothing(failed: Document) -> None:
    text, found = page(failed).decode(), structure(failed)
    for tag, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes)
        assert "style" not in attributes
    style = "".join(found.texts["style"])
    assert "url(" not in style
    assert "@import" not in style
    script = text.rpartition("<script>")[2]
    for word in ("fetch(", "XMLHttpRequest", "import(", "eval(", "innerHTML", "WebSocket"):
        assert word not in script


def test_the_policy_allows_only_what_the_page_holds(document: Document) -> None:
    text, found = page(document).decode(), structure(document)
    policy = next(
        meta["content"]
        for meta in found.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("style", "script"):
        matches = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert len(matches) == 1
        digest = base64.b64encode(hashlib.sha256(matches[0].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def poisoned(value: Any, evil: str, keep: frozenset[str]) -> Any:
    """Return a document in which every text that is free says something evil."""
    if isinstance(value, dict):
        return {
            key: item if key in keep else poisoned(item, evil, keep) for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, evil, keep) for item in value]
    return value + evil if isinstance(value, str) else value


_FIXED = frozenset(
    {"schema", "verdict", "phase", "role", "hdr", "ledger", "unit", "isolation", "started_at"}
    | {"ended_at", "load_began_at", "sent_at", "from", "to", "ingest", "model"}
)


def test_nothing_in_a_file_becomes_part_of_the_page(failed: Document) -> None:
    clean = structure(failed)
    failed["scenario"]["name"] = "plain"
    evil = structure(poisoned(copy.deepcopy(failed), EVIL, _FIXED))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in clean.tags]
    text = page(poisoned(failed, EVIL, _FIXED)).decode()
    assert "<img" not in text
    assert "alert(1)</script>" not in text


def test_names_of_steps_stages_and_answers_are_harmless_too(failed: Document) -> None:
    failed["steps"][EVIL] = failed["steps"].pop("uploadEvents")
    failed["workflow"]["ingest"] = EVIL
    failed["steps"][EVIL]["answers"] = {EVIL: 3}
    failed["scenario"]["load"]["stages"][0]["name"] = EVIL
    failed["thresholds"][0]["expression"] = EVIL
    text = page(failed).decode()
    assert "<img" not in text
    assert structure(failed).all("script") == [{"type": "application/json", "id": "data"}, {}]


@pytest.mark.parametrize("phase", ["intent", "running"])
def test_a_killed_run_has_a_page(document: Document, phase: str) -> None:
    document["run"]["phase"] = phase
    document["verdict"] = "unknown"
    for section in ("load", "generator", "steps", "consistency", "thresholds", "findings"):
        del document[section]
    if phase == "intent":
        del document["timeline"]
    text = page(document).decode()
    assert f"the run was killed: {phase}" in text
    assert ('data-chart="rate"' in text) == (phase == "running")


def test_a_closed_load_asks_for_no_rate(document: Document) -> None:
    document["scenario"]["load"] = {"model": "closed", "concurrency": 50}
    document["load"]["asked_rate"] = document["load"]["reached_ratio"] = None
    assert list(series(charts(document)["rate"])) == ["achieved"]


def test_a_run_without_a_sample_has_a_page(document: Document) -> None:
    for step in document["steps"].values():
        for kind in ("response_time", "service_time", "failed", "throttled"):
            if step[kind]:
                step[kind]["count"] = 0
    document["generator"]["lateness"]["count"] = 0
    for name in ("p50_ms", "p99_ms", "max_ms", "lateness_p99_ms"):
        document["timeline"][name] = [None] * len(document["timeline"]["second"])
    assert not {"histogram", "percentiles", "latency", "lateness"} & set(charts(document))


def test_the_rate_of_a_load_shorter_than_a_second_is_its_own(document: Document) -> None:
    document["timeline"] = {name: column[:1] for name, column in document["timeline"].items()}
    document["timeline"]["started"] = document["timeline"]["acknowledged"] = [100]
    document["load"]["duration_s"] = 0.25
    assert series(charts(document)["rate"])["achieved"] == {0: 400}
    assert series(charts(document)["outcomes"])["acknowledged"] == {0: 400}


def test_a_slow_end_is_no_load(document: Document) -> None:
    for column in document["timeline"].values():
        column.extend([column[-1]] * 2)
    document["timeline"]["second"] = list(range(19))
    reached = series(charts(document)["rate"])["achieved"]
    assert [reached[second] for second in (16, 17, 18)] == [0, 0, 0]
    assert sum(reached.values()) == sum(document["timeline"]["started"])


def test_the_last_second_is_as_long_as_the_load(document: Document) -> None:
    document["timeline"]["started"][-1] = 30
    document["load"]["duration_s"] = 16.1
    assert series(charts(document)["rate"])["achieved"][16] == pytest.approx(300)


def test_percentiles_end_with_the_maximum(document: Document) -> None:
    curve = series(charts(document)["percentiles"])["response time"]
    times = document["steps"]["uploadEvents"]["response_time"]
    assert max(curve) == times["count"]
    assert curve[times["count"]] == pytest.approx(times["max_ms"], rel=0.002)
    assert curve[10.0] == pytest.approx(times["p90_ms"], rel=0.002)
    assert curve[1000.0] == pytest.approx(times["p999_ms"], rel=0.002)
    assert list(curve.values()) == sorted(curve.values())


def test_the_copies_after_the_last_second_are_no_second_of_their_own(document: Document) -> None:
    reached = series(charts(document)["rate"])["achieved"]
    assert list(reached) == list(range(16))
    assert sum(reached.values()) == sum(document["timeline"]["started"]) == 21_600


def test_response_times_are_those_of_the_copies_that_fell_due(
    document: Document, intervals: Document
) -> None:
    document["intervals"] = intervals
    curves = series(charts(document)["latency"])
    assert curves["p50"] == {
        2.5: pytest.approx(2, rel=0.01),
        7.5: pytest.approx(10, rel=0.01),
        13: None,
    }
    assert curves["p99"] == {
        2.5: pytest.approx(3, rel=0.01),
        7.5: pytest.approx(10, rel=0.01),
        13: None,
    }


def test_a_limit_of_a_stage_is_drawn_in_that_stage(document: Document) -> None:
    document["stages"] = [
        {"name": "calm", "from_s": 0, "to_s": 6, "rate": 1, "end_rate": 1},
        {"name": "storm", "from_s": 6, "to_s": 16, "rate": 9, "end_rate": 9},
    ]
    document["thresholds"][0]["expression"] = "storm: uploadEvents.p99 < 1.5s"
    document["thresholds"][1]["expression"] = "gone: uploadEvents.p99 < 1s"
    marks = charts(document)["latency"]["marks"]
    assert [(m["at"], m["span"]) for m in marks if m["role"] == "limit"] == [(1500, [6, 16])]
    assert [m["label"] for m in marks if m["role"] == "stage"][:2] == ["calm", "storm"]


def test_stages_and_limits_are_marked(document: Document) -> None:
    marks = charts(document)["latency"]["marks"]
    assert [(m["label"], m["at"]) for m in marks if m["role"] == "stage"][:3] == [
        ("baseline", 0),
        ("burst", 4),
        ("recovery", 12),
    ]
    assert [m["at"] for m in marks if m["role"] == "limit"] == [250]


def test_what_failed_to_arrive_is_marked_where_it_was_sent(failed: Document) -> None:
    marks = charts(failed)["arrival"]["marks"]
    lost = [mark for mark in marks if mark["role"] == "lost"]
    assert [(mark["at"], mark["to"], mark["label"]) for mark in lost] == [(2, 3, "190 lost")]


def test_the_count_before_the_run_is_taken_away(document: Document) -> None:
    for answer in document["consistency"]["observations"]:
        answer["uniques"] += 1000
    document["consistency"]["baseline"] = 1000
    counted = series(charts(document)["arrival"])["counted"]
    assert max(counted.values()) == 21_600


def test_the_lag_lies_between_two_answers(document: Document) -> None:
    chart = charts(document)["lag"]
    band = next(one for one in chart["series"] if one["shape"] == "band")
    assert all(low <= high for low, high in zip(band["low"], band["y"], strict=True))
    # the emulator was told to show events after half a second, and was asked every half second
    assert all(0.5 <= high <= 1.2 for high in band["y"])
    assert all(low <= 0.6 for low in band["low"])


def test_what_was_asked_again_is_told(document: Document) -> None:
    again = {"at": "2026-11-24T08:00:00.000Z", "verdict": "fail", "uniques": 5, "totals": 6}
    document["reconciliations"] = [{**again, "lost_at_least": 4321, "unsaved": 0, "export": None}]
    text = page(document).decode()
    assert "2026-11-24 08:00:00 UTC" in text
    assert "<td>4,321</td>" in text


def lengthened(document: Document, seconds: int) -> Document:
    """Return a document of a run of so many seconds."""
    timeline = document["timeline"]
    for name, column in timeline.items():
        timeline[name] = [column[place % 16] for place in range(seconds)]
    timeline["second"] = list(range(seconds))
    document["load"]["duration_s"] = float(seconds)
    answer = document["consistency"]["observations"][3]
    document["consistency"]["observations"] = [
        {**answer, "asked_s": place / 2, "answered_s": place / 2, "uniques": place * 10}
        for place in range(seconds * 2)
    ]
    return document


def test_half_an_hour_is_small_enough(document: Document) -> None:
    assert len(page(lengthened(document, 1800))) < 1_000_000


@pytest.mark.long
def test_a_day_is_drawn_in_longer_steps(document: Document) -> None:
    long = lengthened(document, 86_400)
    reached = series(charts(long)["rate"])["achieved"]
    assert len(reached) <= 2400
    steps = sorted(reached)
    total = sum(reached.values()) * (steps[1] - steps[0])
    assert total == pytest.approx(sum(long["timeline"]["started"]), rel=0.001)
    counted = series(charts(long)["arrival"])["counted"]
    assert len(counted) <= 2401
    assert max(counted) == long["consistency"]["observations"][-1]["asked_s"]
    assert len(page(long)) < 1_000_000
