"""What to run, against what, how hard, and what must hold: a TOML file as frozen values.

:func:`load` reads one, with the profile of its workflow and the user's overrides, and reports
every problem at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loadcheck.documents.document import Node, annotate, dotted, merge_tree
from loadcheck.errors import Location, Problem, ScenarioError
from loadcheck.scenario import grammar
from loadcheck.scenario.data import read_data, read_sessions, read_users, read_values
from loadcheck.scenario.layers import (
    Override,
    as_table,
    find_profile,
    override,
    parse_override,
    read_extended,
    read_layers,
    read_workflow,
    shipped,
)
from loadcheck.scenario.loads import (
    read_capacity,
    read_limits,
    read_load,
    read_retry,
    read_thresholds,
    read_timeouts,
)
from loadcheck.scenario.mix import flows_of, is_mix
from loadcheck.scenario.model import FlowOfMix, Scenario
from loadcheck.scenario.reader import ProblemReport, TableReader
from loadcheck.scenario.target import environment, read_inputs, read_once, read_target
from loadcheck.scenario.verification import (
    read_delete,
    read_guard,
    read_overlay,
    read_service,
    read_verify,
)

_NAME = re.compile(grammar.NAME)
_LABEL_NAME, _LABEL = re.compile(grammar.LABEL_NAME), re.compile(grammar.LABEL)


def load(
    path: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    profile: str = "",
    env: Mapping[str, str] = os.environ,
) -> Scenario:
    """Read the scenario at ``path``.

    It is merged from layers, lowest first: the profile of its service, the scenario it extends, its
    own file, and one of its own profiles. Tables merge, scalars and arrays replace, and all
    overlays apply. The overrides are applied to the result.

    Args:
        path: The file, as the user named it and as messages show it; paths in it are relative to
            its folder.
        overrides: ``PATH=VALUE`` each, as given to ``--set``: a dotted key (array entries by
            number, from 0) and a TOML value; a bare word is a string.
        profile: The one of ``[profiles]`` that is laid over the rest; "" for none.
        env: The environment that ``{ env = "NAME" }`` is read from.

    Raises:
        ScenarioError: Something in it cannot be used; holds every problem found.
    """
    file = os.fspath(path)
    folder = Path(file).parent
    report = ProblemReport()
    changes: list[Override] = []
    for option in overrides:
        parsed = parse_override(option)
        if isinstance(parsed, Problem):
            report.problems.append(parsed)
        else:
            changes.append(parsed)
    try:
        own = _with_workflow_table(read_layers(file, profile, report))
    except ScenarioError as error:
        raise ScenarioError([*error.problems, *report.problems]) from None
    if is_mix(own) or any(change.path[0] == "mix" for change in changes):
        return replace(_mix(own, changes, (file, env), report), profile=profile)
    document = _over_profile(own, changes, folder, report)
    document, misfits = override(document, changes)
    report.problems.extend(misfits)
    return replace(_scenario(_with_workflow_table(document), file, env, report), profile=profile)


def _mix(
    own: Node,
    changes: Sequence[Override],
    where: tuple[str, Mapping[str, str]],
    report: ProblemReport,
) -> Scenario:
    """Return the scenario of a mix: its first flow, under the mix's name, with all flows."""
    file, env = where
    folder = Path(file).parent
    own, misfits = override(own, changes)
    report.problems.extend(misfits)
    name = _name(TableReader(own, report, known=grammar.TOP), file)
    flows, read_ = flows_of(own, name, report), []
    top = TableReader(own, report, known=None)
    thresholds = read_thresholds(top.section("together", known=grammar.TOGETHER))
    names = tuple(flow.name for flow in flows)
    for place, flow in enumerate(flows):
        inner = ProblemReport()
        document = _with_workflow_table(_over_profile(flow.document, (), folder, inner))
        try:
            made = _scenario(document, file, env, inner)
        except ScenarioError as error:
            report.problems += [each for each in error.problems if each not in report.problems]
        else:
            limits = tuple(limit.check for limit in thresholds)
            part = FlowOfMix(mix=name, flow=flow.name, place=place, flows=names, limits=limits)
            read_.append(replace(made, part=part))
    report.problems += _taken_twice(read_)
    if report.problems or not read_:
        raise ScenarioError(report.problems)
    return replace(
        read_[0],
        name=name,
        flows=tuple(read_),
        together=thresholds,
        part=None,
        document=own.plain(),
        places={**read_[0].places, **_places(own)},
    )


def _taken_twice(flows: Sequence[Scenario]) -> Iterator[Problem]:
    """Yield a problem for each data file of order "once" that several flows of a mix use."""
    taken: dict[Path, str] = {}
    for flow in flows:
        text = str(flow.document)
        for name, file in flow.files.items():
            if file.order != "once" or f"$data.{name}." not in text:
                continue
            first = taken.setdefault(file.path.resolve(), flow.name)
            if first != flow.name:
                message = f"{first} and {flow.name} would both take every row of {file.shown}"
                remedy = "give each flow a file of its own, in its [[mix]] table, or another order"
                yield flow.problem(f"data.{name}.order", message, remedy)


def restore(
    document: Mapping[str, Any], file: str, *, env: Mapping[str, str] = os.environ
) -> Scenario:
    """Return the scenario of a stored run.

    Args:
        document: :attr:`Scenario.document` from the results file.
        file: The scenario file as the user named it: paths are relative to its folder.
        env: The environment that credentials are read from again.

    Raises:
        ScenarioError: A variable is no longer set, or a file is gone.
    """
    return _scenario(
        _with_workflow_table(annotate(dict(document), file=file)), file, env, ProblemReport()
    )


def _with_workflow_table(document: Node) -> Node:
    entries = document.value if isinstance(document.value, dict) else {}
    if "workflow" not in entries:
        return document
    return Node({**entries, "workflow": as_table(entries["workflow"])}, document.place)


def _over_profile(
    own: Node, changes: Sequence[Override], folder: Path, report: ProblemReport
) -> Node:
    """Return the scenario merged over the profile of its workflow, overrides considered."""
    chosen, _ = override(own, [change for change in changes if change.path[0] == "workflow"])
    entries = chosen.value if isinstance(chosen.value, dict) else {}
    if "workflow" not in entries:
        return own
    path = find_profile(as_table(entries["workflow"]), folder, report)
    if path is None:
        return own
    try:
        profile = read_extended(str(path), report)
    except ScenarioError as error:
        report.problems.extend(error.problems)
        return own
    beneath = dict(profile.value) if isinstance(profile.value, dict) else {}
    for name in grammar.NOT_IN_A_PROFILE & beneath.keys():
        report.add(beneath.pop(name), "is not for a profile", "it belongs to the scenario")
    return merge_tree(Node(beneath, profile.place), own)


def _scenario(document: Node, file: str, env: Mapping[str, str], report: ProblemReport) -> Scenario:
    folder = Path(file).parent
    top = TableReader(document, report, known=grammar.TOP)
    workflow, load = read_workflow(top, folder), read_load(top, folder)
    if "together" in top:
        report.add(
            top["together"], "there is no [[mix]]", "say it in thresholds: there is one flow"
        )
    read = partial(
        Scenario,
        name=_name(top, file),
        description=" ".join((top.text("description") or "").split()),
        file=file,
        target=read_target(top, folder),
        inputs=read_inputs(top, env),
        retry=read_retry(top),
        timeouts=read_timeouts(top),
        verify=read_verify(top),
        overlay=read_overlay(top),
        thresholds=read_thresholds(top),
        seed=top.whole("seed"),
        document=document.plain(),
        places=_places(document),
        limits=read_limits(top),
        capacity=read_capacity(top),
        files=read_data(top, folder),
        values=read_values(top),
        user_ids=read_users(top),
        sessions=read_sessions(top, None if load is None else load.think_time),
        setup=read_once(top, "setup", env),
        teardown=read_once(top, "teardown", env),
        labels=_labels(top),
        service=read_service(top),
        guard=read_guard(top),
        deletion=read_delete(top),
    )
    if report.problems or workflow is None or load is None:
        problems = sorted(report.problems, key=lambda each: (each.file != file, each.line or 0))
        raise ScenarioError(problems)
    return read(workflow=workflow, load=load)


def _places(document: Node) -> dict[str, Location]:
    return {dotted(path): node.place for path, node in document.walk() if path}


def _name(top: TableReader, file: str) -> str:
    if "name" not in top:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(file).stem)
        return stem.strip("-")[: grammar.MAX_NAME_LENGTH] or "scenario"
    most = grammar.MAX_NAME_LENGTH
    expected = f"expected letters, digits, - and _, at most {most}: it names the results file"
    return top.text("name", _NAME, expected) or ""


def _labels(top: TableReader) -> dict[str, str]:
    entries = top.section("labels", known=None).entries
    if len(entries) > grammar.MAX_LABELS:
        expected = f"expected at most {grammar.MAX_LABELS}"
        top.report.add(top["labels"], f"found {len(entries)} labels", expected)
    labels = {}
    for name, node in entries.items():
        trouble = label_trouble(name, node.value)
        if trouble:
            top.report.add(node, *trouble)
        labels[name] = str(node.value)
    return labels


def label_trouble(name: str, value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a label and what was expected; None if nothing is."""
    if not _LABEL_NAME.fullmatch(name):
        expected = "expected a letter, then letters, digits, - and _, at most 64"
        return f'"{name}" is not a name of a label', expected
    if not isinstance(value, str):
        return "the value is not a string", "write it in quotes"
    if not value.strip():
        return "the value is empty", "give it one, or leave the label out"
    # an argument that is not UTF-8 arrives with surrogates, which cannot be encoded
    if not _LABEL.fullmatch(value) or value.encode("utf-8", "ignore").decode() != value:
        return "the value is not a line of text", "expected at most 512 characters, no line breaks"
    return None


__all__ = ["environment", "load", "restore", "shipped"]
