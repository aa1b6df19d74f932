"""What a scenario adds to the document: values of inputs, and the overlay.

Inputs have a JSON Schema, with its defaults (Arazzo 1.0.1, "Workflow Object"). The overlay adds to
a step's request what the document leaves out. An edit names a place in the request,
``body#/json/pointer``, ``query.NAME``, ``query.NAME#/json/pointer`` (a parameter that holds JSON
text), ``header.NAME``, ``path.NAME`` or ``cookie.NAME``, and the value to put there.

In the inputs and the overlay of a scenario, ``{"$file" = "photo.png"}`` stands for a file in the
scenario's folder, and ``{"$bytes" = 2048}`` for that many bytes, different for each copy. Either
may have ``type``, its media type, and ``name``, its file name. They can be a part of a multipart
form, or a whole body.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadcheck.documents.document import MISSING, dotted, parse_pointer
from loadcheck.documents.files import UnreadableError, note, path_within, reason_of
from loadcheck.documents.formats import describe
from loadcheck.documents.reader import DocumentReporter
from loadcheck.documents.reader import Path as DocumentPath
from loadcheck.errors import Problem, WorkflowError, did_you_mean, printable
from loadcheck.workflow.description.inputs import SECTION, DeclaredInputs, InputSchema
from loadcheck.workflow.exchange import Exchange, Origin, Request
from loadcheck.workflow.expressions import (
    Dynamic,
    FileContent,
    Frame,
    JsonTemplate,
    Slot,
    Template,
    UnsendableError,
    as_dynamic,
    evaluate,
)
from loadcheck.workflow.runtime import Inputs

_FITTING = "give values that fit the schema of the inputs"


def check_inputs(
    schema: InputSchema, values: Mapping[str, Any], reporter: DocumentReporter, path: DocumentPath
) -> None:
    """Report inputs that are missing or violate the schema.

    Args:
        schema: The schema of the inputs.
        values: The values given; dynamic ones are not checked.
        reporter: Receives problems.
        path: The path to report, where the inputs are declared or given.
    """
    for name, required in schema.declared.items():
        if required and name not in values:
            message = f'the input "{name}" is required and has no value'
            given = f"{dotted([name])} = {_USUAL.get(_letters(name), '…')}"
            reporter.error(path, message, f"give it one in the scenario: [inputs] {given}", SECTION)
    known = {name: value for name, value in values.items() if as_dynamic(value) is None}
    misfits = [(name, message) for name in known for message in schema.misfits(name, known[name])]
    for name, message in misfits:
        reporter.error(path, f'the input "{name}": {message}', _FITTING, SECTION)
    complete = len(known) == len(values) and all(
        name in values for name, required in schema.declared.items() if required
    )
    for message in schema.misfits_together(known) if complete and not misfits else ():
        reporter.error(path, f"the inputs together: {message}", _FITTING, SECTION)


_USUAL: Final = {
    **dict.fromkeys(("user", "userid", "distinctid", "profileid"), '"$copy.userId"'),
    **dict.fromkeys(("insertid", "eventid", "messageid"), '"$copy.insertId"'),
    **dict.fromkeys(("runid", "run"), '"$run.id"'),
    **dict.fromkeys(("apikey", "token", "secretkey"), '{ env = "NAME" }'),
}
"""Usual values of inputs, by name, for remedies."""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def check_names(
    names: Iterable[str], declared: DeclaredInputs, reporter: DocumentReporter, path: DocumentPath
) -> None:
    """Report inputs that are given and not declared."""
    for name in names:
        if not declared.accepts(name):
            remedy = did_you_mean(name, declared) or "none is declared"
            reporter.error(path, f'there is no input "{name}"', remedy, SECTION)


def compile_inputs(schema: InputSchema, values: Mapping[str, Any], name: str) -> Inputs:
    """Return a function that makes the inputs of a workflow from its caller's frame.

    An optional input without a value is left out. A required input without one, or an input that
    violates its schema, makes the workflow fail before anything is sent.

    Args:
        schema: The schema of its inputs.
        values: Their values, resolved; defaults are added.
        name: The workflow, for messages.
    """
    declared = schema.declared
    given = {**schema.defaults, **values}
    known = {key: value for key, value in given.items() if as_dynamic(value) is None}
    late = [
        (key, dynamic, declared.get(key, False))
        for key, value in given.items()
        if (dynamic := as_dynamic(value)) is not None
    ]
    return _closure(known, late, schema.fits, name) if late else lambda _: known


def _closure(
    known: dict[str, Any],
    late: list[tuple[str, Dynamic, bool]],
    fits: Callable[[str, Any], bool],
    workflow: str,
) -> Inputs:
    def inputs(frame: Frame) -> dict[str, Any]:
        found = dict(known)
        for name, dynamic, required in late:
            value = dynamic.evaluate(frame)
            if value is MISSING:
                if required:
                    raise UnsendableError(f'the input "{name}" of {workflow} has no value')
            elif fits(name, value):
                found[name] = value
            else:
                raise UnsendableError(f'the input "{name}" of {workflow} does not fit its schema')
        return found

    return inputs


_NO_REQUEST: Final = Request(0, Origin("http", "", 0), b"", b"")
"""Placeholder for inputs that read a response when nothing has been sent."""


def sample(values: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """Evaluate inputs in a frame; those that cannot be evaluated there are left out."""
    if frame[Slot.EXCHANGE] is MISSING:
        frame = [*frame]
        frame[Slot.EXCHANGE] = Exchange(_NO_REQUEST)
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = evaluate(value, frame)
        except (UnsendableError, LookupError, ValueError):  # no request, no response
            continue
    return found


MAX_BYTES: Final = 100_000_000
"""The largest file, and the most bytes generated for one copy."""

_KEYS: Final = ({"$file", "type", "name"}, {"$bytes", "type", "name"})
_BINARY: Final = "application/octet-stream"


def with_files(value: Any, folder: Path, run_id: str, key: str) -> Any:
    """Return a value of a scenario with ``$file`` and ``$bytes`` replaced by content.

    Args:
        value: The JSON value as written in the scenario.
        folder: The scenario's folder, which files must be inside.
        run_id: The run's id; generated bytes depend on it, on the key and on the copy.
        key: The value's key in the scenario.

    Raises:
        WorkflowError: A file cannot be read, is too large or outside the folder, or the number of
            bytes is invalid.
    """
    if isinstance(value, list):
        return [with_files(item, folder, run_id, key) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "$file" in value or "$bytes" in value:
        if not any(value.keys() <= known for known in _KEYS):
            raise _refused(
                key,
                f"unknown keys beside $file or $bytes: {', '.join(value)}",
                "expected $file or $bytes, and type and name",
            )
        return _file(value, folder, key) if "$file" in value else _generated(value, run_id, key)
    return {name: with_files(item, folder, run_id, f"{key}.{name}") for name, item in value.items()}


def _file(value: Mapping[str, Any], folder: Path, key: str) -> Dynamic:
    name = str(value["$file"])
    try:
        path = path_within(folder, name)
    except UnreadableError as error:
        raise _refused(key, f'"{printable(name)}" {error.message}', error.remedy) from None
    if path is None:
        raise _refused(key, f'"{name}" is outside of the scenario\'s folder', "name one inside it")
    try:
        if not path.is_file():
            raise _refused(
                key, f'there is no file "{name}"', "it is looked for beside the scenario"
            )
        if path.stat().st_size > MAX_BYTES:
            raise _refused(
                key, f'"{name}" is larger than {MAX_BYTES:,} bytes', "take a smaller one"
            )
        note(path)
        data = path.read_bytes()
    except OSError as error:
        raise _refused(key, f'"{name}" cannot be read: {reason_of(error)}', "") from None
    guessed = mimetypes.guess_type(path.name)[0] or _BINARY
    content = FileContent(data, str(value.get("name", path.name)), str(value.get("type", guessed)))
    return Dynamic(text=f"file {name}", evaluate=lambda _: content)


def _generated(value: Mapping[str, Any], run_id: str, key: str) -> Dynamic:
    size = value["$bytes"]
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_BYTES:
        raise _refused(key, f"$bytes is {size!r}", f"expected a whole number up to {MAX_BYTES:,}")
    name, kind = str(value.get("name", "generated.bin")), str(value.get("type", _BINARY))

    def evaluate(frame: Frame) -> FileContent:
        seed = f"{run_id}/{key}/{frame[Slot.NUMBER]}".encode()
        return FileContent(hashlib.shake_128(seed).digest(size), name, kind)

    return Dynamic(text=f"{size} bytes", evaluate=evaluate, uses=frozenset({"$copy.number"}))


def _refused(key: str, message: str, remedy: str) -> WorkflowError:
    return WorkflowError(Problem(message=message, key=key, remedy=remedy))


_AT = re.compile(r"(?:(body)|(query|header|path|cookie)\.([^#]+))(?:#(.*))?", re.DOTALL)
_BEHIND_LAST: Final = frozenset({"-"})
_FIRST: Final = frozenset({"-", "0"})


class EditPlace(NamedTuple):
    """The place of an edit: ``where`` is body, query, header, path or cookie."""

    where: str
    name: str
    pointer: tuple[str, ...] | None


def parse_place(at: str) -> EditPlace:
    """Parse the place of an edit.

    Raises:
        ValueError: It is not one of the six forms.
    """
    match = _AT.fullmatch(at)
    pointer = None if match is None or match[4] is None else parse_pointer(match[4])
    if match is None or (match[1] and pointer is None):
        raise ValueError(
            'expected "body#/json/pointer", "query.NAME", "query.NAME#/json/pointer", '
            '"header.NAME", "path.NAME" or "cookie.NAME"'
        )
    return EditPlace(match[1] or match[2], match[3] or "", pointer)


def put(tree: Any, pointer: Sequence[str], value: Any) -> Any:
    """Return a copy of ``tree`` with ``value`` at ``pointer``.

    Missing objects and arrays along it are created: an array if the next token is ``-`` or 0.
    ``-`` appends (RFC 6901 section 4).

    Raises:
        ValueError: The pointer leads through a scalar, past the end of an array, or into a string
            that is known only when a copy runs.
    """
    if not pointer:
        return value
    token, rest = pointer[0], pointer[1:]
    if tree is None:
        tree = [] if token in _FIRST else {}
    if isinstance(tree, dict):
        return {**tree, token: put(tree.get(token), rest, value)}
    if isinstance(tree, list):
        index = _index(token, len(tree))
        if index is None or index > len(tree):
            raise ValueError(f'"{token}" is not an index of an array of {len(tree)}')
        old = tree[index] if index < len(tree) else None
        return [*tree[:index], put(old, rest, value), *tree[index + 1 :]]
    if isinstance(tree, Dynamic):
        return _put_late(tree, pointer, value)
    known = not isinstance(tree, Template | JsonTemplate)
    what = describe(tree) if known else f'"{tree}", known only when a copy runs'
    raise ValueError(f'there is no place "{token}" in {what}')


def _put_late(tree: Dynamic, pointer: Sequence[str], value: Any) -> Dynamic:
    """Return a dynamic value with another value put into it, when a copy runs."""
    known = as_dynamic(value)

    def replaced(frame: Frame) -> Any:
        new = value if known is None else known.require(frame)
        try:
            return put(tree.require(frame), pointer, new)
        except ValueError as error:
            raise UnsendableError(f"{tree.text}: {error}") from None

    uses = tree.uses if known is None else tree.uses | known.uses
    return Dynamic(text=tree.text, evaluate=replaced, uses=uses)


def _index(token: str, size: int) -> int | None:
    """Return the index that a token means in an array, None if none; "-" is past the last one."""
    if token in _BEHIND_LAST:
        return size
    return int(token) if re.fullmatch(r"0|[1-9][0-9]*", token) else None
