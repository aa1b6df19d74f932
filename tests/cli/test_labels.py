"""Labels, from the option to every place where runs are told apart."""

from __future__ import annotations

import orjson
import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.errors import InputError
from tests.cli.conftest import SCENARIOS, Loadcheck

SHORT = ("run", SCENARIOS / "smoke.toml", "-s", "load.duration=500ms", "--quiet")


@pytest.mark.long
def test_labels_stand_in_results_lists_comparisons_and_junit(loadcheck: Loadcheck) -> None:
    done = loadcheck(*SHORT, "--label", "env=staging", "--label", "commit=abc", "-o", "r/a.json")
    assert done.code == 0, done.stderr
    document = orjson.loads((loadcheck.folder / "r/a.json").read_bytes())
    assert {"env": "staging", "commit": "abc"}.items() <= document["labels"].items()
    (listed,) = orjson.loads(loadcheck("list", "r", "--json").stdout)
    assert listed["labels"] == document["labels"]
    assert "env=staging" in loadcheck("list", "r").stdout
    compared = loadcheck("compare", "r/a.json", "r/a.json", "--json")
    assert orjson.loads(compared.stdout)["base"][0]["labels"] == document["labels"]
    assert "env=staging" in loadcheck("compare", "r/a.json", "r/a.json").stdout
    junit = loadcheck("export", "r/a.json", "--format", "junit").stdout
    assert '<property name="label.env" value="staging" />' in junit


def test_a_bad_label_is_bad_input_and_names_the_option(loadcheck: Loadcheck) -> None:
    for given in ("env", "env=", "=x", "9a=x", "a b=x", "a=b\nc", f"a={'x' * 600}"):
        done = CliRunner().invoke(app, [*map(str, SHORT), "--label", given])
        assert isinstance(done.exception, InputError)
        assert "--label" in str(done.exception)
    ended = loadcheck(*SHORT, "--label", "a=1", "--label", "a=2")
    assert (ended.code, ended.results) == (2, [])
    assert "--label a=2: is given twice" in ended.stderr
