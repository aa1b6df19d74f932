"""Regular expressions: what ECMA-262 means, in a time that no text can make long."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.patterns import compile_pattern
from loadcheck.workflow.expressions.selectors import compile_jsonpath_test, compile_xpath

LONG = "a" * 50_000


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a\n", False),
        ("^\\d$", "٣", False),
        ("^\\w$", "é", False),
        ("^\\s$", "\ufeff", True),
        ("^.$", "\r", False),
        ("^.$", "\u2028", False),
        ("^.$", "😀", True),
        ("\\ba", "éa", True),
        ("^\\p{L}+$", "é", True),
        ("\\p{Script=Greek}", "λ", True),
        ("\\P{L}", "é", False),
        ("(?<x>a)b", "ab", True),
        ("(?<x$>a)\\k<x$>", "aa", True),
        ("\\k<x>(?<x>a)", "b", False),
        ("(a)(b)\\2\\1", "abba", True),
        ("(?=a)a", "a", True),
        ("(?<!a)b", "ab", False),
        ("(?i:A)", "a", True),
        ("\\cA\\x41\\u0042\\u{43}\\ud83d\\ude00\\0", "\x01ABC😀\0", True),
        ("^[^]$", "\n", True),
        ("[]", "a", False),
        ("[[a]", "[", True),
        ("[a&&b]", "&", True),
        ("[+--]", ",", True),
        ("^[\\d\\-x]+$", "5-x", True),
        ("[\\b]", "\b", True),
        ("a{,3}", "a{,3}", True),
        ("^(?:a|b){2,3}$", "abab", False),
        ("a  #b", "a  #b", True),
        ("\\/\\$\\.", "/$.", True),
    ],
)
def test_what_it_means(pattern: str, text: str, found: bool) -> None:
    assert compile_pattern(pattern)(text) is found


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?P<x>a)", "(?P is Python's: a named group is (?<name>…)"),
        ("(?<x>a)(?P=x)", "(?P is Python's"),
        ("(?#c)", "no comments"),
        ("(a)?(?(1)b|c)", "no conditions"),
        ("(?>a)", "no atomic groups"),
        ("(?i)a", "(?i) begins no group"),
        ("\\Aa", "\\A means nothing"),
        ("a\\Z", "\\Z means nothing"),
        ("\\h", "\\h means nothing"),
        ("a++", "repeats what is repeated"),
        ("a{2}{3}", "repeats what is repeated"),
        ("(?<x>a)(?<x>b)", 'two groups are named "x"'),
        ("(?<1>a)", '"1" is not a name'),
        ("\\k<y>", 'no group is named "y"'),
        ("(a)\\2", "there is no group 2"),
        ("[a", "has no end"),
        ("\\u{110000}", "is not a character"),
        ("\\x4", "is not complete"),
        ("\\", "means nothing"),
        ("(", "does not parse"),
        ("a)", "does not parse"),
        ("*a", "does not parse"),
        ("[z-a]", "does not parse"),
        ("\\p{Nope}", "does not parse"),
        ("((a{1000}){1000}){1000}", "too large"),
        ("(?:" * 3000, "does not parse"),
        ("a" * 10_001, "longer than 10,000"),
    ],
)
def test_what_it_is_not(pattern: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_pattern(pattern)
    assert words in caught.value.message


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*)*,", "(?=(a+)+$)x", "(a+)+\\1$", "(?:(?=a)a+)+$"],
)
def test_none_takes_long(pattern: str) -> None:
    """With the engine of Python's ``re`` the first of these takes longer than the universe."""
    assert not compile_pattern(pattern)(LONG + "!")


@pytest.mark.timeout(60)
def test_nor_those_of_jsonpath() -> None:
    for function in ("match", "search"):
        test = compile_jsonpath_test(f"$[?{function}(@, '(a+)+b')]")
        assert not test([LONG])
        assert test(["aab"])
    assert not compile_jsonpath_test("$[?match(@, 'a')]")(["ba"])
    assert compile_jsonpath_test("$[?search(@, 'a')]")(["ba"])
    assert not compile_jsonpath_test("$[?search(@, '(')]")(["("])


@pytest.mark.parametrize(
    "call", ["matches(., '^(a+)+$')", "fn:replace (., 'a', 'b')", "tokenize(.,'a')"]
)
def test_those_of_xpath_are_refused(call: str) -> None:
    with pytest.raises(ExpressionError, match="may run for ever"):
        compile_xpath(f"//x[{call}]", "xpath")


@given(st.text(alphabet="ab1_ \n.-[]{}()^$|?*+\\dwsDWS&", max_size=12), st.text(max_size=8))
def test_any_text_is_a_pattern_or_said_not_to_be(pattern: str, text: str) -> None:
    try:
        matches: Any = compile_pattern(pattern)
    except ExpressionError:
        return
    assert matches(text) in (True, False)


@given(st.from_regex(r"\A[ab(|)*?]{0,9}\Z"), st.text(alphabet="ab\n", max_size=8))
def test_where_both_mean_the_same_it_is_what_re_finds(pattern: str, text: str) -> None:
    try:
        wanted = re.search(pattern, text) is not None
    except re.error:
        return
    try:
        assert compile_pattern(pattern)(text) is wanted
    except ExpressionError:
        assert re.search(r"[*?][*?]|\(\?|\([*?]|\|[*?]|^[*?]", pattern) is not None
