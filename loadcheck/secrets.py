"""The values of a run that must appear nowhere, in every spelling."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

from loadcheck.scenario.model import Scenario
from loadcheck.workflow.identity import Run


def secret_values(scenario: Scenario, run: Run) -> frozenset[str]:
    """Return every value that must appear nowhere, also as URLs, forms and JSON spell it."""
    plain = (scenario.secrets | frozenset(run.target.values())) - {""}
    spelt = (
        spelling
        for value in plain
        for spelling in (
            quote(value, safe=""),
            quote(value),
            quote_plus(value),
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
        )
    )
    return plain.union(spelt)
