from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure import Histogram
from loadcheck.result.document import brief, environment, histogram, redact, utc_now

SECRET = "s3cr3t-of-a-test"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(SECRET)
    | st.builds("{}{}{}".format, st.text(max_size=5), st.just(SECRET), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=5) | st.just(f"x{SECRET}"), inner, max_size=4),
)  # fmt: skip


@given(json_values)
def test_no_secret_is_left_anywhere(value: Any) -> None:
    assert SECRET not in json.dumps(redact(value, {SECRET}))


@given(json_values)
def test_everything_else_stays(value: Any) -> None:
    kept = redact(value, {"something else altogether"})
    assert kept == json.loads(json.dumps(value))


def test_a_short_secret_is_hidden_where_it_is_all_there_is() -> None:
    assert redact(["abc", "abcd"], {"abc"}) == ["***", "abcd"]


@pytest.mark.parametrize("hidden", [["secret", "secret-2"], ["secret-2", "secret"]])
def test_of_a_secret_that_begins_with_another_nothing_is_left(hidden: list[str]) -> None:
    assert redact({"x-secret-2": "a secret-2, a secret"}, hidden) == {"x-***": "a ***, a ***"}


def test_numbers_and_flags_are_no_text() -> None:
    assert redact({"n": 12345, "t": (True, None)}, {"12345"}) == {"n": 12345, "t": [True, None]}


def test_the_environment_names_no_person_and_no_host() -> None:
    text = json.dumps(environment())
    assert platform.node() not in text
    assert str(Path.home()) not in text


def test_the_present_is_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())


def test_a_histogram_without_samples_has_no_percentiles() -> None:
    empty = histogram(Histogram())
    assert (empty["count"], empty["p50_ms"], empty["max_ms"]) == (0, None, None)
    assert Histogram.decode(empty["hdr"]).count == 0


def test_an_answer_is_cut_short_after_its_secrets_are_hidden() -> None:
    text = "x" * 295 + SECRET
    sections = {"steps": {"up": {"examples": {"500": text}}}}
    cut = brief(redact(sections, {SECRET}))["steps"]["up"]["examples"]["500"]
    assert cut == "x" * 295 + "***"
    assert brief({"verdict": "pass"}) == {"verdict": "pass"}
