from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from loadcheck.measure.histogram import Histogram
from loadcheck.report import export

Document = dict[str, Any]

FORMATS = export.FORMATS["result"]
SEARCH_FORMATS = export.FORMATS["capacity"]


def killed(document: Document) -> Document:
    """Return what a run leaves behind that was killed before its first second was over."""
    document["run"]["phase"] = "intent"
    for section in ("load", "generator", "steps", "consistency", "thresholds", "findings"):
        del document[section]
    del document["timeline"]
    document["verdict"] = "unknown"
    return document


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_copes_with_a_failed_run(name: str, failed: Document) -> None:
    assert FORMATS[name](failed)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_copes_with_a_killed_run(name: str, document: Document) -> None:
    assert FORMATS[name](killed(document))


# hgrm


def hgrm_rows(text: str) -> list[list[float]]:
    lines = [line for line in text.splitlines()[2:] if not line.startswith("#")]
    return [[float(part) for part in line.split()] for line in lines]


def test_hgrm_is_laid_out_as_the_plotter_expects(document: Document) -> None:
    text = FORMATS["hgrm"](document)
    lines = text.splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert not lines[1]
    rows = hgrm_rows(text)
    assert [len(row) for row in rows[:-1]] == [4] * (len(rows) - 1)
    assert rows[-1][1:] == [1.0, 21_600]
    assert re.fullmatch(r"#\[Mean    = +[\d.]+, StdDeviation   = +[\d.]+\]", lines[-3])
    assert re.fullmatch(r"#\[Max     = +[\d.]+, Total count    = +21600\]", lines[-2])
    assert re.fullmatch(r"#\[Buckets = +\d+, SubBuckets     = +2048\]", lines[-1])


def test_hgrm_tells_the_response_time_in_milliseconds(document: Document) -> None:
    times = document["steps"]["uploadEvents"]["response_time"]
    recorded = Histogram.decode(times["hdr"])
    for value, percentile, _, *_ in hgrm_rows(FORMATS["hgrm"](document)):
        assert value == pytest.approx(recorded.percentile_ms(100 * percentile), rel=0.002)


def test_hgrm_has_its_deviation_in_milliseconds_too(document: Document) -> None:
    decoded = HdrHistogram.decode(document["steps"]["uploadEvents"]["response_time"]["hdr"])
    match = re.search(r"StdDeviation   = +([\d.]+)", FORMATS["hgrm"](document))
    assert match
    assert float(match[1]) == pytest.approx(decoded.get_stddev() / 1000, abs=0.001)


def test_hgrm_says_what_lies_above_its_range(document: Document) -> None:
    document["steps"]["uploadEvents"]["response_time"]["above_range"] = 3
    assert FORMATS["hgrm"](document).endswith("#[Samples above one hour, not in it: 3]\n")


# hlog


def read_log(text: str, path: Path) -> dict[str, Any]:
    path.write_text(text)
    reader = HistogramLogReader(str(path), HdrHistogram(1, 3_600_000_000, 3))
    found: dict[str, Any] = {}
    try:
        while (histogram := reader.get_next_interval_histogram()) is not None:
            found.setdefault(histogram.get_tag(), []).append(histogram)
    finally:
        reader.input_file.close()
    return found


def test_hlog_is_read_by_hdrhistograms_own_reader(document: Document, tmp_path: Path) -> None:
    found = read_log(FORMATS["hlog"](document), tmp_path / "x.hlog")
    assert set(found) == {
        "uploadEvents.response_time",
        "uploadEvents.service_time",
        "segmentEvent.service_time",
        "lateness",
    }
    for tag, histograms in found.items():
        step, _, kind = tag.partition(".")
        times = document["steps"][step][kind] if kind else document["generator"]["lateness"]
        assert sum(one.get_total_count() for one in histograms) == times["count"]


def test_hlog_says_when(document: Document, tmp_path: Path) -> None:
    document["run"]["load_began_at"] = "2026-11-23T07:24:14.500Z"
    histogram = read_log(FORMATS["hlog"](document), tmp_path / "x.hlog")["lateness"][0]
    assert histogram.get_start_time_stamp() == pytest.approx(1_795_418_654_500)
    took_ms = histogram.get_end_time_stamp() - histogram.get_start_time_stamp()
    assert took_ms == pytest.approx(16_000, abs=1)


def test_hlog_has_a_line_for_each_interval(
    document: Document, intervals: Document, tmp_path: Path
) -> None:
    document["intervals"] = intervals
    document["steps"]["uploadEvents"]["response_time"]["count"] = 4
    document["generator"]["lateness"]["count"] = 4
    text = FORMATS["hlog"](document)
    found = read_log(text, tmp_path / "x.hlog")
    counts = {tag: [one.get_total_count() for one in found[tag]] for tag in found}
    assert counts["uploadEvents.response_time"] == [3, 1]
    assert counts["lateness"] == [3, 1]
    # where intervals do not hold all, the whole run stands in one line
    assert counts["uploadEvents.service_time"] == [21_600]
    assert counts["segmentEvent.service_time"] == [37]
    lines = [line.split(",") for line in text.splitlines() if line.startswith("Tag=lateness")]
    assert [line[1:3] for line in lines] == [["0.000", "5.000"], ["5.000", "5.000"]]
    assert [float(line[3]) for line in lines] == pytest.approx([3.0, 10.0], rel=0.01)
    whole = HdrHistogram(1, 3_600_000_000, 2)
    for one in found["uploadEvents.response_time"]:
        whole.add(one)
    assert whole.get_value_at_percentile(100) == pytest.approx(10_000, rel=0.01)


def test_hlog_tags_cannot_break_a_line(document: Document, tmp_path: Path) -> None:
    document["steps"]["up, load\n"] = document["steps"].pop("uploadEvents")
    found = read_log(FORMATS["hlog"](document), tmp_path / "x.hlog")
    assert "up__load_.response_time" in found


# csv


def test_csv_has_a_row_a_second(document: Document) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](document))))
    timeline = document["timeline"]
    assert [int(row["second"]) for row in rows] == timeline["second"]
    assert [int(row["started"]) for row in rows] == timeline["started"]
    assert sum(int(row["acknowledged"]) for row in rows) == 21_600
    assert {row["at"] for row in rows} == {""}


def test_csv_says_when_each_second_was(document: Document) -> None:
    document["run"]["load_began_at"] = "2026-11-23T07:24:14.500Z"
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](document))))
    assert rows[1]["at"] == "2026-11-23T07:24:15.500Z"


def test_csv_leaves_empty_what_was_not_measured(document: Document) -> None:
    document["timeline"]["p99_ms"][3] = None
    del document["timeline"]["retries"]
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](document))))
    assert rows[3]["p99_ms"] == rows[3]["retries"] == ""


# junit


def cases(text: str) -> dict[str, ET.Element]:
    root = ET.fromstring(text)
    return {case.attrib["name"]: case for case in root.iter("testcase")}


def test_junit_has_a_case_for_every_check(failed: Document) -> None:
    text = FORMATS["junit"](failed)
    found = cases(text)
    assert set(found) == {
        *(finding["check"] for finding in failed["findings"]),
        *(threshold["expression"] for threshold in failed["thresholds"]),
    }
    assert found["lost"].find("failure") is not None
    assert found["unexpected"].find("error") is not None
    assert len(found["duplicated"]) == 0
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("7", "2", "2")
    # the order that the schema of Jenkins asks for
    kinds = [element.tag for element in suite]
    assert kinds == ["properties", *["testcase"] * 7, "system-out", "system-err"]


def test_junit_names_are_unique_in_a_pipeline(failed: Document) -> None:
    failed["findings"].append(failed["findings"][0])
    first = failed["findings"][0]["check"]
    names: list[tuple[str | None, str | None]] = []
    for target in (
        {"kind": "emulator"},
        {"kind": "live", "servers": {"a": "https://user:key-12345@eu.example:8443/x"}},
        {"kind": "live", "servers": {"a": "https://us.example"}},
    ):
        failed["scenario"]["target"] = target
        text = FORMATS["junit"](failed)
        assert "key-12345" not in text
        root = ET.fromstring(text)
        names += [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert ("loadcheck.burst.eu_example:8443", f"{first} (2)") in names


def test_junit_escapes_and_drops_what_xml_forbids(failed: Document) -> None:
    text = FORMATS["junit"](failed)
    failure = cases(text)["lost"].find("failure")
    assert failure is not None
    assert failure.get("message") == "200 users <i>are</i> missing."
    assert "\x00" not in text


def test_a_run_that_was_killed_is_no_pass_in_junit(document: Document) -> None:
    found = cases(FORMATS["junit"](killed(document)))
    assert [case.find("error") is not None for case in found.values()] == [True]


def test_a_run_that_was_interrupted_is_no_pass_in_junit(document: Document) -> None:
    document["run"]["interrupted"] = True
    found = cases(FORMATS["junit"](document))
    assert [child.tag for child in found["run"]] == ["error"]
    assert len(found) == 1 + len(document["findings"]) + len(document["thresholds"])


# markdown


def test_markdown_begins_with_the_verdict_of_a_failed_run(failed: Document) -> None:
    text = FORMATS["markdown"](failed)
    assert text.startswith(
        "## ❌ FAIL: burst\n\n**At least 200 of 21,600 acknowledged users are missing"
    )


def test_markdown_begins_with_the_verdict_of_a_passed_run(document: Document) -> None:
    text = FORMATS["markdown"](document)
    assert text.startswith("## ✅ PASS: burst\n\n**All 21,600 acknowledged users were counted**")


def test_markdown_tables_cannot_be_broken_from_inside(failed: Document) -> None:
    failed["scenario"]["name"] = "a|b\n# @everyone <script> [x](http://y) `z`"
    text = FORMATS["markdown"](failed)
    assert text.splitlines()[0] == (
        r"## ❌ FAIL: a\|b \# \@everyone \<script\> \[x\](http://y) \`z\`"
    )
    assert r"Nobody \| knows." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 4, 8}


# capacity searches


def test_the_curve_of_a_search_is_a_table(search: Document) -> None:
    rows = list(csv.DictReader(io.StringIO(SEARCH_FORMATS["csv"](search))))
    assert [row["rate"] for row in rows] == ["100.0", "950.0", "980.0", "3000.0"]
    assert [row["visible_p95_s"] for row in rows] == ["0.5", "0.5", "", ""]


@pytest.mark.parametrize(
    ("verdict", "element"), [("pass", None), ("fail", "failure"), ("unknown", "error")]
)
def test_a_search_is_one_test_case(search: Document, verdict: str, element: str | None) -> None:
    search["verdict"] = verdict
    found = cases(SEARCH_FORMATS["junit"](search))
    assert [child.tag for child in found["capacity"]] == ([element] if element else [])


def test_a_search_in_a_pull_request(search: Document) -> None:
    search["scenario"]["name"] = "a|b"
    lines = SEARCH_FORMATS["markdown"](search).splitlines()
    assert lines[0] == r"## ✅ CAPACITY: a\|b"
    assert lines[2] == "**Sustains 950 copies/s; above that uploadEvents.p99 exceeds 50 ms**"
    assert sum(line.startswith("| ") for line in lines) == 7
