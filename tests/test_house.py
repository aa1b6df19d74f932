"""How the house is built: constructors that can be read at a glance, no file that only forwards."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "loadcheck"
MODULES = sorted(ROOT.rglob("*.py"))
MOST_PARAMETERS = 5


def parameters(function: ast.FunctionDef) -> int:
    """Return how many parameters a method has beside ``self``."""
    given = function.args
    named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - 1
    return named + (given.vararg is not None) + (given.kwarg is not None)


def is_record(made: ast.ClassDef) -> bool:
    """Return whether a dataclass is pure data: frozen, or without a method that does anything.

    What reads (a property, an operator) makes no behaviour; what is named like a verb does.
    """
    frozen = any("frozen=True" in ast.unparse(decorator) for decorator in made.decorator_list)
    return frozen or not any(
        isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
        and not member.name.startswith("__")
        and not any(ast.unparse(each) == "property" for each in member.decorator_list)
        for member in made.body
    )


def fields(made: ast.ClassDef) -> int:
    """Return how many fields the constructor of a dataclass takes."""
    return sum(
        isinstance(member, ast.AnnAssign)
        and "ClassVar" not in ast.unparse(member.annotation)
        and (member.value is None or "init=False" not in ast.unparse(member.value))
        for member in made.body
    )


def crowded(tree: ast.Module) -> Iterator[str]:
    """Yield the classes whose constructor takes too much."""
    for made in ast.walk(tree):
        if not isinstance(made, ast.ClassDef):
            continue
        taken = max(
            (
                parameters(member)
                for member in made.body
                if isinstance(member, ast.FunctionDef) and member.name == "__init__"
            ),
            default=0,
        )
        decorators = [ast.unparse(each) for each in made.decorator_list]
        if any("dataclass" in each for each in decorators) and not is_record(made):
            taken = max(taken, fields(made))
        if taken > MOST_PARAMETERS:
            yield f"{made.name} takes {taken}"


def forwards(tree: ast.Module) -> bool:
    """Return whether a module does nothing but import."""
    return all(
        isinstance(part, ast.Import | ast.ImportFrom)
        or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        or (isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__all__")
        for part in tree.body
    )


def imports_for_types(tree: ast.Module) -> bool:
    """Return whether a module imports something for annotations alone."""
    return any(
        (isinstance(part, ast.Name) and part.id == "TYPE_CHECKING")
        or (isinstance(part, ast.Attribute) and part.attr == "TYPE_CHECKING")
        for part in ast.walk(tree)
    )


def broken_rules(path: Path) -> Iterator[str]:
    """Yield what a module does that the house does not."""
    tree = ast.parse(path.read_text())
    yield from crowded(tree)
    if imports_for_types(tree):
        yield "imports what only a type checker sees: open the circle, or move what needs the type"
    if not forwards(tree):
        return
    if path.name != "__init__.py":
        yield "only forwards: import from where it is instead"
    imports = any(
        isinstance(part, ast.ImportFrom) and part.module != "__future__" for part in tree.body
    )
    if imports and not any(isinstance(part, ast.Assign) for part in tree.body):
        yield "does not say with __all__ which names are public"


def test_every_module_keeps_the_rules_of_the_house() -> None:
    found = {str(path.relative_to(ROOT)): list(broken_rules(path)) for path in MODULES}
    assert {name: broken for name, broken in found.items() if broken} == {}


def named(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Yield the modules of the house that a module imports, at its top or inside a function."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names if alias.name in names)
        elif isinstance(part, ast.ImportFrom) and part.module is not None:
            inner = {f"{part.module}.{alias.name}" for alias in part.names}
            yield from inner & names or {part.module} & names


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return a circle of modules; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


NAMES = {named(path): path for path in MODULES}


@cache
def all_imports() -> dict[str, set[str]]:
    """Return what each module imports; parsed when asked for, not wherever tests are collected."""
    names = set(NAMES)
    return {name: set(imported(ast.parse(path.read_text()), names)) for name, path in NAMES.items()}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert circle(all_imports()) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_below_the_pipeline_a_scenario_is_its_model_alone() -> None:
    def room(name: str) -> str:
        return name.partition(".")[2].partition(".")[0]

    readers = {"scenario", "pipeline", "draft", "api", "cli"}
    found = {
        (name, each)
        for name, imports in all_imports().items()
        for each in imports
        if room(each) == "scenario" and not each.startswith("loadcheck.scenario.model")
        if room(name) not in readers
    }
    assert found == set()
    assert any("loadcheck.scenario.model" in imports for imports in all_imports().values())


def test_the_emulator_is_parted_from_every_room() -> None:
    rules = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"]
    (parted,) = (
        rule for rule in rules["contracts"] if rule.get("source_modules") == ["loadcheck.emulator"]
    )
    rooms = {".".join(name.split(".")[:2]) for name in NAMES if "." in name}
    outside = {"loadcheck.emulator", "loadcheck.__main__"}
    assert set(parted["forbidden_modules"]) == rooms - outside


MAP = (ROOT / "README.md").read_text()
RECIPES = dict(re.findall(r"^\*\*(an? [^*]+)\.\*\* (.+?)\n\n", MAP, re.MULTILINE | re.DOTALL))
WANTED = {"scenario key", "fault of the emulator", "finding", "report format", "query"}
MOST_LINES = 8


def test_the_map_has_the_recipes_and_each_is_short() -> None:
    assert {f"a {name}" for name in WANTED | {"service profile"}} <= RECIPES.keys()
    assert {name for name, text in RECIPES.items() if text.count("\n") >= MOST_LINES} == set()


def test_every_file_that_the_map_names_is_there() -> None:
    named = set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|toml|json)))`", MAP))
    made = {"profile.toml", "init.toml", "scenarios/NAME.toml"}  # in a folder of the reader's
    assert len(named) > len(made)
    roots = (ROOT, ROOT.parent)
    assert {each for each in named - made if not any((at / each).exists() for at in roots)} == set()


def test_every_rule_of_evidence_has_a_test_with_its_number() -> None:
    rules = re.findall(r"^(\d+)\. ", (ROOT / "verify/README.md").read_text(), re.MULTILINE)
    tests = "".join(path.read_text() for path in (ROOT.parent / "tests/verify").glob("*.py"))
    assert rules
    assert [rule for rule in rules if f"def test_{rule}_" not in tests] == []


TAKES_SIX = "class A:\n    def __init__(self, a, b, c, *, d, e, f): ..."
ACTS = "@dataclass\nclass A:\n" + "".join(f"    f{n}: int\n" for n in range(6))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TAKES_SIX, ["A takes 6"]),
        (TAKES_SIX.replace(", f", ""), []),
        (ACTS + "    def run(self): ...", ["A takes 6"]),
        (ACTS.replace("f5: int", "f5: int = field(init=False)") + "    def run(self): ...", []),
        (ACTS, []),
        (ACTS.replace("dataclass", "dataclass(frozen=True)") + "    def run(self): ...", []),
        (ACTS + "    @property\n    def size(self): ...", []),
    ],
)
def test_a_constructor_that_takes_too_much_is_found(text: str, found: list[str]) -> None:
    assert list(crowded(ast.parse(text))) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"""Words."""\nfrom a import b\n__all__ = ["b"]', True),
        ("from a import b\nC = b()", False),
        ("from a import b\ndef c(): ...", False),
    ],
)
def test_a_module_that_only_forwards_is_found(text: str, found: bool) -> None:
    assert forwards(ast.parse(text)) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import B", True),
        ("import typing\nif typing.TYPE_CHECKING:\n    from a import B", True),
        ("from a import B", False),
    ],
)
def test_an_import_for_types_alone_is_found(text: str, found: bool) -> None:
    assert imports_for_types(ast.parse(text)) is found
