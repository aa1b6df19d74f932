"""What is published installs into an empty environment, with the oldest libraries and the newest.

It asks a package index, as pip is set up; without one the tests that need it are skipped.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = ("run", "scenarios/smoke.toml", "-o", "result.json")

pytest.importorskip("build", reason="the extra lint brings build and twine")
pytest.importorskip("twine", reason="the extra lint brings build and twine")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def ran(*arguments: str | Path, cwd: Path | None = None, codes: tuple[int, ...] = (0,)) -> str:
    """Return what a command prints; a failure is told with all of it."""
    done = subprocess.run(
        [*map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
        check=False,
    )
    assert done.returncode in codes, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def built(folder: Path) -> list[Path]:
    """Build both packages from a copy of what the repository holds; return them by name."""
    source = folder / "source"
    ran("git", "clone", "--quiet", ROOT, source)
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source)
    return sorted((folder / "dist").iterdir())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return built(tmp_path_factory.mktemp("first"))


def test_they_are_the_same_byte_by_byte_when_built_again(
    packages: list[Path], tmp_path: Path
) -> None:
    again = built(tmp_path)
    assert [path.name for path in again] == [path.name for path in packages]
    assert [*map(digest, again)] == [*map(digest, packages)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_index_takes_them(packages: list[Path]) -> None:
    said = ran(sys.executable, "-m", "twine", "check", "--strict", *packages)
    assert said.count("PASSED") == 2


def test_they_hold_what_is_needed_and_nothing_else(packages: list[Path]) -> None:
    sdist, wheel = sorted(packages, key=lambda path: path.suffix != ".gz")
    names = zipfile.ZipFile(wheel).namelist()
    base = f"loadcheck-{PROJECT['version']}"
    assert {name.partition("/")[0] for name in names} == {
        "loadcheck",
        f"{base}.data",
        f"{base}.dist-info",
    }
    for name in ("REFERENCE.md", "CHANGELOG.md", "py.typed", "library/amplitude/profile.toml"):
        assert f"loadcheck/{name}" in names
    for name in (
        "man/man1/loadcheck.1",
        "bash-completion/completions/loadcheck",
        "zsh/site-functions/_loadcheck",
        "fish/vendor_completions.d/loadcheck.fish",
    ):
        assert f"{base}.data/data/share/{name}" in names
    assert not [name for name in names if name.endswith((".pyc", ".whl"))]
    with tarfile.open(sdist) as opened:
        kept = {name.partition("/")[2].partition("/")[0] for name in opened.getnames()}
    assert {"loadcheck", "scenarios", "tests", "README.md", "LICENSE", "pyproject.toml"} <= kept


def pythons() -> list[str]:
    """Return every Python that loadcheck claims to run on and that this machine has."""
    found = [f"{sys.version_info[0]}.{sys.version_info[1]}"]
    for line in PROJECT["classifiers"]:
        version = line.rpartition(" :: ")[2]
        if re.fullmatch(r"3\.\d+", version) and version not in found and interpreter(version):
            found.append(version)
    return found


def interpreter(version: str) -> Path | None:
    """Return where a version of Python is; versions that pyenv keeps are found, too."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(sys.executable)
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    on_path = shutil.which(f"python{version}")
    for path in [*map(Path, filter(None, [on_path])), *pyenv]:
        works = subprocess.run([str(path), "-c", "import venv"], capture_output=True, check=False)
        if works.returncode == 0:
            return path
    return None


def environment(folder: Path, version: str) -> Path:
    """Make an empty environment; return its folder of commands."""
    found = interpreter(version)
    assert found is not None
    ran(found, "-m", "venv", folder)
    return folder / "bin"


def index_answers(commands: Path) -> bool:
    asked = [f"{commands}/pip", "download", "--quiet", "--no-deps", f"--dest={commands}/x", "idna"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=120).returncode == 0


def lowest(path: Path) -> Path:
    """Write the constraints that hold every dependency at the lowest version it may have."""
    wanted = [line.partition(";")[0] for line in PROJECT["dependencies"]]
    pins = [re.sub(r"\[.*?\]", "", line.partition(",")[0]).strip() for line in wanted]
    assert all(pin.count(">=") == 1 for pin in pins), pins
    path.write_text("\n".join(pin.replace(">=", "==") for pin in pins))
    return path


@pytest.mark.parametrize("version", pythons())
def test_it_runs_with_the_newest_libraries(
    version: str, packages: list[Path], tmp_path: Path
) -> None:
    commands = environment(tmp_path / "env", version)
    if not index_answers(commands):
        pytest.skip("no package index answers")
    wheel = next(path for path in packages if path.suffix == ".whl")
    ran(commands / "pip", "install", "--quiet", wheel)
    works(commands, tmp_path)
    assert (tmp_path / "env" / "share" / "man" / "man1" / "loadcheck.1").is_file()


def test_it_runs_with_the_oldest_libraries(packages: list[Path], tmp_path: Path) -> None:
    commands = environment(tmp_path / "env", "3.11")
    if not index_answers(commands):
        pytest.skip("no package index answers")
    sdist = next(path for path in packages if path.suffix == ".gz")
    pins = lowest(tmp_path / "lowest.txt")
    ran(commands / "pip", "install", "--quiet", sdist, "--constraint", pins)
    kept = ran(commands / "pip", "freeze").casefold().replace("_", "-")
    assert "numpy==1.26.0" in kept
    works(commands, tmp_path)


def works(commands: Path, folder: Path) -> None:
    """Go through what users do, in a folder that has the scenarios and nothing of the source."""
    shutil.copytree(ROOT / "scenarios", folder / "scenarios")
    loadcheck = commands / "loadcheck"
    assert PROJECT["version"] in ran(loadcheck, "--version")
    assert "--workers" in ran(loadcheck, "run", "--help")
    ran(loadcheck, *RUN, cwd=folder)
    ran(loadcheck, "report", "result.json", "-o", "page.html", cwd=folder)
    assert "load.rate" in ran(loadcheck, "explain", "load.rate")
    ran(loadcheck, "export", "result.json", "--format", "junit", "-o", "out.xml", cwd=folder)
    # of two short runs little can be said for certain: that is 3
    compared = ran(
        loadcheck, "compare", "result.json", "--to", "result.json", cwd=folder, codes=(0, 3)
    )
    assert "same" in compared
