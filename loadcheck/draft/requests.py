"""The requests of a drafted workflow: the value of every field, and the input that it is from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadcheck.documents.document import MISSING
from loadcheck.documents.toml import as_toml
from loadcheck.draft import words
from loadcheck.draft.choose import Choice
from loadcheck.draft.fields import Field, Tree, ValueKind
from loadcheck.draft.operations import Candidate, Credential

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DAY = re.compile(r"[0-9]{8}")
_MILLISECONDS: Final = 10**11
"""Unix times above this are in milliseconds, others in seconds."""
_USERS: Final = frozenset({"unique", "uniques", "distinct", "users", "user"})
_FORMATS: Final = {
    "email": "loadcheck@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
}
_TEXT: Final = "loadcheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftInput:
    """An input of the workflow.

    Attributes:
        value: Its value in the scenario, as TOML.
        type: Its JSON type.
        text: Its description.
        variables: Environment variables that it is read from → whether they are secret.
    """

    value: str
    type: str
    text: str
    variables: Mapping[str, bool] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class DraftRequests:
    """The requests of the steps ``ingest`` and ``count``.

    Attributes:
        inputs: Input name → the input.
        parameters: Step → place, name and value of its parameters.
        bodies: Step → its payload; ``MISSING`` if it has none.
        notes: What the user should check.
    """

    inputs: dict[str, DraftInput] = field(default_factory=dict)
    parameters: dict[str, list[tuple[str, str, Any]]] = field(default_factory=dict)
    bodies: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def draft_requests(choice: Choice, prefix: str) -> DraftRequests:
    """Return the requests of a choice.

    Args:
        choice: The operations, and the roles of their fields.
        prefix: Prefix of the names of environment variables.
    """
    writer = _Writer(choice, prefix)
    writer.write("ingest", choice.ingest)
    if choice.count is not None:
        writer.write("count", choice.count)
    return writer.done


class _Writer:
    def __init__(self, choice: Choice, prefix: str) -> None:
        self._choice = choice
        self._prefix = prefix
        self.done = DraftRequests(notes=list(choice.notes))
        self._constants: dict[str, Any] = {}
        self._secrets: dict[str, str] = {}

    def write(self, step: str, candidate: Candidate) -> None:
        parameters = [self._credential(each) for each in candidate.credentials]
        for each in candidate.parameters:
            value = self._value(step, each)
            if value is not MISSING:
                parameters.append((each.place, each.tokens[0], value))
        self.done.parameters[step] = parameters
        body: Any = MISSING
        if candidate.body is not None:
            body = self._payload(step, candidate.body)
        elif candidate.operation.body_required:
            kind = candidate.content_type or "something"
            self.done.notes.append(
                f"{candidate.label} wants a body of {kind}, which is for you to write: its payload"
                " is empty"
            )
            body = ""
        self.done.bodies[step] = body

    def _payload(self, step: str, tree: Tree) -> Any:
        if isinstance(tree, Field):
            return self._value(step, tree)
        if isinstance(tree, dict):
            parts = {name: self._payload(step, part) for name, part in tree.items()}
            found = {name: part for name, part in parts.items() if part is not MISSING}
            return found or MISSING
        items = [self._payload(step, part) for part in tree]
        return [item for item in items if item is not MISSING] or MISSING

    def _value(self, step: str, each: Field) -> Any:
        """Return the value of a field; ``MISSING`` to leave it out."""
        known = self._known(step, each)
        if known is not None:
            return known
        if not each.required and not each.shown:
            return MISSING
        name = words.plain(each.name)
        if step == "count" and name in words.BEGINS | words.ENDS:
            return self._window(each.kind, "start" if name in words.BEGINS else "end")
        if step == "ingest" and name in words.TIMES:
            return self._time(each.kind)
        if each.kind.format == "password":
            return self._asked(self._unique(each.name, each.place), each, secret=True)
        return self._setting(each) if words.is_setting(each) else self._constant(step, each)

    def _known(self, step: str, each: Field) -> str | None:
        """Return the input of a field that identifies user, run or event; None for others."""
        choice = self._choice
        if step == "ingest" and each is choice.user:
            return self._own("userId", *_user(each.kind), "The user that is counted: one per copy.")
        if choice.run is not None and _marks_run(choice.run, step, each):
            text = "Distinguishes this run's events from others'."
            return self._own("runId", "$run.id", "string", text)
        if step == "ingest" and words.plain(each.name) in words.KEYS:
            if not each.kind.may_be("string"):
                return None
            ours = "$copy.insertUuid" if _is_uuid(each.kind) else "$copy.insertId"
            text = "Identifies an event that is sent twice; the same in every retry."
            return self._own("insertId", ours, "string", text)
        return None

    def _own(self, name: str, value: str, type_: str, text: str) -> str:
        self.done.inputs[name] = DraftInput(value=json.dumps(value), type=type_, text=text)
        return f"$inputs.{name}"

    def _time(self, kind: ValueKind) -> Any:
        if kind.may_be("integer", "number"):
            sample = kind.sample
            seconds = isinstance(sample, int | float) and sample < _MILLISECONDS
            if seconds or "second" in kind.text.lower().replace("millisecond", ""):
                self.done.notes.append("a time in whole seconds is a fixed one: see the payload")
                return int(sample) if seconds else 1_700_000_000
            return self._own("timeMs", "$copy.time", "integer", "Milliseconds since 1970.")
        if kind.format == "date":
            return self._own("day", "$run.startDate", "string", "The day before the run.")
        return self._own("time", "$copy.isoTime", "string", "When the event happened, RFC 3339.")

    def _window(self, kind: ValueKind, which: str) -> Any:
        value = _day(kind, which)
        if not isinstance(value, str):
            return value
        when = "before the run, when counting begins" if which == "start" else "after the run"
        return self._own(which, value, "string", f"The day {when}.")

    def _setting(self, each: Field) -> str:
        name = camel(each.name)
        kind = each.kind
        sample = kind.choices[0] if kind.choices else kind.sample
        type_ = next(iter(sorted(kind.types)), "string")
        if sample is MISSING or isinstance(sample, dict | list):
            return self._asked(name, each)
        self.done.inputs.setdefault(
            name, DraftInput(value=as_toml(sample), type=type_, text=kind.text)
        )
        return f"$inputs.{name}"

    def _asked(self, name: str, each: Field, *, secret: bool = False) -> str:
        variable = f"{self._prefix}_{snake(name)}"
        self.done.inputs.setdefault(
            name,
            DraftInput(
                value=f'{{ env = "{variable}"{"" if secret else ", secret = false"} }}',
                type="string",
                text=each.kind.text or "Read from the environment.",
                variables={variable: secret},
            ),
        )
        return f"$inputs.{name}"

    def _constant(self, step: str, each: Field) -> Any:
        kind, name = each.kind, words.meaning(each)
        if step == "count" and name in self._constants:
            return self._constants[name]  # the query must ask for what was sent
        if step == "count" and kind.choices:
            users = [choice for choice in kind.choices if str(choice).lower() in _USERS]
            return (users or [kind.sample if kind.sample is not MISSING else kind.choices[0]])[0]
        if step == "count" and kind.sample is MISSING and kind.may_be("string") and not kind.format:
            return self._asked(camel(each.name), each)
        value = _sample(kind)
        if step == "ingest":
            self._constants[name] = value
            if kind.pattern and kind.sample is MISSING and not kind.choices:
                message = f'{each.at} must match "{kind.pattern}": does "{value}"?'
                self.done.notes.append(message)
        return value

    def _unique(self, name: str, place: str) -> str:
        """Return the input name of a secret; the same name in another place gets another input."""
        taken = self._secrets.setdefault(camel(name), place)
        if taken == place:
            return camel(name)
        return camel(place if name.lower() in place.lower() else f"{place} {name}")

    def _credential(self, each: Credential) -> tuple[str, str, Any]:
        if each.kind == "basic":
            user, password = f"{self._prefix}_USERNAME", f"{self._prefix}_PASSWORD"
            text = "User name and password in Base64."
            self.done.inputs["basicAuth"] = DraftInput(
                value=f'{{ basic = {{ username = {{ env = "{user}" }},'
                f' password = {{ env = "{password}" }} }} }}',
                type="string",
                text=text,
                # many services take an API key as the user name, so neither is shown
                variables={user: True, password: True},
            )
            return each.place, each.name, f"{each.prefix}{{$inputs.basicAuth}}"
        bare = "token" if each.kind == "bearer" else re.sub(r"^[xX]-", "", each.name)
        plain = self._unique(bare, f"{each.place} {each.name}")
        variable = f"{self._prefix}_{snake(plain)}"
        self.done.inputs[plain] = DraftInput(
            value=f'{{ env = "{variable}" }}',
            type="string",
            text="Credential, read from the environment.",
            variables={variable: True},
        )
        value = f"{each.prefix}{{$inputs.{plain}}}" if each.prefix else f"$inputs.{plain}"
        return each.place, each.name, value


def _marks_run(run: tuple[Field, Field], step: str, each: Field) -> bool:
    """Return whether a field, or one with the same meaning in the request, identifies the run."""
    own = run[0] if step == "ingest" else run[1]
    return each is own or (
        step == "ingest" and words.run_score(each) > 0 and words.meaning(each) == words.meaning(own)
    )


def _user(kind: ValueKind) -> tuple[str, str]:
    """Return the expression of a user's id and its JSON type."""
    if _is_uuid(kind):
        return "$copy.userUuid", "string"
    if kind.format == "email":
        return "{$copy.userId}@example.com", "string"
    if not kind.may_be("string"):
        return "$copy.number", "integer"
    return "$copy.userId", "string"


def _is_uuid(kind: ValueKind) -> bool:
    shown = isinstance(kind.sample, str) and _UUID.fullmatch(kind.sample)
    return kind.format == "uuid" or bool(shown)


def _day(kind: ValueKind, which: str) -> Any:
    """Return the start or end of a time window around the run, in the format of the field."""
    sample = kind.sample
    if not kind.may_be("string"):
        milliseconds = not isinstance(sample, int | float) or sample > _MILLISECONDS
        if which == "start":
            return 0
        return 4_102_444_800_000 if milliseconds else 4_102_444_800  # the year 2100
    if kind.format == "date-time" or (isinstance(sample, str) and "T" in sample):
        return f"{{$run.{which}Date}}T00:00:00Z"
    eight = isinstance(sample, str) and _DAY.fullmatch(sample)
    if eight or "{8}" in kind.pattern or "yyyymmdd" in kind.text.lower():
        return f"$run.{which}Day"
    return f"$run.{which}Date"


def _sample(kind: ValueKind) -> Any:
    """Return a value that the description shows, or else one that it seems to allow."""
    if kind.sample is not MISSING and kind.sample is not None:
        return kind.sample
    if kind.choices:
        return kind.choices[0]
    if kind.may_be("string"):
        return _FORMATS.get(kind.format, _TEXT.ljust(kind.shortest, "-"))
    if kind.may_be("integer", "number"):
        least = kind.least
        return 1 if least is None or least <= 1 else int(least) + (least != int(least))
    if kind.may_be("boolean"):
        return True
    return [] if kind.may_be("array") else {}


def camel(name: str) -> str:
    """Return a name in the style of inputs: ``apiKey``."""
    parts = list(_parts(name))
    first = parts[0][:1].lower() + parts[0][1:] if parts else "value"
    return first + "".join(part[:1].upper() + part[1:] for part in parts[1:])


def snake(name: str) -> str:
    """Return a name in the style of environment variables: ``API_KEY``."""
    return "_".join(part.upper() for part in _parts(name)) or "VALUE"


def _parts(name: str) -> Iterable[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
