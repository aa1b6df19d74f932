from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest

from loadcheck.errors import ResultFileError
from loadcheck.measure import Ledger
from loadcheck.measure.timeline import Timeline
from loadcheck.result.schema import SCHEMA, json_schema
from loadcheck.result.store import ResultFile, default_name, in_progress, read, read_any, upgraded


def smallest() -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "verdict": "unknown",
        "run": {
            "id": "abc",
            "phase": "running",
            "seed": 1,
            "started_at": "2026-01-01T00:00:00Z",
            "ended_at": None,
            "interrupted": False,
            "error": None,
        },
        "copies": {
            "planned": 1,
            "started": 0,
            "skipped": 0,
            "acknowledged": 0,
            "rejected": 0,
            "indeterminate": 0,
        },
        "timeline": Timeline().to_json(),
        "ledger": Ledger().to_json(),
        "warnings": [],
        "scenario": {},
        "workflow": {},
        "environment": {},
    }


def test_the_name_sorts_by_time_and_is_in_utc() -> None:
    started = datetime(2026, 3, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert default_name("burst", started, "k3f9") == "burst-20260228T230203Z-k3f9.json"
    assert default_name("x", datetime(2026, 1, 1, tzinfo=UTC), "r").startswith("x-20260101T000000Z")


def test_what_is_saved_is_read_and_the_directory_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    with ResultFile(path) as file:
        file.save(smallest())
    assert read(path) == smallest()
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("precious")
    with pytest.raises(ResultFileError, match="exists already; .*--force"):
        ResultFile(path)
    assert path.read_text() == "precious"
    with ResultFile(path, replace=True) as file:
        file.save(smallest())
    assert read(path)["schema"] == SCHEMA


def test_a_directory_is_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="is a directory"):
        ResultFile(tmp_path, replace=True)


def test_a_save_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    file = ResultFile(path)
    file.save(smallest())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultFileError, match="no space left on device"):
        file.save(smallest() | {"verdict": "pass"})
    file.close()
    assert read(path)["verdict"] == "unknown"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON.*the file is empty"),
        ('{"schema": "loadcheck.result/1",\n "verd', ":2: is not JSON.*truncated"),
        ("[]", "not a loadcheck results file"),
        ("[" + "[]," * 1_000_000 + "[]]", "holds more values than a run can have"),
        ('{"hello": 1}', "not a loadcheck results file"),
        ('{"schema": "loadcheck.result/9"}', 'has the schema "loadcheck.result/9"; this version'),
        ('{"schema": "loadcheck.result/1"}', "edited by hand"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ResultFileError, match=message):
        read(path)


def test_an_earlier_version_is_read_as_the_present_one(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(orjson.dumps(smallest() | {"schema": "loadcheck.result/0"}))
    assert read(path) == smallest()


def test_the_shipped_example_is_of_the_present_version() -> None:
    path = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"
    assert orjson.loads(path.read_bytes()) == read(path)


def test_a_document_is_not_changed_by_its_upgrade() -> None:
    old = smallest() | {"schema": "loadcheck.result/0"}
    assert upgraded(old, 0) == smallest()
    assert old["schema"] == "loadcheck.result/0"


@pytest.mark.parametrize("version", ["2", "3", "99"])
def test_a_version_that_is_not_known_is_refused(tmp_path: Path, version: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(orjson.dumps(smallest() | {"schema": f"loadcheck.result/{version}"}))
    with pytest.raises(ResultFileError, match=rf'"loadcheck.result/{version}"; this version'):
        read(path)


def test_a_long_value_is_not_quoted_whole(tmp_path: Path) -> None:
    document = smallest() | {"verdict": "x" * 1000}
    path = tmp_path / "result.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(ResultFileError) as caught:
        read(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="nothing.json: cannot be read: no such file"):
        read(tmp_path / "nothing.json")


def test_a_value_edited_by_hand_is_named_by_its_path(tmp_path: Path) -> None:
    document = smallest()
    document["copies"] = {**document["copies"], "started": "many"}  # type: ignore[dict-item]
    path = tmp_path / "result.json"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(ResultFileError, match='copies.started: "many" is not of type'):
        read(path)


def test_the_schema_is_a_valid_schema() -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    Draft202012Validator.check_schema(json_schema())


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".loadcheck-")]


def test_a_link_in_the_way_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with ResultFile(tmp_path / "result.json") as file:
        (lock,) = leftovers(tmp_path)
        (tmp_path / lock).with_suffix(".tmp").symlink_to(victim)
        file.save(smallest())
    assert victim.read_text() == "precious"
    assert read(tmp_path / "result.json") == smallest()
    assert leftovers(tmp_path) == []


def test_nor_is_a_link_that_is_laid_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    unlink = Path.unlink

    def laid(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".tmp":
            unlink(path, missing_ok=True)
            path.symlink_to(victim)
            return
        unlink(path, missing_ok=missing_ok)

    with ResultFile(tmp_path / "result.json") as file:
        monkeypatch.setattr(Path, "unlink", laid)
        with pytest.raises(ResultFileError, match="cannot be written: file exists"):
            file.save(smallest())
        monkeypatch.undo()
    assert victim.read_text() == "precious"


def test_what_a_killed_process_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "result.json"):
        (lock,) = leftovers(tmp_path)
    for name in (lock, lock.replace(".lock", ".tmp")):
        (tmp_path / name).write_text("left")
    with ResultFile(tmp_path / "other.json") as other:
        assert len(leftovers(tmp_path)) == 1
        other.save(smallest())
        assert in_progress(other.path)
    assert leftovers(tmp_path) == []
    assert not in_progress(other.path)


def test_of_two_claims_the_second_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with ResultFile(path), pytest.raises(ResultFileError, match="is being written by another"):
        ResultFile(path, replace=True)
    ResultFile(path).close()


def test_what_a_link_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "latest.json").symlink_to(tmp_path / "run.json")
    with ResultFile(tmp_path / "latest.json") as file:
        file.save(smallest())
    assert (tmp_path / "latest.json").is_symlink()
    assert read(tmp_path / "run.json") == smallest()


@pytest.mark.parametrize("name", ["n" * 300, "nul\0"])
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultFileError, match=r"cannot be written: .*; choose another --output"):
        ResultFile(tmp_path / name)


@pytest.mark.parametrize(
    "schema",
    [[], {}, 5, None, "loadcheck.result/" + "9" * 5000, "loadcheck.result/٣", "loadcheck.", "\0"],
)
def test_an_odd_schema_is_no_results_file(tmp_path: Path, schema: object) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(orjson.dumps(smallest() | {"schema": schema}))
    for reader in (read, read_any):
        with pytest.raises(ResultFileError, match="is not a loadcheck results file"):
            reader(path)
