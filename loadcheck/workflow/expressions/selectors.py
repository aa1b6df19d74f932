"""Selectors: parts of a value, selected by JSON Pointer, JSONPath or XPath.

JSONPath is RFC 9535's. XPath needs the extra ``loadcheck[xml]``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import jsonpath_rfc9535
from iregexp_check import check
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

from loadcheck.documents.document import MISSING, compile_pointer, parse_pointer
from loadcheck.errors import did_you_mean
from loadcheck.workflow.expressions import Dynamic, Evaluate, Frame, Slot, as_dynamic
from loadcheck.workflow.expressions.conditions import shortened
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.patterns import compile_pattern

_SINGULAR = re.compile(
    r"\s*(?P<query>\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\[(?:-?[0-9]+|'[^'\\]*'|\"[^\"\\]*\")\])*)\s*"
)
_SEGMENT = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(?:(-?[0-9]+)|'([^']*)'|\"([^\"]*)\")\]")

_PARSERS: Final = {
    "xpath": ("xpath31", "XPath31Parser"),
    "xpath-31": ("xpath31", "XPath31Parser"),
    "xpath-30": ("xpath30", "XPath30Parser"),
    "xpath-20": ("xpath2", "XPath2Parser"),
    "xpath-10": ("xpath1", "XPath1Parser"),
}
_SELECTOR_TYPES: Final = ("jsonpath", "jsonpointer", "xpath")
_UNBOUNDED = re.compile(r"(?<![\w.-])(matches|replace|tokenize|analyze-string)\s*\(")
"""Functions of XPath 2 and later that the library evaluates with a backtracking regex engine."""
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_UNKNOWN_PREFIX = "XPST0081"


class _Matching(FilterFunction):
    """``match`` and ``search`` of RFC 9535 in linear time; only an I-Regexp can match."""

    arg_types: ClassVar = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, text: object, pattern: object) -> bool:
        if not isinstance(text, str) or not isinstance(pattern, str) or not check(pattern):
            return False
        try:
            return compile_pattern(self._form.format(pattern))(text)
        except ExpressionError:
            return False


_JSONPATH = jsonpath_rfc9535.JSONPathEnvironment()
_JSONPATH.function_extensions |= {"match": _Matching("^(?:{})$"), "search": _Matching("(?:{})")}


def is_jsonpath(text: str) -> bool:
    """Return whether a text that selects a value of an answer is JSONPath (on its body)."""
    return text.startswith(("$.", "$[")) or text == "$"


def find_in_answer(text: str) -> Evaluate:
    """Return a function that applies a JSONPath to an answer's body.

    It returns the only match, an array of several, or ``MISSING``.

    Raises:
        ExpressionError: It is not a JSONPath.
    """
    find = compile_jsonpath(text)

    def evaluate(frame: Frame) -> Any:
        try:
            nodes = find(frame[Slot.EXCHANGE].json())
        except ValueError:
            return MISSING
        if len(nodes) > 1:
            return nodes
        return nodes[0] if nodes else MISSING

    return evaluate


def compile_selector(text: str, kind: str | None) -> Callable[[Any], Any]:
    """Return a function that applies a selector to the value of its context (Arazzo 1.1.0).

    A singular JSONPath query, or an XPath that finds one node, gives its value; others give an
    array of matches. Without a match the result is ``MISSING``.

    Args:
        text: The selector.
        kind: jsonpointer, jsonpath, xpath or "xpath-10" to "xpath-31".

    Raises:
        ExpressionError: The selector is invalid, or the extra that it needs is not installed.
    """
    if kind == "jsonpointer":
        return compile_pointer(pointer_of(text)) if text else lambda value: value
    if kind == "jsonpath":
        find = compile_jsonpath(text)
        one = _SINGULAR.fullmatch(text) is not None
        return lambda value: _chosen(find(value), one=one)
    if kind is None or kind not in _PARSERS:
        remedy = did_you_mean(str(kind), _SELECTOR_TYPES)
        raise ExpressionError(f'"{kind}" is not a type of a selector', remedy)
    select = compile_xpath(text, kind)

    def selected(value: Any) -> Any:
        found = select(value)
        texts = [_xml_text(item) for item in found] if isinstance(found, list) else _xml_text(found)
        return _chosen(texts, one=len(texts) == 1) if isinstance(texts, list) else texts

    return selected


def pointer_of(text: str) -> tuple[str, ...]:
    """Return the tokens of a JSON Pointer.

    Raises:
        ExpressionError: It is not a JSON Pointer.
    """
    try:
        return parse_pointer(text)
    except ValueError as error:
        raise ExpressionError(str(error), "see RFC 6901 section 3") from None


def _chosen(found: list[Any], *, one: bool) -> Any:
    if not found:
        return MISSING
    return found[0] if one else found


def select_value(raw: Mapping[str, Any], context: Any) -> Any:
    """Return what a Selector Object selects from its context, as a known or dynamic value.

    Args:
        raw: The Selector Object.
        context: The value of its context, known or dynamic.

    Raises:
        ExpressionError: As :func:`compile_selector`.
    """
    kind = raw["type"]
    if isinstance(kind, Mapping):
        kind = kind.get("version") if kind.get("type") == "xpath" else kind.get("type")
    select = compile_selector(str(raw["selector"]), kind if isinstance(kind, str) else str(kind))
    late = as_dynamic(context)
    if late is None:
        return MISSING if context is MISSING else select(context)

    def evaluate(frame: Frame) -> Any:
        value = late.evaluate(frame)
        return MISSING if value is MISSING else select(value)

    text = f"{raw['context']} ({raw['selector']})"
    return Dynamic(text=text, evaluate=evaluate, uses=late.uses)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ExpressionError(
            'XPath and XML are read by the extra "xml", which is not installed',
            "install it: pip install 'loadcheck[xml]', or from source pip install '.[xml]'",
        ) from None


def compile_xpath(text: str, kind: str) -> Callable[[Any], Any]:
    """Return a function that applies an XPath to XML text, with the prefixes of its root element.

    Args:
        text: The expression.
        kind: "xpath", which is 3.1, or "xpath-10" to "xpath-31".

    Raises:
        ExpressionError: It is not an XPath, or the extra that it needs is not installed.
    """
    unbounded = _UNBOUNDED.search(text)
    if unbounded is not None:
        raise ExpressionError(
            f'"{shortened(text)}" calls {unbounded[1]}(), whose patterns may run for ever',
            "match with a criterion of type regex",
        )
    elementpath = _library("elementpath")
    _library("lxml.etree")
    module, name = _PARSERS[kind]
    parser = getattr(_library(f"elementpath.{module}"), name)
    compiled: dict[tuple[tuple[str, str], ...], Any] = {}

    def selector(prefixes: dict[str, str]) -> Any:
        key = tuple(sorted(prefixes.items()))
        if key not in compiled:
            compiled[key] = elementpath.Selector(text, namespaces=prefixes, parser=parser)
        return compiled[key]

    try:
        selector({})
    except elementpath.ElementPathError as error:
        if _UNKNOWN_PREFIX not in str(error):  # prefixes are declared by the documents
            message = str(error).partition("[err:")[0].strip(" :")
            raise ExpressionError(f'"{shortened(text)}" is not an XPath: {message}') from None

    def select(value: Any) -> Any:
        try:
            root = parse_xml(value)
            prefixes = {name: uri for name, uri in root.nsmap.items() if name}
            return selector(prefixes).select(root)
        except (elementpath.ElementPathError, ValueError):
            return []

    return select


def parse_xml(value: Any) -> Any:
    """Return the root element of XML text; entities are not expanded, nothing is fetched.

    Raises:
        ValueError: It is not XML text.
    """
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004 -- a value of the wrong kind
    etree = _library("lxml.etree")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        return etree.fromstring(_DECLARATION.sub("", value, count=1).encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"it is not XML: {error}") from None


def is_true_xpath(found: Any) -> bool:
    """Return the effective boolean value of an XPath's result (XPath 3.1 section 2.4.3)."""
    return bool(found) and found == found  # noqa: PLR0124 -- NaN is false


def _xml_text(item: Any) -> Any:
    """Return a node's text, any other value as a JSON scalar."""
    if hasattr(item, "itertext"):
        return "".join(item.itertext())
    return item if isinstance(item, bool | int | float | str) else str(item)


def replace_xpath(text: str, kind: str) -> Callable[[str, str], str]:
    """Return a function that replaces the content of the nodes of XML text that an XPath finds.

    Raises:
        ExpressionError: As :func:`compile_xpath`.
    """
    compile_xpath(text, kind)

    def replaced(value: str, new: str) -> str:
        etree = _library("lxml.etree")
        root = parse_xml(value)
        prefixes = {name: uri for name, uri in root.nsmap.items() if name}
        try:
            found = etree.XPath(text, namespaces=prefixes)(root)
        except etree.XPathError as error:
            raise ValueError(f'"{text}" cannot be replaced at: {error}') from None
        if not isinstance(found, list) or not found:
            raise ValueError(f'the XPath "{text}" finds nothing in the payload')
        for node in found:
            if hasattr(node, "itertext"):
                for child in list(node):
                    node.remove(child)
                node.text = new
            else:
                _replace_text(node, new)
        written: str = etree.tostring(root, encoding="unicode")
        return written

    return replaced


def _replace_text(node: Any, new: str) -> None:
    """Replace an attribute's value or a text node."""
    parent = node.getparent()
    if node.is_attribute:
        parent.set(node.attrname, new)
    elif node.is_tail:
        parent.tail = new
    else:
        parent.text = new


def compile_jsonpath_test(query: str) -> Callable[[Any], bool]:
    """Return a function that says whether a JSONPath query finds anything in a value (RFC 9535).

    Raises:
        ExpressionError: It is not a JSONPath query.
    """
    find = compile_jsonpath(query)
    return lambda value: bool(find(value))


def compile_jsonpath(query: str) -> Callable[[Any], list[Any]]:
    """Return a function that lists what a JSONPath query finds in a value (RFC 9535).

    Raises:
        ExpressionError: It is not a JSONPath query.
    """
    singular = _SINGULAR.fullmatch(query)
    if singular is not None and "[-" not in query:
        reach = compile_pointer(tokens_of_query(singular["query"]))

        def find_one(value: Any) -> list[Any]:
            found = reach(value)
            return [] if found is MISSING else [found]

        return find_one
    try:
        compiled = _JSONPATH.compile(query)
    except jsonpath_rfc9535.JSONPathError as error:
        message = str(error).splitlines()[0]
        raise ExpressionError(
            f'"{shortened(query)}" is not a JSONPath: {message}', "see RFC 9535 section 2"
        ) from None
    return lambda value: [node.value for node in compiled.find(value)]


def locate_jsonpath(query: str) -> Callable[[Any], list[tuple[str, ...]]]:
    """Return a function that lists the places, as pointer tokens, of what a JSONPath query finds.

    Raises:
        ExpressionError: It is not a JSONPath query.
    """
    compile_jsonpath(query)
    compiled = _JSONPATH.compile(query)
    return lambda value: [tuple(map(str, node.location)) for node in compiled.find(value)]


def tokens_of_query(query: str) -> tuple[str, ...]:
    """Return the names and indexes of a singular query."""
    return tuple(
        name or index or single or double for name, index, single, double in _SEGMENT.findall(query)
    )
