"""What was run, where and with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from loadcheck.report import words
from loadcheck.report.html.model import Code, Section, Table

Document = Mapping[str, Any]


def environment_section(document: Document) -> Section:
    """Return the section of what was run, where and with what."""
    run, environment = document["run"], document["environment"]
    rows: list[list[str]] = [
        ["workflow", f"{document['workflow']['name']} ({document['workflow']['id']})"],
        *([name, step["request"]] for name, step in document.get("steps", {}).items()),
        ["run", run["id"]],
        ["seed", str(run["seed"])],
        ["started", words.instant(run["started_at"])],
        ["ended", words.instant(run["ended_at"]) if run["ended_at"] else "–"],
        ["loadcheck", str(environment.get("loadcheck", ""))],
        [
            "machine",
            ", ".join(
                (
                    str(environment.get("system", "")),
                    str(environment.get("machine", "")),
                    f"{environment.get('cpus', '?')} processors",
                )
            ),
        ],
        ["Python", f"{environment.get('implementation', '')} {environment.get('python', '')}"],
        ["packages", ", ".join(f"{n} {v}" for n, v in environment.get("packages", {}).items())],
    ]
    generator = document.get("generator")
    if generator and generator.get("watched_s"):
        share = generator["cpu_s"] / generator["watched_s"]
        rows.append(["generator's processor", f"{words.share(round(share, 3))} of one core"])
    if generator and generator.get("peak_memory_bytes"):
        rows.append(["generator's memory", f"{generator['peak_memory_bytes'] / 2**20:,.0f} MiB"])
    return Section(
        name="scenario",
        title="Scenario and environment",
        blocks=[
            Table(columns=["", ""], rows=rows, numeric=False),
            Code(
                title="The scenario as it was run",
                text=json.dumps(document["scenario"], indent=2, ensure_ascii=False),
            ),
        ],
    )
