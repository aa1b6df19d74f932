"""Events as the service hands them out, against those that were sent."""

from __future__ import annotations

import gzip
import zipfile
from collections import Counter
from collections.abc import Mapping
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
    Comparison,
    EventReader,
    ExportError,
    events,
)

RUN = "r1"


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
) -> Compared:
    reader = EventReader(
        number=_number,
        user=lambda found: found.get("user_id"),
        fields={
            name: lambda found, name=name: found.get(name)  # type: ignore[misc]
            for name in ("$insert_id", "event_properties", "user_id")
        },
        key="$insert_id",
    )
    comparison = Comparison(
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
    path = archive(tmp_path / "a.zip", b"{ not json\n" + rows(event(1)))
    assert [one["user_id"] for one in events(path, RUN.encode())] == ["u1"]


@pytest.mark.parametrize(
    "content",
    [b'{"run":"r1"\n', b'["r1"]\n'],
    ids=["no JSON", "no object"],
)
def test_a_line_that_cannot_be_read_ends_the_comparison(tmp_path: Path, content: bytes) -> None:
    path = archive(tmp_path / "a.zip", content)
    with pytest.raises(ExportError, match="no JSON"):
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
