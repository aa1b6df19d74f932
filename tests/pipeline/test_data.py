"""Rows of files and drawn values in what copies send."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadcheck.data import DataFile, Variety, table
from loadcheck.errors import InputError
from loadcheck.pipeline.preview import preview
from loadcheck.pipeline.reconcile import ReconcileOptions, restored
from loadcheck.scenario import load as load_scenario
from loadcheck.workflow.compile.encode import join, json_segments
from loadcheck.workflow.copydata import CopyData
from loadcheck.workflow.expressions import Slot, UnsendableError, evaluate
from tests.cli.conftest import Loadcheck

SCENARIO = """
workflow = "amplitude"
seed = 7
{data}
[values]
comment = {{ text = {{ median = 40, p99 = 400 }} }}
[inputs]
eventType = "probe"
[inputs.eventProperties]
country = "$data.people.country"
age = "$data.people.age"
both = "{{$data.people.name}}: {{$values.comment}}"
plan = {{ choice = ["free", "pro"], weights = [3, 1] }}
price = {{ lognormal = {{ median = 20, p99 = 300 }}, digits = 2 }}
[load]
model = "closed"
concurrency = 8
{load}
[verify]
every = "100ms"
quiet = "300ms"
deadline = "5s"
"""
PEOPLE = "name,country,age\n" + "".join(f"n{row},C{row % 7},{row}\n" for row in range(50))
DATA = '[data.people]\nfile = "people.csv"\ntypes = { age = "int" }\n'


def scenario(folder: Path, data: str = DATA, load: str = "copies = 120") -> Path:
    (folder / "people.csv").write_text(PEOPLE)
    path = folder / "data.toml"
    path.write_text(SCENARIO.format(data=data, load=load))
    return path


def _sent(path: Path) -> dict[str, Any]:
    shown = preview(load_scenario(path), seed=7)
    event = json.loads(shown["first_request"]["body"])["events"][0]
    properties: dict[str, Any] = event["event_properties"]
    return properties


def test_the_load_ends_with_the_rows_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = scenario(tmp_path, DATA + 'order = "shuffle"\nend = "stop"', 'duration = "60s"')
    ended = Loadcheck(tmp_path)("run", path)
    assert ended.code == 0, ended.stderr
    assert ended.result["copies"]["acknowledged"] == ended.result["consistency"]["uniques"] == 50


def test_a_copy_sends_its_row_and_what_is_drawn_for_it(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    sent = _sent(path)
    assert (sent["country"], sent["age"]) == ("C0", 0)
    assert re.fullmatch(r"n0: [a-z ]+", sent["both"])
    assert sent["plan"] in {"free", "pro"}
    again = _sent(path)
    names = ("country", "age", "both", "plan", "price")
    assert [sent[name] for name in names] == [again[name] for name in names]


@pytest.mark.parametrize("held", [True, False], ids=["held", "read"])
def test_what_is_made_for_many_copies_at_once_is_each_copys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    monkeypatch.setattr(table, "_HELD_BYTES", 1 << 20 if held else 0)
    rows = [f'"{row}%d ""ü",{row / 4}\n' for row in range(300)]
    (tmp_path / "rows.csv").write_text("name,share\n" + "".join(rows))
    file = DataFile(
        name="rows",
        path=tmp_path / "rows.csv",
        shown="rows.csv",
        layout=table.FileFormat("csv", packed=False, types=(("share", "float"),)),
        order="shuffle",
        end="stop",
    )
    specs = {"n": {"int": [0, 9]}, "who": {"hex": 8}, "long": {"text": 5000}}
    copies = CopyData(Variety(seed=3, files={"rows": file}, values=specs))
    body = {
        "name": copies.column("rows", "name"),
        **{name: copies.value(name) for name in specs},
        "100%": ["%s", copies.value("n"), copies.column("rows", "share")],
    }
    render = join(json_segments(body))
    assert callable(render)
    frame: list[Any] = [None] * Slot.FREE
    seen = set()
    for number in [*range(300), 5, 0]:
        frame[Slot.NUMBER] = number
        sent = json.loads(render(frame))
        assert sent == evaluate(body, frame)
        assert sent["name"] == f'{int(sent["100%"][2] * 4)}%d "ü'
        seen.add(sent["name"])
    assert len(seen) == 300
    frame[Slot.NUMBER] = 300
    with pytest.raises(UnsendableError, match=r"rows\.csv has no row for copy 300"):
        render(frame)


def test_json_that_looks_drawn_can_be_sent(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    text = (
        path.read_text().replace("{ choice =", '{ "$json" = { choice =').replace("1] }", "1] } }")
    )
    path.write_text(text)
    assert _sent(path)["plan"] == {"choice": ["free", "pro"], "weights": [3, 1]}


@pytest.mark.parametrize(
    ("data", "load", "told"),
    [
        ('[data.people]\nfile = "peple.csv"\n', "copies = 5", ("data.toml:5", "people.csv")),
        ('[data.people]\nfile = "../x.csv"\n', "copies = 5", ("data.toml:5", "outside")),
        ('[data.people]\nfile = "x.xls"\n', "copies = 5", ("data.toml:5", ".csv")),
        (DATA + 'order = "once"', "copies = 51", ("data.toml:5", "data.people.file", "too few")),
        (DATA + 'order = "once"', 'duration = "1s"', ("data.toml:7", "load.copies")),
        (DATA + 'order = "random"\nend = "stop"', "copies = 5", ("data.toml:8", "contradicts")),
        (DATA + 'order = "ones"', "copies = 5", ("data.toml:7", "once")),
        (DATA + "ordre = 1", "copies = 5", ("data.toml:7", "order")),
        (DATA.replace("age", "name"), "copies = 5", ("people.csv:2", "data.people.file", "n0")),
        (DATA.replace("age", "aeg"), "copies = 5", ("data.toml:6", "aeg", "no such column")),
    ],
)
def test_what_cannot_be_used_is_told_before_the_run(
    tmp_path: Path, data: str, load: str, told: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        preview(load_scenario(scenario(tmp_path, data, load)))
    for word in told:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("$data.people.country", "$data.people.county", ("data.toml:13", "county", "country")),
        ("$data.people.country", "$data.poeple.country", ("data.toml:13", "inputs.", "poeple")),
        ("weights = [3, 1]", "weights = [0, 0]", ("data.toml:16", "weights", "all 0")),
        ("$values.comment", "$values.coment", ("data.toml:15", "inputs.", "coment")),
    ],
)
def test_what_leads_nowhere_is_told(
    tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    path = scenario(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError) as caught:
        preview(load_scenario(path))
    for word in told:
        assert word in str(caught.value)


USERS = """
workflow = "amplitude"
seed = 7
{more}
[inputs]
eventType = "probe"
eventProperties = {{}}
{user}
[target]
visibility_delay = "20ms"
faults.drop = {{ count = 3, among = 120 }}
[load]
model = "closed"
concurrency = 8
{load}
[verify]
every = "100ms"
quiet = "300ms"
deadline = "2s"
"""


def _users(folder: Path, more: str = "", user: str = "", load: str = "copies = 120") -> Path:
    (folder / "people.csv").write_text(PEOPLE)
    path = folder / "users.toml"
    path.write_text(USERS.format(more=more, user=user, load=load))
    return path


@pytest.mark.parametrize(
    ("template", "kind", "known"),
    [
        ("{uuid}@example.org", "string", r"[0-9a-f]{8}-[0-9a-f-]{27}@example\.org"),
        pytest.param("user-{number}", "string", r"user-\d+", marks=pytest.mark.long),
    ],
)
def test_the_lost_are_named_by_the_ids_that_were_sent(
    tmp_path: Path, template: str, kind: str, known: str
) -> None:
    path = _users(tmp_path, f'[users]\nid = "{template}"\ntype = "{kind}"')
    ended = Loadcheck(tmp_path)("run", path)
    assert ended.code == 1, ended.stderr
    lost = ended.result["consistency"]["localized"]["lost"]
    assert len(lost) == 3
    for each in lost:
        assert re.fullmatch(known, each["user_id"])
    told = any("every run" in warning for warning in ended.result["warnings"])
    assert told == ("{number}" in template)


@pytest.mark.parametrize(
    ("more", "user", "load", "told"),
    [
        (
            DATA,
            'userId = "user-{$data.people.name}"',
            "copies = 51",
            ("users.toml:11", "inputs.userId", "51 copies share the 50 rows"),
        ),
        (
            DATA + 'order = "random"',
            'userId = "user-{$data.people.name}"',
            "copies = 5",
            ("inputs.userId", "same row"),
        ),
        (
            DATA,
            'userId = "user-{$data.people.country}"',
            "copies = 50",
            ("inputs.userId", "copies 0 and 7", "C0"),
        ),
        (
            "",
            "userId = { choice = ['user-1', 'user-2'] }",
            "copies = 5",
            ("inputs.userId", "same user id"),
        ),
        ('[users]\nid = "u"', "", "copies = 5", ("users.toml:5", "users.id", "collide")),
        ('[users]\nid = "u{number}"\ntype = "integer"', "", "copies = 5", ("users.id",)),
        ('[users]\nidd = "u"', "", "copies = 5", ("users.toml:5", 'did you mean "id"')),
    ],
)
def test_users_that_collide_are_refused(
    tmp_path: Path, more: str, user: str, load: str, told: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        preview(load_scenario(_users(tmp_path, more, user, load)))
    for word in told:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("more", "user", "load"),
    [
        (DATA, 'userId = "user-{$data.people.name}"', "copies = 50"),
        (DATA, 'userId = "user-{$data.people.country}-{$copy.number}"', "copies = 500"),
        ("", "userId = { uuid = true }", 'duration = "1s"'),
    ],
)
def test_users_that_cannot_collide_are_taken(
    tmp_path: Path, more: str, user: str, load: str
) -> None:
    shown = preview(load_scenario(_users(tmp_path, more, user, load)), seed=7)
    assert [sample["copy"] for sample in shown["samples"]] == [0, 1, 2]
    users = {json.loads(sample["body"])["events"][0]["user_id"] for sample in shown["samples"]}
    assert len(users) == 3


def test_a_list_of_events_is_refused(tmp_path: Path) -> None:
    listed = '{ list = { event_type = "probe", user_id = "me" }, length = [1, 3] }'
    overlay = f'[[overlay]]\nstep = "uploadEvents"\nat = "body#/events"\nvalue = {listed}'
    with pytest.raises(InputError, match="list of events"):
        preview(load_scenario(_users(tmp_path, overlay)))


@pytest.mark.parametrize("named", [True, False], ids=["names", "fills"])
def test_a_file_that_has_changed_since_the_run_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: bool
) -> None:
    where = 'userId = "user-{$data.people.name}"' if named else ""
    path = _users(tmp_path, DATA, where, "copies = 20")
    if not named:
        text = path.read_text().replace(
            "eventProperties = {}", 'eventProperties.a = "$data.people.age"'
        )
        path.write_text(text)
    ended = Loadcheck(tmp_path)("run", path, "--set", "target.faults.drop.count=0")
    assert ended.code == 0, ended.stderr
    saved = next((tmp_path / "results").glob("*.json"))
    people = tmp_path / "people.csv"
    options = ReconcileOptions(server="http://akey:asecret@127.0.0.1:9")
    restored(saved, ended.result, options)
    assert capsys.readouterr().err == ""
    people.write_text(PEOPLE.replace("n7", "N7"))
    if named:
        with pytest.raises(
            InputError, match=r"users\.toml: data\.people\.file: people\.csv has ch"
        ):
            restored(saved, ended.result, options)
    else:
        restored(saved, ended.result, options)
        assert "warning: people.csv has changed since the run" in capsys.readouterr().err


def test_a_large_file_is_told_from_another_by_pieces_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_HASHED_BYTES", 1 << 12)
    monkeypatch.setattr(table, "_CHUNK_BYTES", 1 << 10)
    path = tmp_path / "large"
    path.write_bytes(bytes(1 << 16))
    first = table.fingerprint(path)
    assert table.fingerprint(path) == first
    for place in (0, (1 << 16) - 1):
        content = bytearray(1 << 16)
        content[place] = 1
        path.write_bytes(content)
        assert table.fingerprint(path) != first
    path.write_bytes(bytes((1 << 16) + 1))
    assert table.fingerprint(path) != first


def test_lists_within_an_event_are_no_list_of_events(tmp_path: Path) -> None:
    drawn = "[values]\nmany = { list = { int = [1, 9] }, length = [0, 5] }\n"
    edit = '[[overlay]]\nstep = "uploadEvents"\nat = "body#/events{}"\nvalue = "$values.many"\n'
    path = scenario(tmp_path)
    text = path.read_text().replace("[values]\n", drawn, 1)
    path.write_text(text + edit.format("/0/event_properties/items"))
    preview(load_scenario(path))
    path.write_text(text + edit.format("/0/event_properties/items") + edit.format(""))
    with pytest.raises(InputError) as caught:
        preview(load_scenario(path))
    last = len(path.read_text().splitlines())
    told = [str(problem) for problem in caught.value.problems]
    assert any(f"data.toml:{last}: " in each and "a list of events" in each for each in told)


def test_what_tells_a_run_from_others_is_not_replaced(tmp_path: Path) -> None:
    edit = '\n[[overlay]]\nstep = "uploadEvents"\nat = "body#/events/0/event_properties"\n'
    path = scenario(tmp_path)
    text = path.read_text() + edit
    path.write_text(text + 'value = { plan = "free" }\n')
    with pytest.raises(InputError) as caught:
        preview(load_scenario(path))
    assert "/event_properties/loadcheck_run, by which the run is counted" in str(caught.value)
    assert f"data.toml:{len(text.splitlines())}: " in str(caught.value)
    path.write_text(text + 'value = { plan = "free", loadcheck_run = "$run.id" }\n')
    preview(load_scenario(path))
    # nobody counts: nothing to tell apart
    path.write_text(text + 'value = { plan = "free" }\n')
    preview(load_scenario(path, overrides=["verify.enabled=false"]))
