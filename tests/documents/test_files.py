"""Files of every kind are read within bounds, or refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from loadcheck.documents import files
from loadcheck.documents.files import UnreadableError, path_within, read_file


def refusal(path: Path, most_bytes: int = 100) -> UnreadableError:
    with pytest.raises(UnreadableError) as caught:
        read_file(path, most_bytes)
    return caught.value


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == b"x" * 100
    assert "is too large" in refusal(path, 99).message


def test_a_file_of_200_mb_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    assert refusal(path, 100_000_000).message == "is too large: 200,000,000 bytes or more"


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == "is a directory, not a file"
    assert refusal(Path("/dev/zero")).message == "is a device, not a file"
    assert refusal(tmp_path / "gone").missing
    assert not refusal(Path("a\0b")).missing
    assert "too long" in refusal(tmp_path / ("n" * 300)).message


def test_a_pipe_without_a_writer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PIPE_S", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert "has not ended" in refusal(path).message


def test_a_pipe_is_read_to_its_end() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"text")
    closing = threading.Timer(0.05, os.close, [theirs])
    closing.start()
    assert read_file(Path(f"/dev/fd/{ours}"), 100) == b"text"
    closing.join()
    os.close(ours)


def test_a_pipe_that_drips_or_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PIPE_S", 0.2)
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    assert "has not ended" in refusal(Path(f"/dev/fd/{ours}")).message
    os.write(theirs, b"x" * 200)
    assert "is too large" in refusal(Path(f"/dev/fd/{ours}")).message
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("name", ["a\0b", "loop", "loop/data.csv"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UnreadableError) as caught:
        read_file(path_within(tmp_path, name) or tmp_path, 100)
    assert str(tmp_path) not in caught.value.message
    for test in (files.is_file, files.exists, files.is_folder):
        assert not test(tmp_path / name / "x")


@pytest.mark.parametrize("name", ["../a", "/etc/hosts", "b/../../a"])
def test_a_file_outside_of_the_folder_has_no_path(tmp_path: Path, name: str) -> None:
    assert path_within(tmp_path, name) is None
