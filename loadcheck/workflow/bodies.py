"""Request bodies: payload and replacements (Arazzo 1.0.1, "Request Body Object")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from loadcheck.workflow.encode import percent
from loadcheck.workflow.overlay import put
from loadcheck.workflow.pointer import parse_pointer
from loadcheck.workflow.resolve import Resolver
from loadcheck.workflow.templates import json_tree
from loadcheck.workflow.values import MISSING, JsonText, Text

if TYPE_CHECKING:
    from loadcheck.workflow import model
    from loadcheck.workflow.problems import Scribe

REPLACEMENT: Final = "Payload Replacement Object"


FORM: Final = "application/x-www-form-urlencoded"


def media_type(field: str) -> str:
    """Return the media type in a ``Content-Type`` field, without its parameters."""
    return field.partition(";")[0].strip().lower()


def gather_body(body: model.Body, content_type: str, resolver: Resolver) -> Any:
    """Return the payload with its replacements, ``MISSING`` if there is none.

    Args:
        body: What the document says. Problems with it are reported.
        content_type: The content type of the request; what is put into the string of a form is
            percent-encoded.
        resolver: Resolves its strings.
    """
    payload = MISSING
    if isinstance(body.payload, str) and media_type(content_type) == FORM:
        encoding = Resolver(resolver.scope, resolver.scribe, encode=percent)
        payload = encoding.string(body.payload, (*body.path, "payload"))
    elif body.payload is not MISSING:
        payload = resolver.value(body.payload, (*body.path, "payload"))
    for replacement in body.replacements:
        value = resolver.value(replacement.value, (*replacement.path, "value"))
        if value is not MISSING:
            payload = _replaced(payload, replacement, value, resolver.scribe)
    return payload


def _replaced(payload: Any, replacement: model.Replacement, value: Any, scribe: Scribe) -> Any:
    path = (*replacement.path, "target")
    target = replacement.target
    if target and not target.startswith("/"):
        message = f'the target "{target}" is no JSON Pointer'
        scribe.error(path, message, "XPath is not supported", REPLACEMENT)
        return payload
    try:
        tree = json_tree(payload) if isinstance(payload, str | JsonText) else payload
        if isinstance(tree, Text):
            raise ValueError("the payload is no JSON")  # noqa: TRY004, TRY301 -- reported below
        return put({} if tree is MISSING else tree, parse_pointer(target), value)
    except ValueError as error:
        scribe.error(path, re.sub(r": line 1 column.*", "", str(error)), "", REPLACEMENT)
        return payload
