"""A whole run against an emulator in the same process, whose store tells what is true.

Many may go on at once in one event loop, since they mostly wait.
"""

from __future__ import annotations

import base64
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import orjson

from loadcheck import scenario as scenarios
from loadcheck.emulator.config import parse
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import serving
from loadcheck.measure import Ledger
from loadcheck.pipeline import execute
from loadcheck.pipeline.session import CompletedRun, RunContext
from loadcheck.scenario.model import Scenario
from loadcheck.verify import Verdict
from tests.compiled import compiled

KEY, SECRET = "key-of-the-arena", "secret-of-the-arena"
_BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


@dataclass(frozen=True)
class Mix:
    """One run: what the service does, and what is sent to it.

    Attributes:
        emulator: The emulator's configuration, faults among it.
        load: The scenario's ``[load]``.
        verify: The scenario's ``[verify]``, over the arena's own.
        retry: The scenario's ``[retry]``.
        seed: Of everything random.
    """

    emulator: Mapping[str, Any]
    load: Mapping[str, Any]
    verify: Mapping[str, Any]
    retry: Mapping[str, Any]
    seed: int = 1

    def scenario(self, url: str) -> str:
        """Return the scenario as a user would write it."""
        tables: dict[str, Mapping[str, Any]] = {
            "target": {"kind": "live", "servers": {"*": url}},
            "inputs": {"apiKey": KEY, "basicAuth": _BASIC, "eventType": "probe"},
            "load": self.load,
            "retry": self.retry,
            "timeouts": {"request": "250ms", "drain": "2s"},
            "verify": {
                "localize": True,
                "every": "100ms",
                "quiet": "250ms",
                "deadline": "1500ms",
                "timeout": "1s",
                **self.verify,
            },
        }
        lines = ['name = "arena"', 'workflow = "amplitude"', f"seed = {self.seed}"]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {_toml(inner)}' for key, inner in value.items()) + "}"
    return orjson.dumps(value).decode()


@dataclass(frozen=True)
class Truth:
    """What the service really holds of a run, by copy number, and what its faults did.

    Attributes:
        stored: Events stored of each copy that has any.
        visible: Events that queries may see by now.
        hits: User ids that each kind of fault hit.
    """

    stored: Mapping[int, int]
    visible: Mapping[int, int]
    hits: Mapping[str, list[str]]


@dataclass(frozen=True)
class JudgedRun:
    """A run that is over, beside the truth."""

    mix: Mix
    document: Mapping[str, Any]
    consistent: Verdict
    ledger: Ledger
    truth: Truth

    @property
    def seen(self) -> Mapping[str, Any]:
        """What the run says of the counts."""
        seen: Mapping[str, Any] = self.document["consistency"]
        return seen

    @property
    def missing(self) -> set[int]:
        """Copies that were acknowledged and that no query can see."""
        return set(self.ledger.acknowledged) - set(self.truth.visible)

    @property
    def unexpected(self) -> set[int]:
        """Copies that were refused, or never sent, and are counted all the same."""
        return set(self.truth.visible) - set(self.ledger.acknowledged | self.ledger.indeterminate)

    @property
    def surplus(self) -> int:
        """Events that can be seen beyond those that were sent."""
        each = self.document["scenario"]["load"].get("events_per_copy", 1)
        return sum(max(0, number - each) for number in self.truth.visible.values())

    def finding(self, check: str) -> Mapping[str, Any]:
        """Return a finding."""
        found: Mapping[str, Any] = next(
            entry for entry in self.document["findings"] if entry["check"] == check
        )
        return found

    def named(self, kind: str) -> set[int]:
        """Return the copies that the run names."""
        return {user["copy"] for user in (self.seen["localized"] or {}).get(kind, ())}


class Nowhere:
    """Keeps a results document in no file."""

    path = Path("nowhere.json")

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """See that it can be written."""
        orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)

    def close(self) -> None:
        """Do nothing."""


async def no_signals() -> AsyncIterator[Any]:
    await anyio.sleep_forever()
    yield


async def nobody_watches(_: Any) -> None:
    pass


async def run_mix(mix: Mix) -> JudgedRun:
    """Run a mix to its verdict, and look into the store."""
    emulator = Emulator(parse({"api_key": KEY, "secret_key": SECRET, **mix.emulator}))
    with tempfile.TemporaryDirectory() as folder:
        async with serving(emulator, "127.0.0.1", 0) as url:
            scenario = _loaded(Path(folder, "arena.toml"), mix.scenario(url))
            context = RunContext(emulator=None, signals=no_signals())
            made = compiled(scenario, seed=mix.seed)
            finished: CompletedRun = await execute(made, Nowhere(), nobody_watches, context)
            truth = _truth(emulator, finished.document["run"]["id"])
    return JudgedRun(
        mix=mix,
        document=finished.document,
        consistent=finished.judgement.consistent or Verdict.UNKNOWN,
        ledger=Ledger.from_json(finished.document["ledger"]),
        truth=truth,
    )


def _loaded(file: Path, text: str) -> Scenario:
    file.write_text(text)
    return scenarios.load(file)


def _truth(emulator: Emulator, run_id: str) -> Truth:
    store, now_ms = emulator._store, time.time() * 1000
    prefix = f"lc-{run_id}-"
    stored: Counter[int] = Counter()
    visible: Counter[int] = Counter()
    # second events of the same users, and what a fault makes of them, bear another run's mark
    marks = store.column("e:loadcheck_run").tolist()
    for user, visible_ms, mark in zip(store.user, store.visible, marks, strict=True):
        name = store.users[user]
        if mark >= 0 and store.values[mark] != run_id:
            continue
        if name.startswith(prefix):
            number = int(name.removeprefix(prefix))
            stored[number] += 1
            if visible_ms <= now_ms:
                visible[number] += 1
    hits: dict[str, list[str]] = {}
    for fault in emulator.injector.faults:
        hits.setdefault(fault.kind, []).extend(
            user
            for user in fault.truth.as_json()["user_ids"]
            if user is not None and user.startswith(prefix)
        )
    return Truth(stored, visible, hits)
