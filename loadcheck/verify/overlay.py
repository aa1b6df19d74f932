"""What a scenario's requests carry besides what the workflow says: the overlay, written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loadcheck.scenario.model import Edit, Scenario, Split
from loadcheck.workflow.identity import partitions

_PARTITION = "{$partition}"
_EVENT = "{$event}"
_EVENTS = "{$events}"


def overlay(scenario: Scenario, ingest: str) -> tuple[Edit, ...]:
    """Return the overlay with the buckets and the further events of each copy.

    Args:
        scenario: What to do.
        ingest: The step whose events are marked.
    """
    split, repeat = scenario.verify.split, scenario.verify.repeat
    edits = list(scenario.overlay)
    if scenario.verify.localizes and split is not None:
        for name in partitions(scenario.verify.partitions):
            edits += [
                dataclasses.replace(filled(edit, _PARTITION, name), step=edit.step or ingest)
                for edit in split.tag
            ]
    if repeat is not None:
        beneath = [edit for edit in edits if edit.step == ingest and _is_in(edit.at, repeat.event)]
        for number in range(1, scenario.load.events_per_copy):
            at = repeat.at.replace(_EVENT, str(number))
            first = Edit(step=ingest, at=at, value=fill(repeat.value, _EVENT, str(number)))
            moved = [
                dataclasses.replace(edit, at=at + edit.at.removeprefix(repeat.event))
                for edit in beneath
            ]
            own = [
                Edit(step=ingest, at=at + edit.at, value=fill(edit.value, _EVENT, str(number)))
                for edit in repeat.overlay
            ]
            edits += [first, *moved, *own]
    return tuple(edits)


def split_edits(split: Split, name: str) -> tuple[Edit, ...]:
    """Return the edits that group the observer step's answer by a partition."""
    return tuple(filled(edit, _PARTITION, name) for edit in split.overlay)


def place(edit: Edit, name: str) -> str:
    """Return where an edit puts the bucket of a partition."""
    return edit.at.replace(_PARTITION, name)


def acknowledged(scenario: Scenario) -> str | None:
    """Return the condition of an acknowledgement, the number of events filled in."""
    condition, load = scenario.verify.acknowledged, scenario.load
    # a request of several copies holds the more, the fewer of them were refused
    number = str(load.events_per_copy) if load.copies_per_request == 1 else "$copy.events"
    return None if condition is None else condition.replace(_EVENTS, number)


def filled(edit: Edit, placeholder: str, word: str) -> Edit:
    """Return an edit with a placeholder replaced."""
    return dataclasses.replace(
        edit, at=edit.at.replace(placeholder, word), value=fill(edit.value, placeholder, word)
    )


def fill(value: Any, placeholder: str, word: str) -> Any:
    """Return a JSON value with a placeholder replaced in every string."""
    if isinstance(value, str):
        return value.replace(placeholder, word)
    if isinstance(value, dict):
        return {key: fill(item, placeholder, word) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [fill(item, placeholder, word) for item in value]
    return value


def _is_in(at: str, place: str) -> bool:
    return at == place or at.startswith(f"{place}/")
