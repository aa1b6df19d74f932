"""The files that a scenario is made of, on their way to workers that have other disks.

They travel with what the worker is told, if nobody else reads that, they are not too many, and no
private key is among them. Else each worker must have them at the same places, and they are held
against hashes: a data file of another content would send other users, and nobody would notice.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from loadcheck.documents.files import noting, read_file
from loadcheck.errors import InputError, Problem
from loadcheck.pipeline.shards.spec import ShardSpec

MOST_BYTES: Final = 64_000_000
"""Of all files together: they are sent to each worker."""
_HOME: Final = Path(__file__).resolve().parents[2]
"""What comes with loadcheck is there, of the same version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a worker gets of the scenario's files, or needs.

    Attributes:
        sent: Path below a folder of the worker's own → content.
        file: Where the scenario file would be there.
        needed: Path → SHA-256 of the file that must be there.
    """

    sent: Mapping[str, bytes] = field(default_factory=dict)
    file: str = ""
    needed: Mapping[str, str] = field(default_factory=dict)

    def message(self) -> dict[str, Any]:
        """Return it as a part of the message ``spec``."""
        return {"sent": dict(self.sent), "file": self.file, "needed": dict(self.needed)}

    @contextmanager
    def unpacked(self, spec: ShardSpec) -> Iterator[ShardSpec]:
        """Lay the files down for the length of a block; yield the spec that finds them.

        Raises:
            InputError: A file that is needed is not there, or is another one.
        """
        problems = [
            Problem(
                message=f"{path}: {what}",
                remedy="let workers have the same files at the same places",
            )
            for path, expected in self.needed.items()
            if (what := _misses(path, expected))
        ]
        if problems:
            raise InputError(problems)
        if not self.file:
            yield spec
            return
        with tempfile.TemporaryDirectory(prefix="loadcheck-") as folder:
            for name, content in self.sent.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            file = Path(folder, self.file)
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield replace(spec, file=str(file))
            except InputError as error:
                raise InputError(
                    [_as_sent(problem, folder) for problem in error.problems]
                ) from None


def _misses(path: str, expected: str) -> str:
    try:
        with Path(path).open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "" if found == expected else "is another file than here"


def _as_sent(problem: Problem, folder: str) -> Problem:
    shown = {name: getattr(problem, name).replace(f"{folder}/", "") for name in ("file", "message")}
    return replace(problem, **shown)


def bundle(spec: ShardSpec, *, private: bool) -> Bundle:
    """Return what workers on other machines are to get of a scenario's files.

    Args:
        spec: What one is told, with the variables that it needs.
        private: Whether nobody else reads what workers are told.

    Raises:
        InputError: The scenario does not compile.
    """
    with noting() as noted:
        target = spec.compiled().scenario.target
    own = Path(spec.file)
    paths = sorted({path.resolve() for path in noted if not path.resolve().is_relative_to(_HOME)})
    size = sum(path.stat().st_size for path in paths)
    # a key may stand beside the certificate, in one file
    if private and size <= MOST_BYTES and target.tls.cert is None:
        root = Path(os.path.commonpath([own.resolve().parent, *(path.parent for path in paths)]))
        found = Bundle(
            sent={str(path.relative_to(root)): read_file(path, MOST_BYTES) for path in paths},
            file=str(own.resolve().relative_to(root)),
        )
        if _suffices(found, spec):
            return found
    return Bundle(
        needed={str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    )


def _suffices(made: Bundle, spec: ShardSpec) -> bool:
    """Return whether a scenario finds all its files in a bundle: a path may be absolute."""
    try:
        with made.unpacked(spec) as there, noting() as noted:
            there.compiled()
            home = Path(there.file).resolve().parents[len(Path(made.file).parts) - 1]
            return all(
                path.resolve().is_relative_to(home) or path.resolve().is_relative_to(_HOME)
                for path in noted
            )
    except InputError:
        return False
