"""User ids by template: unique, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.data.users import TemplateError, UserIds, check_template, uuid_number, uuid_of

RUN = "abc123abc123"
TEMPLATES = [
    "lc-{run}-{number:07}",
    "{uuid}",
    "user+{number}@example.org",
    "1{number}",
    "{number}1",
    "{run}{number}",
    "{digits}",
    'a"%d\\{uuid}%',
    "ü{number:3}",
]


@pytest.mark.parametrize("template", TEMPLATES)
@given(number=st.integers(0, 2**32))
def test_ids_are_read_back(template: str, number: int) -> None:
    ids = UserIds(template=template)
    check_template(template, integer=False)
    text = ids.of(RUN, number)
    assert ids.number(RUN, text) == number
    written = ids.written(RUN)
    if written is not None:
        assert written.text % number == text
        if written.plain:
            assert text.replace("-", "").isalnum()


@given(st.text(max_size=60))
def test_other_texts_are_nobodys(text: str) -> None:
    for template in TEMPLATES:
        ids = UserIds(template=template)
        number = ids.number(RUN, text)
        assert number is None or ids.of(RUN, number) == text


@given(st.integers(0, 2**40), st.sampled_from(["user", "insert"]))
def test_a_uuid_tells_its_copy_and_its_run(number: int, purpose: str) -> None:
    text = uuid_of(RUN, number, purpose)
    assert (text[14], text[19] in "89ab") == ("4", True)
    assert uuid_number(RUN, text, purpose) == number
    assert uuid_number("another", text, purpose) is None
    assert uuid_number(RUN, text, purpose[::-1]) is None


def test_uuids_of_many_copies_differ() -> None:
    assert len({uuid_of(RUN, number, "user") for number in range(50_000)}) == 50_000


def test_digits_are_numbers_that_json_carries() -> None:
    ids = UserIds(template="{digits}", integer=True)
    assert int(ids.of(RUN, 10**9 - 1)) < 2**53
    assert ids.of(RUN, 0) != ids.of("another", 0)


@pytest.mark.parametrize(
    ("template", "integer", "message"),
    [
        ("user", False, "collide"),
        ("user-{run}", False, "collide"),
        ("{number}-{number}", False, "read back"),
        ("{nummer}", False, "{nummer} is not a part"),
        ("{number:99}", False, "more digits"),
        ("{number", False, "not a text"),
        ("a\n{number}", False, "not a text"),
        ("u{number}", True, "not a whole number"),
    ],
)
def test_what_collides_is_refused(template: str, integer: bool, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check_template(template, integer=integer)
    assert message in caught.value.message
