"""Workflow inputs: a JSON Schema, with its defaults (Arazzo 1.0.1, "Workflow Object")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from loadcheck.documents.document import MISSING, dotted
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.errors import did_you_mean
from loadcheck.workflow.description.inputs import SECTION, DeclaredInputs, InputSchema
from loadcheck.workflow.exchange import Exchange, Origin, Request
from loadcheck.workflow.expressions import (
    Dynamic,
    Frame,
    Slot,
    UnsendableError,
    as_dynamic,
    evaluate,
)
from loadcheck.workflow.runtime.program import Inputs

_FITTING = "give values that fit the schema of the inputs"


def check_inputs(
    schema: InputSchema, values: Mapping[str, Any], scribe: DocumentReporter, path: Path
) -> None:
    """Report the inputs that are missing and those that do not fit.

    Args:
        schema: What is asked for.
        values: What is given; what is known only when a copy runs is not checked.
        scribe: Takes problems.
        path: Where the inputs are asked for or given.
    """
    for name, required in schema.declared.items():
        if required and name not in values:
            message = f'the input "{name}" is required and has no value'
            given = f"{dotted([name])} = {_USUAL.get(_letters(name), '…')}"
            scribe.error(path, message, f"give it one in the scenario: [inputs] {given}", SECTION)
    known = {name: value for name, value in values.items() if as_dynamic(value) is None}
    misfits = [(name, message) for name in known for message in schema.misfits(name, known[name])]
    for name, message in misfits:
        scribe.error(path, f'the input "{name}": {message}', _FITTING, SECTION)
    complete = len(known) == len(values) and all(
        name in values for name, required in schema.declared.items() if required
    )
    for message in schema.misfits_together(known) if complete and not misfits else ():
        scribe.error(path, f"the inputs together: {message}", _FITTING, SECTION)


_USUAL: Final = {
    **dict.fromkeys(("user", "userid", "distinctid", "profileid"), '"$copy.userId"'),
    **dict.fromkeys(("insertid", "eventid", "messageid"), '"$copy.insertId"'),
    **dict.fromkeys(("runid", "run"), '"$run.id"'),
    **dict.fromkeys(("apikey", "token", "secretkey"), '{ env = "NAME" }'),
}
"""What inputs of such names are given, in most scenarios."""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def check_names(
    names: Iterable[str], declared: DeclaredInputs, scribe: DocumentReporter, path: Path
) -> None:
    """Report inputs that are given and not declared."""
    for name in names:
        if not declared.accepts(name):
            remedy = did_you_mean(name, declared) or "none is declared"
            scribe.error(path, f'there is no input "{name}"', remedy, SECTION)


def compile_inputs(schema: InputSchema, values: Mapping[str, Any], name: str) -> Inputs:
    """Return what gives the inputs of a workflow in the frame of whoever calls it.

    An optional input without a value is left out. A required one, or one that does not fit its
    schema, makes the workflow fail before anything is sent.

    Args:
        schema: The inputs that it declares.
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
"""Stands where an input reads a response and nothing has been sent."""


def sample(values: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """Return inputs as they are in a frame, where they can be known there."""
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
