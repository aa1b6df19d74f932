"""Frames, clocks, secrets and what a machine has: the parts that shards are held together by."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck import scenario as scenarios
from loadcheck.errors import InputError
from loadcheck.load.monitor import Monitor
from loadcheck.load.slices import Slice
from loadcheck.measure.changes import BrokenChangeError, change, decode, still
from loadcheck.pipeline import shards
from loadcheck.pipeline.shards import DaskEngine, Workers, count, members
from loadcheck.pipeline.shards import spec as specs
from loadcheck.pipeline.shards.machine import Memory, available_memory, cores
from loadcheck.pipeline.shards.members import (
    Crew,
    Member,
    Offset,
    crowded_workers,
    greet,
    host_problems,
    late_workers,
    measure,
    paused_workers,
    slow_line,
    version_problems,
)
from loadcheck.pipeline.shards.merged import ShardRecord
from loadcheck.pipeline.shards.remote import (
    HERE,
    FrameError,
    Gone,
    Local,
    Message,
    Secret,
    Unframer,
    frame,
)
from loadcheck.pipeline.shards.shard import UNUSABLE, hello
from loadcheck.pipeline.shards.spec import ShardSpec, inline_secrets, mark, variables
from loadcheck.scenario.model import Input, OpenLoad
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.identity import Run
from tests.load.stages import stage
from tests.pipeline.shards.test_merged import empty

SCENARIOS = Path(__file__).parents[3] / "scenarios"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(
    messages=st.lists(st.dictionaries(st.text(max_size=4), PLAIN, max_size=3), max_size=4),
    cut=st.integers(1, 40),
)
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[dict[str, Any]], cut: int
) -> None:
    sent = [{**message, "is": "x"} for message in messages]
    data = b"".join(map(frame, sent))
    unframer = Unframer()
    came: list[Any] = []
    for at in range(0, len(data), cut):
        came += unframer.feed(data[at : at + cut])
    assert came == sent


@pytest.mark.parametrize(
    "data",
    [
        b"Welcome to host1!\n" * 9,
        b"\n\nLast login: today\n",
        b"\tbusy\n",
        b"\0\0\0\1\xc1",
        b"\0\0\0\1\x01",
        b"\0\0\0\1\x80",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(Unframer().feed(data))


@pytest.mark.parametrize("held", [b"", b"\x92\x01", b"\x01\x01"])
def test_what_is_wrong_within_a_message_is_said_once(held: bytes) -> None:
    for code in range(6):
        inner = msgpack.packb(msgpack.ExtType(code, held))
        for outer in (1, 4):
            with pytest.raises(BrokenChangeError, match="not a message of ours") as broken:
                decode(msgpack.packb([msgpack.ExtType(outer, inner)]))
            assert str(broken.value).count("not a message of ours") == 1


def test_of_what_a_command_writes_for_people_the_end_is_kept() -> None:
    code = (
        "import os\n"
        "for _ in range(30): os.write(2, b'x' * 99_999 + b'\\n')\n"
        "os.write(2, b'y' * 9000)"
    )

    async def end() -> tuple[str, Any]:
        child = await Local([[sys.executable, "-c", code]]).launch(0)
        _, gone = await child.receive()
        return child.said, gone

    said, gone = asyncio.run(end())
    assert isinstance(gone, Gone)
    assert said == "y" * 2000
    assert gone.why == f"it ended with exit code 0: {said}"


def test_secrets_show_in_no_text() -> None:
    secret = Secret(KEY="v3ry-secret")
    assert "v3ry" not in f"{secret} {secret!r} {[secret]}"
    (came,) = Unframer().feed(frame({"is": "spec", "environment": secret}))
    assert came["environment"] == {"KEY": "v3ry-secret"}


@given(
    offset=st.integers(-(10**15), 10**15),
    trips=st.lists(
        st.tuples(st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**9)),
        min_size=1,
        max_size=8,
    ),
)
def test_an_offset_is_as_exact_as_it_says_whatever_the_ways_take(
    offset: int, trips: list[tuple[int, int, int]]
) -> None:
    clock, now = Offset(), 10**12
    for there, back, pause in trips:
        clock.add(now, now + there + offset, now + there + back)
        now += there + back + pause
        assert abs(clock.theirs(now) - (now + offset)) <= clock.error_ns(now) + 1
    assert clock.count == len(trips)
    assert clock.drift_ppm == 0.0


def test_a_clock_that_runs_away_is_noticed() -> None:
    clock = Offset()
    for second in range(100):
        now = second * 10**9
        clock.add(now, now + second * 80_000 + 500, now + 1000)
    assert clock.drift_ppm == pytest.approx(80, rel=0.1)


@given(ppm=st.integers(-90, 90), seconds=st.integers(1, 7200), trip_ns=st.integers(2, 10**7))
def test_what_was_agreed_by_a_clock_strays_no_further_than_it_says(
    ppm: int, seconds: int, trip_ns: int
) -> None:
    clock = Offset()

    def theirs(now: int) -> int:
        return 77 + now + now * ppm // 1_000_000

    clock.add(0, theirs(trip_ns), trip_ns)
    clock.settle()
    agreed = clock.theirs(10**9)
    for second in range(1, seconds, 100):
        now = second * 10**9
        clock.add(now, theirs(now), now + trip_ns)
    now = seconds * 10**9
    # what they say has passed since, and what has
    assert abs((theirs(now) - agreed) - (now - 10**9)) <= clock.strayed_ns(now)


def shard(**hello: Any) -> Member:
    made = Member(record=ShardRecord(Slice(index=0, of=1)), remote=None)  # type: ignore[arg-type]
    made.hello, made.ready = hello, {"connections": 1000}
    return made


def test_workers_of_one_machine_have_its_ports_together() -> None:
    few = [shard(host="a", ports=2500) for _ in range(3)]
    (problem,) = host_problems(few)
    assert "3 workers on a need 3,000 connections; it has 2,500 ephemeral ports" in str(problem)
    assert not [*host_problems(few[:2])]
    assert not [*host_problems([shard(host="a", ports=None)] * 9)]
    (problem,) = host_problems([shard(host="a", ports=99_999, files=1999) for _ in range(2)])
    assert "2 workers on a need 2,000 connections; it has 1,999 open files" in str(problem)
    assert not [*host_problems([shard(host="a", files=None)])]
    (problem,) = host_problems(few[:2], 501)
    assert "2 workers on a, with the mix's other flows, need 2,501 connections" in str(problem)
    assert not [*host_problems(few[:2], 500)]


@given(
    late=st.lists(st.floats(0.001, 9), min_size=2, max_size=8),
    index=st.integers(0, 7),
    ms=st.floats(11, 10_000),
)
def test_one_saturated_worker_of_several_is_named(late: list[float], index: int, ms: float) -> None:
    names = {f"worker {place + 1}": each for place, each in enumerate(late)}
    assert not late_workers(names)
    worst = f"worker {index % len(late) + 1}"
    names[worst] = ms
    said = late_workers(names)
    assert f"of {len(late)} workers 1 sent late" in said
    assert [name for name in names if f"{name}: " in said] == [worst]
    # where all are late, none of them is the reason
    assert not late_workers(dict.fromkeys(names, ms))


def told(index: int, *, most: int, skipped: int = 0, paused: int = 0) -> ShardRecord:
    record = empty()
    record.max_in_flight, record.skipped = most, skipped + paused
    record.paused.update(range(paused))
    made = ShardRecord(Slice(index=index, of=2))
    tree = still((record, Monitor(), AckCurve(), Counter[str]()))
    made.take({"is": "snap", "sequence": 0, "rows": 0, "change": change(None, tree)})
    return made


def test_a_share_that_was_full_while_others_had_room_is_told() -> None:
    load = OpenLoad(stages=(stage(1, 9, 9),), max_in_flight=10)
    said = crowded_workers([told(0, most=5, skipped=7), told(1, most=3)], load)
    assert said.startswith("7 copies were skipped by workers whose share of load.max_in_flight")
    assert "a share of 5 is small" in said
    # all were full: the warning of the whole run says so
    assert not crowded_workers([told(0, most=5, skipped=7), told(1, most=5, skipped=1)], load)
    # the generator stood still
    assert not crowded_workers([told(0, most=5, paused=7), told(1, most=3)], load)


def test_a_worker_says_what_its_machine_grants() -> None:
    here = hello()
    assert here["boot"]
    assert here["ports"] is None or 0 < here["ports"] <= 65536
    assert here["files"] is None or here["files"] > 0
    assert [*host_problems([shard(**{**here, "files": 10})])]


def spec(**changes: Any) -> ShardSpec:
    scenario = scenarios.load(SCENARIOS / "live.toml", env=KEYS)
    given: dict[str, Any] = {
        "document": scenario.document,
        "file": scenario.file,
        "run": Run(id="abcdefghijkl", start_day="20260101", end_day="20260103"),
        "servers": {},
        "seed": 1,
        "consent": False,
        "part": Slice(index=1, of=3, together=2),
        "environment": KEYS,
        "marks": {name: mark("abcdefghijkl", value) for name, value in KEYS.items()},
    }
    return ShardSpec(**{**given, **changes})


KEYS = {"AMPLITUDE_API_KEY": "key-of-a-project", "AMPLITUDE_SECRET_KEY": "secret-of-it"}


def test_a_worker_reads_what_the_run_was_told() -> None:
    made = spec()
    (came,) = Unframer().feed(frame(made.message()))
    read = ShardSpec.of(came)
    assert (read.part, read.run, read.seed) == (made.part, made.run, made.seed)
    scenario = read.scenario()
    assert scenario.load == scenarios.load(SCENARIOS / "live.toml", env=KEYS).load
    assert variables(scenario, KEYS) == KEYS


def test_a_variable_that_the_worker_lacks_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMPLITUDE_API_KEY", "another")
    monkeypatch.delenv("AMPLITUDE_SECRET_KEY", raising=False)
    with pytest.raises(InputError) as told:
        spec(environment=None).scenario()
    text = str(told.value)
    assert "AMPLITUDE_API_KEY has another value" in text
    assert "AMPLITUDE_SECRET_KEY is not set" in text
    assert not any(value in text for value in (*KEYS.values(), "another;"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert spec(environment=None).scenario().name == "live"


class _Away:
    """Stands for an actor that cannot be reached for a while, and for Dask's future of it."""

    def __init__(self) -> None:
        self.is_cut, self.came = True, b""
        self.status = "finished"

    async def pull(self, _: float) -> bytes:
        await asyncio.sleep(60)
        return b""

    async def push(self, data: bytes) -> None:
        if self.is_cut:
            await asyncio.sleep(60)
        self.came += data


def test_what_did_not_get_through_is_told_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_SEND_S", 0.01)

    async def tell() -> list[str]:
        actor = _Away()
        seat = shards._Seat(actor, "a worker", actor)
        await seat.send({"is": "stop"})
        await seat.send({"is": "outputs"})
        assert not actor.came
        actor.is_cut = False
        await asyncio.gather(*(seat.send({"is": "ping"}) for _ in range(2)))
        return [message["is"] for message in Unframer().feed(actor.came)]

    assert asyncio.run(tell()) == ["stop", "outputs", "ping", "ping"]


def test_a_worker_that_dask_has_lost_is_gone_though_a_call_still_waits() -> None:
    async def lose() -> tuple[int, object]:
        actor = _Away()
        receiving = asyncio.ensure_future(shards._Seat(actor, "a worker", actor).receive())
        await asyncio.sleep(0.5)
        assert not receiving.done(), "it is still there"
        actor.status = "lost"
        return await asyncio.wait_for(receiving, 30)

    _, said = asyncio.run(lose())
    assert said == Gone(why="its Dask worker: it was lost", certain=False)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("tcp://127.0.0.1:8786", True),
        ("127.0.0.1:8786", True),
        ("tls://10.0.0.5:8786", True),
        ("tcp://10.0.0.5:8786", False),
        ("ws://cluster:80", False),
    ],
)
def test_secrets_travel_only_where_nobody_else_reads_them(address: str, *, private: bool) -> None:
    assert DaskEngine(address).private is private


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tpc://127.0.0.1:8786", "begins with tpc://, at which no Dask scheduler listens"),
        ("http://127.0.0.1:8787", "begins with http://"),
        ("inproc://10.0.0.5/1/2", "begins with inproc://"),
        ("127.0.0.1", "has no port"),
        ("tcp://cluster:0", "has no port"),
        ("tcp://:8786", "has no host"),
        ("tcp://", "has no host"),
        ("", "has no host"),
        ("tcp://cluster:abc", "has no port from 1 to 65535"),
        ("tcp://cluster:99999", "has no port from 1 to 65535"),
        ("tcp://[::1:8786", "has no port from 1 to 65535, or its host is misspelt"),
        ("tcp://me:hunter2@cluster:8786", "holds a user name or a password"),
    ],
)
def test_an_address_at_which_no_scheduler_can_be_is_told_at_once(address: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        Workers(scheduler=address).check(scenarios.load(SCENARIOS / "smoke.toml"))
    said = str(refused.value)
    assert told in said
    assert "give it as tcp://HOST:PORT or tls://HOST:PORT" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "address", ["cluster:8786", "tls://[::1]:8786", "wss://c:443", "ucx://c:1"]
)
def test_an_address_at_which_a_scheduler_can_be_is_tried(address: str) -> None:
    Workers(scheduler=address).check(scenarios.load(SCENARIOS / "smoke.toml"))


def test_of_several_prefixes_none_is_left_out() -> None:
    prefixes = 'load.prefixes=["ssh a", "ssh b", "ssh c"]'
    scenario = scenarios.load(SCENARIOS / "smoke.toml", overrides=[prefixes, "load.workers=2"])
    with pytest.raises(
        InputError, match=r"load.workers: 2 workers cannot use all 3 prefixes; each"
    ):
        Workers().check(scenario)
    for workers in ("load.workers=3", "load.workers=7"):
        Workers().check(scenarios.load(SCENARIOS / "smoke.toml", overrides=[prefixes, workers]))
    Workers().check(scenarios.load(SCENARIOS / "smoke.toml", overrides=[prefixes]))


def test_without_workers_there_is_none_to_go_on_with() -> None:
    alone = scenarios.load(SCENARIOS / "smoke.toml")
    shared = scenarios.load(SCENARIOS / "smoke.toml", overrides=["load.workers=2"])
    with pytest.raises(InputError, match="--keep-going: there are no workers to go on with; add"):
        Workers(keep_going=True).check_use([alone, alone])
    Workers(keep_going=True).check_use([alone, shared])
    Workers(keep_going=True, scheduler="cluster:8786").check_use([alone])
    Workers().check_use([alone])


def test_no_more_workers_are_started_than_the_machine_has_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = available_memory()
    assert found is None or found.free_bytes > 0
    scenario = scenarios.load(SCENARIOS / "smoke.toml", overrides=["load.workers=400"])
    memory = Memory(free_bytes=23_000_000_000)
    monkeypatch.setattr(specs, "available_memory", lambda: memory)
    with pytest.raises(InputError, match=r"24.0 GB of memory; this machine has 23.0 GB available"):
        Workers().check(scenario)
    memory = Memory(free_bytes=20_000_000_000, limit_bytes=21_000_000_000)
    told = r"this container, limited to 21.0 GB, has 20.0 GB available; .* or raise its limit"
    with pytest.raises(InputError, match=told):
        Workers().check(scenario)
    memory = Memory(free_bytes=25_000_000_000)
    Workers().check(scenario)
    with pytest.raises(InputError, match="800 workers need about 48.0 GB of memory"):
        Workers().check_use([scenario, scenario])
    monkeypatch.setattr(specs, "available_memory", lambda: None)
    Workers().check(scenario)


_MOUNTS = {
    "v2": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "v1": "34 31 0:31 {shown} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 31 0:32 {shown} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
}
_NO_LIMIT = "9223372036854771712"


@pytest.mark.parametrize(
    ("kind", "member", "shown", "files", "left", "processors"),
    [
        # a container that sees its own group as the root of all
        (
            *("v2", "0::/", "/"),
            {
                "memory.max": "500000000",
                "memory.current": "400000000",
                "memory.stat": "anon 1\ninactive_file 300000000\n",
                "cpu.max": "200000 100000",
            },
            *(400_000_000, 2),
        ),
        # a group further up bounds what a group has
        (
            *("v2", "0::/a.slice/b.scope", "/"),
            {
                "a.slice/memory.max": "700000000",
                "a.slice/memory.current": "100000000",
                "a.slice/b.scope/memory.max": "max",
                "a.slice/b.scope/memory.current": "100000000",
                "a.slice/cpu.max": "150000 100000",
                "a.slice/b.scope/cpu.max": "max 100000",
            },
            *(600_000_000, 1),
        ),
        # half a processor is one worker
        (*("v2", "0::/", "/"), {"cpu.max": "50000 100000"}, None, 1),
        (*("v2", "0::/gone/elsewhere", "/"), {"memory.max": "max"}, None, None),
        (*("v2", "0::/../sibling", "/"), {"cpu.max": "max 100000"}, None, None),
        # of version 1, of which a container may see the whole names
        (
            *("v1", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x", "/docker/x"),
            {
                "memory/memory.limit_in_bytes": "300000000",
                "memory/memory.usage_in_bytes": "350000000",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100000000\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            *(50_000_000, 3),
        ),
        (
            *("v1", "4:memory:/\n3:cpu,cpuacct:/", "/"),
            {
                "memory/memory.limit_in_bytes": _NO_LIMIT,
                "memory/memory.usage_in_bytes": "350000000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            *(None, None),
        ),
    ],
)
def test_what_a_container_has_is_what_its_groups_leave(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    member: str,
    shown: str,
    files: dict[str, str],
    left: int | None,
    processors: int | None,
) -> None:
    system = {
        "proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable:   1000000 kB\n",
        "proc/self/cgroup": f"{member}\n",
        "proc/self/mountinfo": "22 1 0:20 / /proc rw - proc proc rw\n"
        + _MOUNTS[kind].format(shown=shown),
        **{f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()},
    }
    for name, text in system.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    found = available_memory(tmp_path)
    assert found is not None
    assert found.free_bytes == (1_024_000_000 if left is None else left)
    assert (found.limit_bytes is None) == (left is None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert cores(tmp_path) == (processors or 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert cores(tmp_path) == 1


def test_where_no_system_says_what_there_is_nothing_is_made_up(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    assert cores(tmp_path) >= 1


class _Far:
    """Stands for a worker that answers after a while, by a clock that a test turns."""

    def __init__(self, way_s: float = 0.0, where: str = HERE, said: str = "") -> None:
        self.where = where
        self.said = said
        self.now_ns = 0
        self.member = Member(record=ShardRecord(Slice(index=0, of=1)), remote=self)
        self._way_ns = int(way_s * 1e9)

    async def send(self, message: Message) -> None:
        if message["is"] == "ping":
            self.now_ns += 2 * self._way_ns
            there_ns = self.now_ns - self._way_ns
            self.member.offset.add(message["sent_ns"], there_ns, self.now_ns)

    async def receive(self) -> Any:
        raise NotImplementedError

    async def kill(self) -> bool:
        return True

    async def end(self) -> None: ...


@pytest.mark.parametrize(
    ("way_s", "pings", "told"),
    [
        (0.001, 20, ""),
        (0.5, 5, "the load begins in 10 s: a message to worker 1 and back takes 1.0 s"),
        (3.0, 1, "the load begins in 60 s: a message to worker 1 and back takes 6.0 s"),
    ],
)
def test_a_slow_line_is_measured_for_so_long_only_and_told(
    monkeypatch: pytest.MonkeyPatch, way_s: float, pings: int, told: str
) -> None:
    far, crew = _Far(way_s), Crew()
    crew.add(far.member)
    with monkeypatch.context() as turned:
        turned.setattr(members, "time", SimpleNamespace(monotonic_ns=lambda: far.now_ns))
        asyncio.run(measure(crew))
        assert slow_line(crew) == told
    assert far.member.offset.count == pings


@pytest.mark.parametrize(
    ("where", "asks", "waits"),
    [
        (HERE, "", []),
        ("ssh host1", "", ["waiting for worker 1 on ssh host1"]),
        (
            *("ssh host1", "me@host1's password:"),
            ["waiting for worker 1 on ssh host1, which says: me@host1's password:"],
        ),
    ],
)
def test_who_does_not_come_up_is_told_with_what_may_be_wrong(
    monkeypatch: pytest.MonkeyPatch, where: str, asks: str, waits: list[str]
) -> None:
    monkeypatch.setattr(members, "READY_S", 0.02)
    monkeypatch.setattr(members, "_SLOW_S", 0.01)
    crew, told = Crew(), list[str]()
    crew.add(_Far(where=where, said=asks).member)
    with pytest.raises(InputError, match=f"worker 1 on {where} did not come up within") as refused:
        asyncio.run(greet(crew, told.append))
    assert told == waits
    assert ("see that the command asks for nothing" in str(refused.value)) is (where != HERE)
    assert (f"it said last: {asks};" in str(refused.value)) is bool(asks)


def test_who_stood_still_while_others_did_not_is_named() -> None:
    assert not paused_workers({"worker 1": 0, "worker 2": 0})
    assert not paused_workers({"worker 1": 7})
    said = paused_workers({"worker 1": 0, "worker 2 (vm)": 120, "worker 3": 0})
    assert said.startswith("of 3 workers 1 paused and skipped what fell due meanwhile")
    assert "worker 2 (vm): 120 copies" in said


def test_as_many_workers_as_there_are_cores_to_spare() -> None:
    scenario = scenarios.load(SCENARIOS / "smoke.toml", overrides=["load.workers=auto"])
    assert count(scenario) == max(1, cores() - 1)
    assert 1 <= cores() <= (os.cpu_count() or 1)
    prefixed = scenarios.load(SCENARIOS / "smoke.toml", overrides=['load.prefixes=["a", "b"]'])
    assert count(prefixed) == 2
    assert Workers().wanted(prefixed)
    assert not Workers().wanted(scenarios.load(SCENARIOS / "smoke.toml"))
    with pytest.raises(InputError, match="contradicts --scheduler"):
        Workers(scheduler="tcp://127.0.0.1:1").check(prefixed)


def test_what_a_shard_tells_must_hold_what_it_says() -> None:
    with pytest.raises(BrokenChangeError, match="KeyError"):
        ShardRecord(Slice(index=0, of=1)).take({"is": "snap"})


def test_a_worker_of_another_version_is_named_with_the_remedy() -> None:
    same = shard(**hello())
    assert not [*version_problems([same])]
    for change_ in ({"version": "0.0.1"}, {"protocol": 99}, {"version": None}):
        (problem,) = version_problems([same, shard(**{**hello(), **change_})])
        assert "worker 1 (" in str(problem)
        assert "install the same version there" in str(problem)


def test_credentials_that_stand_in_a_scenario_are_found() -> None:
    named = scenarios.load(SCENARIOS / "live.toml", env=KEYS)
    assert not [*inline_secrets(named)]
    for key, value in (
        ("inputs.basicAuth", {"basic": {"username": "u", "password": "pw"}}),
        (
            "inputs.basicAuth",
            {"basic": {"username": {"env": "AMPLITUDE_API_KEY"}, "password": "p"}},
        ),
    ):
        made = scenarios.load(SCENARIOS / "live.toml", env=KEYS, overrides=[_set(key, value)])
        assert [*inline_secrets(made)] == ["inputs.basicAuth.basic.password"]
    # what the workflow calls a password
    inputs = {**named.inputs, "apiKey": Input(value="written", secret=True)}
    document = {**named.document, "inputs": {**named.document["inputs"], "apiKey": "written"}}
    assert [*inline_secrets(replace(named, inputs=inputs, document=document))] == ["inputs.apiKey"]


def _set(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value).replace(': ', ' = ')}"


def test_a_worker_that_nobody_can_speak_with_says_why() -> None:
    command = [sys.executable, "-m", "loadcheck", "shard"]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )
    assert ended.returncode == UNUSABLE
    assert b"its standard input is not a pipe: use ssh without -n" in ended.stderr
