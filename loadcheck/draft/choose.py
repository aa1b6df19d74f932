"""Choose the operation that takes the data, the one that counts users, and their fields."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from loadcheck.documents.document import format_pointer
from loadcheck.draft import words
from loadcheck.draft.fields import Field
from loadcheck.draft.operations import Candidate
from loadcheck.errors import DraftError, Problem, did_you_mean, nearest

_Draft = TypeVar("_Draft")

NOTHING: Final = "none"
"""The value of ``--count`` or ``--run`` for "there is none"."""
_MARGIN: Final = 3
"""The best operation is chosen if its score exceeds the next one's by at least this much."""
_LEAST_INGEST: Final = 8
_LEAST_BLIND: Final = 10
_MOST_NAMED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user has decided; None leaves a choice to the scores.

    Attributes:
        ingest: The operation that takes the data.
        count: The operation that counts users; :data:`NOTHING` if there is none.
        user: The field of the ingest request that identifies the user.
        run: The field of the count request that filters by run; :data:`NOTHING` if there is none.
        uniques: JSON Pointer or runtime expression of the number of users in the count's answer.
        server: Base URL of both.
    """

    ingest: str | None = None
    count: str | None = None
    user: str | None = None
    run: str | None = None
    uniques: str | None = None
    server: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The operations and fields that a scenario is drafted from.

    Attributes:
        ingest: The operation that takes the data.
        user: Its field that identifies the user.
        count: The operation that counts users; None if there is none.
        run: The fields of ``ingest`` and ``count`` that identify the run; None if the count cannot
            filter by run.
        uniques: Runtime expression of the number of users in the count's answer.
        totals: Runtime expression of the number of events there; None if there is none.
        notes: What the user should check.
    """

    ingest: Candidate
    user: Field
    count: Candidate | None = None
    run: tuple[Field, Field] | None = None
    uniques: str = ""
    totals: str | None = None
    notes: tuple[str, ...] = field(default=())


class UndecidedError(DraftError):
    """The user has to decide: several candidates fit equally well, or none is known.

    Attributes:
        option: The command-line option that decides.
        choices: Its possible values, each with an explanation; empty if they are unknown.
    """

    def __init__(self, problem: Problem, option: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__(problem)
        self.option = option
        self.choices = choices


def decided(
    draft_from: Callable[[Wishes], _Draft],
    wishes: Wishes,
    ask: Callable[[str, Sequence[tuple[str, str]]], str] | None,
) -> _Draft:
    """Return a draft, asking the user whenever a choice is open.

    Args:
        draft_from: Makes the draft.
        wishes: What the user has decided.
        ask: Asks a question and returns the answer, one of the choices if there are any; None
            without an interactive user.

    Raises:
        UndecidedError: A choice is open and ``ask`` is None.
    """
    while True:
        try:
            return draft_from(wishes)
        except UndecidedError as error:
            if ask is None:
                raise
            answer = ask(error.problems[0].message, error.choices)
            wishes = replace(wishes, **{error.option.removeprefix("--"): answer})


def choose(found: Sequence[Candidate], wishes: Wishes, source: str) -> Choice:
    """Choose the operation that takes the data and the one that counts users.

    Args:
        found: All operations of the API.
        wishes: What the user has decided.
        source: The description that they are from, for messages.

    Raises:
        UndecidedError: The user has to decide.
        DraftError: No operation fits, or a wish names something that does not exist.
    """
    ingest = _ingest(found, wishes.ingest, source)
    user = _user(ingest, wishes.user, source)
    if wishes.count == NOTHING:
        note = "nothing is counted: thresholds alone decide"
        return Choice(ingest=ingest, user=user, notes=(note,))
    count = _count(found, ingest, wishes, source)
    if count is ingest:
        message = f"{ingest.label} cannot both take the data and count the users"
        raise DraftError(Problem(message=message, file=source, remedy="name another: --count"))
    run = _run(ingest, count, wishes.run, source)
    choice = Choice(ingest=ingest, user=user, count=count, run=run)
    if wishes.uniques is not None:
        return replace(choice, uniques=_expression(wishes.uniques))
    return _with_answer(choice, source)


def _ingest(found: Sequence[Candidate], wish: str | None, source: str) -> Candidate:
    if wish is not None:
        return _named(found, wish, "--ingest", source)
    fitting = [
        (words.ingest_score(each), each)
        for each in found
        if any(words.user_score(field) for field in each.fields)
    ]
    fitting = [each for each in fitting if each[0] >= _LEAST_INGEST]
    if not fitting:
        writing = [each for each in found if each.operation.method in {"POST", "PUT", "PATCH"}]
        raise DraftError(
            Problem(
                message="no operation was found that takes data of a user: JSON, a form or"
                " parameters with a user id" + _listed("; it has ", writing or found),
                file=source,
                remedy="say which one does, and where its request has the id: --ingest OPERATION"
                " --user body#/path/to/id",
            )
        )
    return _best(fitting, "--ingest", "take the data", source)


def _count(found: Sequence[Candidate], ingest: Candidate, wishes: Wishes, source: str) -> Candidate:
    if wishes.count is not None:
        return _named(found, wishes.count, "--count", source)
    others = [each for each in found if each is not ingest]
    fitting = [(words.count_score(each, ingest), each) for each in others]
    fitting = [each for each in fitting if each[0] > 0]
    if not fitting:  # judge by the name alone
        fitting = [(words.count_score(each, ingest, blind=True), each) for each in others]
        fitting = [each for each in fitting if each[0] >= _LEAST_BLIND]
    if not fitting:
        reading = [each for each in others if each.operation.method in {"GET", "POST"}]
        raise DraftError(
            Problem(
                message="no operation was found that answers with a number of users"
                + _listed("; besides there is ", reading),
                file=source,
                remedy="say which one does, and where: --count OPERATION --uniques"
                f" '$response.body#/path/to/number'; or --count {NOTHING} to measure without"
                " counting",
            )
        )
    return _best(fitting, "--count", "count the users", source)


def _user(ingest: Candidate, wish: str | None, source: str) -> Field:
    fields = ingest.fields
    if wish is not None:
        return _field(fields, wish, "--user", f"{ingest.label} of {source}")
    fitting = [(words.user_score(each), each) for each in fields]
    best = max((score for score, _ in fitting), default=0)
    if not best:
        raise DraftError(
            Problem(
                message=f"{ingest.label} has no field that looks like a user's id"
                + _named_fields(fields),
                file=source,
                remedy="say which one identifies users: --user body#/path/to/id",
            )
        )
    likely = [each for score, each in fitting if score == best]
    return _only(_shallow(likely), "--user", ingest, source)


def _run(
    ingest: Candidate, count: Candidate, wish: str | None, source: str
) -> tuple[Field, Field] | None:
    if wish == NOTHING:
        return None
    if wish is not None:
        asked = _field(count.fields, wish, "--run", f"{count.label} of {source}")
        same = [each for each in ingest.fields if words.meaning(each) == words.meaning(asked)]
        if not same:
            raise DraftError(
                Problem(
                    message=f'{ingest.label} has no "{asked.name}" that {count.label} could filter'
                    f" by{_named_fields(ingest.fields)}",
                    file=source,
                    remedy="name one that both have",
                )
            )
        return same[0], asked
    pairs = words.run_fields(ingest, count)
    if not pairs:
        return None
    best = [(sent, asked) for score, sent, asked in pairs if score == pairs[0][0]]
    wanted = [pair for pair in best if pair[1].required] or best
    asked = _only([asked for _, asked in wanted], "--run", count, source)
    return next(pair for pair in wanted if pair[1] is asked)


def _with_answer(choice: Choice, source: str) -> Choice:
    assert choice.count is not None
    scored = [(words.answer_score(each), each) for each in choice.count.answer]
    best = max((score for score, _ in scored), default=0)
    if best <= 0:
        message = f"the answer of {choice.count.label} is not described, or has no number of users"
        remedy = "name the place of the number in it: --uniques /path/to/number"
        problem = Problem(message=message, file=source, remedy=remedy)
        raise UndecidedError(problem, "--uniques", ())
    chosen = _only(
        _shallow([each for score, each in scored if score == best]),
        "--uniques",
        choice.count,
        source,
        _pointer,
    )
    events = [each for each in choice.count.answer if words.counts_events(each)]
    totals = None
    if len(events) == 1 and events[0] is not chosen and words.counts_people(chosen):
        totals = _pointer(events[0])
    notes: tuple[str, ...] = ()
    if any(token.isdigit() for token in chosen.tokens):
        notes = (f"{_pointer(chosen)} reads the first entry of an array: is the total there?",)
    return replace(choice, uniques=_pointer(chosen), totals=totals, notes=notes)


def _pointer(field: Field) -> str:
    pointer = format_pointer(field.tokens)
    return f"$response.body#{pointer}" if pointer else "$response.body"


def _expression(wish: str) -> str:
    """Return a wish as a runtime expression; a bare JSON Pointer is one into the body."""
    return f"$response.body#{wish}" if wish.startswith("/") else wish


def _named(found: Sequence[Candidate], wish: str, option: str, source: str) -> Candidate:
    """Return the operation given by its id, by method and path, or by path alone."""
    method, _, path = wish.strip().rpartition(" ")
    method = method.strip().upper()
    fitting = [each for each in found if each.operation_id == wish]
    fitting = fitting or [
        each
        for each in found
        if each.operation.path == path and method in {"", each.operation.method}
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise _undecided(fitting, option, f'be "{wish}"', source)
    known = [each.name for each in found] + [each.operation.path for each in found]
    remedy = nearest(wish, known) or _listed("expected one of ", found)
    message = f'{option}: there is no operation "{wish}"'
    raise DraftError(Problem(message=message, file=source, remedy=remedy))


def _field(fields: Sequence[Field], wish: str, option: str, where: str) -> Field:
    """Return the field given by its place or its name."""
    fitting = [each for each in fields if each.at == wish]
    fitting = fitting or [each for each in fields if wish == each.name]
    fitting = fitting or [each for each in fields if words.plain(each.name) == words.plain(wish)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = [(each.at, each.kind.text) for each in fitting]
        names = ", ".join(each for each, _ in choices)
        message = f'{option}: "{wish}" may be {names} in {where}'
        problem = Problem(message=message, remedy=f"say which: {option} {choices[0][0]}")
        raise UndecidedError(problem, option, choices)
    remedy = nearest(wish, [each.name for each in fields])
    remedy = remedy or did_you_mean(wish, [each.at for each in fields])
    message = f'{option}: there is no "{wish}" in {where}'
    raise DraftError(Problem(message=message, remedy=remedy or "it takes no parameters"))


def _best(fitting: list[tuple[int, Candidate]], option: str, does: str, source: str) -> Candidate:
    ranked = sorted(fitting, key=lambda each: -each[0])
    best = ranked[0][0]
    close = [each for score, each in ranked if best - score < _MARGIN]
    if len(close) > 1:
        raise _undecided(close, option, does, source)
    return close[0]


def _undecided(fitting: Sequence[Candidate], option: str, does: str, source: str) -> UndecidedError:
    names = [each.label for each in fitting]
    message = f"{len(names)} operations may {does}: {_joined(names)}"
    example = fitting[0].name
    shown = f"'{example}'" if " " in example else example
    problem = Problem(message=message, file=source, remedy=f"say which: {option} {shown}")
    choices = [(each.name, " ".join(each.text.split())) for each in fitting]
    return UndecidedError(problem, option, choices)


def _shallow(fields: Sequence[Field]) -> list[Field]:
    """Return the fields with the shortest path."""
    least = min(len(each.tokens) for each in fields)
    return [each for each in fields if len(each.tokens) == least]


def _only(
    fitting: Sequence[Field],
    option: str,
    candidate: Candidate,
    source: str,
    write: Callable[[Field], str] = lambda field: field.at,
) -> Field:
    if len(fitting) == 1:
        return fitting[0]
    choices = [(write(each), each.kind.text) for each in fitting]
    what = {
        "--user": "may say whose event it is",
        "--run": "may distinguish a run's events from others",
        "--uniques": "may be the number of users",
    }[option]
    message = f"{len(fitting)} fields of {candidate.label} {what}: "
    message += _joined([each for each, _ in choices])
    problem = Problem(message=message, file=source, remedy=f"say which: {option} '{choices[0][0]}'")
    raise UndecidedError(problem, option, choices)


def _joined(names: Sequence[str]) -> str:
    shown = list(itertools.islice(names, _MOST_NAMED))
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _listed(begin: str, found: Sequence[Candidate]) -> str:
    return f"{begin}{_joined([each.label for each in found])}" if found else ""


def _named_fields(fields: Sequence[Field]) -> str:
    return f": it has {_joined([each.at for each in fields])}" if fields else ": it has no fields"
