"""Exports that come in pages, and those that lie: none of these is evidence."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from pyroaring import BitMap

from loadcheck import scenario as scenarios
from loadcheck.errors import InputError
from loadcheck.measure import Ledger
from loadcheck.pipeline import exported
from loadcheck.scenario.schema import SAMPLES
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.export import Compared
from loadcheck.workflow.exchange import Exchange, Request
from tests.compiled import compiled
from tests.pipeline.services import Answer, Call, Store, serving
from tests.pipeline.test_services import API, DOCUMENT, OWN

COPIES = 9
SAMPLE = SAMPLES["verify.export"].toml
CSV = """
[verify.export]
path = "/v1/export?run={$run.id}"
format = "csv"
event = "body#/events/0"
run = "/run"
fields = { "/user" = "/user", "/id" = "$inputs.insertId" }
"""
Rows = list[dict[str, Any]]
Script = Callable[[Rows, Call, int], Any]
"""The rows of the run, a request and its number → the answer: JSON, bytes, or status and body."""


async def nobody(_: Request) -> Exchange:
    raise AssertionError("no input is asked for")


class Exporter:
    """A service whose export is a script, and scenarios for it, each compiled once."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._compiled: dict[str, CompiledScenario] = {}
        self._ready: CompiledScenario | None = None
        self._script: Script = by_cursor
        self._calls: list[Call] = []

    def answer(self, call: Call) -> Answer:
        """Answer as the script says."""
        self._calls.append(call)
        assert self._ready is not None
        told = self._script(rows(self._ready), call, len(self._calls))
        return told if isinstance(told, tuple) else (200, told)

    def compare(self, script: Script, more: str = SAMPLE, prefix: str = "") -> Compared:
        """Compare what is exported with nine copies that were all acknowledged."""
        text = OWN.replace("URL", self._url + prefix).replace("TOGETHER", "1").replace("EACH", "1")
        text += SAMPLES["verify.totals"].toml + more
        self._script, self._calls = script, []
        if text not in self._compiled:
            (self._folder / "own.yml").write_text(DOCUMENT)
            (self._folder / "own-api.yml").write_text(API)
            (self._folder / "s.toml").write_text(text)
            self._compiled[text] = compiled(scenarios.load(self._folder / "s.toml"))
        self._ready = self._compiled[text]
        ledger = Ledger()
        ledger.acknowledged = ledger.started = BitMap(range(COPIES))
        now = datetime(2026, 11, 26, 4, 40, tzinfo=UTC)
        told = anyio.run(exported.compare, self._ready, ledger, (now, now), self._folder, nobody)
        assert {call.path for call in self._calls} == {f"{prefix}/v1/export"}
        return told


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    made: list[Exporter] = []
    with serving(lambda _, call: made[0].answer(call), Store()) as url:
        made.append(Exporter(tmp_path_factory.mktemp("exports"), url))
        yield made[0]


def rows(ready: CompiledScenario) -> Rows:
    """Return what the copies sent, as it is exported."""
    return [
        {"user": ready.plan.user_id(n), "id": f"{ready.run.id}-{n}", "run": ready.run.id}
        for n in range(COPIES)
    ]


def page(found: Rows, number: int, more: str | None) -> dict[str, Any]:
    """Return one page of three events."""
    return {"events": found[3 * number - 3 : 3 * number], "next": more}


def by_cursor(found: Rows, call: Call, number: int) -> Any:
    """Hand out all of them, each page naming the next."""
    assert call.method == "POST"
    assert call.headers["content-type"] == "application/json"
    assert call.json == {"run": found[0]["run"], "cursor": "" if number == 1 else f"c{number}"}
    return page(found, number, f"c{number + 1}" if number < 3 else None)


@pytest.mark.parametrize("prefix", ["", "/behind/a/gateway"])
def test_pages_follow_each_other_behind_the_base_path(exporter: Exporter, prefix: str) -> None:
    assert exporter.compare(by_cursor, prefix=prefix) == Compared(events=COPIES)


def test_pages_by_offset_end_with_an_empty_one(exporter: Exporter) -> None:
    more = SAMPLE.replace('next = { token = "/next" }\n', "")
    more = more.replace('cursor = "{$token}"', 'from = "{$offset}", of = "{$startMs}"')
    seen = []

    def by_offset(found: Rows, call: Call, _: int) -> Any:
        assert call.json["of"] == 1_795_662_000_000
        seen.append(call.json["from"])
        told = {"events": found[call.json["from"] :][:4]}
        return orjson.dumps(told, option=orjson.OPT_INDENT_2)

    assert exporter.compare(by_offset, more=more) == Compared(events=COPIES)
    assert seen == [0, 4, 8, 9]


def table(found: Rows) -> bytes:
    lines = ["run,id,user", *(f'{row["run"]},{row["id"]},"{row["user"]}"' for row in found)]
    return "".join(f"{line}\r\n" for line in lines).encode()


def annotated(found: Rows) -> bytes:
    """Return two tables with annotations; the run is the default of its column."""
    head = f"#datatype,string,string,string\r\n#default,{found[0]['run']},,\r\n,run,id,user\r\n"
    lines = [f",,{row['id']},{row['user']}\r\n" for row in found]
    return (head + "".join(lines[:5]) + "\r\n" + head + "".join(lines[5:]) + "\r\n").encode()


@pytest.mark.parametrize("form", [table, annotated, lambda found: gzip.compress(table(found))])
def test_csv_has_columns_by_name(exporter: Exporter, form: Callable[[Rows], bytes]) -> None:
    assert exporter.compare(lambda found, *_: form(found), more=CSV) == Compared(events=COPIES)


def late(script: Callable[[Rows], Any]) -> Script:
    """Return a service whose second page is another than it should be."""
    return lambda found, call, number: (
        by_cursor(found, call, number) if number == 1 else script(found)
    )


def endless(found: Rows, _: Call, number: int) -> Any:
    others = [row | {"id": f"{row['id']}-{number}"} for row in found]
    return {"events": others, "next": f"c{number}"}


LIARS: dict[str, tuple[Script, str]] = {
    "a token that repeats": (
        lambda found, _, number: page(found, number, "here"),
        "two pages of the export name 'here' as the next",
    ),
    "a page that repeats": (
        lambda found, _, number: page(found, 1, f"c{number}"),
        "two pages of the export are the same",
    ),
    "pages without end": (endless, "more than 20 pages"),
    "rows of others": (
        lambda found, *_: {"events": [found[0] | {"run": "another"}], "next": None},
        "is not of the run",
    ),
    "rows without the run": (
        lambda found, *_: {"events": [{"id": found[0]["id"], "user": found[0]["user"]}]},
        "is not of the run",
    ),
    "rows without the key": (
        lambda found, *_: {"events": [{"run": found[0]["run"], "user": found[0]["user"]}]},
        "has no /id",
    ),
    "rows without the user": (
        lambda found, *_: {"events": [{"run": found[0]["run"], "id": found[0]["id"]}]},
        "has no /user",
    ),
    "rows that are none": (lambda *_: {"events": [None, 7], "next": None}, "is not of the run"),
    "an error with status 200": (
        lambda *_: {"message": "memory limit exceeded"},
        'no events at export.rows: \'{"message":"memory limit',
    ),
    "an error beside no rows": (
        late(lambda _: {"events": [], "error": "shard 3 is away"}),
        'incomplete: \'"shard 3 is away"',
    ),
    "rows that are an object": (lambda *_: {"events": {"a": 1}}, "no events at export.rows"),
    "an error in the midst": (late(lambda _: (500, b"out of memory")), "500: out of memory"),
    "another error in the midst": (late(lambda _: {"code": 241}), "no events at export.rows"),
    "a page for people": (lambda *_: b"<html>502</html>", "not JSON"),
    "nothing": (lambda *_: b"", "the answer is empty"),
    "cut JSON": (late(lambda found: orjson.dumps(page(found, 2, None))[:-9]), "not JSON"),
    "a cut gzip": (
        late(lambda found: gzip.compress(orjson.dumps(page(found, 2, None)))[:-9]),
        "cannot be read",
    ),
    "too much": (
        lambda *_: gzip.compress(b'{"events": [' + b" " * (33 << 20) + b"]}", 1),
        "more than 32 MB",
    ),
}
ENDS = 'next = { token = "/next" }'


@pytest.mark.parametrize("liar", LIARS)
def test_what_lies_is_told_and_proves_nothing(exporter: Exporter, liar: str) -> None:
    script, says = LIARS[liar]
    more = SAMPLE.replace(ENDS, f'{ENDS}\npages = 20\nerrors = ["$.error"]')
    with pytest.raises(InputError) as caught:
        exporter.compare(script, more=more)
    assert says in str(caught.value)


def test_where_rows_are_what_ends_it_every_answer_has_a_token(exporter: Exporter) -> None:
    more = SAMPLE.replace(ENDS, 'next = { token = "/next", ends = "rows" }')

    def scroll(found: Rows, call: Call, number: int) -> Any:
        assert call.json["cursor"] == ("" if number == 1 else "all the time")
        return page(found, number, "all the time")

    assert exporter.compare(scroll, more=more) == Compared(events=COPIES)
    with pytest.raises(InputError, match="no /next"):
        exporter.compare(lambda found, *_: page(found, 1, None), more=more)
    with pytest.raises(InputError, match="are the same"):
        exporter.compare(lambda found, *_: page(found, 1, "here"), more=more)


def spoilt() -> Iterator[tuple[str, Callable[[bytes], bytes], str]]:
    yield "cut in a line", lambda whole: whole[:-9], "it was cut"
    yield "cut between columns", lambda whole: whole[:-40] + b"\r\n", "every column"
    yield "an open quote", lambda whole: whole[:-3] + b"\r\n", "not CSV"
    yield "an error table", lambda whole: whole + b"\r\n,error,reference\r\n,late,897\r\n", "late"
    yield "a lone error", lambda _: b"error\ntimeout\n", "timeout"
    yield "JSON", lambda _: b'{"code":"unauthorized"}\n', "not CSV"
    yield "another header", lambda whole: whole.replace(b"run,id", b"ran,id", 1), "not of the run"
    yield "no key", lambda whole: whole.replace(b"run,id", b"run,ID", 1), "has no /id"
    yield "other bytes", lambda whole: whole + b"\xff\xfe,,\r\n", "not CSV"


@pytest.mark.parametrize(("how", "says"), [(how, says) for _, how, says in spoilt()])
def test_csv_that_is_not_whole_is_told(
    exporter: Exporter, how: Callable[[bytes], bytes], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        exporter.compare(lambda found, *_: how(table(found)), more=CSV)
    assert says in str(caught.value)


UNFIT = {
    'rows = "$.events["': "verify.export.rows",
    'fields = { "/user" = "$inputs.usreId" }': "fields./user: the scenario gives no such input",
    'fields = { "/run" = "/run" }': "none of them is the user or the deduplication key",
}


@pytest.mark.parametrize("line", UNFIT)
def test_what_could_not_be_compared_is_told_before_the_run(exporter: Exporter, line: str) -> None:
    key = line.split(" = ", maxsplit=1)[0]
    kept = [each for each in SAMPLE.splitlines() if not each.startswith(key)]
    with pytest.raises(InputError) as caught:
        exporter.compare(by_cursor, more="\n".join([*kept, line]))
    assert UNFIT[line] in str(caught.value)
