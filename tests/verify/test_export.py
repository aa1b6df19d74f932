"""Events as the service hands them out, against those that were sent."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.verify.export import (
    MOST_SHOWN,
    Altered,
    Compared,
    EventReader,
    ExportComparison,
    ExportError,
    ExportLayout,
    members,
)

RUN = "r1"
events = ExportLayout().events


def event(number: int, place: int = 0, **changed: Any) -> dict[str, Any]:
    """Return an event as it is exported."""
    return {
        "user_id": f"u{number}",
        "$insert_id": f"{RUN}-{number}-{place}",
        "event_properties": {"size": number, "run": RUN},
        **changed,
    }


def _number(exported: Mapping[str, Any]) -> int | None:
    user = str(exported.get("user_id"))
    return int(user[1:]) if user.startswith("u") else None


def compare(
    exported: list[dict[str, Any]],
    *,
    acknowledged: int = 5,
    indeterminate: tuple[int, ...] = (),
    each: int = 1,
    deduplicated: bool = True,
) -> Compared:
    reader = EventReader(
        number=_number,
        user=lambda found: found.get("user_id"),
        fields={
            name: lambda found, name=name: found.get(name)  # type: ignore[misc]
            for name in ("$insert_id", "event_properties", "user_id")
        },
        key="$insert_id",
        deduplicated=deduplicated,
    )
    comparison = ExportComparison(
        reader,
        lambda number: [event(number, place) for place in range(each)],
        acknowledged=BitMap(range(acknowledged)),
        indeterminate=BitMap(indeterminate),
        events_per_copy=each,
    )
    for one in exported:
        comparison.add(one)
    return comparison.result()


def test_what_came_out_as_it_went_in() -> None:
    found = compare([event(number) for number in range(5)])
    assert found == Compared(events=5)


def test_the_lost_are_those_acknowledged_and_not_exported() -> None:
    found = compare([event(0), event(3), event(7)], indeterminate=(7, 8))
    assert list(found.lost) == [1, 2, 4]
    assert found.recovered == 1
    assert found.unexpected_count == 0


def test_of_several_events_each_must_be_there() -> None:
    found = compare([event(0, 0), event(0, 1), event(1, 1)], acknowledged=2, each=2)
    assert list(found.lost) == [1]


def test_a_second_event_is_a_duplicate_whether_it_keeps_its_key_or_not() -> None:
    found = compare(
        [*map(event, range(5)), event(2), event(2), event(4) | {"$insert_id": "another"}]
    )
    assert found.duplicated == Counter({2: 2, 4: 1})
    assert not found.unexpected_count
    assert not found.lost


def test_an_altered_field_is_told_by_name_sent_and_found() -> None:
    changed = event(1, event_properties={"size": "1", "run": RUN, "more": True})
    found = compare([event(0), changed], acknowledged=2)
    assert found.altered == [
        Altered(copy=1, field="event_properties/more", sent=None, found=True),
        Altered(copy=1, field="event_properties/size", sent=1, found="1"),
    ]
    assert found.altered_count == 2
    assert not found.lost


def test_a_field_that_is_gone_is_altered() -> None:
    gone = event(0)
    del gone["event_properties"]
    (altered,) = compare([gone], acknowledged=1).altered
    assert (altered.field, altered.found) == ("event_properties", None)


@pytest.mark.parametrize(
    "stranger",
    [
        event(9),  # refused, or never sent
        event(0, user_id="somebody"),
        event(0) | {"$insert_id": "of another", "event_properties": {}},
    ],
    ids=["refused", "unknown", "of another event"],
)
def test_what_was_not_sent_is_unexpected(stranger: dict[str, Any]) -> None:
    found = compare([*map(event, range(5)), stranger])
    assert found.unexpected == [stranger["user_id"]]
    assert found.unexpected_count == 1
    assert not found.duplicated


def test_all_are_counted_and_as_many_shown_as_a_file_can_bear() -> None:
    found = compare([event(number, event_properties={}) for number in range(3000)])
    assert found.unexpected_count == 2995
    assert len(found.unexpected) == MOST_SHOWN
    many = compare([event(n, event_properties={}) for n in range(3000)], acknowledged=3000)
    assert many.altered_count == 6000
    assert len(many.altered) == MOST_SHOWN


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(0, 20), st.integers(0, 10))
def test_no_event_is_counted_as_two_things(
    numbers: list[int], acknowledged: int, indeterminate: int
) -> None:
    unclear = tuple(range(acknowledged, acknowledged + indeterminate))
    found = compare(list(map(event, numbers)), acknowledged=acknowledged, indeterminate=unclear)
    there = set(numbers)
    ours = {number for number in there if number < acknowledged + indeterminate}
    assert set(found.lost) == set(range(acknowledged)) - there
    assert found.recovered == len(there & set(unclear))
    assert found.unexpected_count == sum(number not in ours for number in numbers)
    assert found.duplicated == Counter(n for n in numbers if n in ours) - Counter(ours)
    assert (
        found.events
        == len(numbers)
        == (len(ours) + found.duplicated.total() + found.unexpected_count)
    )
    assert found.altered_count == 0


JSON = st.recursive(
    st.none() | st.text('"\\\\{}[]a', max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


class Pieces(io.BytesIO):
    """A file that hands out so many bytes at once."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size)


def archive(path: Path, *files: bytes, packed: bool = True) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for place, content in enumerate(files):
            made.writestr(f"1/{place}.json", gzip.compress(content) if packed else content)
    return path


def rows(*found: Any) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in found)


@pytest.mark.parametrize("packed", [True, False])
def test_every_file_of_the_archive_is_read(tmp_path: Path, packed: bool) -> None:
    path = archive(tmp_path / "a.zip", rows(event(1)), rows(event(2), event(3)), packed=packed)
    assert [one["user_id"] for one in events(path, RUN.encode())] == ["u1", "u2", "u3"]


def test_events_of_other_runs_are_not_even_parsed(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", b"{ not json }\n" + rows(event(1)))
    assert [one["user_id"] for one in events(path, RUN.encode())] == ["u1"]


@pytest.mark.parametrize(
    "content",
    [b'{"run":"r1"\n', b'["r1"]\n'],
    ids=["not JSON", "not an object"],
)
def test_a_line_that_cannot_be_read_ends_the_comparison(tmp_path: Path, content: bytes) -> None:
    path = archive(tmp_path / "a.zip", content)
    with pytest.raises(ExportError, match="not (a )?JSON"):
        list(events(path, b"r1"))


def test_a_damaged_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK not an archive")
    with pytest.raises(ExportError, match="cannot be read"):
        list(events(path, b"r1"))
    whole = gzip.compress(rows(*map(event, range(1000))))
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("1/cut.json.gz", whole[: len(whole) // 2])
    with pytest.raises(ExportError, match="cannot be read"):
        list(events(path, b"r1"))
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("1/flipped.json.gz", whole[:60] + b"\xff" * 60 + whole[120:])
    with pytest.raises(ExportError, match="cannot be read"):
        list(events(path, b"r1"))


@pytest.mark.parametrize(("deduplicated", "duplicated"), [(True, 4), (False, 1)])
def test_an_export_may_repeat_what_counts_once(deduplicated: bool, duplicated: int) -> None:
    other = event(1) | {"$insert_id": "made by the pipeline"}
    made = [*map(event, range(5)), event(1), event(2), other, other]
    found = compare(made, deduplicated=deduplicated)
    assert (found.duplicated.total(), len(found.lost)) == (duplicated, 0)


FORMS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("array", [True, False], ids=["array", "lines"])
def test_what_it_got_is_told_by_its_content(tmp_path: Path, form: str, array: bool) -> None:
    made = [event(number, text='}]"\\{[' * number, deep=[{"a": [[]]}]) for number in range(9)]
    content = orjson.dumps(made, option=orjson.OPT_INDENT_2) if array else rows(*made)
    (path := tmp_path / "a").write_bytes(FORMS[form](content))
    assert list(events(path, RUN.encode())) == made


@given(
    st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=6),
    st.integers(1, 40),
    st.booleans(),
)
def test_an_array_is_read_in_pieces(made: list[Any], piece: int, indent: bool) -> None:
    content = orjson.dumps(made, option=orjson.OPT_INDENT_2 if indent else None)
    file = Pieces(content, piece)
    assert [orjson.loads(one) for one in members(file)] == made
    if made:
        for end in range(1, len(content)):
            with pytest.raises(ExportError, match="was cut"):
                list(members(Pieces(content[:end], piece)))


@pytest.mark.parametrize(
    "content",
    [
        b'[1, "r1"]',
        b'[{"run": "r1"}] x',
        b'[{"run": "r1"} x, {}]',
        b'[["r1"]]',
        b'["r1", {}]',
        b"[}",
    ],
)
def test_an_array_of_something_else_is_no_export(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a").write_bytes(content)
    with pytest.raises(ExportError, match="not (a )?JSON"):
        list(events(path, b"r1"))


@pytest.mark.parametrize(
    "content",
    [
        b"<html>502</html>",
        b'{"run":"r1"}\nCode: 241\n',
        b'{"run":"r1"}\n{"run":{"a":1}',
        b'{"run":"r1"}\n{"ru',
        gzip.compress(b'{"run":"r1"}\n' * 9, mtime=0)[:-9],
        b"PK",
    ],
)
def test_an_export_that_is_none_or_not_whole_says_so(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a").write_bytes(content)
    with pytest.raises(ExportError, match="not (a )?JSON|cannot be read"):
        list(events(path, b"r1"))


def test_where_only_the_run_was_asked_for_another_line_is_an_error(tmp_path: Path) -> None:
    (path := tmp_path / "a").write_bytes(b'{"run":"r1"}\n{"exception":"of the service"}\n')
    assert len(list(events(path, b"r1"))) == 1
    with pytest.raises(ExportError, match="of the service"):
        list(events(path, b"r1", alone=True))
