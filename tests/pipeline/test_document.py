from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadcheck.pipeline.document import redact

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
