from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck.documents.toml import MAX_BYTES, nearest_file, parse, read
from loadcheck.errors import ScenarioError

SAVE = "save the file as UTF-8"
OVERWRITTEN = "cannot overwrite a value, column 8; give it once"
QUOTE = "close the quotation mark"
VALUE = "expected text in quotes, a number, true, false, an array or a table"
DIGITS = "a number of thousands of digits; expected a number below 2^63"
LARGE = "1,000,001 bytes or more; expected at most 1,000,000 bytes"


def problem(content: bytes, folder: Path) -> str:
    path = folder / "s.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        read(path, "s.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = 1\nb = \n", f"s.toml:2: is not TOML: invalid value, column 5; {VALUE}"),
        (b"a = 1\nb = [", f"s.toml:2: is not TOML: invalid value, column 6; {VALUE}"),
        (
            b"a = 1\nb = 5s\n",
            ("s.toml:2: is not TOML: expected newline or end of document after a statement, "
            "column 6; put text in quotes"),
        ),
        (
            b"a = fast # b\n",
            "s.toml:1: is not TOML: invalid value, column 5; put text in quotes",
        ),
        (b'a = "x\n', f"s.toml:1: is not TOML: illegal character '\\n', column 7; {QUOTE}"),
        (b"a = [1 2]\n", "s.toml:1: is not TOML: unclosed array, column 8; close the bracket"),
        (b"a = 1\nb = 2\na = 3\n", "s.toml:3: a: is given twice; it is already in line 1"),
        (b"[l]\n[m]\n[l]\n", "s.toml:3: l: is given twice; it is already in line 1"),
        (b"a = 1\na.b = 2\n", f"s.toml:2: is not TOML: {OVERWRITTEN}"),
        (b"a = \nb = 2\nb = 3\n", f"s.toml:1: is not TOML: invalid value, column 5; {VALUE}"),
        (b"a = 1\nb = 2\nb = \xff\n", f"s.toml:3: is not UTF-8: byte 0xFF in column 5; {SAVE}"),
        ("a = 'é'".encode("latin-1"), f"s.toml:1: is not UTF-8: byte 0xE9 in column 6; {SAVE}"),
        ("a = 1".encode("utf-16"), f"s.toml:1: is not UTF-8: byte 0xFF in column 1; {SAVE}"),
        (b"a = 1\nb = " + b"[" * 99, "s.toml:2: nested too deeply; expected at most 40 levels"),
        (b"a = " + b"9" * 5000, f"s.toml: is not TOML: {DIGITS}"),
        (b"#" * (MAX_BYTES + 1), f"s.toml: is too large: {LARGE}"),
    ],
)  # fmt: skip
def test_what_is_no_document(content: bytes, expected: str, tmp_path: Path) -> None:
    assert problem(content, tmp_path) == expected


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "burst.toml").touch()
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path / "brust.toml", "brust.toml")
    assert str(caught.value) == (
        'brust.toml: cannot be read: no such file or directory; did you mean "burst.toml"?'
    )


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"^here: is a directory, not a file; name a file$"):
        read(tmp_path, "here")


def test_a_file_of_no_end() -> None:
    with pytest.raises(ScenarioError, match="is a device, not a file"):
        read(Path("/dev/zero"), "zero")


def test_an_empty_file_and_one_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"")
    assert read(path, "s.toml").plain() == {}
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read(path, "s.toml").plain() == {"a": 1}


def test_every_value_knows_its_place() -> None:
    document = parse('[a."b c"]\nd = [\n1,\n2]\n', "s.toml")
    places = {path: node.place for path, node in document.walk()}
    place = places["a", "b c", "d", 1]
    assert (place.file, place.line, place.key) == ("s.toml", 4, 'a."b c".d.1')


def test_the_nearest_file_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert nearest_file(tmp_path / "no" / "file") == ""
