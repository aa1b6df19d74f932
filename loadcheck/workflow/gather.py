"""The request of a step: what the document says of it, and what the scenario adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from loadcheck.errors import Problem
from loadcheck.workflow.bodies import gather_body
from loadcheck.workflow.draft import Draft, RequestError
from loadcheck.workflow.operations import find_operation
from loadcheck.workflow.values import MISSING

if TYPE_CHECKING:
    from loadcheck.workflow import model
    from loadcheck.workflow.overlay import Edit
    from loadcheck.workflow.problems import Path
    from loadcheck.workflow.resolve import Resolver
    from loadcheck.workflow.sources import Source


def gather_draft(
    step: model.Step,
    shared: Iterable[model.Parameter],
    *,
    index: int,
    sources: Mapping[str, Source | None],
    servers: Mapping[str, str],
    resolver: Resolver,
) -> Draft | None:
    """Return the request of a step; None if its operation is not known, which was reported.

    Args:
        step: The step.
        shared: Parameters of its workflow, which those of the step overrule.
        index: Its place in the plan.
        sources: Source descriptions by name.
        servers: Source description name → base URL that stands in for the described one.
        resolver: Of the document's own expressions.
    """
    found = find_operation(step, sources, servers, resolver.scribe)
    resolver.scope.noted.clear()
    merged = {
        (parameter.where or "", parameter.name): parameter
        for parameter in (*shared, *step.parameters)
    }
    values = {
        key: resolver.value(parameter.value, parameter.value_path)
        for key, parameter in merged.items()
    }
    described = found[0].content_types if found is not None else ()
    body, content_type = MISSING, ""
    if step.body is not None:
        content_type = step.body.content_type or next(iter(described), "")
        if not step.body.content_type and len(described) > 1:
            resolver.scribe.warn(
                step.body.path,
                f"the operation takes {' and '.join(described)}; the first is sent",
                f"say which: contentType: {content_type}",
                "Request Body Object",
            )
        body = gather_body(step.body, content_type, resolver)
    if found is None:
        return None
    operation, origin, base = found
    return Draft(
        index=index,
        operation=operation,
        origin=origin,
        base=base,
        values={key: value for key, value in values.items() if value is not MISSING},
        body=body,
        content_type=content_type,
        noted=frozenset(resolver.scope.noted),
    )


def edit_draft(
    draft: Draft, edits: Iterable[Edit], *, resolver: Resolver, path: Path, name: str
) -> Draft:
    """Return a request with edits applied; what is wrong with them is reported.

    Args:
        draft: The request.
        edits: The edits, in their order.
        resolver: Of expressions, our own included.
        path: Where its workflow stands.
        name: The step, for messages.
    """
    scope = resolver.scope
    scope.answered = False
    scope.noted.clear()
    for edit in edits:
        value = resolver.value(edit.value, path)
        try:
            draft = draft.edited([(edit, value)])
        except RequestError as error:
            problem = Problem(message=str(error), key=f"overlay of step {name}")
            resolver.scribe.report.add(problem)
    draft.noted |= scope.noted
    return draft
