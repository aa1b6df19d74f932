"""The command that prints JSON Schemas."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        ([], "loadcheck.result/"),
        (["result"], "loadcheck.result/"),
        (["capacity"], "loadcheck.capacity/"),
        (["comparison"], "loadcheck.comparison/"),
    ],
)
def test_every_kind_of_file_has_a_schema(arguments: list[str], version: str) -> None:
    done = CliRunner().invoke(app, ["schema", *arguments])
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"].startswith(version)
    assert (done.exit_code, done.stderr) == (0, "")


def test_it_is_laid_out_for_reading_and_ends_in_a_line_break() -> None:
    text = CliRunner().invoke(app, ["schema"]).stdout
    assert text.startswith('{\n  "$schema"')
    assert text.endswith("}\n")


def test_another_kind_is_refused() -> None:
    done = CliRunner().invoke(app, ["schema", "results"])
    assert done.exit_code == 2
    assert "result" in done.stderr
