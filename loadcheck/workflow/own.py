"""Expressions of our own: ``$copy.* $run.* $query.* $target.*``."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from loadcheck.errors import did_you_mean
from loadcheck.workflow.buckets import NAMES, prefix
from loadcheck.workflow.expressions import Expression, ExpressionError
from loadcheck.workflow.identity import formats, insert_id, user_id
from loadcheck.workflow.values import MISSING, Dynamic, Evaluate, Frame, Pattern, Slot

if TYPE_CHECKING:
    from loadcheck.workflow.identity import Run


def copy_value(expression: Expression, run: Run) -> Dynamic:
    """Return ``$copy.*``."""
    name, run_id = expression.names[0], run.id
    if name in {"number", "time"}:
        slot = Slot.NUMBER if name == "number" else Slot.TIME
        evaluate: Evaluate = itemgetter(slot)
        pattern = Pattern("%d", slot, string=False)
    elif name == "events":
        return Dynamic(
            text=expression.text,
            evaluate=itemgetter(Slot.EVENTS),
            uses=frozenset({expression.text}),
        )
    elif name in NAMES:
        pattern = Pattern(f"{prefix(name)}%d", Slot.BUCKETS + NAMES.index(name), string=True)
        evaluate = _labelled(pattern)
    else:
        identify = user_id if name == "userId" else insert_id
        pattern = Pattern(formats(run_id)[name], Slot.NUMBER, string=True)

        def evaluate(frame: Frame) -> Any:
            return identify(run_id, frame[Slot.NUMBER])

    plain = run_id.isascii() and run_id.isalnum()
    return Dynamic(
        text=expression.text,
        evaluate=evaluate,
        uses=frozenset({expression.text}),
        pattern=pattern if plain else None,
    )


def run_value(expression: Expression, run: Run) -> str:
    """Return ``$run.*``."""
    return {"id": run.id, "startDay": run.start_day, "endDay": run.end_day}[expression.names[0]]


def target_value(expression: Expression, run: Run) -> str:
    """Return ``$target.*``.

    Raises:
        ExpressionError: The target supplies none of that name.
    """
    name = expression.names[0]
    if name not in run.target:
        remedy = did_you_mean(name, run.target) or "give the input a value in [inputs]"
        raise ExpressionError(f'the target supplies no "{name}"', remedy)
    return run.target[name]


def query_number(expression: Expression) -> Dynamic:
    """Return ``$query.number``."""
    return Dynamic(
        text=expression.text,
        evaluate=itemgetter(Slot.QUERY),
        uses=frozenset({expression.text}),
    )


def _labelled(pattern: Pattern) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        bucket = frame[pattern.slot]
        return MISSING if bucket is MISSING else pattern.format % bucket

    return evaluate
