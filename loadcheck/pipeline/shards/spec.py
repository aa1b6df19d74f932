"""What a shard is sent: its specification and the scenario's files, and how it compiles its part.

The files are sent to workers with another disk if nobody else can read them on the way, they are
not too large, and no private key is among them. Otherwise each worker must have them at the same
paths, and they are checked by hash: a different data file would send other users unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from loadcheck import scenario as scenarios
from loadcheck.documents.files import noting, read_file
from loadcheck.errors import InputError, Problem, ScenarioError, many
from loadcheck.load.engine import LoadSpec
from loadcheck.load.pacer import max_requests
from loadcheck.load.retry import Backoff
from loadcheck.load.slices import Slice, share_of, too_few
from loadcheck.pipeline.prepare import compile_scenario, hide_passwords
from loadcheck.pipeline.shards.machine import available_memory
from loadcheck.pipeline.shards.remote import Secret
from loadcheck.pipeline.target import Address
from loadcheck.scenario.model import Retry, Scenario
from loadcheck.secrets import HIDDEN
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.identity import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """Everything that a shard needs to send its part.

    Attributes:
        document: The scenario as run, as :attr:`Scenario.document` has it.
        file: The scenario file as the user named it.
        run: The run's identity.
        servers: Source description name → base URL that replaces the described servers; "*" for
            all.
        seed: Seed of the schedule, the same for all shards.
        consent: Whether the run may leave this machine.
        part: The shard's part of the load.
        environment: The variables that the scenario reads; None: those of the shard's own
            environment are used.
        marks: Variable → keyed hash of its value, which must match.
    """

    document: Mapping[str, Any]
    file: str
    run: Run
    servers: Mapping[str, str]
    seed: int
    consent: bool
    part: Slice
    environment: Mapping[str, str] | None
    marks: Mapping[str, str]

    def message(self) -> dict[str, Any]:
        """Return the message ``spec``."""
        run, part, given = self.run, self.part, self.environment
        return {
            "is": "spec",
            "document": _plain(self.document),
            "file": self.file,
            "run": {
                "id": run.id,
                "start_day": run.start_day,
                "end_day": run.end_day,
                "copies": run.copies,
            },
            "target": Secret(run.target),
            "servers": dict(self.servers),
            "seed": self.seed,
            "consent": self.consent,
            "part": {"index": part.index, "of": part.of, "together": part.together},
            "environment": None if given is None else Secret(given),
            "marks": dict(self.marks),
        }

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> ShardSpec:
        """Return the spec in a message."""
        run = message["run"]
        return cls(
            document=message["document"],
            file=message["file"],
            run=Run(**run, target=message["target"]),
            servers=message["servers"],
            seed=message["seed"],
            consent=message["consent"],
            part=Slice(**message["part"]),
            environment=message["environment"],
            marks=message["marks"],
        )

    def scenario(self) -> Scenario:
        """Return the scenario, read again on the shard's machine.

        Raises:
            InputError: A variable or file that it needs is missing, or a variable differs.
        """
        given = os.environ if self.environment is None else self.environment
        problems = []
        for name, expected in self.marks.items():
            found = given.get(name)
            if found is None:
                message = f"the environment variable {name} is not set"
            elif mark(self.run.id, found) != expected:
                message = f"the environment variable {name} has another value"
            else:
                continue
            remedy = "set it there as it is set here"
            problems.append(Problem(message=message, remedy=remedy))
        if problems:
            raise InputError(problems)
        return hide_passwords(scenarios.restore(_plain(self.document), self.file, env=given))

    def compiled(self) -> CompiledScenario:
        """Return the scenario, compiled for this part of the run.

        Raises:
            InputError: With every problem found.
        """
        address = Address(servers=self.servers, supplied=self.run.target)
        whole = compile_scenario(
            self.scenario(), self.run, address, seed=self.seed, consent=self.consent
        )
        load, part = whole.load, self.part
        connections = max_requests(share_of(load.load, part))
        transport = replace(load.transport, max_connections=connections)
        return replace(whole, load=replace(load, part=part, transport=transport))


class _Names(Mapping[str, str]):
    """An environment that records which variables are read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.asked: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        value = self._environment[name]
        self.asked[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)


def variables(scenario: Scenario, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that a scenario reads, with their values."""
    names = _Names(environment)
    scenarios.restore(scenario.document, scenario.file, env=names)
    return names.asked


def inline_secrets(scenario: Scenario) -> Iterator[str]:
    """Yield the keys of credentials that are written literally in a scenario, and travel with it.

    They are inputs that the workflow declares as passwords, and the password of ``basic``.
    """
    document = scenario.document
    written = [("inputs", scenario.inputs, document.get("inputs", {}))]
    if scenario.teardown is not None:
        inputs = document["teardown"].get("inputs", {})
        written.append(("teardown.inputs", scenario.teardown.inputs, inputs))
    for table, inputs, given in written:
        for name, value in given.items():
            match value:
                case str() if name in inputs and inputs[name].secret:
                    yield f"{table}.{name}"
                case {"basic": {"password": str()}}:
                    yield f"{table}.{name}.basic.password"


def mark(run_id: str, value: str) -> str:
    """Return a keyed hash that tells values apart without containing them."""
    return hmac.new(run_id.encode(), value.encode(), hashlib.sha256).hexdigest()


def refuse_too_few(scenario: Scenario, of: int) -> None:
    """Check that a scenario's load and limits can be divided among ``of`` workers.

    Raises:
        ScenarioError: There is too little of something, or a prefix would start no worker.
    """
    problems = []
    if of < (prefixes := len(scenario.load.prefixes)):
        message = f"{many(of, 'workers')} cannot use all {prefixes} prefixes"
        remedy = "each starts one worker or more: raise it, or leave it out"
        problems.append(scenario.problem("load.workers", message, remedy))
    for key, total, what in too_few(scenario.load, scenario.limits, of):
        message = f"{many(total, what)} cannot be divided among {of} workers"
        if scenario.load.copies_per_request > 1 and key != "load.copies":
            message += f", in requests of {scenario.load.copies_per_request:,}"
        problems.append(scenario.problem(key, message, "raise it, or take fewer workers"))
    if problems:
        raise ScenarioError(problems)


WORKER_BYTES: Final = 60_000_000
"""Memory that a worker uses before it sends anything."""


def refuse_too_many(scenario: Scenario, of: int) -> None:
    """Check that this machine has the memory for ``of`` workers.

    Raises:
        ScenarioError: It does not.
    """
    found = available_memory()
    if found is None or of * WORKER_BYTES <= found.free_bytes:
        return
    has, remedy = "this machine has", "take fewer, one for each core at most, or more machines"
    if found.limit_bytes is not None:
        has = f"this container, limited to {found.limit_bytes / 1e9:.1f} GB, has"
        remedy = "take fewer, one for each core at most, or raise its limit"
    message = (
        f"{of:,} workers need about {of * WORKER_BYTES / 1e9:.1f} GB of memory; {has} "
        f"{found.free_bytes / 1e9:.1f} GB available"
    )
    raise ScenarioError([scenario.problem("load.workers", message, remedy)])


def agreed(load: LoadSpec) -> str:
    """Return as text what must be the same on all shards, besides the requests."""
    steps = sorted(load.limits.items())
    held = (load.load, load.seed, load.ingest, load.observer, load.retry, steps, load.drain_s)
    return repr((held, sorted(load.stages)))


_PROBED: Final = 16


def fingerprint(compiled: CompiledScenario) -> str:
    """Return a hash of samples of a load, without secrets, that tells plans apart.

    It covers when the first copies fall due, and the first request of some copies: another version
    of a library may draw other random values.
    """
    plan, load = compiled.plan, compiled.load
    most = compiled.planned or _PROBED
    numbers = sorted({each * most // _PROBED for each in range(_PROBED)})
    said = agreed(load).encode()
    before = dict(plan.unsendable)
    with compiled.run.shared.assumed():
        for number in numbers:
            flow = plan.copy(number, 0, Backoff(Retry(attempts=1), 0))
            request = next(flow, None)
            flow.close()
            if isinstance(request, Request):
                origin = str(request.origin).encode()
                said = b"\n".join((said, origin, request.head, request.body))
    # these requests were not to be sent: those that could not be made do not count
    plan.unsendable.clear()
    plan.unsendable.update(before)
    for value in sorted(compiled.secrets, key=len, reverse=True):
        said = said.replace(value.encode(), HIDDEN.encode())
    made = hashlib.sha256(said)
    if load.pacer is not None:
        due_ns = next(load.pacer.chunks(), np.array([], dtype=np.int64))
        made.update((due_ns // 1000).tobytes())
    return made.hexdigest()


def _plain(value: Any) -> Any:
    """Return a document with arrays as lists, as they were when it was first read."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


MOST_BYTES: Final = 64_000_000
"""Limit for all files together, which are sent to each worker."""
_HOME: Final = Path(__file__).resolve().parents[2]
"""Files below it come with loadcheck: workers have them in the same version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The scenario's files that a worker is sent, or must have.

    Attributes:
        sent: Path below a temporary folder of the worker → content.
        file: Path of the scenario file below that folder; "" if no files are sent.
        needed: Path → SHA-256 of the file that must be there.
    """

    sent: Mapping[str, bytes] = field(default_factory=dict)
    file: str = ""
    needed: Mapping[str, str] = field(default_factory=dict)

    def message(self) -> dict[str, Any]:
        """Return the field ``files`` of the message ``spec``."""
        return {"sent": dict(self.sent), "file": self.file, "needed": dict(self.needed)}

    @contextmanager
    def unpacked(self, spec: ShardSpec) -> Iterator[ShardSpec]:
        """Write the files to a temporary folder for the block; yield the spec that finds them.

        Raises:
            InputError: A file that is needed is missing or differs.
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
    """Return the scenario's files for workers on other machines, or their hashes.

    Args:
        spec: The specification of one of them, with the variables that it needs.
        private: Whether nobody else can read what workers are sent.

    Raises:
        InputError: The scenario does not compile.
    """
    with noting() as noted:
        target = spec.compiled().scenario.target
    own = Path(spec.file)
    paths = sorted({path.resolve() for path in noted if not path.resolve().is_relative_to(_HOME)})
    size = sum(path.stat().st_size for path in paths)
    # the certificate's file may hold the private key as well
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
    """Return whether a scenario reads all its files from a bundle: a path may be absolute."""
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
